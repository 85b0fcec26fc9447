"""What the ablation rows say: a table for each task, the orderings of the paper, when to stop, and a figure.

The paper's orderings are hypotheses here. Each is printed as held, reversed or undecided, and none is assumed.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from . import tables
from .checkpoints import write_atomically
from .metrics import spread
from .stopping import Look, StoppingRule, choose

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
    rows = [row for row in rows if row["iterations"] == iterations]
    newest = {row["task"]: row["base"] for row in rows}
    return [row for row in rows if row["base"] == newest[row["task"]]]


def final(rows: list[dict]) -> list[dict]:
    """Of each run the measurement at the end of its budget; those that are not trained have only one."""
    return [row for row in rows if row["at"] in (0, row["iterations"])]


def judge_ordering(ordering: Ordering, rows: list[dict], resamples: int = 4000, seed: int = 0) -> Verdict:
    """Compare two rows over all (task, seed) that have both, by a bootstrap over those pairs.

    The logarithm of a ratio, so that tasks of different difficulty weigh alike. Each draw also moves every distance
    by its own error of measurement, so that few runs do not look surer than their samples allow.
    """
    by_run = {(row["task"], row["seed"], row["row"]): row for row in final(rows)}
    pairs = [(by_run[task, seed, ordering.better], by_run[task, seed, ordering.worse])
             for task, seed, name in by_run if name == ordering.better and (task, seed, ordering.worse) in by_run]
    if not pairs:
        return Verdict(ordering.claim, "not run", 0)
    log_ratio = torch.tensor([math.log(a["frechet"] / b["frechet"]) for a, b in pairs]).double()
    error = torch.tensor([math.hypot(relative_error(a), relative_error(b)) for a, b in pairs]).double()
    random = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(pairs), (resamples, len(pairs)), generator=random)
    noise = torch.randn(resamples, len(pairs), generator=random).double()
    draws = (log_ratio[picked] + error[picked] * noise).mean(1)
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975]).double()).exp().tolist()
    verdict = "undecided" if len(pairs) < LEAST_PAIRS or low <= 1 <= high else "held" if high < 1 else "reversed"
    return Verdict(ordering.claim, verdict, len(pairs), log_ratio.mean().exp().item(), low, high)


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


def share_of(runs: list[dict]) -> str:
    """The share of samples that show the target: mean over seeds, with its scatter or, of one seed, its interval."""
    value, sd = spread([float(row["share"]) for row in runs])
    if len(runs) > 1:
        return f"{100 * value:.0f} % ± {100 * sd:.0f}"
    return f"{100 * value:.0f} % ({100 * runs[0]['share_low']:.0f} to {100 * runs[0]['share_high']:.0f})"


# ------------------------------------------------------------------------------------------------------ when to stop

def stopping_regret(rows: list[dict], rule: StoppingRule = StoppingRule()) -> list[dict]:
    """For each trained run: what the last iterate, the rule's choice and the best iterate (the oracle, which sees the target)
    score, and where they are."""
    found = []
    for (task, name, seed), checks in tables.groups(rows, "task", "row", "seed").items():
        checks = sorted((row for row in checks if isinstance(row.get("look_distance"), (int, float))), key=lambda row: row["at"])
        if len(checks) < 2 or checks[-1]["at"] != checks[-1]["iterations"]:
            continue
        overfit = lambda row: row["look_overfit"] if isinstance(row["look_overfit"], (int, float)) else None
        trace = [Look(row["at"], row["look_distance"], row["look_diversity"], overfit(row)) for row in checks]
        chosen, best = checks[choose(trace, rule)], min(checks, key=lambda row: row["frechet"])
        found.append({"task": task, "row": name, "seed": seed, "last": checks[-1]["frechet"], "rule": chosen["frechet"], "oracle": best["frechet"],
                      "rule at": chosen["at"], "oracle at": best["at"]})
    return found


def regret_sentence(found: list[dict]) -> str:
    """How much worse than the oracle the last iterate and the rule's choice are, over all trained runs."""
    if not found:
        return "When to stop: no trained run is complete yet."
    excess = {name: 100 * (math.exp(spread([math.log(line[name] / line["oracle"]) for line in found])[0]) - 1) for name in ("last", "rule")}
    return (f"When to stop, over {len(found)} trained runs: the Frechet distance of the last iterate is {excess['last']:.1f} % above that of "
            f"the best one measured, that of the rule's choice {excess['rule']:.1f} %.")


# ------------------------------------------------------------------------------------------------------------ figure

def draw(rows: list[dict], names: list[str], tasks: list[str]):
    """Frechet distances of all rows, one panel for each task that has any; a dot is a run, its line the 95 % interval."""
    from matplotlib.figure import Figure

    from .plotting import COLORS, INK, MUTED, RULE
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


# ----------------------------------------------------------------------------------------------------------- summary

def summary(rows: list[dict], names: list[str], tasks: list[str], iterations: int) -> str:
    """The tables, the verdicts and the stopping rule, as Markdown."""
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
    verdicts = [judge_ordering(ordering, rows) for ordering in ORDERINGS]
    parts += ["## Orderings", "\n".join(f"- {verdict}" for verdict in verdicts), "## When to stop", regret_sentence(stopping_regret(rows))]
    return "\n\n".join(parts) + "\n"


def complete(lines: list[dict]) -> list[dict]:
    """Lines that all have the columns of the longest, so that a table that begins with 'not run' is as wide."""
    names = max(lines, key=len)
    return [{name: line.get(name, "") for name in names} for line in lines]


def publish(csv: Path, names: list[str], tasks: list[str], iterations: int) -> str:
    """Print the summary of a CSV, and write it and its figure beside it, as .md and .png."""
    rows = tables.read(csv)
    words = summary(rows, names, tasks, iterations)
    print(words)
    if current(rows, iterations):
        write_atomically(csv.with_suffix(".md"), words.encode())
        picture = io.BytesIO()
        draw(current(rows, iterations), names, tasks).savefig(picture, format="png")
        write_atomically(csv.with_suffix(".png"), picture.getvalue())
    return words
