"""The picture at the top of the README: what `make quickstart` made, beside the base GAN at the same z and noise.

    make quickstart && python benchmarks/readme_picture.py
"""
from _results import ROOT, WEIGHTS

from sketchgan import plotting
from sketchgan.drawing.sketches import load_sketches
from sketchgan.nets.sampling import sample
from sketchgan.weights import checkpoints

if __name__ == "__main__":
    base = checkpoints.load_generator(WEIGHTS / "horse64.safetensors")
    mine = checkpoints.load_generator(ROOT / "outputs" / "quickstart" / "customized.safetensors")
    picture = plotting.before_after(sample(base, 16, seed=1), sample(mine, 16, seed=1),
                                    load_sketches("horse_on_a_side", 64))
    (ROOT / "assets").mkdir(exist_ok=True)
    picture.convert("RGB").save(ROOT / "assets" / "quickstart.jpg", quality=88, optimize=True)
    print(ROOT / "assets" / "quickstart.jpg", picture.size)
