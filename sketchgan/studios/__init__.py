"""Boards on which one edits instead of drawing: directions, photographs, mixtures of models, layouts."""
from .edits import EditExplorer
from .layout import LayoutPad
from .mixer import ModelMixer
from .photo import PhotoEditor
from .portraits import PortraitStudio

__all__ = ["EditExplorer", "LayoutPad", "ModelMixer", "PhotoEditor", "PortraitStudio"]
