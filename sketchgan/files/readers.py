"""One wrapper for every reader of files: what it did not foresee becomes its own error, never a raw traceback."""
import contextlib
import json
import os
from collections.abc import Iterator

DAMAGED = "it was cut short or damaged, or is another kind of file: fetch or make it again"


@contextlib.contextmanager
def reading(path: str | os.PathLike, error: type[Exception], remedy: str = DAMAGED,
            also: tuple[type[Exception], ...] = (FileNotFoundError,)) -> Iterator[None]:
    """Turn whatever goes wrong inside into `error`, with the file's name, the cause and the remedy; a decorator too.

    Args:
        path: what is being read, for the message.
        error: what the reader promises to raise; raised inside, it goes through as it is.  A class of the reader's own,
            since the standard library raises plain ValueErrors of its own.
        remedy: the end of the message.
        also: what else goes through as it is.
    """
    try:
        yield
    except also:
        raise
    except Exception as cause:
        # Both are ValueErrors, so a reader that raises ValueError itself would let them through.
        if isinstance(cause, error) and not isinstance(cause, (UnicodeError, json.JSONDecodeError)):
            raise
        text = "it asks for more memory than there is" if isinstance(cause, MemoryError) else (
            "it is nested too deeply" if isinstance(cause, RecursionError) else f"{cause}"[:200])
        raise error(f"{path} cannot be read ({type(cause).__name__}: {text}); {remedy}") from cause
