"""Few-shot synthesis on Menagerie: how well are samples labelled, how well are layouts followed, and beside what.

    python benchmarks/fewshot.py                        # what is missing in results/fewshot.csv, then the table
    python benchmarks/fewshot.py --shots 1 --kinds dense --seeds 0 1

The shots are scenes whose parts are known exactly, brought into w+ by the projector; a sparse shot keeps 3 % of its
pixels. Samples of a GAN have no true parts, so a small segmenter judges them, which has learnt from scenes of its own
and is touched by nothing that is measured. Its own mIoU on held-out scenes comes first: no number below it can be
better. Layouts to paint are the true masks of held-out scenes. Trained models are kept in outputs/benchmarks/fewshot.
"""
import argparse
import time

import torch
from _results import RESULTS, ROOT, WEIGHTS, machine, read, show, write
from torch import nn
from torch.nn import functional

from sketchgan.editing import ProjectConfig, project
from sketchgan.fewshot import (
    Classes,
    EncoderConfig,
    Examples,
    Refinement,
    appearances,
    load_layouts,
    sample_codes,
    synthesize,
    train_layouts,
)
from sketchgan.fewshot.labels import feature_map
from sketchgan.fewshot.synthesis import judged
from sketchgan.files.progress import Progress
from sketchgan.measure import color_spread, frechet_distance, moments
from sketchgan.nets import sample
from sketchgan.nets.judge import Residual
from sketchgan.photos import rendered, to_float
from sketchgan.weights import checkpoints, load_generator, load_judge
from sketchgan.world import PART_NAMES

CSV, KEPT = RESULTS / "fewshot.csv", ROOT / "outputs" / "benchmarks" / "fewshot"
SCENES, HELD_OUT = 1024, 128    # that the segmenter learns from; on which it is measured, among them layouts and shots
SEED_SCENES, SEED_HELD_OUT = 5, 4
SAMPLES, LAYOUTS = 128, 48      # samples on which pseudo labels are measured; layouts that are painted
STEPS = 200                     # of projecting a shot
SPARSE = 0.03                   # share of the pixels that a sparse shot keeps


class Segmenter(nn.Module):
    """Pictures [N, 3, 64, 64] -> logits of parts [N, count, 64, 64]: a small pyramid with shortcuts across."""

    def __init__(self, count: int):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        self.down = nn.ModuleList([Residual(16, 32, 2), Residual(32, 64, 2), Residual(64, 96, 2)])
        self.up = nn.ModuleList([nn.Conv2d(160, 48, 3, 1, 1), nn.Conv2d(80, 24, 3, 1, 1)])
        self.out = nn.Conv2d(40, count, 1)

    def forward(self, x):
        x, skips = self.stem(x), []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for layer in self.up:
            x = functional.silu(layer(torch.cat([functional.interpolate(x, scale_factor=2), skips.pop()], 1)))
        return self.out(torch.cat([functional.interpolate(x, scale_factor=2, mode="bilinear"), skips.pop()], 1))

    @torch.no_grad()
    def parts(self, images):
        """Parts int64 [N, R, R], from 1: as label maps count."""
        return torch.cat([self(part).argmax(1) + 1 for part in images.split(64)])


def segmenter(category: str, images: int = 10_000) -> Segmenter:
    """The judge of parts, from its file or trained."""
    path, count = KEPT / f"segmenter_{category}.safetensors", len(PART_NAMES[category])
    torch.manual_seed(1)
    net = Segmenter(count).to(memory_format=torch.channels_last)
    if path.is_file():
        net.load_state_dict(checkpoints.read_tensors(path)[0])
        return net.eval()
    scenes = rendered(category, 2 * SCENES, 64, SEED_SCENES, ("image", "parts"))
    pictures, parts = scenes["image"][SCENES:], scenes["parts"][SCENES:].long()
    random, batch = torch.Generator().manual_seed(1), 32
    optimizer = torch.optim.AdamW(net.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=images // batch)
    for _ in Progress(range(images // batch), desc="segmenter"):
        chosen = torch.randint(SCENES, (batch,), generator=random)
        x, y = to_float(pictures[chosen]), parts[chosen]
        mirrored = torch.rand(batch, generator=random) < 0.5
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
        y = torch.where(mirrored[:, None, None], y.flip(2), y)
        tint = 0.15 * torch.randn(2, batch, 3, 1, 1, generator=random)      # samples are never quite like renders
        grain = 0.1 * torch.rand(batch, 1, 1, 1, generator=random) * torch.randn(x.shape, generator=random)
        loss = functional.cross_entropy(net(x * (1 + tint[0]) + tint[1] + grain), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    checkpoints.write_safetensors(path, net.state_dict(), {})
    return net.eval()


def agreement(found: torch.Tensor, true: torch.Tensor, count: int) -> dict[str, float]:
    """Share of equal pixels where something is asked, and the mean over classes of intersection over union."""
    asked = true > 0
    ious = []
    for c in range(1, count + 1):
        a, b = (found == c) & asked, true == c
        if b.any():
            ious.append((a & b).sum().item() / (a | b).sum().item())
    return {"pixels": (found == true)[asked].float().mean().item(), "miou": sum(ious) / len(ious)}


def linear_probe(G, ws, masks, count: int, steps: int = 300):
    """A linear classifier of the same features on the same shots (as LinearGAN and DatasetGAN do): ws -> labels."""
    features = feature_map(G, ws, (16, 32))
    grown = functional.interpolate(features, (64, 64), mode="bilinear").permute(0, 2, 3, 1)[masks > 0]
    torch.manual_seed(0)
    layer = nn.Linear(grown.shape[1], count)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05, weight_decay=1e-4)
    for _ in range(steps):
        loss = functional.cross_entropy(layer(grown * 10), masks[masks > 0] - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def labels(ws):
        logits = torch.cat([layer(10 * feature_map(G, part, (16, 32)).permute(0, 2, 3, 1)) for part in ws.split(64)])
        return functional.interpolate(logits.permute(0, 3, 1, 2), (64, 64), mode="bilinear").argmax(1) + 1

    return labels


class Bench:
    """One category: its base, its held-out scenes, and what is measured on them."""

    def __init__(self, category: str, kimg: float):
        self.category, self.config = category, EncoderConfig(kimg=kimg)
        self.G = load_generator(WEIGHTS / f"{category}64.safetensors").requires_grad_(False)
        self.classes = Classes(PART_NAMES[category])
        scenes = rendered(category, HELD_OUT, 64, SEED_HELD_OUT, ("image", "parts"))
        self.pictures, self.parts = to_float(scenes["image"]), scenes["parts"].long() + 1
        self.layouts = self.parts[:LAYOUTS]
        self.ws = sample_codes(self.G, range(10_000, 10_000 + SAMPLES))

    def examples(self, shots: int, kind: str, seed: int) -> Examples:
        """Scenes that no layout is taken from, projected; each class is in one of them at least."""
        random = torch.Generator().manual_seed(seed)
        for _ in range(200):
            chosen = LAYOUTS + torch.randperm(HELD_OUT - LAYOUTS, generator=random)[:shots]
            if (torch.stack([self.parts[chosen] == c + 1 for c in range(len(self.classes))]).sum((1, 2, 3)) >= 8).all():
                break
        else:
            raise ValueError("no choice of scenes shows every class: take more shots")
        path = KEPT / f"{self.category}_{shots}_{seed}_codes.safetensors"
        if path.is_file():
            ws = checkpoints.read_tensors(path)[0]["ws"]
        else:
            ws = project(self.G, self.pictures[chosen], None, ProjectConfig(space="w+", steps=STEPS)).ws.detach()
            checkpoints.write_safetensors(path, {"ws": ws}, {})
        examples = Examples(self.classes, ws, self.parts[chosen])
        return examples if kind == "dense" else examples.scribbled(SPARSE, seed)

    def model(self, shots: int, kind: str, seed: int):
        """The trained model of these shots, from its file or trained now, and how long that took on the CPU."""
        path = KEPT / f"{self.category}_{shots}_{kind}_{seed}.safetensors"
        if path.is_file():
            return load_layouts(path, self.G)
        began = time.process_time()
        model = train_layouts(self.G, self.examples(shots, kind, seed), path, self.config, kind=kind)
        model.info["cpu_seconds"] = round(time.process_time() - began)
        model.save(path)
        return model

    def painted(self, images) -> dict[str, float]:
        """How far pictures of all layouts follow them, by the judge of parts."""
        return agreement(self.judge.parts(images), self.layouts, len(self.classes))

    def rows(self, shots: int, kind: str, seed: int) -> list[dict]:
        """Pseudo labels and syntheses of one choice of shots, beside what is simpler."""
        model, G, count = self.model(shots, kind, seed), self.G, len(self.classes)
        about = dict(base=self.category, shots=shots, kind=kind, seed=seed)
        rows, examples = [], self.examples(shots, kind, seed)
        shown = self.judge.parts(sample_of(G, self.ws))
        seconds = time.process_time()
        labels = model.labeller.labels(G, self.ws)
        seconds = (time.process_time() - seconds) * 1000 / SAMPLES
        said = labels > 0                               # a sparse label says little, and is held to that
        rows.append(about | dict(what="pseudo labels", labelled=said.float().mean().item(), cpu_seconds=seconds)
                    | agreement(shown, torch.where(said, labels, 0), count))
        probe = linear_probe(G, examples.ws, examples.masks, count)
        rows.append(about | dict(what="linear probe of the same shots", labelled=1.0)
                    | agreement(shown, probe(self.ws), count))
        mean = G.mean_w()[None, None].expand(LAYOUTS, G.num_ws, -1)
        made = {"mean w": judged(model, G, self.layouts, mean),
                "retrieval": synthesize(model, G, self.layouts, start="retrieval"),
                "encoder": synthesize(model, G, self.layouts),
                "encoder, refined": synthesize(model, G, self.layouts, refinement=Refinement()),
                "retrieval, refined": synthesize(model, G, self.layouts, "retrieval", Refinement())}
        for what, result in made.items():
            rows.append(about | dict(what=what, labelled=1.0, cosine=result.score.mean().item())
                        | self.painted(result.images))
        return rows

    def variety(self, shots: int, kind: str, seed: int) -> list[dict]:
        """16 appearances of each of 16 layouts: colours against those of random samples, and how real they are."""
        model, judge, rows = self.model(shots, kind, seed), load_judge(WEIGHTS / "judge.safetensors"), []
        about = dict(base=self.category, shots=shots, kind=kind, seed=seed)
        random = sample(self.G, 256, seed=1)
        features = judge.features(random)
        for mix_from in (model.mix_from, model.mix_from - 2, model.mix_from - 3):
            groups = [appearances(model, self.G, self.layouts[i:i + 1], 16, i, mix_from=mix_from) for i in range(16)]
            images = torch.cat([group.images for group in groups])
            follows = agreement(self.judge.parts(images), self.layouts[:16].repeat_interleave(16, 0), len(self.classes))
            rows.append(about | dict(what=f"appearances, rows from {mix_from}",
                             spread=sum(color_spread(g.images) for g in groups) / 16 / color_spread(random),
                             frechet=frechet_distance(*moments(features), *moments(judge.features(images)))) | follows)
        other = judge.features(sample(self.G, 256, seed=2))
        rows.append(about | dict(what="random samples", spread=1.0,
                                 frechet=frechet_distance(*moments(features), *moments(other))))
        return rows


@torch.no_grad()
def sample_of(G, ws):
    """Pictures of latents."""
    return torch.cat([G.synthesis(part, "const").clamp(-1, 1) for part in ws.split(64)])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="cat", choices=sorted(PART_NAMES))
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--kinds", nargs="+", default=["dense", "sparse"], choices=("dense", "sparse"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--kimg", type=float, default=6.0, help="pairs that each encoder sees, in thousands")
    parser.add_argument("--train", action="store_true", help="only train what is missing")
    options = parser.parse_args(argv)
    KEPT.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.base, options.kimg)
    runs = [(shots, kind, seed) for seed in options.seeds for shots in options.shots for kind in options.kinds]
    for run in runs:
        bench.model(*run)
    if options.train:
        return
    bench.judge = segmenter(options.base)
    rows = read(CSV)
    done = {(row["base"], row["shots"], row["kind"], row["seed"]) for row in rows}
    if (options.base, "", "", "") not in done:
        rows.append(dict(base=options.base, shots="", kind="", seed="", what="segmenter, held-out scenes", labelled=1.0)
                    | agreement(bench.judge.parts(bench.pictures), bench.parts, len(bench.classes)))
    for run in runs:
        if (options.base, *run) not in done:
            rows += [row | {"machine": machine()} for row in bench.rows(*run)]
            rows += [row | {"machine": machine()} for row in (bench.variety(*run) if run[:2] == (5, "dense") else [])]
            write(CSV, rows)
    show(rows)


if __name__ == "__main__":
    main()
