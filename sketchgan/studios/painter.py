"""One thread that paints what was asked for last: a slider under a hand asks faster than any network paints."""

import sys
import threading
from collections.abc import Callable, Iterator

from ..widgets.parts import Message


class Painter:
    """Does the newest job and forgets those before it.

    said: a Message, where what goes wrong in a job is shown. threaded: False does each job at once, in whoever asks:
    on Colab, which shows nothing from threads; None chooses.

    A job is a function that gives an iterator: between two of its steps it is dropped if there is a newer one, so the
    first step brings the picture and the later ones what may wait.
    """

    def __init__(self, said: Message, threaded: bool | None = None):
        if colab := sys.modules.get("google.colab"):        # without this Colab shows no widget that is not its own
            from google.colab import output
            output.enable_custom_widget_manager()
        self.said, self.threaded = said, colab is None if threaded is None else threaded
        self._job, self._works, self._idle = None, False, threading.Condition()

    def ask(self, job: Callable[[], Iterator]) -> None:
        """Has this job done instead of any that is asked for or under way; returns at once."""
        if not self.threaded:
            return self._do(job)
        with self._idle:
            self._job = job
            if not self._works:
                self._works = True
                threading.Thread(target=self._work, daemon=True, name="painter").start()

    def wait(self, seconds: float = 60.0) -> bool:
        """Returns when everything asked for is painted: True, or False if that takes longer."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._works, seconds)

    @property
    def outdated(self) -> bool:
        """Whether there is a newer job than the one under way."""
        return self._job is not None

    def _work(self):
        while True:
            with self._idle:
                job, self._job = self._job, None
                if job is None:
                    self._works = False
                    self._idle.notify_all()
                    return
            self._do(job)

    def _do(self, job):
        try:
            for _ in job():
                if self.outdated:
                    return
        except Exception as error:                          # in a thread it would be invisible
            self.said.say(f"cannot be painted: {error}")


class Undo:
    """What a board was like before each change; a slider that is drawn along is one change.

    take: gives the board's settings, any value that can be compared. put: sets them.
    """

    def __init__(self, take: Callable[[], object], put: Callable[[object], None]):
        self._take, self._put, self._past, self._now, self._by = take, put, [], take(), None
        self._putting = False

    def note(self, by: str) -> bool:
        """A knob called `by` has changed; False while settings are put back, which is no change of anybody's."""
        if self._putting:
            return False
        if by != self._by:
            self._past.append(self._now)
            del self._past[:-100]
        self._by, self._now = by, self._take()
        return True

    def undo(self) -> bool:
        """Puts the board back to before the last change; False if there was none."""
        if not self._past:
            return False
        self.put(self._past.pop())
        return True

    def put(self, settings) -> None:
        """Sets the board, without that counting as a change."""
        self._putting = True
        try:
            self._put(settings)
        finally:
            self._putting, self._now, self._by = False, self._take(), None
