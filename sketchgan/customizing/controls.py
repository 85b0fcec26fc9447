"""Controls: the one thing that may change while a customisation runs.

A notebook trains in a thread of its own while the reader goes on drawing, moves a slider or presses Stop.  Those
callbacks arrive on any thread and at any moment; training reads all of them together, once, at the start of a step.
A wrong value is refused where it is set, on the thread of whoever set it, so that training never stumbles over it.
"""

import atexit
import contextlib
import signal
import threading
import time
import weakref
from typing import Annotated

import torch

from ..files.checks import Weight, check
from ..nets.augment import parse_policy

TERMS = {"l_image": Weight, "l_weight": Weight, "augment": Annotated[str, parse_policy]}
NAMES = ("sketches", *TERMS)


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
        self._resolution, self._drawn_at = None, float("-inf")
        self.set(sketches=sketches, l_image=l_image, l_weight=l_weight, augment=augment)

    def __setattr__(self, name, value):
        if not (name.startswith("_") or hasattr(type(self), name)):
            raise AttributeError(f"Controls have no {name!r}. Set any of: {', '.join(NAMES)}, pause, stop.")
        super().__setattr__(name, value)

    def set(self, **values) -> None:
        """Change several values at once: a step sees all of them or none.  Raises ValueError and changes nothing
        if one of them is wrong."""
        for name in values:
            if name not in NAMES:
                raise ValueError(f"Controls have no {name!r}. Set any of: {', '.join(NAMES)}.")
        values = {name: check_term(name, value) for name, value in values.items() if value is not None}
        with self._condition:
            if "sketches" in values:
                check_sketches(values["sketches"], self._resolution)
                self._drawn_at = time.monotonic()
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

    def wait_while_paused(self, seconds: float | None = None) -> float:
        """Return as soon as `pause` is False or `stop` is True, or after so many seconds; how long that took."""
        began = time.perf_counter()
        with self._condition:
            self._condition.wait_for(lambda: self._stop or not self._pause, seconds)
        return time.perf_counter() - began

    @property
    def drawn_for(self) -> float:
        """Seconds since other sketches were last wished for."""
        return time.monotonic() - self._drawn_at

    def _switch(self, name: str, value: bool) -> None:
        with self._condition:
            setattr(self, f"_{name}", check(f"{name} of Controls", value, bool))
            self._condition.notify_all()

    pause = property(lambda self: self._pause, lambda self, value: self._switch("pause", value))
    stop = property(lambda self: self._stop, lambda self, value: self._switch("stop", value))


def _value_property(name: str) -> property:
    return property(lambda self: self.read().get(name), lambda self, value: self.set(**{name: value}))


for _name in NAMES:
    setattr(Controls, _name, _value_property(_name))


def check_term(name: str, value):
    """The value of one of NAMES as it may be stored, or ValueError."""
    return check_sketches(value) if name == "sketches" else check(f"{name} of Controls", value, TERMS[name])


def check_sketches(sketches: torch.Tensor, resolution: int | None = None) -> torch.Tensor:
    """A private float32 copy of sketches [S, 1, R, R], or ValueError saying what is wrong with them.

    Args:
        sketches: paper = +1, ink = -1, R = resolution (where one is given).
    """
    advice = "sketchgan.normalize_sketch(file or array or strokes, resolution) makes one; join several by torch.cat."
    if not isinstance(sketches, torch.Tensor) or sketches.is_complex() or sketches.layout is not torch.strided:
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


@contextlib.contextmanager
def interrupts_wait(run):
    """In the block, Ctrl-C in the middle of a step waits for its end, and between two steps saves them first; a second
    one does not wait. Unless somebody else has taken the signal."""
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, on_interrupt)
        run.interrupted = False
        running.append(run)
    try:
        yield
    finally:
        if run in running:
            running.remove(run)
        ours = signal.getsignal(signal.SIGINT) is on_interrupt
        if ours and not running and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)


running = []  # whose loops are open on the main thread
suspended = weakref.WeakSet()


def closed_at_exit(steps):
    """A generator that is closed, and so keeps its work, when the program ends while somebody still holds it: later,
    while Python takes itself apart, nothing can be written any more."""
    suspended.add(steps)
    return steps


@atexit.register
def close_all():
    """Close what is suspended; what another thread works on is left to it."""
    for steps in list(suspended):
        with contextlib.suppress(ValueError):
            steps.close()


def on_interrupt(number, frame):
    """An interrupt (Ctrl-C) while loops of runs are open: a step is finished first; a second one does not wait."""
    for run in running:
        if not run.whole and not run.interrupted:
            run.interrupted = True                     # at the end of its step it interrupts itself
            return
    for run in running:
        if run.whole:
            run.keep()
    signal.default_int_handler(number, frame)
