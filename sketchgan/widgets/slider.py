"""A slider over the history of a training: look at any state of it, make any of them the result."""

from .parts import button, clock, w

ORIGINAL = object()             # the left end: the generator as it was before training


class HistorySlider(w.HBox):
    """From the original (left) over all snapshots to now (right), with a button that makes one of them the result.

    history: the `History`. show(looked): called when somebody moves the slider, with ORIGINAL, a Snapshot, or None for
    now; `looked` is the same at any time. lock: held by whoever shows pictures, on any thread, and while `show` runs.
    """

    def __init__(self, history, show, lock):
        self.history, self.show, self.lock, self.looked, self._placing = history, show, lock, None, False
        self._taken = None                                  # the snapshot that was last given to a program
        self.scrub = w.IntSlider(0, 0, 0, description="history", readout=False, layout=w.Layout(flex="1 1 200px"),
                                 style={"description_width": "auto"},
                                 tooltip="Go back to earlier states of this training; the right end is now")
        self.use_button = button("Use this one", "Make the state that is shown the result", self.use)
        # A slider that grows under the hand is hard to bring to its end; the End key goes to where that was first.
        self.now_button = button("Now", "Back to the newest state, and follow it", self.now)
        self.choice = w.HTML()
        self.scrub.observe(self._moved, "value")
        super().__init__([self.scrub, self.now_button, self.use_button, self.choice],
                         layout=w.Layout(flex_flow="row wrap", align_items="center", grid_gap="0 8px"))
        self.place()

    def place(self):
        """Lets the slider reach over all there is by now, and stand where it is looked."""
        with self.lock:
            snapshots = self.history.snapshots
            if self.looked is None or self.looked is ORIGINAL:
                at = 0 if self.looked is ORIGINAL else len(snapshots) + 1
            else:                                           # it may have been dropped: then the first one not before it
                at = 1 + sum(snapshot.seconds < self.looked.seconds for snapshot in snapshots)
            # The end first, and each in a message of its own. A message with both has them in no certain order
            # (ipywidgets keeps a set of names), and a browser that reads the value first clips it to the old end and
            # sends that back, as if somebody had moved the slider there.
            self._placing = True
            self.scrub.max = len(snapshots) + 1
            self.scrub.value = at
            self._placing = False
            chosen = self.history.chosen
            result = f"the result is <b>{moment(chosen)}</b>" if chosen else "the result is the newest state"
            if self._taken not in (None, self._present()):
                result += (f"; what stands below was made with {moment(self._taken)}: <b>run the next cell and those "
                           "below it again</b> (menu Run, Run Selected Cell and All Below)")
            self.choice.value = result

    def _present(self):
        snapshots = self.history.snapshots
        return self.history.chosen or (snapshots[-1] if snapshots else None)

    def taken(self):
        """Notes that a program has the result as it is now: another one, chosen later, is news to it."""
        self._taken = self._present()
        self.place()

    def now(self):
        """Goes to the right end, and stays there while the history grows."""
        with self.lock:
            self.looked, self.use_button.disabled = None, False
            self.place()
            self.show(None)

    def use(self):
        """Makes the state that is looked at the result; at the right end, that is the newest."""
        if self.looked is not ORIGINAL:
            self.history.choose(self.looked)
            self.place()

    def _moved(self, change):
        with self.lock:
            if self._placing:
                return
            snapshots, at = self.history.snapshots, change.new
            self.looked = (ORIGINAL if at == 0 else None if at == self.scrub.max
                           else snapshots[min(at, len(snapshots)) - 1])
            self.use_button.disabled = self.looked is ORIGINAL
            self.show(self.looked)


def moment(snapshot):
    """When a snapshot was taken, in words."""
    return f"iteration {snapshot.iteration}, after {clock(snapshot.seconds)}"
