"""Values checked where they are given: what a field or an argument may be stands in its annotation, and one function
holds it to that.

    @dataclass(frozen=True)
    class Recipe:
        batch: Count = 4                            # or Positive, Weight, ... below; or Annotated[float, Limits(2, 5)]
        augment: Annotated[str, parse_policy] = ""  # a function of the value, which raises ValueError itself
        minutes: Positive | None = None
        __post_init__ = check_fields

    @checked
    def share(images: Images, of: Share = 0.5): ...  # tensors by their shape: see `shape`

Numbers must be finite; True is none, and neither is '3'. NumPy's become Python's. Nothing here imports torch.
"""

import dataclasses
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a number may lie: from `least` to `most`, both allowed; `above` and `below`, not allowed; in `choices`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    choices: tuple = ()

    def allow(self, value) -> bool:
        """Whether `value` lies there."""
        if self.choices:
            return value in self.choices
        return self.least <= value <= self.most and value > self.above and value < self.below

    def __str__(self):
        if self.choices:
            return f"such as {', '.join(map(repr, self.choices))}"
        words = (("of at least", self.least), ("of at most", self.most), ("above", self.above), ("below", self.below))
        return " and ".join(f"{word} {bound:g}" for word, bound in words if math.isfinite(bound))


HUGE = 10**300
Count = Annotated[int, Limits(least=1)]
Whole = Annotated[int, Limits(least=0)]
Seed = Annotated[int, Limits(least=0, most=2**63 - 1)]
Positive = Annotated[float, Limits(above=0)]
Weight = Annotated[float, Limits(least=0)]      # 0 switches it off
Probability = Annotated[float, Limits(least=0, most=1)]
Share = Annotated[float, Limits(above=0, below=1)]


@dataclasses.dataclass(frozen=True)
class Shape(Limits):
    """The shape of a tensor: a letter stands for any size of at least 1, a number for itself, a tuple for one of its
    numbers. rows: how many there must be at least along the first one; kind: 'finite floats', 'floats' or
    'booleans'."""

    dims: tuple = ()
    rows: int = 1
    kind: str = "finite floats"

    def allow(self, value) -> bool:
        """Whether `value` is such a tensor."""
        if not hasattr(value, "is_floating_point") or value.ndim != len(self.dims) or len(value) < self.rows:
            return False
        for size, dim in list(zip(value.shape, self.dims))[self.rows < 1:]:
            if size < 1 if isinstance(dim, str) else size not in (dim if isinstance(dim, tuple) else (dim,)):
                return False
        if self.kind == "booleans":
            return str(value.dtype) == "torch.bool"
        return value.is_floating_point() and (self.kind == "floats" or bool(value.isfinite().all()))

    def __str__(self):
        dims = ", ".join(" or ".join(map(str, dim)) if isinstance(dim, tuple) else str(dim) for dim in self.dims)
        more = f", {self.dims[0]} at least {self.rows}" if self.rows > 0 and isinstance(self.dims[0], str) else ""
        return f"a tensor [{dims}] of {self.kind}{more}"


@dataclasses.dataclass(frozen=True)
class Able(Limits):
    """What something must have, whatever its class."""

    names: tuple[str, ...] = ()

    def allow(self, value) -> bool:
        """Whether `value` has all that."""
        return all(hasattr(value, name) for name in self.names)

    def __str__(self):
        return f"something with {' and '.join(self.names)}"


@dataclasses.dataclass(frozen=True)
class Filled(Limits):
    """Of a list or a dict: not empty."""

    def allow(self, value) -> bool:
        """Whether there is anything in it."""
        return len(value) > 0

    def __str__(self):
        return "with something in it"


@dataclasses.dataclass(frozen=True)
class Named(Limits):
    """Of a path: it says something, and no system takes a NUL in it."""

    def allow(self, value) -> bool:
        """Whether `value` can be one."""
        path = os.fsdecode(value)
        return bool(path) and "\0" not in path

    def __str__(self):
        return "that is not empty and has no NUL in it"


def shape(*dims, **more):
    """An annotation for tensors, such as `shape("N", 3, "H", "W")`; see `Shape`."""
    return Annotated[object, Shape(dims=dims, **more)]


Images = shape("N", 3, "H", "W")            # in [-1, 1]
Sketches = shape("N", 1, "H", "W")          # paper +1, ink -1
Pictures = shape("N", (1, 3), "H", "W")     # images or sketches
Vectors = shape("N", "D")                   # features of pictures
Flags = shape("N", kind="booleans")
Maps = shape("N", "C", "H", "W", kind="floats")     # of any number of channels; NaN is the business of whoever trains
Widths = Annotated[tuple[Count, ...] | list[Count], Filled()]
Place = Annotated[str | os.PathLike, Named()]
Bytes = bytes | bytearray | memoryview
NetworkLike = Annotated[object, Able(names=("state_dict", "parameters"))]
Indexed = Annotated[object, Able(names=("__len__", "__getitem__")), Filled()]    # a data set: a tensor, an ImageFolder
GeneratorLike = Annotated[object, Able(names=("mapping", "synthesis", "z_dim"))]
JudgeLike = Annotated[object, Able(names=("satisfies",))]
Sees = Annotated[object, Able(names=("features",))]


def check_fields(config) -> None:
    """Hold every field of a dataclass to its annotation; raises ValueError. Made for `__post_init__`."""
    for name, hint in _hints(type(config)).items():
        value = check(f"{name} of {type(config).__name__}", getattr(config, name), hint)
        object.__setattr__(config, name, value)         # it may be frozen, and this is still its making


def check_device(device: str) -> None:
    """Raise ValueError unless torch can compute there."""
    import torch  # here, for whoever checks numbers needs no torch
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())),
                *["mps"] * torch.backends.mps.is_available()]
        reason = str(error).splitlines()[0][:120]
        raise ValueError(f"device {device!r} cannot be used here ({reason}). This machine and this build of torch "
                         f"have: {', '.join(here)}.") from error


def check_gradients(what: str) -> None:
    """Raise ValueError if `what`, a training, is called where PyTorch keeps no gradients."""
    import torch
    if not torch.is_grad_enabled():
        raise ValueError(f"{what} was called inside torch.no_grad() or torch.inference_mode(), and training needs "
                         "gradients: call it outside of that block")


def checked(function):
    """A function whose arguments are held to their annotations at each call; raises ValueError."""
    bind = _binder(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = bind(args, kwargs)
        return function(*bound.args, **bound.kwargs)

    return call


def explained(function):
    """The same for what is called at each step of a training: costs nothing unless the call fails, and then says why.

    What the annotations cannot tell, such as two tensors that do not fit together, becomes a ValueError with all
    shapes.
    """
    bind = _binder(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            bound = bind(args, kwargs)
            if isinstance(error, ValueError) or "memory" in str(error).lower() or "CUDA" in str(error):
                raise                                   # it speaks for itself, or no other arguments would mend it
            given = (f"{name} {list(getattr(value, 'shape', ())) or repr(value)[:40]}"
                     for name, value in bound.arguments.items())
            raise ValueError(f"{function.__qualname__} cannot work with {', '.join(given)}: {error}") from error

    call.explained = True
    return call


def _binder(function):
    """Of the arguments of a call: bound to their names, and held to their annotations."""
    signature = inspect.signature(function)
    called = function.__qualname__.split("<locals>.")[-1].removesuffix(".__init__")
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

    def bind(args, kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{called}: {error}; it takes {', '.join(signature.parameters)}") from None
        for name, hint in _hints(function).items():
            if name in bound.arguments and signature.parameters[name].kind not in many:
                bound.arguments[name] = check(f"{name} of {called}", bound.arguments[name], hint)
        return bound

    return bind


def check(name: str, value, hint):
    """The value, if it is what the annotation `hint` wants; else a ValueError that says what was given and wanted."""
    try:
        return _fit(value, hint)
    except _Misfit:
        shape = getattr(value, "shape", ())
        given = f"a {type(value).__name__} of shape {list(shape)}" if shape else repr(value)
        given = given if len(given) <= 80 else f"{given[:77]}..."
        raise ValueError(f"{name} is {given}; wanted {_words(hint)}.") from None


class _Misfit(Exception):
    pass


@functools.cache
def _hints(owner) -> dict[str, Any]:
    hints = typing.get_type_hints(owner, include_extras=True)
    names = [field.name for field in dataclasses.fields(owner)] if isinstance(owner, type) else hints
    return {name: hints[name] for name in names if name != "return"}


def _fit(value, hint):
    """The value as `hint` wants it, or _Misfit."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        value = _fit(value, inner[0])
        for rule in inner[1:]:
            if not isinstance(rule, Limits):
                rule(value)
            elif not rule.allow(value):
                raise _Misfit
        return value
    if kind in (Union, types.UnionType):
        for one in inner:
            try:
                return _fit(value, one)
            except _Misfit:
                continue
        raise _Misfit
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, numbers.Integral if kind is int else numbers.Real):
            raise _Misfit
        value = value if type(value) in (int, float) else kind(value)
        if not -HUGE < value < HUGE:                    # written so that NaN fails too
            raise _Misfit
        return value
    fits = value in inner if kind is Literal else value is None if kind is None else \
        isinstance(value, kind) if isinstance(kind, type) else True
    if not fits or kind is tuple and inner[1:] != (...,) and inner and len(value) != len(inner):
        raise _Misfit
    if kind is tuple and inner:
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(_fit(*pair) for pair in zip(value, kinds, strict=True))
    if kind is list and inner:
        return [_fit(item, inner[0]) for item in value]
    if kind is dict and inner:
        return {_fit(key, inner[0]): _fit(item, inner[1]) for key, item in value.items()}
    return value


def _words(hint) -> str:
    """What an annotation wants, for people."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        return " ".join([_words(inner[0])] * (inner[0] is not object) + [*(str(rule) for rule in inner[1:]
                                                                           if isinstance(rule, Limits))])
    if kind in (Union, types.UnionType):
        return " or ".join(map(_words, inner))
    if kind is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    if kind is Callable:
        return "a function"
    names = {int: "a whole number", float: "a number", str: "text", bool: "True or False", type(None): "None",
             os.PathLike: "a path"}
    name = names.get(kind, f"a {getattr(kind, '__name__', kind)}")
    return f"{name} of ({', '.join('...' if one is ... else _words(one) for one in inner)})" if inner else name
