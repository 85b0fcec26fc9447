"""The table of data/README.md, read from the metadata of the weights that ship.

    python benchmarks/weights_table.py            # print it
    python benchmarks/weights_table.py --write    # put it between the marks in data/README.md
"""
import sys

from _results import ROOT, WEIGHTS

from sketchgan.files.atomic import write_atomically
from sketchgan.weights.checkpoints import read_metadata

README, BEGIN, END = ROOT / "data" / "README.md", "<!-- weights: begin -->", "<!-- weights: end -->"
LICENCE = "MIT; renders of this project"
PHOTOS = {"hands": "MIT; photographs: Sign Language Digits, A. Mavi and Z. Dikle, Apache-2.0, not included"}


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
        quality = "see the judge's shares in the README"
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
        elif "sketchembedding" in config:
            what = "the sketch embedding, for the retrieval baseline only"
            quality = "the photograph of a redrawn contour comes first: " + ", ".join(
                f"{share:.0%} of {q['gallery'][name]} {name}" for name, share in q["first"].items())
        elif "held_out" in q:
            what = f"the judge of {config['judge']['categories'][0]}, for measuring only"
            quality = (f"accuracy on {q['held_out']} held-out photographs {q['clean']['accuracy']:.1%}, "
                       f"degraded {q['degraded']['accuracy']:.1%}")
        else:
            what = "the judge, for measuring only"
            shares = ", ".join(f"{k} {v:.1%}" for k, v in q["clean"]["accuracy"].items())
            degrees = ", ".join(f"{v:.0f}°" for v in q["clean"]["yaw_degrees"].values())
            quality = f"held-out accuracy: {shares}; median error of yaw {degrees}"
    licence = next((text for name, text in PHOTOS.items() if name in path.stem), LICENCE)
    return f"| `{path.name}` ({size}) | {what} | {made} | {quality} | {licence} |"


def table() -> str:
    """The whole table in Markdown."""
    head = ["| file | what it is | how it was made | measured | licence and data |", "|---|---|---|---|---|"]
    return "\n".join(head + [row(p) for p in sorted(WEIGHTS.glob("*.safetensors"))])


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        before, rest = README.read_text().split(BEGIN)
        write_atomically(README, f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}".encode())
    print(table())
