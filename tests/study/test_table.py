"""The table and the verdicts, on rows that are made up so that the answer is known."""
import math

import pytest

from sketchgan.files import tables
from sketchgan.study.figures import draw, draw_courses
from sketchgan.study.orderings import (
    ORDERINGS,
    Ordering,
    at_equal_share,
    course,
    current,
    explanation,
    frechet_at,
    judge_ordering,
)
from sketchgan.study.table import RULES, longer, publish, regret_sentence, stopping_regret, summary, table

CLAIM = Ordering("A beats B", "A", "B")


def line(row, seed=0, frechet=10.0, task="cat", error=0.02, at=100, **more):
    half = 1.96 * error * frechet
    return {"task": task, "base": "0f", "row": row, "seed": seed, "iterations": 100, "batch": 4, "bf16": 1,
            "samples": 2500, "at": at, "px": 64,
            "frechet": frechet, "frechet_low": frechet - half, "frechet_high": frechet + half, "kid": 0.01,
            "precision": 0.8, "recall": 0.3,
            "density": 1.0, "coverage": 0.5, "share": 0.6, "share_low": 0.58, "share_high": 0.62, "chamfer": 2.0,
            "seconds": 90.0,
            "extractor": "judge 12345678", "machine": "x", "date": "2026-11-21"} | more


def runs(row, *values, **more):
    return [line(row, seed, value, **more) for seed, value in enumerate(values)]


@pytest.mark.parametrize("a, b, verdict", [
    ((10, 11, 10, 10), (15, 15, 16, 14), "held"),
    ((15, 15, 16, 14), (10, 11, 10, 10), "reversed"),
    ((10, 15, 9, 16), (12, 12, 11, 12), "undecided"),          # the runs contradict each other
    ((10, 10), (30, 30), "undecided"),                         # clear, but two runs decide nothing
])
def test_an_ordering_holds_is_reversed_or_stays_open(a, b, verdict):
    found = judge_ordering(CLAIM, runs("A", *a) + runs("B", *b))
    assert found.verdict == verdict and found.pairs == len(a)
    assert found.ratio == pytest.approx(math.prod(x / y for x, y in zip(a, b)) ** (1 / len(a)))
    assert found.low <= found.ratio <= found.high
    assert ("fewer than the 3" in str(found)) == (len(a) < 3)


def test_small_differences_do_not_outvote_the_error_of_measurement():
    sharp = runs("A", 10, 10, 10, 10, error=0.001) + runs("B", 10.3, 10.3, 10.3, 10.3, error=0.001)
    dull = runs("A", 10, 10, 10, 10, error=0.1) + runs("B", 10.3, 10.3, 10.3, 10.3, error=0.1)
    assert judge_ordering(CLAIM, sharp).verdict == "held" and judge_ordering(CLAIM, dull).verdict == "undecided"


def test_only_runs_that_have_both_rows_count():
    rows = runs("A", 10, 10, 10) + runs("B", 20, 20, 20, task="horse") + [line("B", 1, 20.0)]
    assert judge_ordering(CLAIM, rows).pairs == 1
    assert judge_ordering(CLAIM, rows[:3]).verdict == "not run"
    assert str(judge_ordering(CLAIM, [])) == "A beats B: not run"


def test_measurements_in_the_course_of_a_run_are_not_its_result():
    rows = runs("A", 10, 10, 10) + runs("A", 99, 99, 99, at=50) + runs("B", 20, 20, 20, at=0)
    assert judge_ordering(CLAIM, rows).ratio == pytest.approx(0.5)


def test_a_new_base_and_another_budget_make_another_table():
    rows = [line("A"), line("A", task="horse"), line("A", base="ff", frechet=7.0), line("B", iterations=9, at=9)]
    assert [(row["task"], row["base"]) for row in current(rows, 100)] == [("horse", "0f"), ("cat", "ff")]


def test_the_table_says_what_was_not_run_and_how_sure_it_is():
    lines = table(runs("A", 10, 14) + [line("B", frechet=20.0)], ["A", "B", "C"], "cat")
    assert [row["row"] for row in lines] == ["A", "B", "C"]
    assert lines[0]["Frechet"] == "12.0 ± 2.8" and lines[1]["Frechet"] == "20.0 (19.2 to 20.8)"
    assert lines[2] == {"row": "C", "seeds": 0, "Frechet": "not run"}
    assert lines[1]["share"] == "60 % (58 to 62)" and lines[1]["minutes"] == 1.5


def walk(row, *points, seed=0, **more):
    """A run by its (iterations, share, Frechet distance)."""
    return [line(row, seed, f, at=at, share=share, **more) for at, share, f in points]


@pytest.mark.parametrize("slow, words", [
    # where B was on its way
    (((50, 0.2, 80.0), (100, 0.4, 40.0)), "no difference is seen: the verdict is one of pace (ratio 1.00"),
    (((50, 0.2, 160.0), (100, 0.4, 60.0)), "it is reversed too, a difference of quality (ratio 1.50"),
    # loses in the end, by its pace
    (((50, 0.2, 40.0), (100, 0.4, 20.0)), "the claim holds (ratio 0.50"),
])
def test_rows_are_compared_where_they_have_come_equally_far(slow, words):
    rows = [row for seed in range(3)
            for row in walk("A", *slow, seed=seed) + walk("B", (50, 0.4, 40.0), (100, 0.8, 10.0), seed=seed)]
    verdict, equal = judge_ordering(CLAIM, rows), at_equal_share(CLAIM, rows)
    assert verdict.verdict == "reversed" and equal.pairs == 3
    assert words in explanation(verdict, equal)
    few = at_equal_share(CLAIM, [row for row in rows if row["seed"] < 2])
    assert "no difference is seen" in explanation(verdict, few), "two runs decide nothing here either"


def test_a_claim_that_held_is_asked_too_and_one_with_no_course_is_not():
    held = [row for seed in range(3) for row in (*walk("A", (50, 0.4, 40.0), (100, 0.8, 10.0), seed=seed),
                                                 *walk("B", (50, 0.2, 80.0), (100, 0.4, 40.0), seed=seed))]
    assert judge_ordering(CLAIM, held).verdict == "held"
    assert "the verdict is one of pace" in explanation(judge_ordering(CLAIM, held), at_equal_share(CLAIM, held))
    baseline = runs("A", 20, 20, 20) + runs("B", 10, 10, 10, at=0)
    assert judge_ordering(CLAIM, baseline).verdict == "reversed" and explanation(judge_ordering(CLAIM, baseline),
                                                                                 at_equal_share(CLAIM, baseline)) == ""


def test_a_course_begins_with_the_original_of_its_seed():
    rows = walk("A", (100, 0.5, 10.0), (50, 0.3, 20.0)) + [line("original", frechet=40.0, share=0.2, at=0),
                                                           line("original", 1, 50.0, at=0)]
    assert [row["frechet"] for row in course(rows, "cat", 0, "A")] == [40, 20, 10] and course(rows, "cat", 1, "A") == []
    assert frechet_at(course(rows, "cat", 0, "A"), 0.25) == pytest.approx(math.sqrt(40 * 20))


def test_longer_runs_stand_beside_the_table():
    long = [row | {"iterations": 300}
            for row in walk("A", (150, 0.4, 30.0), (300, 0.9, 5.0)) + walk("B", (150, 0.5, 25.0))]
    assert longer(runs("A", 10) + long, 100) == [
        {"task": "cat", "seed": 0, "iterations": 150, "A": "30.0, 40%", "B": "25.0, 50%"},
                                                 {"task": "cat", "seed": 0, "iterations": 300, "A": "5.0, 90%",
                                                  "B": ""}]
    words = summary(runs("A", 10) + long, ["A", "B"], ["cat"], 100)
    assert "| cat | 0 | 300 | 5.0, 90% |" in words and "## Longer" not in summary(runs("A", 10), ["A"], ["cat"], 100)


def test_a_longer_run_does_not_take_the_tables_place(tmp_path):
    longer_ones = [row | {"iterations": 300} for row in walk("A", (300, 0.9, 5.0))]
    tables.write(tmp_path / "x.csv", runs("A", 10, 11) + longer_ones)
    assert publish(tmp_path / "x.csv", ["A"], ["cat"], 300).startswith("# Ablations\n\n100 iterations")
    assert {file.name for file in tmp_path.iterdir()} == {"x.csv", "x.md", "x.png", "x_courses.png"}
    assert publish(tmp_path / "none.csv", ["A"], ["cat"], 300).startswith("Nothing has been run with 300")


def test_rules_are_compared_with_the_oracle():
    look = lambda distance, overfit="", unseen="": dict(look_diversity=1.0, look_distance=distance,
                                                        look_overfit=overfit, look_unseen=unseen)
    points = ((25, 30, look(3.0)), (50, 20, look(2.0)), (75, 22, look(2.5)), (100, 40, look(2.6)))
    rows = [line("A", at=at, frechet=f, **seen) for at, f, seen in points]
    found = stopping_regret(rows)
    assert (found[0]["oracle"], found[0]["the last iterate"], found[0]["the rule's choice"]) == (20, 40, 20)
    said = regret_sentence(found)
    assert "last iterate 100.0 % (1 run)" in said and "choice 0.0 %" in said
    assert "kept back" not in said, "nothing was kept back"
    assert stopping_regret(rows[:3]) == [] and "no trained run" in regret_sentence([])
    gated = [line("B", at=at, frechet=f, **seen)
             for at, f, seen in ((50, 30, look(3.0, 0.1, 4.0)), (100, 20, look(2.0, 0.9, 5.0)))]
    only = stopping_regret(gated)[0]
    assert [only[name] for name in RULES] == [20, 20, 30, 30]


def test_the_summary_is_whole_with_few_rows_and_with_none():
    names = ["full method", "original"]
    assert summary([], names, ["cat"], 100).startswith("Nothing has been run with 100 iterations")
    words = summary(runs("full method", 10, 11, 9), names, ["horse", "cat"], 100)
    assert words.count("not run |") == 1 and "## horse\n\nNot run." in words
    assert "judge 12345678" in words and "2500 samples" in words
    assert all(ordering.claim in words for ordering in ORDERINGS)
    assert {o.better for o in ORDERINGS} | {o.worse for o in ORDERINGS} <= set(known_rows())


def known_rows():
    from sketchgan.study.ablations import NAMED
    return NAMED


def test_the_courses_are_drawn_for_what_was_trained():
    rows = walk("A", (50, 0.3, 20.0), (100, 0.5, 10.0)) + walk("B", (100, 0.4, 9.0), task="horse",
                                                               seed=1) + runs("C", 5, at=0)
    figure = draw_courses(rows, ["A", "B", "C"], ["cat", "horse", "church"])
    assert [(axes.get_title(loc="left"), len(axes.lines)) for axes in figure.axes] == [("cat", 1), ("horse", 1)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A", "B"]
    assert draw_courses(runs("C", 5, at=0), ["C"], ["cat"]).axes, "nothing trained: an empty figure, no error"


def test_the_figure_has_a_panel_for_each_task_that_was_run():
    figure = draw(runs("A", 10, 12) + runs("B", 9, task="horse"), ["A", "B"], ["cat", "horse", "church"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["cat", "horse"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["not run"]
