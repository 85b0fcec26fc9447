"""One bar for everything that takes long: a moving one where somebody looks, and a line now and then in a log."""

import contextlib
import sys
import time

from tqdm import tqdm

SECONDS, SHARE = 30.0, 0.1      # in a log, from one line to the next: so long, or so much of the work


class Progress(tqdm):
    """tqdm; but where its output is no terminal and no notebook, a line for each tenth of the work or 30 seconds.

    In a log a bar that moves is a line for each of its moves: hundreds of kilobytes from one training.
    """

    def __init__(self, *args, **options):
        file = options.get("file") or sys.stderr
        self.in_log = not (getattr(file, "isatty", lambda: False)() or type(file).__module__.startswith("ipykernel"))
        self.said, self.said_at, self.said_share = "", time.monotonic(), 0.0
        super().__init__(*args, **options)

    def display(self, msg=None, pos=None):
        """Called by tqdm whenever something has changed."""
        if not self.in_log:
            return super().display(msg, pos)
        share, now = self.n / self.total if self.total else 0.0, time.monotonic()
        if share - self.said_share >= SHARE or now - self.said_at >= SECONDS:
            self.say()

    def say(self) -> None:
        """Write where things stand, as a line."""
        share = self.n / self.total if self.total else 0.0
        line = str(self).rstrip()
        if line != self.said:
            self.said, self.said_at, self.said_share = line, time.monotonic(), share
            self.fp.write(f"{line}\n")
            self.fp.flush()

    def close(self):
        """The end; in a log the last line stays, or none was worth it."""
        if self.in_log and not self.disable:
            if self.said or self.leave:
                self.say()
            self.disable = True                         # so that tqdm wipes no line
            self._decr_instances(self)
        super().close()


class Allowance:
    """Lets work beside the training happen now and then: `seconds` apart, and for at most a `share` of the time."""

    def __init__(self, share: float, seconds: float):
        self.share, self.seconds, self.next = share, seconds, 0.0

    @property
    def due(self) -> bool:
        """Whether it may happen now."""
        return time.monotonic() >= self.next

    @contextlib.contextmanager
    def spend(self):
        """Times the work in its block; what it took decides when the next may come."""
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.next = began + took + max(self.seconds, took * (1 / self.share - 1))
