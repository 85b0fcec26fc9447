"""What a customised GAN is for: latents edited, pictures on the way from one to the next, models mixed."""
from .directions import Named, find_directions, judged, movement, same_meaning
from .ganspace import (
           Components,
           Direction,
           edit,
           find_components,
           load_components,
           principal_components,
           save_components,
)
from .interpolation import interpolate, paint, save_film, slerp
from .mixing import Mixer, added, agreement, barycentric, strength

__all__ = ["Components", "Direction", "Mixer", "Named", "added", "agreement", "barycentric", "edit", "find_components",
           "find_directions", "interpolate", "judged", "load_components", "movement", "paint", "principal_components",
           "same_meaning", "save_components", "save_film", "slerp", "strength"]
