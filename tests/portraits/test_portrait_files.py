"""Files of portraits: ours beside a base, the published layout at 1024 px, codes; and files that do not belong."""
import numpy as np
import pytest
import torch

from sketchgan.nets.stylegan2 import Generator
from sketchgan.portraits import DualStyleGAN, load_codes, load_portraits, save_codes, save_portraits
from sketchgan.weights import CheckpointError, read_metadata, save

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 6}


def dual(seed=0, resolution=32):
    torch.manual_seed(seed)
    P = DualStyleGAN(Generator(resolution, 8, 12, 2, CHANNELS).eval())
    with torch.no_grad():
        for p in P.extrinsic():
            p.add_(0.1 * torch.randn(p.shape))
    return P.eval()


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


def test_ours_hold_the_extrinsic_part_and_name_their_base(tmp_path):
    P, path = dual(), tmp_path / "portraits.safetensors"
    save_portraits(path, P, {"styles": ["a.png"]})
    assert read_metadata(path)["styles"] == ["a.png"]
    save(tmp_path / "base.safetensors", G=P.generator)
    assert same(load_portraits(path, P.generator), P)
    assert same(load_portraits(path, tmp_path / "base.safetensors"), P)
    with pytest.raises(CheckpointError, match="needs the generator that it was trained on"):
        load_portraits(path)
    with pytest.raises(CheckpointError, match="pass the one it was trained on"):
        load_portraits(path, dual(seed=1).generator)
    with pytest.raises(CheckpointError, match="holds no extrinsic path"):
        load_portraits(tmp_path / "base.safetensors", P.generator)
    with pytest.raises(FileNotFoundError, match="no file"):
        load_portraits(tmp_path / "missing", P.generator)


def test_loading_draws_no_random_numbers_of_others(tmp_path):
    P = dual()
    save_portraits(tmp_path / "p.safetensors", P)
    torch.manual_seed(5)
    wanted = torch.randn(3)
    torch.manual_seed(5)
    load_portraits(tmp_path / "p.safetensors", P.generator)
    assert torch.equal(torch.randn(3), wanted)


def test_the_published_layout_of_any_size(tmp_path):
    P = dual()
    for name, content in (("whole.pt", {"g_ema": P.state_dict()}), ("bare.pt", P.state_dict())):
        torch.save(content, tmp_path / name)
        assert same(load_portraits(tmp_path / name), P)
    state = P.state_dict()
    torch.save({"g_ema": {key: value for key, value in state.items() if key != "res.2.conv2.1.bias"}},
               tmp_path / "less.pt")
    with pytest.raises(CheckpointError, match="res.2.conv2.1.bias is missing"):
        load_portraits(tmp_path / "less.pt")
    torch.save({"g_ema": state | {"res.8.bias": torch.zeros(12)}}, tmp_path / "more.pt")
    with pytest.raises(CheckpointError, match="res.8.bias is not part of it"):
        load_portraits(tmp_path / "more.pt")
    torch.save({"g_ema": state | {"res.7.bias": torch.zeros(13)}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"res.7.bias is \[13\] instead of \[12\]"):
        load_portraits(tmp_path / "other.pt")


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Of the extrinsic path of the 1024 px `generator.pt`: T_s of two layers, 7 ModRes, 11 T_c, all of 512 channels."""
    shapes = {f"style.{i}.{part}": (512,) * n for i in (1, 2) for part, n in (("weight", 2), ("bias", 1))}
    for i in range(7):
        for k in ("", "2"):
            shapes |= {f"res.{i}.conv{k}.0.weight": (512, 512, 3, 3), f"res.{i}.conv{k}.1.bias": (512,),
                       f"res.{i}.norm{k}.style.weight": (1024, 512), f"res.{i}.norm{k}.style.bias": (1024,)}
    return shapes | {f"res.{i}.{part}": (512,) * n for i in range(7, 18) for part, n in (("weight", 2), ("bias", 1))}


def test_the_published_file_of_1024_px_loads_strictly(tmp_path):
    shapes, random = published_shapes(), torch.Generator().manual_seed(0)
    counts = {sign: sum(torch.Size(s).numel() for key, s in shapes.items() if key.startswith(sign)) / 1e6
              for sign in ("style.", "res.")}
    assert counts["style."] == pytest.approx(0.5, abs=0.05) and counts["res."] == pytest.approx(40.4 + 2.9, abs=0.1)
    generator = {f"generator.{key}": value.half() for key, value in Generator(1024).state_dict().items()}
    extrinsic = {key: torch.zeros(shape, dtype=torch.half) for key, shape in shapes.items()}
    for key in ("res.6.conv2.0.weight", "res.17.weight", "style.2.bias", "res.0.norm.style.weight"):
        extrinsic[key] = torch.randn(shapes[key], generator=random).half()
    torch.save({"g_ema": generator | extrinsic}, tmp_path / "generator.pt")
    P = load_portraits(tmp_path / "generator.pt")
    state = P.state_dict()
    assert P.border == 7 and P.num_ws == 18 and set(state) == set(generator) | set(shapes)
    for key in [key for key in extrinsic if extrinsic[key].any()] + ["generator.convs.15.conv.weight"]:
        assert torch.equal(state[key], (generator | extrinsic)[key].float()), key


def test_codes_by_name(tmp_path):
    G = dual().generator
    codes = {"b.png": torch.randn(8, 12), "a/ü.png": torch.randn(8, 12)}
    save_codes(tmp_path / "codes.npz", codes, G)
    again = load_codes(tmp_path / "codes.npz", G)
    assert list(again) == list(codes) and all(torch.equal(again[name], codes[name]) for name in codes)
    with pytest.raises(CheckpointError, match="make codes for this one"):
        load_codes(tmp_path / "codes.npz", dual(seed=1).generator)
    with pytest.raises(ValueError, match=r"codes\['x'\].*wanted finite numbers \[8, 12\]"):
        save_codes(tmp_path / "codes.npz", {"x": torch.zeros(10, 12)}, G)
    np.savez(tmp_path / "pickled.npz", base=np.array([object()], dtype=object))
    (tmp_path / "text.npz").write_text("no zip")
    for name in ("pickled.npz", "text.npz"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_codes(tmp_path / name, G)
