"""Figures of the ablation rows: their Frechet distances, and the courses of the trained ones. They need matplotlib."""
from ..plotting import COLORS, INK, MUTED, RULE
from .orderings import course, final


def panels(tasks: list[str], size: tuple[float, float], **options):
    """A figure with one panel a task, and its axes."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    axes = figure.subplots(1, max(1, len(tasks)), squeeze=False, **options)[0]
    for one, task in zip(axes, tasks):
        one.set_title(task.replace("_", " "), loc="left", fontsize=9, color=INK)
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(which="both", axis="both", labelsize=7, colors=MUTED)
    return figure, axes


def draw(rows: list[dict], names: list[str], tasks: list[str]):
    """Frechet distances of all rows, one panel for each task that has any; a dot is a run, its line the interval."""
    shown = [task for task in tasks if any(row["task"] == task for row in rows)]
    figure, panel = panels(shown, (2 + 3.1 * len(shown), 0.6 + 0.3 * len(names)), sharey=True)
    for axes, task in zip(panel, shown):
        for y, name in enumerate(names):
            runs = [row for row in final(rows) if row["task"] == task and row["row"] == name]
            for k, row in enumerate(runs):
                at = y + 0.18 * (k - (len(runs) - 1) / 2)
                axes.plot([row["frechet_low"], row["frechet_high"]], [at, at], color=COLORS[1], lw=1.2)
                axes.plot(row["frechet"], at, "o", ms=4, color=COLORS[0] if name == "full method" else COLORS[1])
            if not runs:
                axes.text(0.02, y, "not run", transform=axes.get_yaxis_transform(), va="center", fontsize=7,
                          color=MUTED, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
        axes.set_yticks(range(len(names)), names, fontsize=8, color="black")
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.grid(axis="y", color=RULE, lw=0.4)
    figure.supxlabel("Frechet distance to the target, in the judge's features (smaller is better)", fontsize=8,
                     color=MUTED)
    return figure


def draw_courses(rows: list[dict], names: list[str], tasks: list[str]):
    """The way of each trained row (of the first seed that was run) from the original: the share of samples that show
    the target against the Frechet distance, a dot for each measurement. Rows on one line differ in pace; what lies
    above it, in quality too."""
    seeds: dict[tuple, list[int]] = {}
    for row in rows:
        if row["at"] > 0:
            seeds.setdefault((row["task"], row["row"]), []).append(row["seed"])
    walks = {task: [(name, course(rows, task, min(seeds[task, name]), name)) for name in names if (task, name) in seeds]
             for task in tasks}
    walks = {task: found for task, found in walks.items() if found}
    drawn = [name for name in names if any(name == other for found in walks.values() for other, _ in found)]
    look = {name: dict(color=COLORS[i % len(COLORS)], marker="osD^v"[i // len(COLORS) % 5])
            for i, name in enumerate(drawn)}
    figure, panel = panels(list(walks), (2.2 + 3.6 * max(1, len(walks)), 3.6))
    for axes, found in zip(panel, walks.values()):
        for name, walk in found:
            shares, distances = [100 * row["share"] for row in walk], [row["frechet"] for row in walk]
            axes.plot(shares, distances, ms=4, lw=1, label=name, **look[name])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    handles = {label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=7, frameon=False)
    figure.supxlabel("samples that show the target, %", fontsize=8, color=MUTED)
    figure.supylabel("Frechet distance", fontsize=8, color=MUTED)
    return figure
