"""The table and the verdicts, on rows that are made up so that the answer is known."""
import math

import pytest

from sketchgan.ablation_table import (ORDERINGS, Ordering, current, draw, judge_ordering, regret_sentence, stopping_regret,
                                      summary, table)

CLAIM = Ordering("A beats B", "A", "B")


def line(row, seed=0, frechet=10.0, task="cat", error=0.02, at=100, **more):
    half = 1.96 * error * frechet
    return {"task": task, "base": "0f", "row": row, "seed": seed, "iterations": 100, "batch": 4, "bf16": 1, "samples": 2500, "at": at, "px": 64,
            "frechet": frechet, "frechet_low": frechet - half, "frechet_high": frechet + half, "kid": 0.01, "precision": 0.8, "recall": 0.3,
            "density": 1.0, "coverage": 0.5, "share": 0.6, "share_low": 0.58, "share_high": 0.62, "chamfer": 2.0, "seconds": 90.0,
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
    assert judge_ordering(CLAIM, rows[:3]).verdict == "not run" and str(judge_ordering(CLAIM, [])) == "A beats B: not run"


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


def test_the_rule_is_compared_with_the_oracle():
    look = dict(look_diversity=1.0, look_overfit="")
    rows = [line("A", at=at, frechet=f, look_distance=d, **look) for at, f, d in ((25, 30, 3.0), (50, 20, 2.0), (75, 22, 2.5), (100, 40, 2.6))]
    found = stopping_regret(rows)
    assert found[0] | {} == {"task": "cat", "row": "A", "seed": 0, "last": 40, "rule": 20, "oracle": 20, "rule at": 50, "oracle at": 50}
    assert "last iterate is 100.0 % above" in regret_sentence(found) and "choice 0.0 %" in regret_sentence(found)
    assert stopping_regret(rows[:3]) == [] and "no trained run" in regret_sentence([])


def test_the_summary_is_whole_with_few_rows_and_with_none():
    names = ["full method", "original"]
    assert summary([], names, ["cat"], 100).startswith("Nothing has been run with 100 iterations")
    words = summary(runs("full method", 10, 11, 9), names, ["horse", "cat"], 100)
    assert words.count("not run |") == 1 and "## horse\n\nNot run." in words and "judge 12345678" in words and "2500 samples" in words
    assert all(ordering.claim in words for ordering in ORDERINGS)
    assert {o.better for o in ORDERINGS} | {o.worse for o in ORDERINGS} <= set(known_rows())


def known_rows():
    from sketchgan.ablations import NAMED
    return NAMED


def test_the_figure_has_a_panel_for_each_task_that_was_run():
    figure = draw(runs("A", 10, 12) + runs("B", 9, task="horse"), ["A", "B"], ["cat", "horse", "church"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["cat", "horse"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["not run"]
