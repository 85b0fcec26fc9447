"""Training everything that ships: base GANs, the sketcher, the judge, features, the sketch embedding."""
from .gan import GanTrainer
from .recipe import GanConfig

__all__ = ["GanConfig", "GanTrainer"]
