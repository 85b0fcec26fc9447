"""Directions: which attributes get a pure one, and whether directions of the original still mean the same elsewhere.

    python benchmarks/editing_directions.py                 # writes results/named_directions.csv, directions_kept.csv
    python benchmarks/editing_directions.py --bases horse cat

Named: every attribute that the judge reads, and brightness and warmth of the picture; how far +1 sigma moves it, in
standard deviations, and the largest other movement; offered from 3 times on. Kept: for components and offered
directions, the cosine between what they move on the original and on each customised model. Seed 0.
"""
import argparse

import torch
from _family import family
from _results import RESULTS, WEIGHTS, machine, show, write

from sketchgan.editing import find_components, find_directions, judged, movement, same_meaning
from sketchgan.editing.directions import PURE
from sketchgan.weights import load_judge

COMPONENTS = 10


def main() -> None:
    """Find, try, compare; print and write both tables."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--bases", nargs="+", default=["horse"])
    p.add_argument("--samples", type=int, default=192)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    judge, named_rows, kept_rows = load_judge(WEIGHTS / "judge.safetensors").requires_grad_(False), [], []
    for base in args.bases:
        models = {name: G.requires_grad_(False) for name, G in family(base).items()}
        G, attributes = models["original"], judged(judge, base)
        # From 1 on here, so that the table tells of those that are refused, too.
        found = find_directions(G, attributes, samples=args.samples, tried=args.samples, pure=1.0)
        for name, one in found.items():
            largest = max((abs(v), other) for other, v in one.moves.items() if other != name)
            named_rows.append({"base": base, "direction": name, "layers": f"{one.direction.layers[0]} to "
                               f"{one.direction.layers[-1]}", "own": round(one.own, 3), "largest_other":
                               round(largest[0], 3), "which": largest[1], "purity": round(one.purity, 2),
                               "offered": one.purity >= PURE, "samples": args.samples, "machine": machine()})
        write(RESULTS / "named_directions.csv", named_rows)
        show(named_rows)
        components = find_components(G)
        directions = [components.direction(k) for k in range(COMPONENTS)]
        directions += [one.direction for one in found.values() if one.purity >= PURE]
        for direction in directions:
            moves = {name: movement(model, direction, attributes, samples=64) for name, model in models.items()}
            kept_rows.append({"base": base, "direction": direction.name} | {
                "model": " ".join(list(models)[1:]), "cosines": " ".join(
                    f"{same_meaning(moves['original'], moves[name]):.3f}" for name in list(models)[1:]),
                "samples": 64, "machine": machine()})
        write(RESULTS / "directions_kept.csv", kept_rows)
        show(kept_rows)


if __name__ == "__main__":
    main()
