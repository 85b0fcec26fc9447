"""What a customised GAN is for: latents edited, photographs projected and edited, models mixed."""
from .carrying import PhotoEdit, carry
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
from .projector import ProjectConfig, Projection, project, projecting, psnr, usual_losses
from .starts import Search, nearest_z

__all__ = ["Components", "Direction", "Mixer", "Named", "PhotoEdit", "ProjectConfig", "Projection", "Search", "added",
           "agreement", "barycentric", "carry", "edit", "find_components", "find_directions", "interpolate", "judged",
           "load_components", "movement", "nearest_z", "paint", "principal_components", "project", "projecting", "psnr",
           "same_meaning", "save_components", "save_film", "slerp", "strength", "usual_losses"]
