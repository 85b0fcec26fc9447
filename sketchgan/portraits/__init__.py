"""DualStyleGAN: what a picture shows, redrawn in the style of one example, structure and colour apart."""
from .network import DualStyleGAN, border
from .storing import load_codes, load_portraits, save_codes, save_portraits

__all__ = ["DualStyleGAN", "border", "load_codes", "load_portraits", "save_codes", "save_portraits"]
