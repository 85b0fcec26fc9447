"""Several sketches under one hand, without any widget: every change, and the way back from it."""
import random

from sketchgan.drawing.board import Drawing
from sketchgan.drawing.geometry import mirror

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
    """A thousand random changes, undone to the blank page and redone: the same states in between, in both directions."""
    drawing, choose = Drawing(), random.Random(0)
    moves = [lambda: drawing.draw(choose.choice([A, B, C])), drawing.add, drawing.copy, drawing.mirror, drawing.clear,
             lambda: drawing.move(choose.choice([-1, 1])), drawing.delete, lambda: drawing.erase([[0, 50], [256, 50]], 8),
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
