"""Boards on which one edits instead of drawing: directions, photographs, mixtures of models, layouts."""
from .layout import LayoutPad
from .portraits import PortraitStudio

__all__ = ["LayoutPad", "PortraitStudio"]
