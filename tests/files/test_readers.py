"""The wrapper of every reader: its own error or the right value, whatever goes wrong inside."""
import json

import pytest

from sketchgan.files import reading
from tests.fuzz import assert_survives, mutants


class PageError(ValueError):
    """What the reader of this test promises to raise."""


def deep(n):
    return deep(n + 1)


@pytest.mark.parametrize("go_wrong, words", [
    (lambda: deep(0), "RecursionError: it is nested too deeply"), (lambda: int(float("inf")), "OverflowError"),
    (lambda: {}["size"], "KeyError: 'size'"), (lambda: b"\xff".decode(), "UnicodeDecodeError"),
    (lambda: json.loads("{"), "JSONDecodeError"), (lambda: open("/"), "IsADirectoryError"),
    (lambda: bytearray(2 ** 62), "MemoryError: it asks for more memory"), (lambda: [][0], "IndexError"),
])
def test_what_was_not_foreseen_becomes_the_readers_own_error(go_wrong, words):
    with pytest.raises(PageError, match=f"page.svg cannot be read .{words}.*draw it again") as caught:
        with reading("page.svg", PageError, "draw it again"):
            go_wrong()
    assert caught.value.__cause__ is not None


def test_what_was_foreseen_goes_through():
    for error in (PageError("its own"), FileNotFoundError("absent"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, reading("page.svg", PageError):
            raise error
        assert caught.value is error
    with pytest.raises(ValueError, match="page.svg cannot be read"), reading("page.svg", ValueError):
        b"\xff".decode()


def test_mutants_are_the_same_for_the_same_seed(tmp_path):
    data = json.dumps({"points": [[1, 2], [3, 4]], "width": 10}).encode()
    assert list(mutants(data, 20)) == list(mutants(data, 20)) != list(mutants(data, 20, seed=1))

    def read(path):
        with reading(path, PageError):
            return json.loads(path.read_bytes())["points"][0]

    outcome = assert_survives(read, "a.json", data, PageError, tmp_path)
    assert outcome["refused"] > 200
    with pytest.raises(AssertionError, match="mutant .* a raw"):
        assert_survives(lambda path: json.loads(path.read_bytes()), "a.json", data, PageError, tmp_path)
