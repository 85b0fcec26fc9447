"""W space against weight space: how nearly the two ways of mixing models agree, beside two random samples.

    python benchmarks/mixing_agreement.py            # writes benchmarks/results/mixing_agreement.csv

Mean absolute difference of pictures in [-1, 1] at the same z, with the noise of G's buffers; and what the judge says of
either: the share of samples in the pose, which half a customisation has or has not. Seed 0.
"""
import argparse

import torch
from _family import SHORT, family
from _results import RESULTS, WEIGHTS, machine, show, write

from sketchgan.editing import Mixer, added, agreement, strength
from sketchgan.weights import load_judge

MIXTURES = {"horse": {"half side": strength("side", 0.5), "half rider": strength("rider", 0.5),
                      "side with rider": {"side": 0.5, "rider": 0.5}, "side at 1.5": strength("side", 1.5),
                      "both added": added({"side": 1.0, "rider": 1.0})},
            "cat": {"half standing": strength("standing", 0.5), "standing at 1.5": strength("standing", 1.5)}}


@torch.no_grad()
def main() -> None:
    """Measure every mixture, print and write the table."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--samples", type=int, default=256)
    p.add_argument("--bases", nargs="+", default=["horse"], choices=list(MIXTURES))
    args = p.parse_args()
    judge, rows = load_judge(WEIGHTS / "judge.safetensors"), []
    for base, mixtures in ((base, MIXTURES[base]) for base in args.bases):
        mixer = Mixer(family(base))
        G = mixer.models["original"]
        z = torch.randn(args.samples, G.z_dim, generator=torch.Generator().manual_seed(0))
        tasks = [task for task, name in SHORT.items() if name in mixer.models]
        for name, shares in mixtures.items():
            apart = agreement(mixer, shares, z)
            row = {"base": base, "mixture": name, "ways_differ": round(apart["ways"], 4),
                   "samples_differ": round(apart["samples"], 4), "ratio": round(apart["ways"] / apart["samples"], 3),
                   "w_differ": round(apart["w"], 3)}
            for space in ("w", "weights"):
                images = torch.cat([G.synthesis(part, "const") for part in mixer.ws(shares, z, space).split(64)])
                for task in tasks:
                    share = torch.cat([judge.satisfies(task, part) for part in images.split(64)]).float().mean()
                    row[f"{SHORT[task]}_{space}"] = round(share.item(), 3)
            rows.append(row | {"samples": args.samples, "machine": machine()})
            show(rows[-1:])
    write(RESULTS / "mixing_agreement.csv", rows)
    show(rows)


if __name__ == "__main__":
    main()
