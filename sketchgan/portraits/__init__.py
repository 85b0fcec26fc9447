"""DualStyleGAN: what a picture shows, redrawn in the style of one example, structure and colour apart."""
from .destylisation import DestyliseConfig, destylise, nearest_codes, true_codes, tuned_on
from .network import DualStyleGAN, border
from .refinement import RefineConfig, fit_sampler, refine
from .storing import (
    load_codes,
    load_pictures,
    load_portraits,
    load_sampler,
    save_codes,
    save_portraits,
    save_sampler,
)
from .styles import PAINTERS, StyleExamples, open_styles, paint, painted_styles
from .training import PortraitConfig, PortraitStep, PortraitTraining, train_portraits
from .transfer import Portraitist, restyle, weights_of

__all__ = ["PAINTERS", "DestyliseConfig", "DualStyleGAN", "PortraitConfig", "PortraitStep", "PortraitTraining",
           "Portraitist", "RefineConfig", "StyleExamples", "border", "destylise", "fit_sampler", "load_codes",
           "load_pictures", "load_portraits", "load_sampler", "nearest_codes", "open_styles", "paint",
           "painted_styles", "refine", "restyle", "save_codes", "save_portraits", "save_sampler", "train_portraits",
           "true_codes", "tuned_on", "weights_of"]
