"""The table of data/README.md, read from the metadata of the weights that ship.

    python benchmarks/weights_table.py            # print it
    python benchmarks/weights_table.py --write    # put it between the marks in data/README.md
    python benchmarks/weights_table.py --measure outputs/horse64/gan.safetensors data/weights/horse64.safetensors

--measure compares 512 samples of each base GAN with 512 held-out renders (seed 4), by the judge's features, and says
how far (mean absolute difference, of 2) what it paints for the z of each render's code is from the render. The rows are
kept in results/bases.csv, one for each file by what it holds.
"""
import sys
from pathlib import Path

import torch
from _results import RESULTS, ROOT, WEIGHTS, read, show, write

from sketchgan.files.atomic import write_atomically
from sketchgan.weights.checkpoints import read_metadata

BASES, SAMPLES = RESULTS / "bases.csv", 512
README, BEGIN, END = ROOT / "data" / "README.md", "<!-- weights: begin -->", "<!-- weights: end -->"
LICENCE = "MIT; renders of this project"
PHOTOS = {"hands": "MIT; photographs: Sign Language Digits, A. Mavi and Z. Dikle, Apache-2.0, not included"}


def measure(path: Path) -> None:
    """One row of results/bases.csv for a base GAN of Menagerie; a row of the same weights is replaced."""
    from sketchgan import load_generator
    from sketchgan.measure import evaluate, judge_features
    from sketchgan.nets import sample
    from sketchgan.photos.datasets import SEED_EVALUATION, RenderedScenes
    from sketchgan.pretraining.mapping import z_of_code
    from sketchgan.weights.checkpoints import content_hash
    from sketchgan.weights.own import load_judge

    meta, G = read_metadata(path), load_generator(path)
    scenes = RenderedScenes(meta["data"], SAMPLES, G.resolution, SEED_EVALUATION)
    renders = scenes[slice(None)]
    found = evaluate(judge_features(load_judge(WEIGHTS / "judge.safetensors")), renders, sample(G, SAMPLES, seed=1))
    z = z_of_code(scenes.code, G.z_dim, torch.Generator().manual_seed(1))
    with torch.no_grad():
        painted = torch.cat([G(part, noise_mode="none") for part in z.split(64)])
    row = {"file": path.name, "weights": content_hash(G)[:12], "images": meta["images_seen"],
           "minutes": round(meta["seconds"] / 60), "difference": round(float((painted - renders).abs().mean()), 4),
           **found.columns()}
    write(BASES, [old for old in read(BASES) if str(old["weights"]) != row["weights"]] + [row])


def measured(path: Path) -> str:
    """What `measure` found of these weights."""
    from sketchgan import load_generator
    from sketchgan.weights.checkpoints import content_hash

    mark = content_hash(load_generator(path))[:12]
    for found in read(BASES):
        if str(found["weights"]) == mark:
            return (f"Frechet {found['frechet']:.3g}, KID {found['kid']:.2g}, precision {found['precision']:.2f}, "
                    f"recall {found['recall']:.2f} ({found['real']} held-out renders, the judge's features)")
    return "see the judge's shares in the README"


def row(path) -> str:
    """One line: file, what it is, how it was made, what was measured."""
    meta = read_metadata(path)
    config, size = meta["config"], f"{path.stat().st_size / 1e6:.1f} MB"
    if "g_ema" in config:
        g, t = config["g_ema"], meta["training"]
        name = path.stem.rstrip("0123456789").rstrip("s") + "s"
        what = f"base GAN (G_ema and D) of {name}, {g['resolution']} px"
        paired = min(meta["images_seen"] / 1000, t["paired_kimg"])
        made = (f"{meta['images_seen'] / 1000:.0f} kimg, about {paired:.0f} of them pairs, "
                f"{meta['seconds'] / 60:.0f} min ({meta['machine']})")
        quality = measured(path)
        if meta["history"]:
            made += "; " + "; ".join(f"at {h['seen'] / 1000:.0f} kimg changed {', '.join(sorted(h['changed']))}"
                                     for h in meta["history"])
    else:
        q = meta["quality"]
        # Files of before November 2026 say `python -m sketchgan.pretrain`: the same command under its old name.
        command = meta["command"].replace("-m sketchgan.", "-m sketchgan ")
        made = f"{meta['images'] / 1000:.0f} kimg: `{command}`"
        if "f" in config:
            what = f"F, photograph to sketch (ngf {config['f']['ngf']}, {config['f']['n_blocks']} blocks)"
            quality = (f"contour F1 within 1 px {q['f1_1px_running']:.3f} (running statistics), "
                       f"{q['f1_1px_batch']:.3f} (batch); {q['ms_per_image']:.1f} ms an image")
        elif config.get("encoder", {}).get("in_channels") == 3:
            what = f"photo encoder of {path.stem.removesuffix('_photo_encoder')}: a picture to w, to begin projection"
            quality = (f"explains {q['explained']:.0%} of w's variance; paints {q['samples']} fresh samples at "
                       f"{q['psnr']:.1f} dB; {q['ms_per_image']:.0f} ms an image, busy core")
        elif "sketchembedding" in config:
            what = "the sketch embedding, for the retrieval baseline only"
            quality = "the photograph of a redrawn contour comes first: " + ", ".join(
                f"{share:.0%} of {q['gallery'][name]} {name}" for name, share in q["first"].items())
        elif "held_out" in q:
            what = f"the judge of {config['judge']['categories'][0]}, for measuring only"
            quality = (f"accuracy on {q['held_out']} held-out photographs {q['clean']['accuracy']:.1%}, degraded "
                       f"{q['degraded']['accuracy']:.1%}")
        else:
            what = "the judge, for measuring only"
            shares = ", ".join(f"{k} {v:.1%}" for k, v in q["clean"]["accuracy"].items())
            errors = ", ".join(f"{v:.0f}°" for v in q["clean"]["yaw_degrees"].values())
            quality = f"held-out accuracy: {shares}; median error of yaw {errors}"
    licence = next((text for name, text in PHOTOS.items() if name in path.stem), LICENCE)
    return f"| `{path.name}` ({size}) | {what} | {made} | {quality} | {licence} |"


def table() -> str:
    """The whole table in Markdown."""
    head = ["| file | what it is | how it was made | measured | licence and data |", "|---|---|---|---|---|"]
    return "\n".join(head + [row(p) for p in sorted(WEIGHTS.glob("*.safetensors"))])


if __name__ == "__main__":
    if "--measure" in sys.argv[1:]:
        for name in sys.argv[sys.argv.index("--measure") + 1:]:
            measure(Path(name))
        sys.exit(show(read(BASES)))
    if "--write" in sys.argv[1:]:
        before, rest = README.read_text().split(BEGIN)
        write_atomically(README, f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}".encode())
    print(table())
