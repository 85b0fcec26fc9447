"""Bad calls of the public API: every exported callable, each argument replaced by what people give by mistake, ends in
an error that names the argument and is raised by us, never in a traceback from the depths.

GOOD holds one good call of each; a callable without one fails. What stands in for an argument follows from the kind of
its good value: nonsense of another type, numbers out of range, tensors of another shape or dtype, NaN, nothing at all.
"""
import contextlib
import importlib
import inspect
import math
import re
import signal
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import sketchgan
import sketchgan.fewshot

FOLDERS = ("files", "ops", "nets", "weights", "world", "photos", "drawing", "measure", "customizing", "pretraining",
           "editing",
           "fewshot",
           "portraits",
           "study", "widgets", "plotting")
HOME = str(Path(sketchgan.__file__).parent)
TINY = {4: 4, 8: 4, 16: 4, 32: 4}


def exported() -> dict:
    """'folder.name' -> callable, of everything that a folder exports; exceptions and plain records left out."""
    found = {}
    for folder in FOLDERS:
        module = importlib.import_module(f"sketchgan.{folder}")
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__ and n[0] != "_"]
        for name in getattr(module, "__all__", own):
            value = getattr(module, name)
            if callable(value) and not (isinstance(value, type) and issubclass(value, BaseException)):
                found[f"{folder}.{name}"] = value
    return found


# Made by the library for people to read, not to be made by them.
RECORDS = {"measure.Estimate", "measure.Extractor", "customizing.Look", "customizing.Step", "drawing.UsualBox",
           "editing.Named", "editing.Projection", "fewshot.Synthesis", "study.Task", "portraits.PortraitStep",
           "portraits.StyleExamples"}
EXPORTED = {name: value for name, value in exported().items() if name not in RECORDS}


@pytest.fixture(scope="module")
def x(tmp_path_factory):
    """Good values to call with: tiny networks, pictures, files."""
    from sketchgan.customizing import CustomizeConfig, StoppingRule, TrainingState
    from sketchgan.editing import find_components, save_components
    from sketchgan.nets import Discriminator, Features, Generator, Judge, PhotoSketch
    from sketchgan.portraits import DualStyleGAN, save_codes, save_portraits, save_sampler
    from sketchgan.portraits.refinement import StyleSampler
    from sketchgan.weights import save, save_training
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("calls")
    G, D, F = Generator(32, 8, 8, 2, TINY).eval(), Discriminator(32, TINY), PhotoSketch(2, 1)
    images, sketches = torch.rand(12, 3, 32, 32) * 2 - 1, torch.ones(12, 1, 32, 32)
    sketches[:, :, 8:24, 8:10] = -1
    save(folder / "gan.safetensors", G=G, D=D, F=F)
    save_training(folder / "training.pt", {"a": torch.zeros(2)})
    save_components(folder / "w.npz", find_components(G, samples=50))
    (folder / "pictures").mkdir()
    for i in range(4):
        Image.fromarray(np.full((40, 40, 3), 60 * i, np.uint8)).save(folder / "pictures" / f"{i}.png")
    P = DualStyleGAN(G).eval()
    save_portraits(folder / "portraits.safetensors", P)
    save_codes(folder / "codes.npz", {"a.png": G.mapping(torch.randn(1, 8))[0].detach()}, G)
    sampler = StyleSampler(8, 8, 3, 4).eval()
    save_sampler(folder / "sampler.safetensors", sampler, G)
    config = CustomizeConfig(iterations=2, batch=2, stopping=None)
    masks, few = torch.ones(2, 32, 32, dtype=torch.long), sketchgan.fewshot
    masks[:, 16:] = 2
    examples = few.Examples(few.Classes(("sky", "cat")), few.sample_codes(G, [0, 1]), masks)
    examples.save(folder / "examples", G)
    layouts = few.new_layouts(G, examples, few.EncoderConfig(width=4))
    layouts.save(folder / "layouts.safetensors")
    return SimpleNamespace(
        masks=masks, examples=examples, layouts=layouts,
        P=P, sampler=sampler, encode=lambda images: G.mapping(images.mean((2, 3)).repeat(1, 3)[:, :8]).detach().clone(),
        folder=folder, gan=folder / "gan.safetensors", portraits=folder / "portraits.safetensors",
        codes=folder / "codes.npz", G=G, D=D, F=F, images=images, sketches=sketches,
        judge=Judge(("cat",), (), ("standing_cat",), (4, 4, 4, 4), 6).eval(), vectors=torch.randn(12, 4),
        features=Features({"contour": 1}, 2, (4, 4, 4, 4, 4)).eval(), config=config, rule=StoppingRule(),
        state=TrainingState(G, D, F, images, config), z=torch.randn(4, 8), page=Image.new("L", (40, 40), 255),
        random=torch.Generator().manual_seed(0), logits=torch.randn(4, 1), kernel=sketchgan.ops.fir_kernel(),
        png=(folder / "pictures" / "0.png").read_bytes(), 
        strokes={"strokes": [{"width": 3, "points": [[10, 20], [200, 200], [30, 200]]}], "size": 256})


GOOD = {
    # files
    "files.write_atomically": lambda x: dict(path=x.folder / "a", data=b"1"),
    "files.find_data": lambda x: dict(name="hands"), "files.fetch": lambda x: dict(name="hands"),
    "files.unpack": lambda x: dict(path=x.folder / "a.zip", folder=x.folder / "b"),
    "files.open_zip": lambda x: dict(path=x.folder / "a.zip"),
    "files.download": lambda x: dict(urls=["https://127.0.0.1:9/x"], path=x.folder / "download"),
    # ops
    "ops.bias_act": lambda x: dict(x=x.vectors, bias=torch.zeros(4)),
    "ops.conv2d_down": lambda x: dict(x=x.images, weight=torch.ones(2, 3, 3, 3), kernel=x.kernel),
    "ops.conv2d": lambda x: dict(x=x.images, weight=torch.ones(2, 3, 3, 3), padding=1),
    "ops.conv2d_up": lambda x: dict(x=x.images, weight=torch.ones(2, 3, 3, 3), kernel=x.kernel),
    "ops.fir_kernel": lambda x: dict(), "ops.implementation": lambda x: dict(impl="ref"),
    "ops.modulated_conv2d": lambda x: dict(x=x.images, weight=torch.ones(2, 3, 3, 3), styles=torch.ones(12, 3)),
    "ops.upfirdn2d": lambda x: dict(x=x.images, kernel=x.kernel, pad=(2, 1)),
    "ops.upsample2d": lambda x: dict(x=x.images, kernel=x.kernel),
    # nets
    "nets.Generator": lambda x: dict(resolution=16, channels=TINY, z_dim=8, w_dim=8, num_mapping=2, conv_clamp=2.0),
    "nets.Discriminator": lambda x: dict(resolution=16, channels=TINY, conv_clamp=2.0),
    "nets.PhotoSketch": lambda x: dict(ngf=2, n_blocks=1),
    "nets.Features": lambda x: dict(dense={"contour": 1}, pose=2, channels=(4, 4, 4, 4, 4)),
    "nets.FeatureHeads": lambda x: dict(channels=(4, 4), width=8),
    "nets.Judge": lambda x: dict(categories=("cat",), targets=(), predicates=("p",), widths=(4, 4, 4, 4), dim=6),
    "nets.Encoder": lambda x: dict(in_channels=2, resolution=32, num_rows=2, w_dim=4, width=4),
    "nets.SketchEmbedding": lambda x: dict(widths=(4,), dim=4),
    "nets.augment": lambda x: dict(x=x.images, policy="translation", generator=x.random),
    "nets.d_hinge": lambda x: dict(real_logits=x.logits, fake_logits=x.logits),
    "nets.d_logistic": lambda x: dict(real_logits=x.logits, fake_logits=x.logits),
    "nets.g_hinge": lambda x: dict(fake_logits=x.logits), "nets.g_nonsaturating": lambda x: dict(fake_logits=x.logits),
    "nets.minibatch_stddev": lambda x: dict(x=x.images),
    "nets.r1_penalty": lambda x: dict(D=x.D, x_real=x.images),
    "nets.weight_penalty": lambda x: dict(params=[x.logits], params0=[x.logits]),
    "nets.sample": lambda x: dict(G=x.G, n=2),
    # weights
    "weights.content_hash": lambda x: dict(network=x.F),
    "weights.export": lambda x: dict(path=x.folder / "out.pt", format="rosinality", G=x.G, D=x.D),
    "weights.save": lambda x: dict(path=x.folder / "out.safetensors", G=x.G, metadata={"a": 1}),
    "weights.save_delta": lambda x: dict(path=x.folder / "delta.safetensors", G=x.G, base=x.G),
    "weights.save_training": lambda x: dict(path=x.folder / "t.pt", state={"a": torch.zeros(2)}),
    "weights.rebuild": lambda x: dict(base=x.G, weights={"style.1.weight": x.G.style[1].weight.detach()}),
    "weights.load_training": lambda x: dict(path=x.folder / "training.pt"),
    **{f"weights.{name}": lambda x: dict(path=x.gan) for name in (
        "load_generator", "load_discriminator", "load_photosketch", "read_metadata", "read_tensors")},
    "weights.load_judge": lambda x: dict(path=sketchgan.files.weights_folder() / "judge.safetensors"),
    "weights.load_sketch_embedding": lambda x: dict(
        path=sketchgan.files.weights_folder() / "sketch_embedding.safetensors"),
    "weights.load_features": lambda x: dict(path=x.gan),
    # world
    "world.Menagerie": lambda x: dict(category="cat", predicate="standing_cat"),
    "world.code_size": lambda x: dict(category="cat"), "world.targets_of": lambda x: dict(categories=("cat", "horse")),
    "world.parameters": lambda x: dict(category="cat", code=torch.randn(2, sketchgan.world.code_size("cat"))),
    "world.satisfies": lambda x: dict(name="standing_cat", params={"posture": torch.zeros(3)}),
    # photos
    "photos.ImageFolder": lambda x: dict(path=x.folder / "pictures", resolution=16),
    "photos.RenderedScenes": lambda x: dict(category="cat", count=2, resolution=32),
    "photos.open_images": lambda x: dict(source=x.folder / "pictures", resolution=16, count=2),
    "photos.rendered": lambda x: dict(category="cat", count=2, resolution=32, workers=1),
    "photos.check_images": lambda x: dict(images=x.images),
    "photos.to_float": lambda x: dict(x=torch.zeros(2, 3, 4, 4, dtype=torch.uint8)),
    "photos.to_uint8": lambda x: dict(x=x.images),
    "photos.prepare": lambda x: dict(source=x.folder / "pictures", out=x.folder / "set", resolution=16, workers=1),
    "photos.read_square": lambda x: dict(data=x.png, resolution=16),
    "photos.degrade_photo": lambda x: dict(x=x.images, generator=x.random),
    "photos.redraw": lambda x: dict(contour=x.sketches, generator=x.random),
    # drawing
    "drawing.as_given": lambda x: dict(x=x.page), "drawing.read_strokes": lambda x: dict(source=x.strokes),
    "drawing.chamfer": lambda x: dict(a=x.sketches, b=x.sketches),
    "drawing.distance_transform": lambda x: dict(ink=x.sketches[:, 0] < 0),
    "drawing.load_sketches": lambda x: dict(source="standing_cat"), "drawing.inspect_page": lambda x: dict(x=x.page),
    "drawing.nearest": lambda x: dict(sketch=x.sketches[:1], images=x.images, F=x.F, k=2),
    "drawing.normalize_sketch": lambda x: dict(x=x.strokes, resolution=32),
    "drawing.rasterize": lambda x: dict(strokes=x.strokes["strokes"]),
        "drawing.read_document": lambda x: dict(path=x.folder / "d"),
    "drawing.sketch_of": lambda x: dict(images=x.images, F=x.F), "drawing.targets": lambda x: dict(sketches=x.sketches),
    "drawing.usual_box": lambda x: dict(G=x.G, F=x.F, samples=4),
    "drawing.write_document": lambda x: dict(path=x.folder / "d", sketches=[x.strokes]),
    # measure
    "measure.color_spread": lambda x: dict(images=x.images),
    "measure.Levels": lambda x: dict(network=x.D),
    "measure.contour_f1": lambda x: dict(drawn=x.sketches, truth=x.sketches),
    "measure.density_coverage": lambda x: dict(real=x.vectors, fake=x.vectors),
    "measure.diversity": lambda x: dict(judge=x.judge, against=sketchgan.measure.reference(
        x.judge, x.images, x.images), samples=x.images),
    "measure.evaluate": lambda x: dict(extractor=x.judge, real=x.vectors, fake=x.vectors),
    "measure.features_of": lambda x: dict(extractor=x.judge, images=x.images),
    "measure.frechet_distance": lambda x: dict(mean1=torch.zeros(4), cov1=torch.eye(4), mean2=torch.zeros(4),
                                               cov2=torch.eye(4)),
    "measure.inception_features": lambda x: dict(path=x.folder / "inception.pt"),
    "measure.judge_features": lambda x: dict(judge=x.judge),
    "measure.kid": lambda x: dict(real=x.vectors, fake=x.vectors),
        "measure.moments": lambda x: dict(features=x.vectors),
    "measure.path_lengths": lambda x: dict(G=x.G, distance=lambda a, b: (a - b).square().mean((1, 2, 3)), pairs=2),
    "measure.perceptual_distance": lambda x: dict(network=x.features, a=x.images, b=x.images),
    "measure.perceptual_path_length": lambda x: dict(G=x.G, distance=x.features, pairs=2),
    "measure.precision_recall": lambda x: dict(real=x.vectors, fake=x.vectors),
    "measure.predicate_share": lambda x: dict(decided=torch.tensor([True, False]), confusion=(9, 1, 1, 9)),
    "measure.reference": lambda x: dict(judge=x.judge, scenes=x.images, base=x.images),
    "measure.satisfying_samples": lambda x: dict(G=x.G, judge=x.judge, predicate="standing_cat", n=1, batch=4, most=64),
    # customizing
    "customizing.Controls": lambda x: dict(sketches=x.sketches, l_image=0.5, l_weight=0.1, augment="translation"),
    "customizing.CustomizeConfig": lambda x: dict(), "customizing.StoppingRule": lambda x: dict(),
    "customizing.WarmStart": lambda x: dict(),
    "customizing.Run": lambda x: dict(G=x.G, D=x.D, F=x.F, sketches=x.sketches, images=x.images, config=x.config,
                                      controls=sketchgan.Controls(), resume=None, checkpoint=None),
    "customizing.TrainingState": lambda x: dict(G=x.G, D=x.D, F=x.F, images=x.images, config=x.config),
    "customizing.choose": lambda x: dict(trace=[sketchgan.customizing.Look(1, 1.0, 1.0)] * 3, rule=x.rule),
    "customizing.customize": lambda x: dict(G=x.G, D=x.D, F=x.F, sketches=x.sketches, images=x.images, config=x.config),
    "customizing.frozen_sketcher": lambda x: dict(F=x.F, batch_stats=True),
    "customizing.seeded": lambda x: dict(seed=1, name="a"),
    "customizing.warm_start": lambda x: dict(G=x.G, F=x.F, sketches=x.sketches, generator=x.random,
                                             config=sketchgan.customizing.WarmStart(48, 0.25, rounds=1)),
    # editing
    "editing.Components": lambda x: dict(mean=torch.zeros(8), vectors=torch.eye(8)[:3], stdev=torch.ones(3),
                                         share=torch.ones(3) / 3),
    "editing.PhotoEdit": lambda x: dict(found=sketchgan.editing.project(
        x.G, x.images[:1], None, sketchgan.editing.ProjectConfig(steps=0), progress=False), customised=x.G),
    "editing.ProjectConfig": lambda x: dict(), "editing.Search": lambda x: dict(),
    "editing.carry": lambda x: dict(ws=x.G.mapping(x.z), original=x.G, customised=x.G, z=x.z),
    "editing.nearest_z": lambda x: dict(G=x.G, w=x.G.mapping(x.z)[:, 0].detach(), steps=1),
    **{f"editing.{name}": lambda x: dict(G=x.G, images=x.images[:2], D=x.D, config=sketchgan.editing.ProjectConfig(
        steps=0)) for name in ("project", "projecting")},
    "editing.psnr": lambda x: dict(images=x.images, target=x.images),
    "editing.usual_losses": lambda x: dict(G=x.G, D=x.D, config=sketchgan.editing.ProjectConfig(steps=0), count=2),
    "editing.Direction": lambda x: dict(name="a", vector=torch.ones(8), stdev=1.0, layers=range(2)),
    "editing.Mixer": lambda x: dict(models={"original": x.G}),
    "editing.added": lambda x: dict(amounts={"a": 1.0}),
    "editing.agreement": lambda x: dict(mixer=sketchgan.editing.Mixer({"original": x.G}), shares={"original": 1.0},
                                        z=x.z),
    "editing.barycentric": lambda x: dict(point=(0.5, 0.5), corners=((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))),
    "editing.edit": lambda x: dict(ws=x.G.mapping(x.z), direction=sketchgan.editing.Direction("a", torch.ones(8), 1.0),
                                   sigma=1.0, layers=range(2), center=torch.zeros(8)),
    "editing.find_components": lambda x: dict(G=x.G, count=3, samples=50),
    "editing.find_directions": lambda x: dict(G=x.G, attributes=lambda images: {"light": images.mean((1, 2, 3))},
                                              samples=16, tried=4, layers=(range(2),)),
    "editing.interpolate": lambda x: dict(G=x.G, z=x.z, frames=2),
    "editing.judged": lambda x: dict(judge=sketchgan.nets.Judge(
        ("cat",), [sketchgan.nets.judge.Target("cat.ear", "number")], (), (4, 4, 4, 4), 6), category="cat"),
    "editing.load_components": lambda x: dict(path=x.folder / "w.npz", w_dim=8),
    "editing.movement": lambda x: dict(G=x.G, direction=sketchgan.editing.Direction("a", torch.ones(8), 1.0),
                                       attributes=lambda images: {"light": images.mean((1, 2, 3))}, samples=4),
    "editing.paint": lambda x: dict(G=x.G, ws=x.G.mapping(x.z)),
    "editing.principal_components": lambda x: dict(batches=[x.vectors], count=2),
    "editing.same_meaning": lambda x: dict(a={"light": 1.0}, b={"light": 0.5}),
    "editing.save_components": lambda x: dict(path=x.folder / "components.npz",
                                              components=sketchgan.editing.find_components(x.G, samples=50)),
    "editing.save_film": lambda x: dict(path=x.folder / "film.gif", images=x.images),
    "editing.slerp": lambda x: dict(a=x.z[0], b=x.z[1], t=0.5),
    "editing.strength": lambda x: dict(name="a", amount=0.5),
    # fewshot
    "fewshot.Classes": lambda x: dict(names=("sky", "cat"), colors=((1, 2, 3), (4, 5, 6))),
    "fewshot.EncoderConfig": lambda x: dict(), "fewshot.Refinement": lambda x: dict(),
    "fewshot.Examples": lambda x: dict(classes=x.examples.classes, ws=x.examples.ws, masks=x.masks),
    "fewshot.Labeller": lambda x: {name: getattr(x.layouts.labeller, name) for name in (
        "kind", "vectors", "ids", "prototypes", "resolutions")},
    "fewshot.LayoutModel": lambda x: {name: getattr(x.layouts, name) for name in (
        "classes", "labeller", "encoder", "base")},
    "fewshot.appearances": lambda x: dict(model=x.layouts, G=x.G, masks=x.masks[:1], count=2, ws=x.examples.ws[:1]),
    "fewshot.calibrate": lambda x: dict(model=x.layouts, G=x.G),
    "fewshot.cosines": lambda x: dict(features=x.images, vectors=torch.randn(2, 3)),
    "fewshot.coverage": lambda x: dict(masks=x.masks, resolution=8, count=2),
    "fewshot.dense_labels": lambda x: dict(features=x.images, vectors=torch.randn(2, 3)),
    "fewshot.learn_labels": lambda x: dict(G=x.G, ws=x.examples.ws, masks=x.masks, count=2, resolutions=(16,)),
    "fewshot.load_examples": lambda x: dict(folder=x.folder / "examples", G=x.G),
    "fewshot.load_layouts": lambda x: dict(path=x.folder / "layouts.safetensors", G=x.G),
    "fewshot.new_layouts": lambda x: dict(G=x.G, examples=x.examples, config=sketchgan.fewshot.EncoderConfig(width=4)),
    "fewshot.of_pictures": lambda x: dict(G=x.G, classes=x.examples.classes, pictures=x.images[:2], masks=x.masks,
                                          project=lambda G, pictures: x.examples.ws),
    "fewshot.prototypes": lambda x: dict(features=x.images[:2], masks=x.masks, count=2),
    "fewshot.reduced": lambda x: dict(masks=x.masks, resolution=8, count=2),
    "fewshot.sample_codes": lambda x: dict(G=x.G, seeds=[0, 1]),
    "fewshot.sparse_labels": lambda x: dict(features=x.images, vectors=torch.randn(2, 3), ids=torch.tensor([1, 2])),
    "fewshot.sparse_vectors": lambda x: dict(features=x.images[:2], masks=x.masks, count=2),
    "fewshot.synthesize": lambda x: dict(model=x.layouts, G=x.G, masks=x.masks,
                                         refinement=sketchgan.fewshot.Refinement(steps=1)),
    "fewshot.teach": lambda x: dict(model=x.layouts, G=x.G, config=sketchgan.fewshot.EncoderConfig(width=4, batch=4)),
    "fewshot.train_layouts": lambda x: dict(G=x.G, examples=x.examples, out=x.folder / "trained.safetensors",
                                            config=sketchgan.fewshot.EncoderConfig(width=4, batch=4, kimg=0.004)),
    # pretraining, study
    "pretraining.GanConfig": lambda x: dict(),
    "pretraining.GanTrainer": lambda x: dict(images=x.images, config=sketchgan.pretraining.GanConfig(
        resolution=32, channels=TINY, d_channels=TINY, growth={}, paired_kimg=0)),
    "study.menagerie_task": lambda x: dict(name="standing_cat", weights=sketchgan.files.weights_folder()),
    "study.photo_task": lambda x: dict(pose="pictures", photos=x.folder, base=x.gan, judge=x.gan,
                                       weights=x.folder),
    # portraits
    "portraits.DualStyleGAN": lambda x: dict(generator=x.G), "portraits.border": lambda x: dict(resolution=64),
    "portraits.save_portraits": lambda x: dict(path=x.folder / "made" / "new.safetensors", network=x.P),
    "portraits.load_portraits": lambda x: dict(path=x.portraits, base=x.G),
    "portraits.save_codes": lambda x: dict(path=x.folder / "made" / "new.npz",
                                           codes={"a.png": x.G.mapping(x.z)[0].detach()}, base=x.G),
    "portraits.load_codes": lambda x: dict(path=x.codes, base=x.G),
    "portraits.load_pictures": lambda x: dict(path=x.codes),
    "portraits.save_sampler": lambda x: dict(path=x.folder / "made" / "s.safetensors", sampler=x.sampler, base=x.G),
    "portraits.load_sampler": lambda x: dict(path=x.folder / "sampler.safetensors", base=x.G),
    "portraits.paint": lambda x: dict(category="cat", painter="neon", resolution=32,
                                      code=torch.randn(1, sketchgan.world.code_size("cat"))),
    "portraits.painted_styles": lambda x: dict(category="cat", count=1, resolution=32, painters=("neon",)),
    "portraits.open_styles": lambda x: dict(source=x.folder / "pictures", resolution=32),
    "portraits.DestyliseConfig": lambda x: dict(), "portraits.PortraitConfig": lambda x: dict(),
    "portraits.RefineConfig": lambda x: dict(),
    "portraits.nearest_codes": lambda x: dict(G=x.G, features=x.features, samples=4),
    "portraits.tuned_on": lambda x: dict(G=x.G, D=x.D, styles=x.images,
                                         config=sketchgan.portraits.DestyliseConfig(tune=1)),
    "portraits.destylise": lambda x: dict(G=x.G, tuned=x.G, styles=x.images[:2], encode=x.encode, features=x.features,
                                          config=sketchgan.portraits.DestyliseConfig(steps=1)),
    "portraits.true_codes": lambda x: dict(G=x.G, code=torch.randn(2, 4)),
    "portraits.PortraitTraining": lambda x: dict(G=x.G, D=x.D, styles=x.images[:2], extrinsic=x.encode(x.images[:2]),
                                                 intrinsic=x.encode(x.images[:2])),
    "portraits.refine": lambda x: dict(network=x.P, extrinsic=x.encode(x.images[:1]), styles=x.images[:1],
                                       intrinsic=x.encode(x.images[:1]), features=x.features,
                                       config=sketchgan.portraits.RefineConfig(steps=1)),
    "portraits.fit_sampler": lambda x: dict(codes=torch.randn(4, 8, 8), border=3, steps=1, batch=2),
    "portraits.Portraitist": lambda x: dict(network=x.P, codes={"a": x.encode(x.images[:1])[0]}),
    "portraits.restyle": lambda x: dict(network=x.P, ws=x.encode(x.images[:1]), style=x.encode(x.images[:1]),
                                        weights=[1.0] * 8),
    "portraits.weights_of": lambda x: dict(network=x.P),
    # widgets
    "widgets.SketchPad": lambda x: dict(size=160, width=3.0, resolution=32),
    "widgets.LiveTraining": lambda x: dict(G=x.G, D=x.D, F=x.F, sketches=x.sketches, config=x.config, minutes=1.0),
    "widgets.SampleExplorer": lambda x: dict(G=x.G, F=x.F, count=2, folder=x.folder / "samples"),
    "studios.EditExplorer": lambda x: dict(models=x.G, count=2, folder=x.folder / "edits", threaded=False),
    "studios.PhotoEditor": lambda x: dict(models={"a": x.G}, count=2, folder=x.folder / "photos", threaded=False),
    "studios.ModelMixer": lambda x: dict(models={"a": x.G, "b": x.G}, count=1, folder=x.folder / "mix", threaded=False),
    # plotting
    "plotting.to_uint8": lambda x: dict(images=x.images),
        "plotting.image_grid": lambda x: dict(images=x.images, cols=2),
    "plotting.sketch_sheet": lambda x: dict(sketches=x.sketches), "plotting.png": lambda x: dict(image=x.page),
    "plotting.before_after": lambda x: dict(before=x.images, after=x.images, sketches=x.sketches),
    "plotting.stack": lambda x: dict(blocks=[("a", x.page)]),
    "plotting.nearest_strip": lambda x: dict(sketch=x.sketches[:1], images=x.images[:2], distances=[1.0, 2.0]),
    "plotting.normalized": lambda x: dict(given={"a": x.page}, sketches=x.sketches[:1]),
    "plotting.curves": lambda x: dict(series={"a": [1.0, 2.0]}),
}
# Parts of the above that a reader calls only through it, or that take nothing that could be wrong.
INNER = {"customizing.discriminator_step", "customizing.generator_step", "customizing.r1_step",
         "customizing.train_step",
         "files.data_folder", "files.sketches_folder", "files.weights_folder", "files.cache_folder", "files.reading",
         "files.lock", "files.locked", "drawing.Drawing", "drawing.sketch_names", "plotting.compact_outputs",
         "portraits.train_portraits",
         "plotting.interleave"}


class Nothing:
    """An object that can do nothing."""

    def __repr__(self):
        return "Nothing()"


def wrong_for(good) -> list:
    """What people give by mistake in place of a good value."""
    if torch.is_tensor(good):
        values = ["nonsense", None, 3, [], Nothing(), good[0] if good.ndim > 1 else good[None], good[:0]]
        if good.is_floating_point():
            values += [torch.full_like(good, math.nan), (good * 100).int()]
        return values
    if isinstance(good, bool):
        return ["no", 3, None, math.nan]
    if isinstance(good, int):
        return ["a", -1, 1.5, math.nan, None, [], 10 ** 400, torch.zeros(3)]
    if isinstance(good, float):
        return ["a", math.nan, math.inf, None, [], torch.zeros(3), 10 ** 400]
    if isinstance(good, str):
        return [3, None, "", "nonsense\0", [], Nothing()]
    if isinstance(good, Path):
        return [3, None, 1.5, Nothing(), good.parent / "missing" / "x", "no\0where"]
    if isinstance(good, bytes):
        return ["text", None, 3, b"", b"nonsense"]
    return ["nonsense\0", None, 3, math.nan, [], {}, (), Nothing(), torch.zeros(2, 2)]


# What a message calls an argument that is the one thing it is about.
CALLED = {"x": "drawing|sketch|floats|array", "source": "sketch|sketches|drawing|folder|floats", "data": "picture|file",
          "strokes": "stroke"}
# Where what is wrong elsewhere is right: (callable, argument) -> parts of the values' reprs.
FINE = {
    **dict.fromkeys([("files.write_atomically", "path"), ("weights.save", "path"), ("weights.save_training", "path"),
                     ("weights.save_delta", "path"), ("weights.export", "path"), ("drawing.write_document", "path"),
                     ("photos.prepare", "out"), ("files.download", "path")], {"missing"}),     # folders are made
    **dict.fromkeys([(f"portraits.save_{what}", "path") for what in ("portraits", "codes", "sampler")],
                    {"Posix", "no\\x00"}),
    ("files.write_atomically", "data"): {"b'"}, ("files.download", "kind"): {"''"}, ("files.unpack", "folder"): {"/"},
    ("weights.save", "metadata"): {"{}"}, ("weights.save_training", "state"): {"{}"},
    ("weights.rebuild", "path"): {"nonsense", "''"}, ("photos.check_images", "what"): {"nonsense", "''"},
    ("drawing.rasterize", "strokes"): {"[]", "()"}, ("drawing.write_document", "sketches"): {"[]", "()"},
    ("drawing.write_document", "size"): {"None", "1.5"}, ("drawing.rasterize", "size"): {"1.5"},
    ("drawing.normalize_sketch", "pen"): {"3", "None"}, ("drawing.normalize_sketch", "box"): {"None"},
    ("customizing.Controls", "augment"): {"''"}, ("customizing.CustomizeConfig", "augment"): {"''"},
    ("customizing.seeded", "name"): {"nonsense"}, ("customizing.TrainingState", "images"): {"None"},
    ("drawing.as_given", "x"): {"tensor [2, 2]"},
    ("customizing.Run", "checkpoint"): {"None"}, ("customizing.Run", "controls"): {"None"},
    **dict.fromkeys([("nets.Generator", "channels"), ("nets.Discriminator", "channels")], {"{}", "None"}),
    **dict.fromkeys([("nets.Judge", "targets"), ("nets.Judge", "predicates")], {"[]", "()"}),
    **dict.fromkeys([(f"plotting.{name}", argument) for name, argument in (
        ("to_uint8", "images"), ("image_grid", "images"), ("sketch_sheet", "sketches"), ("before_after", "sketches"),
        ("before_after", "before"), ("before_after", "after"), ("nearest_strip", "sketch"),
        ("nearest_strip", "images"), ("normalized", "sketches"))], {"NaN"}),        # a training gone wrong is shown too
    ("portraits.PortraitConfig", "augment"): {"''"},
    ("editing.Direction", "name"): {"''", "nonsense"}, ("editing.strength", "name"): {"''", "nonsense"},
    ("editing.Direction", "layers"): {"[]", "()"},                                      # `edit` says it
    ("editing.save_components", "path"): {"PosixPath", "no\\x00where"},
    ("fewshot.train_layouts", "out"): {"PosixPath"}, ("fewshot.Classes", "colors"): {"[]"},
    ("plotting.curves", "series"): {"{}"}, ("plotting.curves", "xlabel"): {"nonsense"},
    ("plotting.curves", "ylabel"): {"nonsense"},
    ("nets.Discriminator", "mbstd_group"): {"None"}, ("ops.fir_kernel", "gain"): {"-1", "1.5"},
    ("widgets.SampleExplorer", "folder"): {"PosixPath", "\\x00"},                     # made when something is saved
    **dict.fromkeys([("studios.EditExplorer", "folder"), ("studios.ModelMixer", "folder"),
                     ("studios.PhotoEditor", "folder")], {"PosixPath", "\\x00"}),
    ("world.parameters", "code"): {"[0, "}, ("measure.inception_features", "path"): {"no\\x00where"},
    ("nets.r1_penalty", "x_real"): {"3, 32, 32]"},                                     # D says it
    ("measure.satisfying_samples", "predicate"): {"''"},                                # the judge says it
}
SKIPPED = {"progress", "generator", "device"}    # a switch, torch's own, and what torch knows by name


def arguments(name: str, x) -> dict:
    """The good call of a callable, with the defaults it leaves out, as far as these are plain values."""
    good = GOOD[name](x)
    for key, parameter in inspect.signature(EXPORTED[name]).parameters.items():
        if key not in good and isinstance(parameter.default, (int, float, str)) and parameter.default is not None:
            good[key] = parameter.default
    return good


def call(name: str, given: dict):
    """Call it, and begin what it gives if that only begins when it is asked."""
    made = EXPORTED[name](**given)
    if inspect.isgenerator(made):
        with contextlib.closing(made):
            next(made, None)
    elif isinstance(made, contextlib.AbstractContextManager) and not hasattr(made, "close"):
        with made:
            pass
    return made


class TooLong(Exception):
    """A bad call must end soon."""


@contextlib.contextmanager
def hurry(seconds: int):
    """Interrupt what takes longer, where the system has an alarm clock."""
    def ring(*_):
        raise TooLong(f"took more than {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def complaint(name: str, argument: str, good: dict, value) -> str | None:
    """What is wrong with how a bad call ends, or None."""
    try:
        with hurry(10):
            call(name, good | {argument: value})
    except (ValueError, TypeError, OSError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if not last.filename.startswith(HOME) or not re.match(r"\s*raise\b", last.line or "raise"):
            where = f"{Path(last.filename).name}:{last.lineno}"
            return f"{type(error).__name__} from the depths ({where}): {str(error)[:70]}"
        said = isinstance(value, (str, Path)) and len(str(value)) > 3 and str(value).strip("\0") in str(error)
        names = f"{re.escape(argument)}|{CALLED.get(argument, re.escape(argument))}"
        if not said and not re.search(rf"\b({names})\b", str(error), re.IGNORECASE):
            return f"does not name {argument}: {str(error)[:90]}"
        return None
    except Exception as error:
        return f"raw {type(error).__name__}: {str(error)[:70]}"
    parameter = inspect.signature(EXPORTED[name]).parameters[argument]
    explained = getattr(EXPORTED[name], "explained", False)    # at each step of a training only what fails is looked at
    return None if explained or value is parameter.default else "accepted"


def bad_calls(name: str, x) -> list[str]:
    """Every bad call of a callable that does not end as it should."""
    good, found = arguments(name, x), []
    for argument in good.keys() - SKIPPED:
        fine = FINE.get((name, argument), set())
        for value in wrong_for(good[argument]):
            if value is inspect.signature(EXPORTED[name]).parameters[argument].default:
                continue                                    # what is not given cannot be wrong
            shown = repr(value) if isinstance(value, Path) else repr(value)[:40]
            if torch.is_tensor(value):
                shown = f"tensor {list(value.shape)} {value.dtype}{' NaN' * bool(value.isnan().any())}"
            if not any(word in shown for word in fine) and (said := complaint(name, argument, good, value)):
                found.append(f"{name}({argument}={shown}): {said}")
    return found


def test_every_exported_callable_is_tried():
    missing = {name for name in EXPORTED.keys() - GOOD.keys() - INNER}
    assert not missing, f"give each a good call, of which its bad ones are made: {missing}"


@pytest.mark.parametrize("name", [n for n in GOOD if n in EXPORTED])
def test_bad_calls_end_in_an_error_that_names_the_argument(name, x, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = bad_calls(name, x)
    assert not found, "\n" + "\n".join(found)
