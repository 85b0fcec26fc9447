"""The picture at the top of the README: what `make quickstart` made, beside the base GAN at the same z and noise.

    make quickstart && python benchmarks/readme_picture.py
"""
from _results import ROOT, WEIGHTS

from sketchgan import checkpoints, plotting
from sketchgan.metrics import sample
from sketchgan.sketches import load_sketches

if __name__ == "__main__":
    base = checkpoints.load_generator(WEIGHTS / "cat64.safetensors")
    mine = checkpoints.load_generator(ROOT / "outputs" / "quickstart" / "customized.safetensors")
    picture = plotting.before_after(sample(base, 16, seed=1), sample(mine, 16, seed=1), load_sketches("standing_cat", 64))
    (ROOT / "assets").mkdir(exist_ok=True)
    checkpoints.write_atomically(ROOT / "assets" / "readme.png", plotting.png(picture))
    print(ROOT / "assets" / "readme.png", picture.size)
