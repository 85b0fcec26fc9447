"""Measuring: how far samples are from pictures, how many obey the sketches, what variety is left."""
from .distances import density_coverage, frechet_distance, kid, moments, precision_recall
from .evaluation import Estimate, evaluate
from .extractors import Extractor, features_of, inception_features, judge_features
from .metrics import color_spread, contour_f1, diversity, predicate_share, reference, satisfying_samples
from .path_length import path_lengths, perceptual_path_length
from .perceptual import Levels, perceptual_distance

__all__ = ["Estimate", "Extractor", "Levels", "color_spread", "contour_f1", "density_coverage", "diversity", "evaluate",
           "features_of", "frechet_distance", "inception_features", "judge_features", "kid", "moments", "path_lengths",
           "perceptual_distance", "perceptual_path_length", "precision_recall", "predicate_share", "reference",
           "satisfying_samples"]
