"""Controls: the one thing that may change while a customisation runs.

A notebook trains in a thread of its own while the reader goes on drawing, moves a slider or presses Stop.  Those
callbacks arrive on any thread and at any moment; training reads all of them together, once, at the start of a step.
A wrong value is refused where it is set, on the thread of whoever set it, so that training never stumbles over it.
"""

import math
import threading

import torch

from ..nets.augment import parse_policy

NAMES = ("sketches", "l_image", "l_weight", "augment")


class Controls:
    """Thread-safe wishes for a running `customize`.

    Attributes (set any of them at any time, from any thread; None means: as it is now):
        sketches: [S, 1, R, R] in [-1, 1], paper +1 and ink -1; replaces all the sketches.
        l_image: weight of the image regularisation, at least 0.
        l_weight: weight of the weight regularisation, at least 0.
        augment: policy of `nets.augment`, such as 'translation'; '' for none.
        pause: True holds training before the next step, False lets it go on.
        stop: True ends training before the next step (after a checkpoint, if one was asked for).
    """

    def __init__(self, sketches=None, l_image=None, l_weight=None, augment=None):
        self._condition = threading.Condition()
        self._values = dict.fromkeys(NAMES)
        self._pause = self._stop = False
        self._resolution = None
        self.set(sketches=sketches, l_image=l_image, l_weight=l_weight, augment=augment)

    def set(self, **values) -> None:
        """Change several values at once: a step sees all of them or none.  Raises ValueError and changes nothing
        if one of them is wrong."""
        for name in values:
            if name not in NAMES:
                raise ValueError(f"Controls have no {name!r}. Set any of: {', '.join(NAMES)}.")
        values = {name: CHECKS[name](value) for name, value in values.items() if value is not None}
        with self._condition:
            if "sketches" in values and self._resolution is not None:
                check_sketches(values["sketches"], self._resolution)
            self._values.update(values)

    def read(self) -> dict:
        """What is wished for now, as one consistent dictionary without the Nones."""
        with self._condition:
            return {name: value for name, value in self._values.items() if value is not None}

    def bind(self, resolution: int) -> None:
        """Called by `customize` when it starts: from now on sketches of another size are refused when set."""
        with self._condition:
            if self._values["sketches"] is not None:
                check_sketches(self._values["sketches"], resolution)
            self._resolution = resolution

    def wait_while_paused(self) -> None:
        """Return at once, or as soon as `pause` is False or `stop` is True."""
        with self._condition:
            self._condition.wait_for(lambda: self._stop or not self._pause)

    @property
    def pause(self) -> bool:
        return self._pause

    @pause.setter
    def pause(self, value: bool) -> None:
        with self._condition:
            self._pause = bool(value)
            self._condition.notify_all()

    @property
    def stop(self) -> bool:
        return self._stop

    @stop.setter
    def stop(self, value: bool) -> None:
        with self._condition:
            self._stop = bool(value)
            self._condition.notify_all()


def _value_property(name: str) -> property:
    def read(controls):
        return controls.read().get(name)

    def write(controls, value):
        controls.set(**{name: value})

    return property(read, write)


for _name in NAMES:
    setattr(Controls, _name, _value_property(_name))


def check_sketches(sketches: torch.Tensor, resolution: int | None = None) -> torch.Tensor:
    """A private float32 copy of sketches [S, 1, R, R], or ValueError saying what is wrong with them.

    Args:
        sketches: paper = +1, ink = -1, R = resolution (where one is given).
    """
    advice = "sketchgan.normalize_sketch(file or array or strokes, resolution) makes one; join several by torch.cat."
    if not isinstance(sketches, torch.Tensor):
        raise ValueError(f"Sketches must be one tensor [S, 1, R, R], not {type(sketches).__name__}. {advice}")
    shape = tuple(sketches.shape)
    if sketches.ndim != 4 or shape[1] != 1 or shape[2] != shape[3]:
        raise ValueError(f"Sketches must be a tensor [S, 1, R, R] (one channel, square), not {shape}. {advice}")
    if shape[0] == 0:
        raise ValueError(f"There are no sketches: the tensor is {shape}. Give at least one. {advice}")
    if resolution is not None and shape[2] != resolution:
        raise ValueError(
            f"Sketches are {shape[2]} px but the generator makes {resolution} px. "
            f"Make them again with resolution={resolution}. {advice}"
        )
    sketches = sketches.detach().to(torch.float32, copy=True)
    low, high = sketches.aminmax()
    if not (low >= -1.001 and high <= 1.001):  # written so that NaN fails too
        raise ValueError(
            f"Sketches must lie in [-1, 1] (ink -1, paper +1); these span [{low:.3g}, {high:.3g}]. {advice}"
        )
    inkless = [i for i, sketch in enumerate(sketches) if sketch.min() >= 0]
    if inkless:
        raise ValueError(
            f"No ink in sketch {', '.join(map(str, inkless))} (counted from 0): no pixel is below 0, where ink is -1. "
            f"An empty page, or values in [0, 1]? {advice}"
        )
    return sketches


def _check_weight(value: float) -> float:
    value = float(value)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"A weight of the loss must be a number of at least 0, not {value}. 0 switches the term off.")
    return value


def _check_policy(value: str) -> str:
    parse_policy(value)
    return value


CHECKS = {"sketches": check_sketches, "l_image": _check_weight, "l_weight": _check_weight, "augment": _check_policy}
