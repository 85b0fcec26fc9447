"""Drawings as tensors: strokes, pages, SVG, and how far one drawing is from another."""
from .board import Drawing
from .chamfer import chamfer, distance_transform, nearest, sketch_of, targets
from .opening import as_given
from .placing import UsualBox, usual_box
from .sketches import inspect_page, load_sketches, normalize_sketch, read_strokes
from .strokes import SketchError, rasterize, read_document, sketch_names, write_document

__all__ = ["Drawing", "SketchError", "UsualBox", "as_given", "chamfer", "distance_transform", "inspect_page",
           "load_sketches", "nearest",
           "normalize_sketch", "rasterize", "read_document", "read_strokes", "sketch_names", "sketch_of",
           "targets", "usual_box", "write_document"]
