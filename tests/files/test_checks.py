"""Values are held to their annotations, where they are given, in one way for configurations and calls."""
import dataclasses
from typing import Annotated, Literal

import numpy as np
import pytest
import torch

from sketchgan.files.checks import Count, Limits, Positive, Share, Weight, check, check_fields, checked


def no_x(text):
    if "x" in text:
        raise ValueError("no x")


Below1 = Annotated[float, Limits(least=0, below=1)]


@dataclasses.dataclass(frozen=True)
class Inner:
    weight: Weight = 0.0
    __post_init__ = check_fields


@dataclasses.dataclass(frozen=True)
class Recipe:
    batch: Count = 4
    lr: Positive = 0.1
    betas: tuple[Below1, Below1] = (0.0, 0.99)
    policy: Annotated[str, no_x] = ""
    layers: Annotated[str, Limits(choices=("a", "b"))] = "a"
    mode: Literal["one", 2] = "one"
    minutes: Positive | None = None
    inner: Inner | None = None
    flag: bool = False
    channels: dict[int, Count] = dataclasses.field(default_factory=dict)
    names: tuple[str, ...] = ()
    __post_init__ = check_fields


@pytest.mark.parametrize("wrong, wanted", [
    (dict(batch=0), "batch of Recipe is 0; wanted a whole number of at least 1"), (dict(batch=1.5), "whole number"),
    (dict(batch=True), "whole number"), (dict(batch="3"), "whole number"), (dict(lr=float("nan")), "above 0"),
    (dict(lr=float("inf")), "above 0"), (dict(lr=10**400), "above 0"), (dict(lr=torch.tensor(0.1)), "above 0"),
    (dict(betas=(0.0,)), "tuple"), (dict(betas=(0.0, 1.0)), "below 1"), (dict(betas=[0.0, 0.9]), "tuple"),
    (dict(policy="x"), "no x"), (dict(policy=None), "text"), (dict(layers="c"), "'a', 'b'"), (dict(layers=[]), "text"),
    (dict(mode=3), "one of 'one', 2"), (dict(minutes=0), "above 0 or None"), (dict(inner=3), "Inner or None"),
    (dict(flag=1), "True or False"), (dict(channels={4: 0}), "dict"), (dict(names="abc"), "tuple of"),
    (dict(batch=torch.zeros(2, 3)), r"a Tensor of shape \[2, 3\]"),
])
def test_what_does_not_fit_is_named_with_what_was_wanted(wrong, wanted):
    with pytest.raises(ValueError, match=wanted):
        Recipe(**wrong)


def test_what_fits_is_taken_and_numpy_s_numbers_become_python_s():
    recipe = Recipe(np.int64(3), np.float32(0.5), minutes=3, inner=Inner(1), channels={np.int64(4): 8}, mode=2)
    assert type(recipe.batch) is int and type(recipe.lr) is float and recipe.lr == 0.5 and recipe.channels == {4: 8}
    assert type(next(iter(recipe.channels))) is int and recipe.minutes == 3


def test_arguments_of_a_function():
    @checked
    def share(images: torch.Tensor, of: Share = 0.5, *rest, names: list[str] = ["a"], **more) -> int:
        """Says it."""
        return of, rest, more

    assert share(torch.zeros(1), 0.25, "rest", more=1) == (0.25, ("rest",), {"more": 1}) and share.__doc__ == "Says it."
    for args, words in (((3,), "images of share is 3; wanted a Tensor"), ((torch.zeros(1), 2), "of of share is 2")):
        with pytest.raises(ValueError, match=words):
            share(*args)
    assert check("a", 3, int | None) == 3
