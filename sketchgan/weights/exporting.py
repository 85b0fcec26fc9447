"""Writing networks for the programs of others, or saying what their layouts would lose."""
import io
from collections.abc import Mapping

import torch

from ..files.atomic import write_atomically
from ..files.checks import Place, checked
from ..nets.photosketch import PhotoSketch
from ..nets.stylegan2 import Discriminator, Generator
from .pickles import CheckpointError
from .stored_tensors import require_finite

FORMATS = {"rosinality": "rosinality's stylegan2-pytorch", "gansketching": "GANSketching"}


@checked
def export(path: Place, format: str, G: Generator | None = None, D: Discriminator | None = None,
           F: PhotoSketch | None = None, without: tuple[str, ...] | list[str] = ()) -> None:
    """Write networks for the programs of others; `load_generator` and its like read them back bit for bit.

    Args:
        path: file to write.
        format: 'rosinality' for a `.pt` with `g_ema`, `d` and `latent_avg` (G, D or both), 'gansketching' for a `.pth`
            with the bare state dict of one network (G, D or F).  The program must be told the size, and for channels
            other than the official table be changed; the tensors are all there.
        without: what may be lost, of 'conv_clamp', 'mbstd_group' and 'w_avg'.  Neither layout has a place for the first
            two, and GANSketching's has none for a mean latent that differs from the one that samples of z give.
    Raises:
        CheckpointError: if the layout cannot hold the networks (these three, a z_dim unlike w_dim, for 'rosinality' a
            W-shift), saying what would be lost.
        OSError: if the disk does not take it.  In both cases the previous file stays as it was.
    """
    content = public_layout(format, G, D, F, tuple(without))
    for part in [part for part in content.values() if isinstance(part, Mapping)] or [content]:
        require_finite(part, f"refusing to write {path}", "keep the last good checkpoint")
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getbuffer())


def public_layout(format: str, G: Generator | None, D: Discriminator | None, F: PhotoSketch | None,
                  without: tuple[str, ...]) -> dict:
    """What `torch.save` writes so that the program of that layout reads it; see `export`.

    Raises:
        CheckpointError: naming everything that the layout has no place for and `without` does not give up.
    """
    networks = {name: network for name, network in (("g_ema", G), ("d", D), ("f", F)) if network is not None}
    if format not in FORMATS:
        raise CheckpointError(f"format={format!r} is not known; choose one of {', '.join(map(repr, FORMATS))}, or use "
                              f"save()")
    single = format == "gansketching"
    if not networks or single and len(networks) > 1 or not single and F is not None:
        wants = "exactly one of G=, D=, F=: it holds one network" if single else "G=, D= or both: it has no place for F"
        raise CheckpointError(f"{FORMATS[format]}'s layout wants {wants}; got {', '.join(networks) or 'none'}. "
                              f"Call export once for each file")
    lost = {} if F is not None else _lost(format, G, D)
    kept = {name: why for name, why in lost.items() if name not in without or name in ("z_dim", "w_shift")}
    if kept:
        may = [name for name in kept if name not in ("z_dim", "w_shift")]
        accept = f", or accept the loss with without={tuple(may)}" if len(may) == len(kept) else ""
        raise CheckpointError(f"{FORMATS[format]}'s layout cannot hold this network; lost would be: "
                              f"{'; '.join(kept.values())}. Use save(), which keeps everything{accept}")
    states = {name: {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
              for name, network in networks.items()}
    if single:
        return next(iter(states.values()))
    return states | ({"latent_avg": G.mean_w().detach().cpu().clone()} if G is not None else {})


def _lost(format: str, G: Generator | None, D: Discriminator | None) -> dict[str, str]:
    """What a layout has no place for: name -> in words."""
    lost = {}
    for network in filter(None, (G, D)):
        if network.conv_clamp is not None:
            lost["conv_clamp"] = f"conv_clamp={network.conv_clamp:g}, the clamp of every layer"
    if D is not None and D.mbstd_group != 4:
        lost["mbstd_group"] = f"mbstd_group={D.mbstd_group}, where its D always takes 4"
    if G is not None and G.z_dim != G.w_dim:
        lost["z_dim"] = f"z_dim={G.z_dim}: it has one size for z and w, which is {G.w_dim} here"
    if G is not None and format == "rosinality" and G.config["w_shift"]:
        lost["w_shift"] = "the shift of w, which only GANSketching's layout has"
    if G is not None and format == "gansketching" and not G.w_avg_is_measured():
        lost["w_avg"] = "w_avg, the mean latent that came with the model (it is not the one that samples of z give)"
    return lost
