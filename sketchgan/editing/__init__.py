"""What a customised GAN is for: directions, interpolation, projection of pictures, mixing of models."""
from .carrying import PhotoEdit, carry
from .projector import ProjectConfig, Projection, project, projecting, psnr, usual_losses
from .starts import Search, nearest_z

__all__ = ["PhotoEdit", "ProjectConfig", "Projection", "Search", "carry", "nearest_z", "project", "projecting", "psnr",
           "usual_losses"]
