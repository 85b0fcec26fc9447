"""Loading the parity cases: outputs of the reference implementations on weights rebuilt from a seed."""
import numpy as np
import torch

from . import weights

TOLERANCE = 1e-4  # relative to the largest reference value


def case(name: str) -> dict[str, torch.Tensor]:
    """Inputs and expected outputs of `cases/<name>.npz`."""
    with np.load(weights.HERE / "cases" / f"{name}.npz") as file:
        return {key: torch.from_numpy(np.asarray(value)) for key, value in file.items()}


def filled(network: torch.nn.Module, manifest: str, seed: int) -> torch.nn.Module:
    """`network` with the weights of a manifest, loaded strictly."""
    arrays = weights.fill(weights.manifest(manifest), int(seed))
    network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()}, strict=True)
    return network.eval()


def assert_agrees(ours: torch.Tensor, reference: torch.Tensor) -> None:
    """The largest difference is within TOLERANCE of the largest reference value."""
    assert ours.shape == reference.shape
    error = (ours - reference).abs().max().item() / reference.abs().max().item()
    assert error < TOLERANCE, f"relative error {error:.2e}"
