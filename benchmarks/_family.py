"""The models that the benchmarks of editing share: a base, and those that the warm start makes of it (in outputs/)."""
import torch
from _results import ROOT, WEIGHTS

from sketchgan.customizing import WarmStart, warm_start
from sketchgan.drawing import load_sketches
from sketchgan.weights import load_generator, load_photosketch, save
from sketchgan.world import PREDICATES

SEARCH = WarmStart(samples=384, rounds=0, steps=300)     # an eighth of the usual search, as in notebook 06
SHORT = {"horse_on_a_side": "side", "horse_with_rider": "rider", "standing_cat": "standing"}


def family(base: str) -> dict:
    """'original' and, for each task of the base, a model after the warm start alone (seed 0, drawings that ship)."""
    path = WEIGHTS / f"{base}64.safetensors"
    models = {"original": load_generator(path)}
    for task, name in SHORT.items():
        if PREDICATES[task] != base:
            continue
        kept = ROOT / "outputs" / "editing" / f"{task}.safetensors"
        if not kept.is_file():
            save(kept, G=warm_started(path, task))
        models[name] = load_generator(kept)
    return models


@torch.enable_grad()        # whoever measures has switched gradients off
def warm_started(path, task: str):
    """The base after the warm start for a task's drawings, as notebook 06 makes it."""
    G, F = load_generator(path), load_photosketch(WEIGHTS / "photosketch.safetensors")
    for _ in warm_start(G, F, load_sketches(task, G.resolution), SEARCH, torch.Generator().manual_seed(0)):
        pass                                            # it works on G itself
    return G
