"""Values checked where they are given: what a field or an argument may be stands in its annotation, and one function
holds it to that.

    @dataclass(frozen=True)
    class Recipe:
        batch: Count = 4                            # or Positive, Weight, ... below; or Annotated[float, Limits(2, 5)]
        augment: Annotated[str, parse_policy] = ""  # a function of the value, which raises ValueError itself
        minutes: Positive | None = None
        __post_init__ = check_fields

    @checked
    def share(images: Tensor, of: Share = 0.5): ...

Numbers must be finite; True is none, and neither is '3'. NumPy's become Python's.
"""

import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
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


def checked(function):
    """A function whose arguments are held to their annotations at each call; raises ValueError."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound, hints = signature.bind(*args, **kwargs), _hints(function)
        for name in bound.arguments.keys() & hints.keys():
            if signature.parameters[name].kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                bound.arguments[name] = check(f"{name} of {function.__name__}", bound.arguments[name], hints[name])
        return function(*bound.args, **bound.kwargs)

    return call


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
        return " ".join([_words(inner[0]), *(str(rule) for rule in inner[1:] if isinstance(rule, Limits))])
    if kind in (Union, types.UnionType):
        return " or ".join(map(_words, inner))
    if kind is Literal:
        return f"one of {', '.join(map(repr, inner))}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "True or False", type(None): "None"}
    name = names.get(kind, f"a {getattr(kind, '__name__', kind)}")
    return f"{name} of ({', '.join('...' if one is ... else _words(one) for one in inner)})" if inner else name
