"""What the ablation rows say: a table for each task, the orderings of the paper, when to stop, and figures.

The paper's orderings are hypotheses here. Each is printed as held, reversed or undecided, and none is assumed. A budget that
ends before training does favours whatever moves fastest, so each is asked again where both rows have come equally far (`at_equal_share`), and runs of
more iterations are shown beside the table (`longer`).
"""

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..customizing.stopping import Look, StoppingRule, choose
from ..files import tables
from ..files.atomic import write_atomically
from ..measure.metrics import spread

LEAST_PAIRS = 3  # fewer runs cannot tell a difference from chance, however sure each measurement is


@dataclass(frozen=True)
class Ordering:
    """A claim: the row `better` has the smaller Frechet distance than the row `worse`."""

    claim: str
    better: str
    worse: str


ORDERINGS = (
    Ordering("30 sketches beat 5", "full method", "5 sketches"),
    Ordering("5 sketches beat 1", "5 sketches", "1 sketch"),
    Ordering("1 sketch beats the original", "1 sketch", "original"),
    Ordering("a pretrained D beats D from scratch", "full method", "D from scratch"),
    Ordering("W-shift loses to the full method", "full method", "W-shift"),
    Ordering("W-shift beats the original", "W-shift", "original"),
    Ordering("image regularisation beats weight", "full method", "weight regularisation"),
    Ordering("weight regularisation beats none", "weight regularisation", "sketch loss only"),
    Ordering("image regularisation beats none", "full method", "sketch loss only"),
    Ordering("sketch retrieval loses to the full method", "full method", "sketch retrieval"),
    Ordering("chamfer matching loses to the full method", "full method", "chamfer matching"),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim. verdict: 'held', 'reversed', 'undecided' or 'not run'; ratio: of the Frechet distance of the better
    row to that of the worse one, geometric mean over pairs of runs, with its 95 % interval; pairs: how many."""

    claim: str
    verdict: str
    pairs: int
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if not self.pairs:
            return f"{self.claim}: {self.verdict}"
        few = f", fewer than the {LEAST_PAIRS} that can decide" if self.pairs < LEAST_PAIRS else ""
        runs = f"{self.pairs} pair{'s' * (self.pairs != 1)} of runs{few}"
        return f"{self.claim}: {self.verdict} (Frechet ratio {self.ratio:.2f}, {self.low:.2f} to {self.high:.2f}; {runs})"


def current(rows: list[dict], iterations: int) -> list[dict]:
    """The rows of one budget that began from the newest base of their task: what belongs into one table."""
    return newest([row for row in rows if row["iterations"] == iterations])


def newest(rows: list[dict]) -> list[dict]:
    """Those that began from the newest base of their task."""
    base = {row["task"]: row["base"] for row in rows}
    return [row for row in rows if row["base"] == base[row["task"]]]


def final(rows: list[dict]) -> list[dict]:
    """Of each run the measurement at the end of its budget; those that are not trained have only one."""
    return [row for row in rows if row["at"] in (0, row["iterations"])]


def judge_ordering(ordering: Ordering, rows: list[dict]) -> Verdict:
    """Compare two rows over all (task, seed) that have both, at the end of their budget."""
    by_run = {(row["task"], row["seed"], row["row"]): row for row in final(rows)}
    pairs = [(by_run[task, seed, ordering.better], by_run[task, seed, ordering.worse])
             for task, seed, name in by_run if name == ordering.better and (task, seed, ordering.worse) in by_run]
    return decide(ordering.claim, [(a["frechet"] / b["frechet"], math.hypot(relative_error(a), relative_error(b))) for a, b in pairs])


def decide(claim: str, pairs: list[tuple[float, float]], resamples: int = 4000, seed: int = 0) -> Verdict:
    """A verdict from pairs of runs (ratio of their distances, its relative standard error), by a bootstrap over them.

    The logarithm of a ratio, so that tasks of different difficulty weigh alike. Each draw also moves every ratio
    by its own error of measurement, so that few runs do not look surer than their samples allow.
    """
    if not pairs:
        return Verdict(claim, "not run", 0)
    ratio, error = torch.tensor(pairs).double().T
    random = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(pairs), (resamples, len(pairs)), generator=random)
    noise = torch.randn(resamples, len(pairs), generator=random).double()
    draws = (ratio.log()[picked] + error[picked] * noise).mean(1)
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975]).double()).exp().tolist()
    verdict = "undecided" if len(pairs) < LEAST_PAIRS or low <= 1 <= high else "held" if high < 1 else "reversed"
    return Verdict(claim, verdict, len(pairs), ratio.log().mean().exp().item(), low, high)


def course(rows: list[dict], task: str, seed: int, name: str) -> list[dict]:
    """The measurements of one run in the order they were made, the original generator first, where it was measured."""
    mine = [row for row in rows if (row["task"], row["seed"], row["row"]) == (task, seed, name) and row["at"] > 0]
    start = [row for row in rows if (row["task"], row["seed"], row["row"]) == (task, seed, "original")]
    return start[:1] + sorted(mine, key=lambda row: row["at"]) if mine else []


def at_equal_share(ordering: Ordering, rows: list[dict]) -> Verdict:
    """The same comparison where both rows have come equally far: at the largest share of samples showing the target that both
    of them reached, interpolated between the measurements of their courses.

    What is left of a difference is one of quality: which samples show the target, and how varied they are. A course that goes
    back and forth is taken in the order of its shares. Rows without a course (baselines) cannot be compared so.
    """
    pairs = []
    for task, seed in dict.fromkeys((row["task"], row["seed"]) for row in rows):
        both = [course(rows, task, seed, name) for name in (ordering.better, ordering.worse)]
        if all(len(walk) > 1 for walk in both):
            share = min(max(row["share"] for row in walk) for walk in both)
            error = math.hypot(*(relative_error(walk[-1]) for walk in both))
            pairs.append((frechet_at(both[0], share) / frechet_at(both[1], share), error))
    return decide(ordering.claim, pairs)


def frechet_at(walk: list[dict], share: float) -> float:
    """The Frechet distance of a course where it reaches a share."""
    walk = sorted(walk, key=lambda row: row["share"])
    return math.exp(np.interp(share, [row["share"] for row in walk], [math.log(row["frechet"]) for row in walk]))


def explanation(verdict: Verdict, equal: Verdict) -> str:
    """What a claim comes to at an equal share, whether it held or not; nothing where that cannot be asked. No difference seen
    is not proof that there is none: the interval says how large it may be."""
    if not (verdict.pairs and equal.pairs):
        return ""
    found = {"held": "the claim holds", "reversed": "it is reversed too, a difference of quality", "undecided": "no difference is seen"}[equal.verdict]
    pace = ": the verdict is one of pace" if verdict.verdict != "undecided" == equal.verdict else ""
    return f". Where both show the target equally often, {found}{pace} (ratio {equal.ratio:.2f}, {equal.low:.2f} to {equal.high:.2f})."


def relative_error(row: dict) -> float:
    """The standard error of a row's Frechet distance, relative to it, from its 95 % interval."""
    return (row["frechet_high"] - row["frechet_low"]) / (2 * 1.96 * row["frechet"])


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
        lines.append({"row": name, "seeds": len(runs), "Frechet": f"{value:.1f} {around}", "KID": mean("kid"),
                      "precision": mean("precision"), "recall": mean("recall"), "density": mean("density"), "coverage": mean("coverage"),
                      "share": share_of(runs), "chamfer, px": mean("chamfer"), "minutes": mean("seconds") / 60})
    return lines


def longer(rows: list[dict], iterations: int) -> list[dict]:
    """Runs of more iterations than the table's, one line for each measurement of them, the rows of a task side by side."""
    rows = [row for row in rows if row["iterations"] > iterations and row["at"] > 0]
    names = list(dict.fromkeys(row["row"] for row in rows))
    lines = []
    for (task, seed, at), found in sorted(tables.groups(rows, "task", "seed", "at").items()):
        by_name = {row["row"]: f"{row['frechet']:.1f}, {row['share']:.0%}" for row in found}
        lines.append({"task": task.replace("_", " "), "seed": seed, "iterations": at} | {name: by_name.get(name, "") for name in names})
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
        trace = [Look(row["at"], row["look_distance"], row["look_diversity"], noted(row, "look_overfit"), noted(row, "look_unseen")) for row in checks]
        line = {"task": task, "row": name, "seed": seed, "iterations": iterations, "oracle": min(row["frechet"] for row in checks)}
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
            said.append(f"{label} {100 * (math.exp(spread(ratios)[0]) - 1):.1f} % ({len(ratios)} run{'s' * (len(ratios) != 1)})")
    return f"How far the Frechet distance lies above that of the best iterate measured: {'; '.join(said)}."


# ------------------------------------------------------------------------------------------------------------ figure

def draw(rows: list[dict], names: list[str], tasks: list[str]):
    """Frechet distances of all rows, one panel for each task that has any; a dot is a run, its line the 95 % interval."""
    from matplotlib.figure import Figure

    from ..plotting import COLORS, INK, MUTED, RULE
    shown = [task for task in tasks if any(row["task"] == task for row in rows)]
    figure = Figure(figsize=(2 + 3.1 * len(shown), 0.6 + 0.3 * len(names)), dpi=100, layout="constrained")
    for axes, task in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown):
        for y, name in enumerate(names):
            runs = [row for row in final(rows) if row["task"] == task and row["row"] == name]
            for k, row in enumerate(runs):
                at = y + 0.18 * (k - (len(runs) - 1) / 2)
                axes.plot([row["frechet_low"], row["frechet_high"]], [at, at], color=COLORS[1], lw=1.2)
                axes.plot(row["frechet"], at, "o", ms=4, color=COLORS[0] if name == "full method" else COLORS[1])
            if not runs:
                axes.text(0.02, y, "not run", transform=axes.get_yaxis_transform(), va="center", fontsize=7, color=MUTED,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
        axes.set_title(task.replace("_", " "), loc="left", fontsize=9, color=INK)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.tick_params(axis="x", labelsize=7, colors=MUTED)
        axes.grid(axis="y", color=RULE, lw=0.4)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("Frechet distance to the target, in the judge's features (smaller is better)", fontsize=8, color=MUTED)
    return figure


def draw_courses(rows: list[dict], names: list[str], tasks: list[str]):
    """The way of each trained row (of the first seed that was run) from the original: the share of samples that show the target against the Frechet
    distance, a dot for each measurement. Rows on one line differ in pace; what lies above it, in quality too."""
    from matplotlib.figure import Figure

    from ..plotting import COLORS, INK, MUTED
    walks = {task: [(name, course(rows, task, min(seeds), name)) for name in names
                    if (seeds := [row["seed"] for row in rows if row["task"] == task and row["row"] == name and row["at"] > 0])] for task in tasks}
    walks = {task: found for task, found in walks.items() if found}
    drawn = [name for name in names if any(name == other for found in walks.values() for other, _ in found)]
    look = {name: dict(color=COLORS[i % len(COLORS)], marker="osD^v"[i // len(COLORS) % 5]) for i, name in enumerate(drawn)}
    figure = Figure(figsize=(2.2 + 3.6 * max(1, len(walks)), 3.6), dpi=100, layout="constrained")
    for axes, (task, found) in zip(figure.subplots(1, max(1, len(walks)), squeeze=False)[0], walks.items()):
        for name, walk in found:
            axes.plot([100 * row["share"] for row in walk], [row["frechet"] for row in walk], ms=4, lw=1, label=name, **look[name])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.set_title(task.replace("_", " "), loc="left", fontsize=9, color=INK)
        axes.tick_params(which="both", labelsize=7, colors=MUTED)
        axes.spines[["top", "right"]].set_visible(False)
    handles = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=7, frameon=False)
    figure.supxlabel("samples that show the target, %", fontsize=8, color=MUTED)
    figure.supylabel("Frechet distance", fontsize=8, color=MUTED)
    return figure


# ----------------------------------------------------------------------------------------------------------- summary

def summary(rows: list[dict], names: list[str], tasks: list[str], iterations: int) -> str:
    """The tables, the verdicts and the stopping rule, as Markdown."""
    everything = newest(rows)
    rows = current(rows, iterations)
    if not rows:
        return f"Nothing has been run with {iterations} iterations yet.\n"
    first = rows[0]
    about = sorted({f"{row['machine']}, {row['date']}" for row in rows})
    parts = ["# Ablations", f"{iterations} iterations of batch {first['batch']} at {first['px']} px{', in bfloat16' * int(first['bf16'])}; {first['samples']} samples against as many "
             f"target pictures (as many as there are); features by {', '.join(sorted({row['extractor'] for row in rows}))}. "
             f"Measured on: {'; '.join(about)}. Every number is in the CSV of the same name."]
    for task in tasks:
        run = any(row["task"] == task for row in rows)
        parts += [f"## {task.replace('_', ' ')}", tables.markdown(complete(table(rows, names, task))) if run else "Not run."]
    verdicts = [(judge_ordering(ordering, rows), at_equal_share(ordering, rows)) for ordering in ORDERINGS]
    parts += ["## Orderings", "\n".join(f"- {verdict}{explanation(verdict, equal)}" for verdict, equal in verdicts)]
    parts += ["## When to stop", regret_sentence(stopping_regret(everything))]
    if any(row["iterations"] > iterations for row in everything):
        parts += ["## Longer runs", "Frechet distance and share, row by row along the training.", tables.markdown(longer(everything, iterations))]
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
    rows = tables.read(csv)
    iterations = max((row["iterations"] for row in rows), key=[row["iterations"] for row in rows].count, default=iterations)
    words = summary(rows, names, tasks, iterations)
    print(words)
    if current(rows, iterations):
        write_atomically(csv.with_suffix(".md"), words.encode())
        for painter, file in ((draw, csv.with_suffix(".png")), (draw_courses, csv.with_name(f"{csv.stem}_courses.png"))):
            picture = io.BytesIO()
            painter(current(rows, iterations), names, tasks).savefig(picture, format="png")
            write_atomically(file, picture.getvalue())
    return words
