"""What the ablation rows say: a table for each task, the orderings of the paper, when to stop, and longer runs."""
import io
import math
from dataclasses import replace
from pathlib import Path

from ..customizing.stopping import Look, StoppingRule, choose
from ..files import tables
from ..files.atomic import write_atomically
from ..measure.metrics import spread
from .figures import draw, draw_courses
from .orderings import ORDERINGS, Ordering, at_equal_share, current, explanation, final, judge_ordering, newest

__all__ = ["ORDERINGS", "Ordering", "RULES", "at_equal_share", "current", "draw", "draw_courses", "explanation",
           "judge_ordering", "newest", "publish", "regret_sentence", "stopping_regret", "summary", "table"]
TEXT = ("task", "base", "row", "extractor", "machine", "date")  # columns that stay text, whatever they look like


def table(rows: list[dict], names: list[str], task: str) -> list[dict]:
    """One line for each row of the table, means over seeds, 'not run' where there is none."""
    lines = []
    for name in names:
        runs = [row for row in final(rows) if row["task"] == task and row["row"] == name]
        if not runs:
            lines.append({"row": name, "seeds": 0, "Frechet": "not run"})
            continue
        mean = lambda column: spread([float(row[column]) for row in runs])[0]
        value, sd = spread([row["frechet"] for row in runs])
        # Over several seeds their scatter says more than each one's interval.
        around = f"± {sd:.1f}" if len(runs) > 1 else f"({runs[0]['frechet_low']:.1f} to {runs[0]['frechet_high']:.1f})"
        means = {name: mean(name) for name in ("precision", "recall", "density", "coverage")}
        lines.append({"row": name, "seeds": len(runs), "Frechet": f"{value:.1f} {around}", "KID": mean("kid"), **means,
                      "share": share_of(runs), "chamfer, px": mean("chamfer"), "minutes": mean("seconds") / 60})
    return lines


def longer(rows: list[dict], iterations: int) -> list[dict]:
    """Runs of more iterations than the table's, one line for each measurement of them, the rows of a task side by
    side."""
    rows = [row for row in rows if row["iterations"] > iterations and row["at"] > 0]
    names = list(dict.fromkeys(row["row"] for row in rows))
    lines = []
    for (task, seed, at), found in sorted(tables.groups(rows, "task", "seed", "at").items()):
        by_name = {row["row"]: f"{row['frechet']:.1f}, {row['share']:.0%}" for row in found}
        about = {"task": task.replace("_", " "), "seed": seed, "iterations": at}
        lines.append(about | {name: by_name.get(name, "") for name in names})
    return lines


def share_of(runs: list[dict]) -> str:
    """The share of samples that show the target: mean over seeds, with its scatter or, of one seed, its interval."""
    value, sd = spread([float(row["share"]) for row in runs])
    if len(runs) > 1:
        return f"{100 * value:.0f} % ± {100 * sd:.0f}"
    return f"{100 * value:.0f} % ({100 * runs[0]['share_low']:.0f} to {100 * runs[0]['share_high']:.0f})"


# ------------------------------------------------------------------------------------------------------ when to stop

RULES = {  # a name -> how a rule picks one of the looks, given its StoppingRule; None where it needs what was not noted
    "the last iterate": lambda trace, rule: len(trace) - 1,
    "the rule's choice": choose,
    "the choice with a gate at ADA's 0.6 on overfitting": lambda trace, rule: choose(trace, replace(rule, overfit=0.6)),
    "the nearest to the sketches kept back": lambda trace, rule: (
        None if any(look.unseen is None for look in trace) else min(range(len(trace)), key=lambda i: trace[i].unseen)),
}


def stopping_regret(rows: list[dict], rule: StoppingRule = StoppingRule()) -> list[dict]:
    """For each trained run: what each of RULES and the best iterate (the oracle, which sees the target) score. A rule
    that needs what was not noted has NaN."""
    found = []
    for (task, name, seed, iterations), checks in tables.groups(rows, "task", "row", "seed", "iterations").items():
        checks = sorted((row for row in checks if is_number(row.get("look_distance"))), key=lambda row: row["at"])
        if len(checks) < 2 or checks[-1]["at"] != iterations:
            continue
        noted = lambda row, what: row[what] if is_number(row.get(what)) else None
        trace = [Look(row["at"], row["look_distance"], row["look_diversity"], noted(row, "look_overfit"),
                      noted(row, "look_unseen")) for row in checks]
        line = {"task": task, "row": name, "seed": seed, "iterations": iterations,
                "oracle": min(row["frechet"] for row in checks)}
        for label, pick in RULES.items():
            picked = pick(trace, rule)
            line[label] = math.nan if picked is None else checks[picked]["frechet"]
        found.append(line)
    return found


def is_number(value) -> bool:
    """Whether a cell of the CSV holds a number, not the empty text of what was not noted."""
    return isinstance(value, (int, float))


def regret_sentence(found: list[dict]) -> str:
    """How much worse than the oracle each rule's choice is, over all trained runs that it can be asked about."""
    if not found:
        return "When to stop: no trained run is complete yet."
    said = []
    for label in RULES:
        ratios = [math.log(line[label] / line["oracle"]) for line in found if line[label] == line[label]]
        if ratios:
            runs = f"{len(ratios)} run{'s' * (len(ratios) != 1)}"
            said.append(f"{label} {100 * (math.exp(spread(ratios)[0]) - 1):.1f} % ({runs})")
    return f"How far the Frechet distance lies above that of the best iterate measured: {'; '.join(said)}."


# ----------------------------------------------------------------------------------------------------------- summary

def summary(rows: list[dict], names: list[str], tasks: list[str], iterations: int) -> str:
    """The tables, the verdicts and the stopping rule, as Markdown."""
    everything = newest(rows)
    rows = current(rows, iterations)
    if not rows:
        return f"Nothing has been run with {iterations} iterations yet.\n"
    first = rows[0]
    about = sorted({f"{row['machine']}, {row['date']}" for row in rows})
    parts = ["# Ablations",
             f"{iterations} iterations of batch {first['batch']} at {first['px']} px"
             f"{', in bfloat16' * int(first['bf16'])}; {first['samples']} samples against as many target pictures (as "
             f"many as there are); features by {', '.join(sorted({row['extractor'] for row in rows}))}. Measured on: "
             f"{'; '.join(about)}. Every number is in the CSV of the same name."]
    for task in tasks:
        run = any(row["task"] == task for row in rows)
        found = tables.markdown(complete(table(rows, names, task))) if run else "Not run."
        parts += [f"## {task.replace('_', ' ')}", found]
    verdicts = [(judge_ordering(ordering, rows), at_equal_share(ordering, rows)) for ordering in ORDERINGS]
    parts += ["## Orderings", "\n".join(f"- {verdict}{explanation(verdict, equal)}" for verdict, equal in verdicts)]
    parts += ["## When to stop", regret_sentence(stopping_regret(everything))]
    if any(row["iterations"] > iterations for row in everything):
        parts += ["## Longer runs", "Frechet distance and share, row by row along the training.",
                  tables.markdown(longer(everything, iterations))]
    return "\n\n".join(parts) + "\n"


def complete(lines: list[dict]) -> list[dict]:
    """Lines that all have the columns of the longest, so that a table that begins with 'not run' is as wide."""
    names = max(lines, key=len)
    return [{name: line.get(name, "") for name in names} for line in lines]


def publish(csv: Path, names: list[str], tasks: list[str], iterations: int) -> str:
    """Print the summary of a CSV, and write it and its figures beside it, as .md, .png and _courses.png.

    The table is of the budget that most rows have; `iterations` counts only where there are none. So a few longer
    runs stand beside the table and do not take its place.
    """
    rows = tables.read(csv, TEXT)
    budgets = [row["iterations"] for row in rows]
    iterations = max(budgets, key=budgets.count, default=iterations)
    words = summary(rows, names, tasks, iterations)
    print(words)
    if current(rows, iterations):
        write_atomically(csv.with_suffix(".md"), words.encode())
        for painter, end in ((draw, ".png"), (draw_courses, "_courses.png")):
            picture = io.BytesIO()
            painter(current(rows, iterations), names, tasks).savefig(picture, format="png")
            write_atomically(csv.with_name(f"{csv.stem}{end}"), picture.getvalue())
    return words
