"""Controls: what may be set while a run goes on, and what is refused where it is set."""
import pytest
import torch

from sketchgan.customizing.controls import Controls


@pytest.mark.parametrize("wrong", [
    dict(l_image=-1), dict(l_image=float("nan")), dict(l_weight=float("inf")), dict(augment="flip"), dict(speed=3),
    dict(sketches=torch.ones(1, 1, 8, 8)), dict(sketches=-torch.ones(1, 1, 16, 16)),
])
def test_wrong_values_are_refused_where_they_are_set(wrong):
    controls = Controls(l_image=0.5)
    controls.bind(8)
    with pytest.raises(ValueError):
        controls.set(l_weight=0.25, **{k: v for k, v in wrong.items() if k != "l_weight"}) if "l_weight" not in wrong \
            else controls.set(**wrong)
    assert controls.read() == {"l_image": 0.5}


def test_unknown_names_and_nonsense_are_refused_where_they_are_set():
    controls = Controls()
    with pytest.raises(AttributeError, match="no 'l_imge'. Set any of: sketches, l_image"):
        controls.l_imge = 5
    for name, value in (("pause", "no"), ("stop", 1), ("l_image", "0.7"), ("l_image", True), ("augment", 3),
                        ("sketches", 5)):
        with pytest.raises(ValueError):
            setattr(controls, name, value)
    assert controls.read() == {} and controls.pause is False and controls.stop is False


def test_sketches_are_copied_when_set():
    mine = -torch.ones(1, 1, 8, 8)
    controls = Controls(sketches=mine)
    mine.fill_(1)
    assert controls.sketches.max() == -1
