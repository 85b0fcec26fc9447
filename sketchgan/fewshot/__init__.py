"""Few-shot semantic synthesis: label one to five pictures, then paint layouts and get pictures that follow them."""
from .classes import Classes, LayoutError, coverage, reduced
from .encoder import EncoderConfig
from .examples import Examples, load_examples, of_pictures, sample_codes
from .labels import Labeller, cosines, dense_labels, learn_labels, prototypes, sparse_labels, sparse_vectors
from .model import LayoutModel, calibrate, load_layouts, new_layouts, teach, train_layouts
from .synthesis import Refinement, Synthesis, appearances, synthesize

__all__ = ["Classes", "EncoderConfig", "Examples", "Labeller", "LayoutError", "LayoutModel", "Refinement", "Synthesis",
           "appearances", "calibrate", "cosines", "coverage", "dense_labels", "learn_labels", "load_examples",
           "load_layouts", "new_layouts", "of_pictures", "prototypes", "reduced", "sample_codes", "sparse_labels",
           "sparse_vectors", "synthesize", "teach", "train_layouts"]
