"""Boards on which one edits instead of drawing: directions, photographs, mixtures of models, layouts."""
from .layout import LayoutPad
from .photo import PhotoEditor
from .portraits import PortraitStudio

__all__ = ["LayoutPad", "PhotoEditor", "PortraitStudio"]
