"""Training states from strangers: whether what a checkpoint holds is like what it is for, before any of it is used.

PyTorch compares the keys and shapes of networks and takes an optimiser's moments on trust, and its fused Adam then
writes beyond them. So every tensor's shape, kind and range is looked at here, by one mechanism for every training.
"""
import torch
from torch import Tensor, nn

from ..files.checks import Weight, Whole, check


def require_like(stored, ours, name: str, also: tuple = ()) -> None:
    """Raise ValueError unless something stored is like ours: the same keys, types, shapes, and only finite numbers; but
    numbers under the keys `also` are let pass if they are whole."""
    if isinstance(ours, Tensor):
        whole = type(stored) in (Tensor, nn.Parameter) and stored.layout is torch.strided and not stored.is_quantized
        if not whole or stored.shape != ours.shape or stored.dtype != ours.dtype:
            given = f"{list(stored.shape)} of {stored.dtype}" if isinstance(stored, Tensor) else type(stored).__name__
            raise ValueError(f"{name} is {given}; wanted {list(ours.shape)} of {ours.dtype}")
        if stored.is_floating_point() and not stored.isfinite().all():
            raise ValueError(f"{name} has values that are NaN or infinite")
    elif isinstance(ours, dict):
        if not isinstance(stored, dict) or stored.keys() != ours.keys():
            raise ValueError(f"{name} has other parts than are wanted: {', '.join(map(str, ours))}")
        for key in ours:
            if key in also:
                check(f"{key} of {name}", stored[key], Whole)
            else:
                require_like(stored[key], ours[key], f"{name}.{key}")
    elif isinstance(ours, (list, tuple)):
        if type(stored) is not type(ours) or len(stored) != len(ours):
            raise ValueError(f"{name} is {str(stored)[:80]}; wanted {len(ours)} items")
        for i, pair in enumerate(zip(stored, ours, strict=True)):
            require_like(*pair, f"{name} {i}")
    elif type(stored) is not type(ours) or stored != ours:
        raise ValueError(f"{name} is {str(stored)[:80]}; wanted {str(ours)[:80]}")


def check_optimizer(stored: dict, optimizer: torch.optim.Optimizer, iteration: int, name: str,
                    free: tuple[str, ...] = ()) -> None:
    """Raise ValueError unless stored moments are of our parameters: fused Adam takes their shapes on trust.

    iteration: in which each parameter was moved twice at most. free: settings that may be other numbers than ours, such
    as the 'lr' of a schedule.
    """
    require_like(sorted(stored), ["param_groups", "state"], f"the parts of {name}")
    groups = optimizer.state_dict()["param_groups"]
    require_like([sorted(group) for group in stored["param_groups"]], [sorted(group) for group in groups], name)
    for group, own in zip(stored["param_groups"], groups, strict=True):
        for key in free:
            check(f"{key} of {name}", group[key], Weight)
        require_like(group | {key: own[key] for key in free}, own, f"the settings of {name}")
    params = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    for i, entry in stored["state"].items():
        if type(i) is not int or i not in params:
            raise ValueError(f"{name} has moments of a parameter {i!r} that is not there")
        require_like(entry, {"step": torch.zeros(()), "exp_avg": params[i], "exp_avg_sq": params[i]}, f"{name} {i}")
        if not (0 < entry["step"] <= 2 * iteration and entry["exp_avg_sq"].min() >= 0):
            raise ValueError(f"{name} {i} counts {entry['step'].item():g} steps in {iteration} iterations, "
                             f"or has a second moment below 0")


def own_moments(stored: dict, optimizer: torch.optim.Optimizer) -> dict:
    """An optimiser's state_dict with tensors of its own, laid out as the parameters are: a file's may share memory."""
    params = dict(enumerate(p for group in optimizer.param_groups for p in group["params"]))
    fresh = lambda i, value: torch.empty_like(params[i] if value.ndim else value, memory_format=torch.preserve_format,
                                              device=value.device, requires_grad=False).copy_(value)
    moments = {i: {key: fresh(i, value) for key, value in entry.items()} for i, entry in stored["state"].items()}
    return {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
