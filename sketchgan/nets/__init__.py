"""The networks, and what is done with their outputs: losses, augmentation, samples."""
from .augment import augment
from .encoders import Encoder, SketchEmbedding
from .features import FeatureHeads, Features
from .judge import Judge
from .losses import d_hinge, d_logistic, g_hinge, g_nonsaturating, r1_penalty, weight_penalty
from .photosketch import PhotoSketch
from .sampling import sample
from .stylegan2 import Discriminator, Generator, minibatch_stddev

__all__ = ["Discriminator", "Encoder", "FeatureHeads", "Features", "Generator", "Judge", "PhotoSketch",
           "SketchEmbedding", "augment", "d_hinge", "d_logistic", "g_hinge", "g_nonsaturating", "minibatch_stddev",
           "r1_penalty", "sample", "weight_penalty"]
