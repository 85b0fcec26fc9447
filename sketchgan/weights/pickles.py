"""A pickle reader that runs nothing: what is in the file becomes data, and what asks to be called stays a description.

A pickle is a program for a small stack machine, and Python's own reader obeys it: it imports what the program names and
calls what the program says, which is how a "checkpoint" deletes a home folder.  This machine knows the same instructions
and none of the power.  A name stays a `Name`, a call becomes a `Record` of its name and arguments, bytes stay in the file
as a `Blob`; nothing is imported, called, or compared, and the file's length and `limit` bound its work and memory.
Decoding single instructions is left to the standard library's `pickletools`, which only reads.
"""
import dataclasses
import io
import pickletools
import re
from typing import Any, BinaryIO

LIMIT = 300_000  # instructions; files of networks of the official size have some ten thousands
LONGEST_LINE = 65_536
KEYS = (str, int, float, bool, type(None))

# What files of networks name, and no more: containers, tensors and their parts, and the two systems' own wrappers.
HARMLESS = re.compile(r"""
    collections\.(OrderedDict|defaultdict|Counter) | (builtins|__builtin__)\.(set|frozenset|object|dict|list|tuple|complex)
  | copy_?reg\._reconstructor | _codecs\.encode | argparse\.Namespace | dnnlib(\.util)?\.EasyDict
  | torch_utils\.persistence\._reconstruct_persistent_obj | dnnlib\.tflib\.network\.Network
  | torch\._utils\._rebuild_(tensor|tensor_v2|parameter) | torch\.nn\.parameter\.Parameter
  | torch\.storage\.(_load_from_bytes|TypedStorage|UntypedStorage|_TypedStorage|_UntypedStorage)
  | torch(\.cuda)?\.\w+Storage | torch\.(Size|device|dtype|serialization\._get_layout|[a-z]+\d+)
  | numpy(\._core|\.core)?\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer|dtype|ndarray|[a-z]+\d+)
""", re.VERBOSE)
DICTS = re.compile(r"collections\.(OrderedDict|defaultdict|Counter)|dnnlib(\.util)?\.EasyDict|(builtins|__builtin__)\.dict")


class CheckpointError(ValueError):
    """A file is not what was asked for, is damaged, or must not be written; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Name:
    """A class or function that the file names, `module.name`; never looked up."""
    text: str


@dataclasses.dataclass(frozen=True)
class Blob:
    """`length` bytes that stay in the file, from `start` of the window that was read."""
    start: int
    length: int


@dataclasses.dataclass(eq=False)
class Record:
    """A call that the file asks for and nobody makes.

    name: of what would be called; 'persistent' for a reference to something outside of the pickle.
    args: what with.  state: what the result would be given (its `__dict__`).  items: keys it would be given.
    tensor: where the tensor lies, of a description of one, once `stored_tensors` has found it.
    """
    name: str
    args: tuple
    state: Any = None
    items: dict = dataclasses.field(default_factory=dict)
    tensor: Any = None


class Window:
    """A part of an open file that can be read and not left: `pickletools` sees nothing else, whatever the pickle says.

    Args:
        file: open for reading, seekable.
        start, end: of the window, in bytes.
        path: for messages.
    """

    def __init__(self, file: BinaryIO, start: int, end: int, path):
        self.file, self.start, self.end, self.path = file, start, end, path
        self.position = start
        file.seek(start)

    def tell(self) -> int:
        """The next byte, counted from the beginning of the file."""
        return self.position

    def read(self, n: int) -> bytes:
        """Exactly n bytes; asking beyond the end is an error, and is noticed before memory is taken."""
        if not 0 <= n <= self.end - self.position:
            raise CheckpointError(f"{self.path} is damaged or was cut short: its pickle promises {n:,} bytes where "
                                  f"{self.end - self.position:,} are left; fetch it again")
        self.position += n
        return self.file.read(n)

    def readline(self) -> bytes:
        """A line of the oldest, textual instructions."""
        line = self.file.readline(min(LONGEST_LINE, self.end - self.position))
        self.position += len(line)
        return line


def unpickle(window: Window, limit: int = LIMIT) -> Any:
    """The value that the pickle at the window's position describes; afterwards the window stands behind the pickle.

    Returns:
        None, bool, int, float, str, and lists, tuples, sets (as lists) and dicts of them, with `Name`, `Blob` and
        `Record` for everything that Python would import, read or call.
    Raises:
        CheckpointError: if the pickle is damaged, names something that no network needs, or goes beyond `limit`.
    """
    machine = _Machine(window, limit)
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(window)):
            if count >= limit:
                raise CheckpointError(f"{window.path} holds a pickle of more than {limit:,} instructions, where a network has "
                                      f"some ten thousands; it is no checkpoint, or made to exhaust the memory")
            machine.obey(instruction.name, argument)
    except CheckpointError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError, OSError) as error:
        raise CheckpointError(f"{window.path} holds a damaged pickle ({type(error).__name__}: {str(error)[:200]}); "
                              f"it was cut short or is another kind of file: fetch it again") from error
    return machine.stack.pop()


class _Machine:
    """The stack, its marks and its memory, and what each instruction does to them."""

    def __init__(self, window: Window, limit: int):
        self.window, self.limit, self.copied = window, limit, 0
        self.stack, self.below, self.memo = [], [], {}  # `below`: the stacks under each mark

    def obey(self, name: str, argument) -> None:
        if name in VALUES:
            self.push(argument)
        elif name in BYTES:
            self.push(Blob(self.window.tell() - len(argument), len(argument)))
        elif name in DOES:
            DOES[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise CheckpointError(f"{self.window.path} holds the pickle instruction {name}, which no network needs; "
                                  f"it is refused, as it could reach outside of the file")

    def push(self, item) -> None:
        self.stack.append(item)

    def pop(self, n: int) -> tuple:
        if len(self.stack) < n:
            raise IndexError("takes more than there is")
        items = tuple(self.stack[-n:])
        del self.stack[-n:]
        return items

    def name(self, module, name) -> Name:
        if type(name) is not str or type(module) is not str:
            raise TypeError("builds a name from something else than text")
        text = f"{module}.{name}"
        if not HARMLESS.fullmatch(text):
            raise CheckpointError(f"{self.window.path} asks for {text[:100]!r}, which could run code and which no network "
                                  f"needs; nothing of it was run. Do not open this file with other programs; get the "
                                  f"weights from a source you trust")
        return Name(text)

    def pop_mark(self) -> list:
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, items: list) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)
        elif type(self.stack[-1]) is not Record:
            raise TypeError(f"appends to a {type(self.stack[-1]).__name__}")

    def fill(self, items: list) -> None:
        # Keys are plain: hashing a tuple nested a million deep would overflow the C stack of the interpreter.
        target = self.stack[-1]
        target = target.items if type(target) is Record else target
        if type(target) is not dict or len(items) % 2:
            raise TypeError("sets keys of something that has none")
        for key, value in zip(items[::2], items[1::2]):
            if not (type(key) in KEYS or type(key) is tuple and all(type(part) in KEYS for part in key)):
                raise TypeError(f"has a {type(key).__name__} as a key")
            target[key] = value

    def push_dict(self, items: list) -> None:
        self.push({})
        self.fill(items)

    def call(self, called, args) -> None:
        if type(called) is not Name or type(args) is not tuple:
            raise TypeError(f"calls a {type(called).__name__}")
        if not DICTS.fullmatch(called.text):
            return self.push(Record(called.text, args))
        pairs = next((item for item in args if type(item) in (list, dict)), [])
        self.copied += len(pairs)  # the one place where a few bytes of pickle could copy much
        if self.copied > self.limit:
            raise ValueError(f"copies more than {self.limit:,} items")
        self.push_dict([part for pair in (pairs.items() if type(pairs) is dict else pairs) for part in _pair(pair)])

    def build(self, state) -> None:
        # Attributes of a dict (`_metadata` of a state dict) say nothing about tensors.
        if type(self.stack[-1]) is Record:
            self.stack[-1].state = state


def _pair(item) -> tuple:
    if type(item) not in (list, tuple) or len(item) != 2:
        raise TypeError("fills a dictionary with something else than pairs")
    return tuple(item)


VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
          "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}

# What every other instruction does to a machine m, given its argument a.
DOES = {name: does for names, does in {
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "MARK": lambda m, a: m.mark(),
    "POP": lambda m, a: m.stack.pop() if m.stack else m.pop_mark(),
    "POP_MARK": lambda m, a: m.pop_mark(),
    "DUP": lambda m, a: m.push(m.stack[-1]),
    "PUT BINPUT LONG_BINPUT": lambda m, a: m.remember(a),
    "MEMOIZE": lambda m, a: m.remember(len(m.memo)),
    "GET BINGET LONG_BINGET": lambda m, a: m.push(m.memo[a]),
    "EMPTY_LIST EMPTY_SET": lambda m, a: m.push([]),
    "LIST FROZENSET": lambda m, a: m.push(m.pop_mark()),
    "APPEND": lambda m, a: m.extend(m.pop(1)),
    "APPENDS ADDITEMS": lambda m, a: m.extend(m.pop_mark()),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "DICT": lambda m, a: m.push_dict(m.pop_mark()),
    "SETITEM": lambda m, a: m.fill(m.pop(2)),
    "SETITEMS": lambda m, a: m.fill(m.pop_mark()),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "TUPLE": lambda m, a: m.push(tuple(m.pop_mark())),
    "TUPLE1": lambda m, a: m.push(m.pop(1)),
    "TUPLE2": lambda m, a: m.push(m.pop(2)),
    "TUPLE3": lambda m, a: m.push(m.pop(3)),
    "GLOBAL": lambda m, a: m.push(m.name(*a.split(" ", 1))),
    "STACK_GLOBAL": lambda m, a: m.push(m.name(*m.pop(2))),
    "PERSID": lambda m, a: m.push(Record("persistent", (a,))),
    "BINPERSID": lambda m, a: m.push(Record("persistent", m.pop(1))),
    "REDUCE NEWOBJ": lambda m, a: m.call(*m.pop(2)),
    "NEWOBJ_EX": lambda m, a: m.call(*m.pop(3)[:2]),
    "OBJ": lambda m, a: m.call(m.stack.pop(0), tuple(m.pop_mark())),
    "INST": lambda m, a: m.call(m.name(*a.split(" ", 1)), tuple(m.pop_mark())),
    "BUILD": lambda m, a: m.build(m.stack.pop()),
}.items() for name in names.split()}


def unpickle_bytes(data: bytes, path, limit: int = LIMIT) -> Any:
    """`unpickle` of bytes in memory; its `Blob`s count from the first of them."""
    return unpickle(Window(io.BytesIO(data), 0, len(data), path), limit)
