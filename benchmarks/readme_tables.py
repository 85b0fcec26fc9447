"""The tables of results in the README, made from the CSV files beside this program, so that no figure is typed by hand.

    python benchmarks/readme_tables.py            # print them
    python benchmarks/readme_tables.py --write    # put them into README.md, between their marks

A mark looks like `<!-- results: NAME -->`, and its table ends at the next `<!-- end -->`. A test compares them with the
CSV.
"""
import re
import sys

from _results import RESULTS, ROOT, read

from sketchgan.files import tables
from sketchgan.files.atomic import write_atomically
from sketchgan.study import table
from sketchgan.study.ablations import ROWS, Budget
from sketchgan.study.tasks import TASKS

README = ROOT / "README.md"
MARK = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.S)
METHODS = {"base": "base", "warm start": "warm start alone", "adversarial": "the published recipe alone",
           "both": "warm start, then the published recipe"}
KINDS = {"drawn": "drawn", "contour": "contours", "none": ""}
HANDS_TASK = "pose 5"  # the folder of open hands, as the judge of photographs names it
HANDS = {"open_contour": "open hand, five contours", "open_drawn": "open hand, five human drawings",
         "open_middle": "the same drawings, in the middle of the page",
         "one_contour": "one finger, five contours", "two_contour": "two fingers, five contours"}


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def curves(task: str) -> list[dict]:
    """What five sketches did to a base of Menagerie, one line for each method and time."""
    rows = [row for row in read(RESULTS / "customise_curves.csv") if row["task"] == task]
    of = lambda row: (row["images"] == "data", row["sketches"] == "contour", row["method"] == "adversarial",
                      row["seed"], row["seconds"])
    return [{"generator": METHODS[row["method"]], "sketches": KINDS[row["sketches"]],
             "D_image learns from": "" if row["images"] == "none" else row["images"],
             "seed": row["seed"], "seconds of work": round(row["seconds"]), "share in the pose": percent(row["share"]),
             "spread of mean colours, of the base's": f"{row['relative_color']:.2f}",
             "recall, of the base's": f"{row['relative_recall']:.2f}",
             "command": "`python benchmarks/customise_curves.py`"} for row in sorted(rows, key=of)]


def hands() -> list[dict]:
    """What five sketches did to the base of hands."""
    return [{"sketches": HANDS[row["task"]], "generator": METHODS[row["method"]], "seconds of work": row["seconds"],
             "share in the pose": percent(row["share"]),
             "95 %": f"{percent(row['low'])} to {percent(row['high'])}",
             "distance, median": f"{row['nearest_median']:.1f}",
             "command": "`python benchmarks/hands.py --seconds 90`"} for row in read(RESULTS / "hands.csv")
            if row["task"] in HANDS]


def ablations() -> list[dict]:
    """The ablation tables, short: Frechet distance and share of each task, means over seeds; photographs at the end."""
    tasks = [*((task, task.replace("_", " "), "ablations.csv") for task in TASKS),
             (HANDS_TASK, "open hand, photographs", "ablations_hands.csv")]
    found = {csv: table.final(table.current(read(RESULTS / csv), Budget().iterations)) for _, _, csv in tasks}
    lines = []
    for row in ROWS:
        line = {"row": row.name}
        for task, title, csv in tasks:
            runs = [r for r in found[csv] if r["task"] == task and r["row"] == row.name]
            mean = lambda name: sum(r[name] for r in runs) / len(runs)
            line[title] = f"{mean('frechet'):.1f}, {mean('share'):.0%} ({len(runs)})" if runs else "not run"
        lines.append(line | {"command": f"`python -m sketchgan ablations --only \"{row.name}\"`"})
    return lines


def projection() -> list[dict]:
    """How near each way of projecting comes, and for how much."""
    return [{"way": row["method"], "scenes": row["pictures"], "PSNR, dB": f"{row['psnr']:.1f}",
             "perceptual, by the judge": row["perceptual"], "error of yaw": f"{row['yaw_error']:.0f}°",
             "seconds of a core, each": f"{row['seconds']:.1f}",
             "command": f"`python benchmarks/projection.py --pictures {row['pictures']} --tasks --threads 1`"}
            for row in read(RESULTS / "projection.csv") if row["seconds"]]


def photo_editing() -> list[dict]:
    """What projected scenes become in a customised model, by rule."""
    return [{"task": row["task"].replace("_", " "), "rule": row["rule"], "scenes": row["pictures"],
             "in the pose": f"{row['share']:.0%}", "random samples": f"{row['share_of_samples']:.0%}",
             "background, of the error of w+ before": row["background_ratio"], "colour of the animal": row["color"],
             "texture": row["texture"], "dB to the truth": f"{row['psnr_to_truth']:.1f}",
             "command": f"`python benchmarks/projection.py --pictures {row['pictures']} --categories --threads 1`"}
            for row in read(RESULTS / "photo_editing.csv")]


TABLES = {"horse_on_a_side": lambda: curves("horse_on_a_side"), "standing_cat": lambda: curves("standing_cat"),
          "hands": hands, "ablations": ablations, "projection": projection, "photo_editing": photo_editing}


def filled(page: str) -> str:
    """The page with the table of each mark made anew."""
    return MARK.sub(lambda found: f"{found[1]}{tables.markdown(TABLES[found[2]]())}\n{found[3]}", page)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write_atomically(README, filled(README.read_text(encoding="utf-8")).encode())
    for name, made in TABLES.items():
        print(f"{name}\n{tables.markdown(made())}\n")
