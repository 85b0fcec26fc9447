"""Several sketches under one hand, without any widget: every change, and the way back from it."""
import random

import pytest

from sketchgan.drawing.board import Drawing, erase, mirror
from sketchgan.drawing.chamfer import chamfer
from sketchgan.drawing.strokes import rasterize

A, B, C = ({"width": 5, "points": [[x, 10], [x, 90]]} for x in (50, 100, 150))


def test_drawing_and_the_way_back():
    drawing = Drawing()
    drawing.undo(), drawing.redo()
    drawing.draw(A), drawing.add(), drawing.draw(B)
    assert drawing.sketches == ((A,), (B,)) and drawing.current == 1
    for _ in range(9):
        drawing.undo()
    assert drawing.sketches == ((),) and drawing.current == 0
    for _ in range(9):
        drawing.redo()
    assert drawing.sketches == ((A,), (B,)) and drawing.current == 1


def test_what_changes_nothing_costs_no_undo():
    drawing = Drawing()
    drawing.clear(), drawing.delete(), drawing.add(), drawing.move(-1), drawing.erase([[5, 5]], 8), drawing.select(7)
    assert not drawing.past and drawing.current == 0
    drawing.draw(A), drawing.erase([[200, 200]], 8)
    assert len(drawing.past) == 1


def test_copy_mirror_move_delete():
    drawing = Drawing()
    drawing.draw(A), drawing.copy()
    assert drawing.sketches == ((A,), (A,)) and drawing.current == 1
    drawing.mirror()
    assert drawing.sketches == ((A,), mirror((A,)))
    drawing.move(-1)
    assert drawing.sketches == (mirror((A,)), (A,)) and drawing.current == 0
    drawing.move(5)
    assert drawing.sketches == ((A,), mirror((A,))) and drawing.current == 1
    drawing.delete()
    assert drawing.sketches == ((A,),) and drawing.current == 0
    drawing.delete()
    assert drawing.sketches == ((),)
    for _ in range(6):
        drawing.undo()
    assert drawing.sketches == ((A,),)


def test_extend_keeps_what_is_drawn_and_drops_blank_pages():
    drawing = Drawing()
    drawing.draw(A), drawing.add(), drawing.extend([(B,), (C,)])
    assert drawing.sketches == ((A,), (B,), (C,)) and drawing.current == 1 and drawing.drawn == list(drawing.sketches)


def test_any_walk_can_be_undone_and_done_again():
    """A thousand random changes, undone to the blank page and redone: the same states in between, in both
    directions."""
    drawing, choose = Drawing(), random.Random(0)
    moves = [lambda: drawing.draw(choose.choice([A, B, C])), drawing.add, drawing.copy, drawing.mirror, drawing.clear,
             lambda: drawing.move(choose.choice([-1, 1])), drawing.delete,
             lambda: drawing.erase([[0, 50], [256, 50]], 8),
             lambda: drawing.select(choose.randrange(4))]
    for _ in range(1000):
        choose.choice(moves)()
        assert drawing.sketches and 0 <= drawing.current < len(drawing.sketches)
    last, seen = drawing.sketches, []
    while drawing.past:
        seen.append(drawing.sketches)
        drawing.undo()
    assert drawing.sketches == ((),) and len(seen) > 300
    while drawing.future:
        drawing.redo()
        assert drawing.sketches is seen.pop()
    assert drawing.sketches is last


# ---- eraser and mirror

LINE = {"width": 4, "points": [[20.0, 100.0], [120.0, 100.0], [220.0, 100.0]]}
FAR = {"width": 4, "points": [[20.0, 200.0], [220.0, 200.0]]}


def test_the_eraser_cuts_a_stroke_in_two_where_it_passes():
    left, right, far = erase((LINE, FAR), [[60, 80], [60, 120]], width=16)
    assert far is FAR, "what the eraser does not touch stays what it was"
    # Half the eraser and half the pen: 10 units on both sides of its path, found to a unit.
    assert left["points"][0] == [20, 100] and abs(left["points"][-1][0] - 50) <= 1
    assert abs(right["points"][0][0] - 70) <= 1 and right["points"][1:] == [[120, 100], [220, 100]]
    assert left["width"] == right["width"] == 4


def test_nothing_is_left_under_the_eraser():
    path = [[10, 90], [130, 110], [230, 80]]
    left = rasterize(erase((LINE, FAR), path, width=12), 256)
    rubbed = rasterize([{"width": 10, "points": path}], 256) < 0         # a little less than the eraser, for soft edges
    assert (left[rubbed] > 0.9).all() and (left < 0).any()


@pytest.mark.parametrize("path", [[[60, 100]], [[60, 100], [60, 100]]], ids=["a point", "a click"])
def test_a_click_of_the_eraser_makes_a_hole(path):
    assert len(erase((LINE,), path, width=10)) == 2


def test_erasing_ends_dots_and_whole_strokes_and_leaves_the_rest_alone():
    dot = {"width": 6, "points": [[50, 50], [50, 50]]}
    assert erase((dot, LINE), [[50, 50]], 8) == (LINE,)
    assert erase((LINE,), [[0, 100], [256, 100]], 8) == ()
    untouched = (dot, LINE)
    assert all(a is b for a, b in zip(erase(untouched, [[200, 200]], 8), untouched, strict=True))
    assert erase((), [[1, 1]], 8) == ()


def test_mirror_twice_is_the_drawing_and_once_its_mirror_image():
    strokes = ({"width": 5, "points": [[10.5, 20], [100, 30]]},)
    assert mirror(mirror(strokes)) == strokes
    # Not equal to the bit: pixels lie between the units of the frame, and a pen of even width leans to one side.
    assert chamfer(rasterize(mirror(strokes), 64), rasterize(strokes, 64).flip(3)).item() < 0.3
