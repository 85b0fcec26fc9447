"""Training everything that ships: base GANs, the sketcher, the judge, features, the sketch embedding."""
from .gan import GanConfig, GanTrainer

__all__ = ["GanConfig", "GanTrainer"]
