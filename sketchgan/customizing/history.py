"""The history of a run: how the generator stood at moments of it, and how its numbers went, in bounded space.

Training changes little of a generator, mostly its mapping network, so its states can be kept by the dozen. When too
many have gathered, every second one is dropped and twice as much time passes between the next ones: however long a run
takes, its states stand in an even row from the beginning to the end. A folder holds them as well, each a delta file
that `load_generator(file, base=G)` reads, so that a kernel that starts anew finds the same history.
"""

import contextlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..files.atomic import write_atomically
from ..files.checks import Count, Positive, Weight, Whole, check
from ..nets.stylegan2 import Generator
from ..weights import CheckpointError, content_hash, read_tensors, rebuild
from ..weights.checkpoints import MAPPING, write_safetensors

INDEX = "history.json"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The trained parameters of a generator after `iteration` steps and `seconds` of work, by name."""

    iteration: int
    seconds: float
    state: dict[str, Tensor]

    @property
    def file(self) -> str:
        return f"{round(1000 * self.seconds):010d}.safetensors"


class Curve:
    """Points (x, values by name) in order of x; past `most` of them every second one goes, and of new ones likewise.

    It is used like the list of its points; add() is the only way to change it.
    """

    def __init__(self, points=(), stride: int = 1, most: int = 2048):
        self.points, self.stride, self.most = [(x, values) for x, values in points], stride, most
        self._passed = 0

    def add(self, x: float, values: dict[str, float]) -> None:
        """Take a point in, or pass it over if the curve has been thinned."""
        self._passed += 1
        if self._passed >= self.stride:
            self._passed = 0
            self.points.append((x, values))
        if len(self.points) > self.most:
            self.points, self.stride = self.points[::-2][::-1], 2 * self.stride

    @classmethod
    def of(cls, stored: dict) -> "Curve":
        """The curve that a file holds; raises ValueError and its like if it is none."""
        points = [(check("x", x, float), check("values", values, dict[str, float])) for x, values in stored["points"]]
        return cls(points, check("stride", stored["stride"], Count))

    def series(self, name: str) -> tuple[tuple, tuple]:
        """(x, y) of one name, where it was measured."""
        points = [(x, values[name]) for x, values in list(self.points) if name in values]
        return tuple(zip(*points, strict=True)) if points else ((), ())

    def __len__(self):
        return len(self.points)

    def __iter__(self):
        return iter(list(self.points))                      # a thread may add to it meanwhile

    def __getitem__(self, index):
        return self.points[index]


class History:
    """Snapshots of one run, oldest first, evenly spread over its time.

    base: the generator that the run began with. folder: where they are kept too; None for memory only.
    most, most_bytes: what bounds them (but eight are kept however large). every: seconds of work from one to the next,
    to begin with. chosen: the snapshot that somebody wants for the result, which is never dropped, or None.
    losses: the losses of training by iteration. measures: what was measured on samples, by seconds of work.
    """

    def __init__(self, base: Generator, folder: Path | None = None, most: int = 60, most_bytes: float = 64e6,
                 every: float = 2.0):
        self.base, self.base_hash, self.folder = base, content_hash(base), folder
        self.most, self.most_bytes, self.first_every = most, most_bytes, every
        self._empty()

    def _empty(self):
        self.snapshots, self.chosen, self.every = [], None, self.first_every
        self.losses, self.measures = Curve(), Curve()

    def __len__(self):
        return len(self.snapshots)

    def due(self, seconds: float) -> bool:
        """Whether it is time for the next snapshot, after so many seconds of work."""
        return not self.snapshots or seconds - self.snapshots[-1].seconds >= self.every

    def add(self, G: Generator, iteration: int, seconds: float, trained=()) -> Snapshot:
        """Keep how G stands: its mapping network, and the parameters named in `trained`.

        Returns the snapshot, which stays until a later one is added; the last one where that is not a millisecond old.
        """
        if self.snapshots and seconds - self.snapshots[-1].seconds < 1e-3:
            return self.snapshots[-1]
        state = {name: value.detach().cpu().clone() for name, value in G.state_dict().items()
                 if name.startswith(MAPPING) or name in trained}
        snapshot = Snapshot(iteration, seconds, state)
        if self.folder is not None:
            tensors = {f"delta.{name}": value for name, value in state.items()}
            write_safetensors(self.folder / snapshot.file, tensors,
                              {"base": self.base_hash, "iteration": iteration, "seconds": seconds})
        self.snapshots.append(snapshot)
        size = sum(value.nbytes for value in state.values())
        if len(self.snapshots) > max(8, min(self.most, self.most_bytes // size)):
            self._thin()
        self.save()
        return snapshot

    def _thin(self):
        """Keep the newest, then the one that is twice as far before it as until now, and so on to the first; and the
        chosen one."""
        self.every *= 2
        first, kept, after = self.snapshots[0], [], math.inf
        for snapshot in reversed(self.snapshots):
            if min(after - snapshot.seconds, snapshot.seconds - first.seconds) >= 0.99 * self.every:
                after = snapshot.seconds
                kept.insert(0, snapshot)
            elif snapshot in (first, self.chosen, self.snapshots[-1]):
                kept.insert(0, snapshot)
        self._keep(kept)

    def forget_after(self, iteration: int, seconds: float) -> None:
        """Drop what is later than this: a run that was cut off goes on from an earlier moment."""
        self._keep([s for s in self.snapshots if s.seconds <= seconds + 1e-3])
        self.measures.points = [point for point in self.measures if point[0] <= seconds + 1e-3]
        self.losses.points = [point for point in self.losses if point[0] <= iteration]

    def clear(self) -> None:
        """Forget everything, in the folder too: another run begins."""
        self._empty()
        if self.folder is not None:
            for path in self._files():
                path.unlink()
            (self.folder / INDEX).unlink(missing_ok=True)

    def choose(self, snapshot: Snapshot | None) -> None:
        """Take a snapshot for the result of the run; None takes the newest."""
        self.chosen = snapshot
        self.save()

    def generator(self, snapshot: Snapshot) -> Generator:
        """The whole generator of a snapshot, in evaluation mode; it shares nothing with any other."""
        return rebuild(self.base, snapshot.state)

    # ---- the folder

    def save(self) -> None:
        """Write the curves and the choice; snapshots are written when they are added."""
        if self.folder is None:
            return
        index = {"base": self.base_hash, "every": self.every, "chosen": self.chosen and self.chosen.seconds}
        for name in ("losses", "measures"):
            curve = getattr(self, name)
            index[name] = {"stride": curve.stride, "points": list(curve)}
        write_atomically(self.folder / INDEX, json.dumps(index).encode())

    def _keep(self, snapshots):
        for dropped in set(self.snapshots) - set(snapshots):
            if self.folder is not None:
                (self.folder / dropped.file).unlink(missing_ok=True)
            if dropped is self.chosen:
                self.chosen = None
        self.snapshots = snapshots

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]" * 10 + "*.safetensors"))

    def read(self) -> None:
        """Take up what the folder holds of a run with the same base. What cannot be read is left out: a history is a
        convenience, and no reason to refuse to train."""
        with contextlib.suppress(Exception):
            index = json.loads((self.folder / INDEX).read_text("utf-8"))
            if index["base"] != self.base_hash:
                return
            curves = [Curve.of(index[name]) for name in ("losses", "measures")]
            every, chosen = check("every", index["every"], Positive), check("chosen", index["chosen"], Weight | None)
            self.losses, self.measures = curves
            self.every = every
            for path in self._files():
                with contextlib.suppress(Exception):
                    self.snapshots.append(self._snapshot(path))
            self.chosen = next((s for s in self.snapshots if s.seconds == chosen), None)

    def _snapshot(self, path: Path) -> Snapshot:
        tensors, about = read_tensors(path)
        state, ours = {name.removeprefix("delta."): value for name, value in tensors.items()}, self.base.state_dict()
        for name, value in state.items():
            if "w_shift" not in name and ours[name].shape != value.shape:
                raise CheckpointError(f"{path} does not fit the base")
        return Snapshot(check("iteration", about["iteration"], Whole), check("seconds", about["seconds"], Weight),
                        state)
