"""Photographs: any folder, zip or LMDB of pictures as a data set of squares; rendered scenes in a cache."""
from .. import lazily

__all__, __getattr__, __dir__ = lazily(__name__, {
    "datasets": "SEED_EVALUATION SEED_GAN SEED_SKETCHES ImageFolder RenderedScenes check_images open_images rendered "
                "to_float to_uint8",
    "preparation": "prepare",
    "pictures": "PictureError read_square",
    "degradations": "degrade_photo redraw",
})
