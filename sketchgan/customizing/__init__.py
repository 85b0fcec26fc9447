"""Sketch Your Own GAN: one step, the whole run, the warm start, stopping, sessions, the command."""
from .controls import Controls
from .run import CustomizeConfig, Run, Step, customize
from .state import LAYERS, STREAMS, TrainingState, frozen_sketcher, seeded
from .step import NonFiniteLoss, discriminator_step, generator_step, r1_step, train_step
from .stopping import Look, StoppingRule, choose
from .warmstart import WarmStart, warm_start

__all__ = ["Controls", "CustomizeConfig", "LAYERS", "Look", "NonFiniteLoss", "Run", "STREAMS", "Step", "StoppingRule",
           "TrainingState", "WarmStart", "choose", "customize", "discriminator_step", "frozen_sketcher",
           "generator_step", "r1_step", "seeded", "train_step", "warm_start"]
