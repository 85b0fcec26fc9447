"""The same numbers before and after a change of the code: hashes of losses, a warm start, renders, metrics, parity
cases.

    python benchmarks/same_numbers.py > before.txt      # and again after the change: diff says what moved

Everything is on one thread and from fixed seeds, so on one machine two runs of the same code print the same text.
"""
import hashlib
import sys
from importlib import import_module
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
WEIGHTS = ROOT / "data" / "weights"


def name(*places: str):
    """The object of the first of these dotted places that exists: the code of other days had it elsewhere."""
    for place in places:
        module, _, leaf = place.rpartition(".")
        try:
            return getattr(import_module(f"sketchgan.{module}"), leaf)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"none of {', '.join(places)} is there; tell benchmarks/same_numbers.py where it went")


def say(what: str, *values) -> None:
    """One line: what, a hash of all bits, and the first numbers for people."""
    flat = [torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in values]
    bits = b"".join(v.numpy().tobytes() for v in flat)
    shown = " ".join(f"{x:.6g}" for x in torch.cat(flat)[-3:].tolist())
    print(f"{what:44} {hashlib.sha256(bits).hexdigest()[:16]}  {shown}", flush=True)


load_generator = name("weights.checkpoints.load_generator", "checkpoints.load_generator")
load_discriminator = name("weights.checkpoints.load_discriminator", "checkpoints.load_discriminator")
load_photosketch = name("weights.checkpoints.load_photosketch", "checkpoints.load_photosketch")
load_judge = name("weights.own.load_judge", "weights.checkpoints.load_judge", "weights.load_judge", "judge.load_judge")
load_sketches = name("drawing.sketches.load_sketches", "drawing.load_sketches", "sketches.load_sketches")
sample = name("nets.sampling.sample", "measure.metrics.sample", "metrics.sample")
customize = name("customizing.run.customize", "customize.customize")
Config = name("customizing.run.CustomizeConfig", "customizing.recipe.CustomizeConfig", "customizing.CustomizeConfig",
              "customize.CustomizeConfig")


def networks():
    base = WEIGHTS / "horse64.safetensors"
    return load_generator(base), load_discriminator(base), load_photosketch(WEIGHTS / "photosketch.safetensors")


def customising(steps: int = 50) -> None:
    """Losses and the mapping network of `steps` steps: as published, and with the other regularisation and images."""
    sketches = load_sketches("horse_on_a_side")
    rows = {"as published": {}, "l_weight, no l_image": dict(l_image=0.0, l_weight=5.0, sample_every=0),
            "w_shift": dict(optim_param="w_shift"), "D from scratch": dict(d_sketch_pretrained=False)}
    for title, options in rows.items():
        n = steps if not options else 10
        G, D, F = networks()
        config = Config(seed=3, threads=1, iterations=n, stopping=None, **options)
        losses, last = [], None
        for step in customize(G, D, F, sketches, config=config):
            losses.append(list(step.losses.values()))
            last = step
        say(f"customize, {title}, {n} steps", torch.tensor(sum(losses, [])))
        say("    the generator after them", sample(last.G, 8, seed=1))


def with_images() -> None:
    G, D, F = networks()
    images = sample(G, 64, seed=7)
    steps = list(customize(G, D, F, load_sketches("horse_on_a_side"), images=images,
                           config=Config(seed=3, threads=1, iterations=10, stopping=None)))
    say("customize, with images, 10 steps", torch.tensor(sum((list(s.losses.values()) for s in steps), [])))


def warm_start() -> None:
    start = name("customizing.warmstart.warm_start", "warmstart.warm_start")
    recipe = name("customizing.warmstart.WarmStart", "warmstart.WarmStart")
    G, _, F = networks()
    config = recipe(samples=512, pool=2048, candidates=128, rounds=2, steps=60)
    seen = list(start(G, F, load_sketches("horse_on_a_side"), config, torch.Generator().manual_seed(5)))
    say("warm start, losses reported", torch.tensor(sum((list(p.losses.values()) for p in seen), [])))
    say("    the mapping network", *[p.detach() for p in G.style.parameters()])


def pretraining(steps: int = 30) -> None:
    """Steps of `pretrain gan` on tensors: plain, and with pairs, heads and growth."""
    from_gan = lambda leaf: name(f"pretraining.gan.{leaf}", f"gan.{leaf}")
    features_of = name("nets.features.Features", "encoder.Features")
    code_size = name("world.scenes.code_size", "menagerie.code_size")
    channels = {4: 8, 8: 8, 16: 8, 32: 6}

    class Noise:
        category = "cat"
        random = torch.Generator().manual_seed(0)
        images = torch.randn(12, 3, 32, 32, generator=random).tanh()
        code = torch.randn(12, code_size("cat"), generator=random)

        def __len__(self):
            return 12

        def __getitem__(self, index):
            return self.images[index]

    for title, extra in {"plain": {}, "pairs, heads": dict(paired_kimg=0.04, heads_weight=0.5)}.items():
        torch.manual_seed(3)
        features = features_of(dict(contour=1), 2, channels=(4, 4, 4, 4, 4)).eval()
        config = from_gan("GanConfig")(resolution=32, z_dim=48, w_dim=16, num_mapping=2, channels=channels,
                                       d_channels=channels, batch=4, growth={16: 0.04}, kimg=0.12, d_reg_every=2,
                                       **extra)
        trainer = from_gan("GanTrainer")(config, Noise(), features)
        logs = [list(trainer.step().values()) for _ in range(steps)]
        say(f"pretrain gan, {title}, {steps} steps", torch.tensor(sum(logs, [])))
        say("    the average generator", *[p.detach() for p in trainer.G_ema.parameters()])


def metrics() -> None:
    evaluate = name("measure.evaluation.evaluate", "evaluation.evaluate")
    judge_features = name("measure.extractors.judge_features", "extractors.judge_features")
    G, _, _ = networks()
    judge = load_judge(WEIGHTS / "judge.safetensors")
    result = evaluate(judge_features(judge), sample(G, 500, seed=1), sample(G, 500, seed=2), resamples=20)
    numbers = [v for k, v in sorted(result.columns().items()) if isinstance(v, (int, float))]
    say("metrics of 500 samples", torch.tensor(numbers, dtype=torch.float64))


def renders() -> None:
    menagerie = name("world.scenes.Menagerie", "menagerie.Menagerie")
    views = ("image", "contour", "parts", "albedo", "depth", "portrait")
    for category in ("cat", "horse", "church"):
        seen = menagerie(category, 64, seed=4).render(range(6), views)
        values = [getattr(seen, view) for view in views]
        say(f"render of a {category}, all views", *values)


def parity() -> None:
    from parity.reference import case, filled  # noqa: E402
    PhotoSketch = name("nets.photosketch.PhotoSketch", "photosketch.PhotoSketch")
    reference = case("photosketch")
    F = filled(PhotoSketch(), "photosketch", int(reference["seed"])).eval()
    say("parity, photosketch", F(reference["x"]).detach())
    Generator = name("nets.stylegan2.Generator", "stylegan2.Generator")
    reference = case("generator_64")
    G = filled(Generator(64), "generator_64", int(reference["seed"])).eval()
    say("parity, generator_64", G(reference["z"], noise_mode="const").detach())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for part in (renders, parity, pretraining, warm_start, metrics, with_images, customising):
        part()
