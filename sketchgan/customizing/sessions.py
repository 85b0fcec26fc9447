"""Which session a call gets: a cell that is run again finds the training that its first run began.

Within one kernel that is the very session, running or ended. After a restart of the kernel it is a new one, which takes
its state, its sketches and its history from the checkpoint.
"""

import threading
from pathlib import Path

from ..weights.checkpoints import load_training
from .run import same
from .session import Session, set_aside

_sessions = {}                  # checkpoint -> session
_lock = threading.RLock()


def open_session(G, D, F, sketches=None, images=None, config=None, minutes=None, checkpoint=None, fresh=None, judge=None,
                 predicate=None) -> Session:
    """The session of this checkpoint if this kernel has one and it is the same run, else a new one.

    sketches: None takes the checkpoint's. fresh: True ends what runs, removes its file and its history, and begins anew;
    False goes on from the file; None goes on too, unless the sketches are others than in the file, as they are when
    somebody comes back another day with other drawings: then the file is kept as '*.before.pt', and a new run begins.
    """
    path = Path(checkpoint) if checkpoint else None
    key = path and path.resolve()
    with _lock:
        old = _sessions.pop(key, None)
        if old is not None and not fresh and old.fits(G, D, F, images, config):
            old.judge, old.predicate = judge, predicate
            if minutes != old.minutes_given:
                old.minutes = old.minutes_given = minutes
            if sketches is not None:
                old.new_sketches(sketches)
            _sessions[key] = old
            return old
        if old is not None:
            old.stop()
        if path and fresh:
            path.unlink(missing_ok=True)
        begun_with, in_force = stored_sketches(path) if path and path.exists() else (None, None)
        if sketches is None and begun_with is None:
            raise ValueError("there are no sketches: draw on a pad and pass pad=, or pass sketches [S, 1, R, R], for "
                             "instance load_sketches('standing_cat', G.resolution)")
        sketches = begun_with if sketches is None else sketches
        if fresh is None and old is None and begun_with is not None and not (same(sketches, begun_with) or same(sketches, in_force)):
            set_aside(path)
        session = Session(G, D, F, sketches, images, config, minutes, path, judge, predicate)
        if key:
            _sessions[key] = session
        return session


def stored_sketches(path: Path):
    """The sketches that a checkpoint began with and those last in force, or (None, None) if it cannot be read: Start
    reads it again, and says why."""
    try:
        contents = load_training(path)
        return contents["first_sketches"], contents["terms"]["sketches"]
    except (ValueError, KeyError, TypeError, OSError):
        return None, None
