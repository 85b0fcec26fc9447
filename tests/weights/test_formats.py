"""Files of others: recognised by content, loaded to the same pictures, and written back bit for bit or not at all."""
import argparse
import sys

import numpy as np
import pytest
import torch

from sketchgan.nets.photosketch import PhotoSketch
from sketchgan.nets.stylegan2 import Discriminator, Generator
from sketchgan.weights import building, checkpoints
from sketchgan.weights.checkpoints import (
    CheckpointError,
    export,
    load_discriminator,
    load_generator,
    load_photosketch,
    save,
)
from tests import nvidia_files
from tests.parity import weights
from tests.parity.reference import assert_agrees, case

CHANNELS = {4: 8, 8: 6, 16: 4}


def arrays(manifest: str, seed) -> dict[str, np.ndarray]:
    return weights.fill(weights.manifest(manifest), int(seed))


def tensors(manifest: str, seed) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in arrays(manifest, seed).items()}


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    G = Generator(16, 12, 12, 3, CHANNELS).eval()
    return G, Discriminator(16, CHANNELS).eval(), PhotoSketch(3, 2).eval()


# ---------------------------------------------------------------------------------------------------------------------
# Parity through the public loaders: each reference network from one layout, and small networks bit for bit from all.
# File names are misleading on purpose.

def rosinality_new(path, state, section):
    torch.save({section: state, "args": argparse.Namespace(size=64), "g_optim": {"state": {0: {"step": 1}}}}, path)


def rosinality_old(path, state, section):
    path.write_bytes(nvidia_files.legacy_torch({section: state}))


def bare_new(path, state, section):
    torch.save(state, path)


def bare_old(path, state, section):
    path.write_bytes(nvidia_files.legacy_torch(state))


def ours(path, state, section):
    checkpoints.write_safetensors(path, {f"{section}.{key}": value for key, value in state.items()}, {})


LAYOUTS = [rosinality_new, rosinality_old, bare_new, bare_old, ours]
CASES = {"generator_64": ("g_ema", load_generator, rosinality_old),
         "generator_64_wshift": ("g_ema", load_generator, bare_new),
         "generator_256": ("g_ema", load_generator, rosinality_new),
         "discriminator_64": ("d", load_discriminator, bare_old),
         "discriminator_256": ("d", load_discriminator, ours), "photosketch": ("f", load_photosketch, bare_old)}


def outputs(name: str, network):
    """A picture, logits or sketches of a network, and the reference's."""
    c = case(name)
    if name.startswith("generator"):
        stride = int(c.get("stride", 1))
        return network(c["z"][:1], noise_mode="const")[..., ::stride, ::stride], c["image"][:1]
    if name == "photosketch":
        return network(c["x"][:1]), c["sketch_batch_stats_single"]
    x = c["x"]
    if x.numel() == 0:
        drawn = np.random.default_rng(int(c["x_seed"])).standard_normal((4, 3, 256, 256)).astype(np.float32)
        x = torch.from_numpy(drawn).clamp(-1, 1)
    return network(x[:2]), c["logits_batch2"]


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_parity_from_a_file(tmp_path, name):
    section, load, write = CASES[name]
    state = tensors(name, case(name)["seed"])
    write(tmp_path / "weights.pkl", state, section)
    network = load(tmp_path / "weights.pkl")
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert_agrees(*outputs(name, network))


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_gives_the_same_network(tmp_path, networks, write):
    for network, section, load in zip(networks, ("g_ema", "d", "f"),
                                      (load_generator, load_discriminator, load_photosketch)):
        write(tmp_path / "weights.zip", network.state_dict(), section)
        loaded = load(tmp_path / "weights.zip")
        assert same(loaded, network) and loaded.config == network.config


@pytest.fixture(scope="module")
def nvidia_file(tmp_path_factory):
    c = case("nvidia_64")
    G = arrays("nvidia_generator_64", c["seed_generator"])
    raw = {key: value + 1 for key, value in G.items()}  # of G and G_ema, the average is wanted
    D = arrays("nvidia_discriminator_64", c["seed_discriminator"])
    path = tmp_path_factory.mktemp("nvidia") / "network.pt"
    path.write_bytes(nvidia_files.training_pickle(nvidia_files.generator(raw), nvidia_files.discriminator(D),
                                                  nvidia_files.generator(G)))
    return path


@torch.no_grad()
def test_nvidia_generator_parity(nvidia_file):
    c = case("nvidia_64")
    G = load_generator(nvidia_file)
    assert (G.z_dim, G.w_dim, G.num_mapping, G.resolution, G.conv_clamp) == (96, 128, 8, 64, 256)
    psi = float(c["truncation_psi"])
    assert_agrees(G.mapping(c["z"], psi), c["ws"])
    assert_agrees(G(c["z"], psi, "const"), c["image"])
    assert_agrees(G(c["z"], noise_mode="none"), c["image_no_noise"])


@torch.no_grad()
def test_nvidia_discriminator_parity(nvidia_file):
    c = case("nvidia_64")
    assert_agrees(load_discriminator(nvidia_file)(c["x"]), c["logits"])


@torch.no_grad()
def test_nvidia_model_through_our_own_format(tmp_path, nvidia_file):
    G, D = load_generator(nvidia_file), load_discriminator(nvidia_file)
    save(tmp_path / "a.safetensors", G=G, D=D)
    G2, D2 = load_generator(tmp_path / "a.safetensors"), load_discriminator(tmp_path / "a.safetensors")
    assert same(G, G2) and same(D, D2) and G2.config == G.config and D2.config == D.config
    assert torch.equal(G2.mean_w(), G.mean_w())


# ---------------------------------------------------------------------------------------------------------------------
# What NVIDIA's files say beside the tensors

def small_nvidia(resolution=16, z_dim=6, w_dim=8, num_mapping=2, c=5):
    """Tensors of a small generator and discriminator in NVIDIA's layout."""
    rng = np.random.default_rng(0)
    binomial = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    sizes = [2 ** i for i in range(2, resolution.bit_length())]
    G = {f"mapping.fc{i}.{part}": draw(*shape) for i in range(num_mapping)
         for part, shape in (("weight", (w_dim, w_dim if i else z_dim)), ("bias", (w_dim,)))}
    G |= {"mapping.w_avg": draw(w_dim), "synthesis.b4.const": draw(c, 4, 4)}
    D = {f"b{resolution}.fromrgb.weight": draw(c, 3, 1, 1), f"b{resolution}.fromrgb.bias": draw(c)}
    for r in sizes:
        G[f"synthesis.b{r}.resample_filter"] = binomial
        for layer in ["conv1"] if r == 4 else ["conv0", "conv1"]:
            G |= {f"synthesis.b{r}.{layer}.{part}": value for part, value in dict(
                weight=draw(c, c, 3, 3), bias=draw(c), noise_strength=draw(), noise_const=draw(r, r),
                resample_filter=binomial).items()}
            if r > 4:
                D |= {f"b{r}.{layer}.weight": draw(c, c, 3, 3), f"b{r}.{layer}.bias": draw(c),
                      f"b{r}.{layer}.resample_filter": binomial}
        if r > 4:
            D |= {f"b{r}.skip.weight": draw(c, c, 1, 1), f"b{r}.skip.resample_filter": binomial}
        G |= {f"synthesis.b{r}.torgb.weight": draw(3, c, 1, 1), f"synthesis.b{r}.torgb.bias": draw(3)}
        for layer in ["conv1", "torgb"] if r == 4 else ["conv0", "conv1", "torgb"]:
            G |= {f"synthesis.b{r}.{layer}.affine.weight": draw(c, w_dim),
                  f"synthesis.b{r}.{layer}.affine.bias": 1 + draw(c)}
    D |= {"b4.conv.weight": draw(c, c + 1, 3, 3), "b4.conv.bias": draw(c), "b4.fc.weight": draw(c, 16 * c),
          "b4.fc.bias": draw(c), "b4.out.weight": draw(1, c), "b4.out.bias": draw(1)}
    return G, D


def write_small(path, protocol=4, **attributes):
    """A small pickle; attributes of modules go to the generator, and those of names b... to the discriminator."""
    G, D = small_nvidia()
    clamp = attributes.pop("clamp", None)
    of_D = {name: attributes.pop(name) for name in list(attributes) if name.startswith("b")}
    path.write_bytes(nvidia_files.training_pickle(None, nvidia_files.discriminator(D, clamp, **of_D),
                                                  nvidia_files.generator(G, clamp, **attributes), protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_nvidia_files_of_every_protocol(tmp_path, protocol):
    path = write_small(tmp_path / "a.pkl", protocol)
    G, D = load_generator(path), load_discriminator(path)
    assert (G.z_dim, G.w_dim, G.num_mapping, G.resolution, G.conv_clamp, D.conv_clamp) == (6, 8, 2, 16, None, None)
    stored, _ = small_nvidia()
    assert np.array_equal(G.mean_w().numpy(), stored["mapping.w_avg"])
    assert np.array_equal(G.noises.noise_4.numpy()[0, 0], stored["synthesis.b16.conv1.noise_const"])
    assert D(G(torch.randn(3, 6))).shape == (3, 1)


def test_nvidia_clamp_and_minibatch_group_are_kept(tmp_path):
    path = write_small(tmp_path / "a.pkl", clamp=0.5, **{"b4.mbstd": dict(group_size=8, num_channels=1)})
    free = write_small(tmp_path / "b.pkl")
    G, D = load_generator(path), load_discriminator(path)
    assert (G.conv_clamp, D.conv_clamp, D.mbstd_group) == (0.5, 0.5, 8)
    z = torch.randn(8, 6)
    img = G(z, noise_mode="const")
    assert not torch.allclose(img, load_generator(free)(z, noise_mode="const"))
    assert not torch.allclose(D(img), load_discriminator(free)(img))


@pytest.mark.parametrize("attributes, words", [
    ({"mapping": dict(c_dim=10)}, "holds a generator that is conditional .c_dim=10.*wanted is an unconditional one"),
    ({"synthesis": dict(img_channels=1)}, "img_channels=1, and only 3"),
    ({"mapping.fc0": dict(bias_gain=0.001)}, "lr_multiplier=0.001, and only 0.01"),
    ({"synthesis.b8": dict(architecture="orig")}, "synthesis.b8 has the architecture 'orig'.*'skip'"),
    ({"mapping.fc0": dict(activation="relu")}, "activation 'relu'"),
    ({"synthesis.b8.conv0": dict(conv_clamp=9)}, "clamp differently"),
    ({"b4.mbstd": dict(group_size=4, num_channels=2)}, "mbstd_num_channels=2"),
    ({"b8": dict(architecture="skip")}, "b8 has the architecture 'skip'.*'resnet'"),
])
def test_other_models_of_nvidia_are_named(tmp_path, attributes, words):
    with pytest.raises(CheckpointError, match=words):
        load_generator(write_small(tmp_path / "a.pkl", **attributes))


def test_stylegan3_and_tensorflow_are_named(tmp_path):
    layer = nvidia_files.Module("SynthesisLayer", {"weight": torch.ones(2)}, {})
    synthesis = nvidia_files.Module("SynthesisNetwork", {}, {"L0_36_512": layer})
    G = nvidia_files.Module("Generator", {}, {"synthesis": synthesis}, z_dim=512)
    (tmp_path / "a.pkl").write_bytes(nvidia_files.training_pickle(G_ema=G))
    with pytest.raises(CheckpointError, match="StyleGAN3 generator, and wanted is a StyleGAN2 one"):
        load_generator(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(nvidia_files.dump(tuple(nvidia_files.Network() for _ in range(3))))
    with pytest.raises(CheckpointError, match="TensorFlow pickle of StyleGAN, and wanted is a PyTorch one.*legacy.py"):
        load_discriminator(tmp_path / "b.pkl")
    (tmp_path / "c.pkl").write_bytes(nvidia_files.dump({"G_ema": 5}))
    with pytest.raises(CheckpointError, match="not a generator in a layout known here"):
        load_generator(tmp_path / "c.pkl")


def test_a_pickle_without_a_discriminator(tmp_path):
    G, _ = small_nvidia()
    (tmp_path / "a.pkl").write_bytes(nvidia_files.training_pickle(G_ema=nvidia_files.generator(G)))
    with pytest.raises(CheckpointError, match="holds a generator, and not a discriminator"):
        load_discriminator(tmp_path / "a.pkl")
    with pytest.raises(CheckpointError, match="holds a generator, and not a sketcher"):
        load_photosketch(tmp_path / "a.pkl")


def test_g_where_there_is_no_average(tmp_path, networks):
    other = Generator(16, 12, 12, 3, CHANNELS)
    torch.save({"g": networks[0].state_dict()}, tmp_path / "a.pt")
    torch.save({"g": other.state_dict(), "g_ema": networks[0].state_dict()}, tmp_path / "b.pt")
    assert same(load_generator(tmp_path / "a.pt"), networks[0]) and same(load_generator(tmp_path / "b.pt"), networks[0])


# ---------------------------------------------------------------------------------------------------------------------
# Exports

def test_rosinality_round_trip(tmp_path, networks):
    G, D, _ = networks
    G.set_w_avg(torch.arange(12.0))
    export(tmp_path / "a.pt", "rosinality", G=G, D=D)
    content = torch.load(tmp_path / "a.pt", weights_only=True)
    assert set(content) == {"g_ema", "d", "latent_avg"} and list(content["g_ema"]) == list(G.state_dict())
    assert same(load_generator(tmp_path / "a.pt"), G) and same(load_discriminator(tmp_path / "a.pt"), D)
    assert torch.equal(load_generator(tmp_path / "a.pt").mean_w(), torch.arange(12.0))


def test_gansketching_round_trip(tmp_path, networks):
    for network, load in zip(networks, (load_generator, load_discriminator, load_photosketch)):
        name = "GDF"[networks.index(network)]
        export(tmp_path / "net.pth", "gansketching", **{name: network})
        assert list(torch.load(tmp_path / "net.pth", weights_only=True)) == list(network.state_dict())
        assert same(load(tmp_path / "net.pth"), network)
    shifted = Generator(16, 12, 12, 3, CHANNELS, w_shift=True)
    export(tmp_path / "net.pth", "gansketching", G=shifted)
    assert same(load_generator(tmp_path / "net.pth"), shifted)


def small(**changes):
    return Generator(**dict(resolution=16, z_dim=12, w_dim=12, num_mapping=2, channels=CHANNELS) | changes)


@pytest.mark.parametrize("format, given, words, may", [
    ("rosinality", lambda: dict(G=small(conv_clamp=256)), "lost would be: conv_clamp=256.*without=", ("conv_clamp",)),
    ("gansketching", lambda: dict(D=Discriminator(16, CHANNELS, mbstd_group=8)), "mbstd_group=8.*without=",
     ("mbstd_group",)),
    ("gansketching", lambda: dict(G=with_mean()), "w_avg, the mean latent.*without=", ("w_avg",)),
    ("rosinality", lambda: dict(G=small(z_dim=5)), "lost would be: z_dim=5.*12 here.*Use save", None),
    ("gansketching", lambda: dict(G=small(z_dim=5)), "lost would be: z_dim=5.*Use save", None),
    ("rosinality", lambda: dict(G=small(w_shift=True)), "the shift of w", None),
])
def test_exports_refuse_to_lose(tmp_path, format, given, words, may):
    networks = given()
    with pytest.raises(CheckpointError, match=words):
        export(tmp_path / "a", format, **networks)
    assert not list(tmp_path.iterdir())
    if may is None:
        with pytest.raises(CheckpointError, match=words):
            export(tmp_path / "a", format, without=("z_dim", "w_shift"), **networks)
    else:
        export(tmp_path / "a", format, without=may, **networks)
        load = load_generator if "G" in networks else load_discriminator
        assert same(load(tmp_path / "a"), *networks.values())


def with_mean():
    G = small()
    G.set_w_avg(torch.full((12,), 3.0))
    return G


@pytest.mark.parametrize("format, names, words", [
    ("onnx", "G", "'onnx' is not known; choose one of 'rosinality', 'gansketching'"),
    ("gansketching", "GD", "exactly one of G=, D=, F=.*got g_ema, d"), ("gansketching", "", "got none"),
    ("rosinality", "F", "no place for F"), ("rosinality", "", "got none"),
])
def test_exports_that_make_no_sense(tmp_path, networks, format, names, words):
    with pytest.raises(CheckpointError, match=words):
        export(tmp_path / "a", format, **{name: networks["GDF".index(name)] for name in names})


def test_export_refuses_what_is_not_finite(tmp_path, networks):
    with torch.no_grad():
        networks[1].final_conv[1].bias[0] = float("inf")
    with pytest.raises(CheckpointError, match="refusing to write.*final_conv.1.bias"):
        export(tmp_path / "a", "gansketching", D=networks[1])


def test_building_imports_nothing_and_draws_nothing(networks):
    state = torch.get_rng_state()
    before = set(sys.modules)
    for network in networks:
        built = building.build(type(network), network.config, network.state_dict(), "here")
        assert same(built, network) and all(not p.is_meta for p in built.parameters())
    assert torch.equal(torch.get_rng_state(), state) and set(sys.modules) == before
