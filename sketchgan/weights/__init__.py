"""Reading and writing networks in every public layout, without running foreign code."""
from .building import rebuild
from .checkpoints import (
    content_hash,
    load_discriminator,
    load_generator,
    load_photosketch,
    load_training,
    read_metadata,
    read_tensors,
    save,
    save_delta,
    save_training,
)
from .exporting import export
from .own import load_features, load_judge, load_sketch_embedding
from .pickles import CheckpointError

__all__ = ["CheckpointError", "content_hash", "export", "load_discriminator", "load_features", "load_generator",
           "load_judge", "load_photosketch", "load_sketch_embedding", "load_training", "read_metadata", "read_tensors",
           "rebuild", "save", "save_delta", "save_training"]
