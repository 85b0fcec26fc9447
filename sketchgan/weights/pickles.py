"""A pickle reader that runs nothing: what is in the file becomes data, and what asks to be called stays a description.

A pickle is a program for a small stack machine, and Python's reader obeys it: it imports what the program names and
calls what the program says, which is how a "checkpoint" deletes a home folder.  Here is Python's reader without that
power: names are never looked up, so nothing but `builders` is ever called, and any other call becomes a `Record`; keys
of dictionaries are plain; long bytes stay in the file, as a `Window`; the file's length and `LIMIT` bound the memory.
"""
import dataclasses
import pickle
import re
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

LIMIT = 4_000_000  # bytes of a pickle without what stays in the file; networks of the official size have some 100,000
COPIES = 300_000
LONG = 4096  # bytes that stay in the file
PLAIN = (str, int, float, bool, bytes, type(None))
PYTHON = pickle._Unpickler.dispatch

# Names are text.  A file that names one of these wants more than to be read, and whoever opens it should know.
REACHES_OUT = re.compile(r"""
    (os|posix|nt|subprocess|sys|shutil|socket|ctypes|importlib|runpy|pty|operator|pickle|marshal|webbrowser|urllib|http
     |multiprocessing|asyncio|timeit|pdb|torch\.hub)\..+ | torch\.(serialization\.)?load
  | (builtins|__builtin__)\.(?!(set|frozenset|object|dict|list|tuple|complex|bytearray|slice|range|int|float|bool|str
     |bytes|type)$).+
""", re.VERBOSE)
DICTS = re.compile(r"collections\.(OrderedDict|defaultdict|Counter)|([\w.]+\.)?EasyDict|(builtins|__builtin__)\.dict")


class CheckpointError(ValueError):
    """A file is not what was asked for, is damaged, or must not be written; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Name:
    """A class or function that the file names, `module.name`; never looked up."""
    text: str


@dataclasses.dataclass(eq=False)
class Record:
    """A call that the file asks for and nobody makes: of `name` with `args`; the result would be given `state`."""
    name: str
    args: tuple
    state: Any = None

    def append(self, item) -> None:
        """Items of a list that is not one of Python's own are of no use to a network."""

    extend = append


class Window:
    """The bytes from `position` to `end` of an open file: they can be read and not left, whatever stands in them."""

    def __init__(self, file: BinaryIO, position: int, end: int, path, limit: int = LIMIT):
        self.file, self.position, self.end, self.path = file, position, end, path
        self.lazily, self.limit = False, limit

    def read(self, n: int):
        """Exactly n bytes, or, while `lazily`, a window on them; what is too much is noticed before memory is taken."""
        if not 0 <= n <= self.end - self.position:
            raise CheckpointError(f"{self.path} is damaged or was cut short: it promises {n:,} bytes where "
                                  f"{self.end - self.position:,} are left; fetch it again")
        self.position += n
        if self.lazily:
            return Window(self.file, self.position - n, self.position, self.path)
        self.limit -= n
        if self.limit < 0:
            raise CheckpointError(f"{self.path} describes more than a network has: it is none, or made to exhaust the "
                                  f"memory")
        self.file.seek(self.position - n)
        return self.file.read(n)

    def readline(self) -> bytes:
        """A line of the oldest, textual instructions."""
        self.file.seek(self.position)
        line = self.file.readline(min(LONG, self.end - self.position))
        self.position += len(line)
        self.limit -= len(line)
        return line


class Unpickler(pickle._Unpickler):
    """Python's own reader, the one written in Python: its instructions can be replaced one by one.

    Args:
        window: begins with the pickle, and begins behind it afterwards.
        builders: name -> function of the arguments in the pickle, for the few calls that are made.
        find: what a reference to something outside of the pickle becomes.
        strict: refuse what is neither a plain container nor made by a builder.
    """

    def __init__(self, window: Window, builders: dict[str, Callable] = {}, find: Callable | None = None,
                 strict: bool = False):
        super().__init__(window, encoding="latin1")
        self.window, self.builders, self.find, self.strict, self.copied = window, builders, find, strict, 0

    def find_class(self, module: str, name: str) -> Name:
        text = f"{module}.{name}"
        if REACHES_OUT.fullmatch(text):
            raise CheckpointError(f"{self.window.path} asks for {text[:100]!r}, which could run code and which no "
                                  f"network needs; nothing of it was run. Do not open this file with other programs; "
                                  f"get the weights from a source you trust")
        if self.strict and not (text in self.builders or DICTS.fullmatch(text) or text.endswith("Storage")):
            raise CheckpointError(f"{self.window.path} holds {text[:100]!r}, and only tensors and plain containers are "
                                  f"read: other Python objects could run code. Use an earlier checkpoint")
        return Name(text)

    def persistent_load(self, reference):
        return self.find(reference) if self.find else Record("persistent", (reference,))

    def call(self) -> None:
        args, called = self.stack.pop(), self.stack.pop()
        if type(called) is not Name or type(args) is not tuple:
            raise TypeError(f"calls a {type(called).__name__}")
        if DICTS.fullmatch(called.text):
            pairs = next((item for item in args if type(item) in (list, dict)), [])
            self.copied += len(pairs)  # the one place where a few bytes of pickle could copy much
            if self.copied > COPIES:
                raise CheckpointError(f"{self.window.path} copies without end; it is made to exhaust the memory")
            pairs = pairs.items() if type(pairs) is dict else pairs
            self.append(self.filled({}, [part for pair in pairs for part in pair]))
        else:
            build = self.builders.get(called.text)
            self.append(build(*args) if build else Record(called.text, args))

    def filled(self, target: dict | Record, items: list) -> dict | Record:
        """`target` with keys and values, which alternate in `items`, set; a record has no use for them."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a tuple nested a million deep would overflow the C stack of the interpreter.
            if not all(type(part) in (*PLAIN, Name, Record) for part in (key if type(key) is tuple else (key,))):
                raise TypeError(f"has a {type(key).__name__} as a key")
            if type(target) is dict:
                target[key] = value
            elif type(target) is not Record:
                raise TypeError(f"sets keys of a {type(target).__name__}")
        return target

    def new_dict(self) -> None:
        items = self.pop_mark()
        self.append(self.filled({}, items))

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.filled(self.stack[-1], [key, value])

    def set_items(self) -> None:
        items = self.pop_mark()
        self.filled(self.stack[-1], items)

    def set_state(self) -> None:
        # Attributes of a dict (`_metadata` of a state dict) say nothing about tensors.
        state = self.stack.pop()
        if type(self.stack[-1]) is Record:
            self.stack[-1].state = state

    def long_bytes(self, size: str) -> None:
        n, = struct.unpack(size, self.read(struct.calcsize(size)))
        self.window.lazily = n > LONG
        self.append(self.read(n))
        self.window.lazily = False

    # Python's table, less what calls or imports by itself and what takes memory on trust; sets are lists.
    dispatch = {code: does for code, does in PYTHON.items() if bytes([code]) not in (
        pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.BYTEARRAY8, pickle.NEXT_BUFFER,
        pickle.READONLY_BUFFER)} | {code[0]: does for code, does in {
            pickle.EMPTY_SET: PYTHON[pickle.EMPTY_LIST[0]], pickle.FROZENSET: PYTHON[pickle.LIST[0]],
            pickle.ADDITEMS: PYTHON[pickle.APPENDS[0]], pickle.DICT: new_dict, pickle.SETITEM: set_item,
            pickle.SETITEMS: set_items, pickle.REDUCE: call, pickle.NEWOBJ: call,
            pickle.NEWOBJ_EX: lambda self: (self.stack.pop(), self.call()), pickle.BUILD: set_state,
            pickle.BINBYTES: lambda self: self.long_bytes("<I"),
            pickle.BINBYTES8: lambda self: self.long_bytes("<Q")}.items()}
