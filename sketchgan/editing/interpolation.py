"""From one sample to the next: slerp in z, lerp in w, as latents, frames, GIF and MP4.

    ws = interpolate(G, z, frames=24)                # [T, num_ws, w_dim], loops; by way of each z [K, z_dim]
    save_film("film.gif", paint(G, ws), fps=24)      # or .mp4, with the extra `video`

z is normal in many dimensions, so its points lie near a sphere, and a straight line between two of them leaves it:
slerp goes along the sphere (Shoemake 1985; White 2016, section 2.1). w knows no such shell, there a line is right.
"""
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import plotting
from ..files.atomic import write_atomically
from ..files.checks import Count, GeneratorLike, Limits, Positive, checked, shape

PARALLEL = 1e-4         # radians below which two directions are one
SUFFIXES = (".gif", ".mp4")
Several = shape("K", "D", rows=2)


@checked
def slerp(a: shape("D"), b: shape("D"), t: float) -> Tensor:
    """From `a` [D] (t = 0) to `b` [D] (t = 1) along the sphere: `sin((1-t) A)/sin A * a + sin(t A)/sin A * b`, A the
    angle between them. The ends are a and b bit by bit. Raises ValueError for opposite points, which have no one way
    between them."""
    if a.shape != b.shape:
        raise ValueError(f"a has {len(a)} numbers and b {len(b)}; both ends want the same")
    if t in (0, 1):
        return (b if t else a).clone()
    x, y = a.double(), b.double()
    angle = torch.atan2((x / x.norm() - y / y.norm()).norm(), (x / x.norm() + y / y.norm()).norm()) * 2
    if not angle > PARALLEL:            # of length 0, or as good as one direction
        return a.lerp(b, t)
    if torch.pi - angle < PARALLEL:
        raise ValueError("a and b are opposite, and all ways along the sphere are as short; go by way of a third point")
    return (((1 - t) * angle).sin() / angle.sin() * x + (t * angle).sin() / angle.sin() * y).to(a)


@checked
@torch.no_grad()
def interpolate(G: GeneratorLike, z: Several, frames: Count = 24, space: Literal["z", "w"] = "z", loop: bool = True,
                truncation_psi: float = 1.0) -> Tensor:
    """Latents [T, num_ws, w_dim] by way of each z [K, z_dim], `frames` from one to the next.

    space: 'z' slerps z and maps what it meets, which keeps to what G has learnt; 'w' draws lines between the w, which
    is shorter and smoother. loop: goes on from the last to the first, T = K * frames, and the end meets the beginning;
    without: T = (K - 1) * frames + 1. The latents of the z themselves are `G.mapping(z)` bit by bit.
    """
    device = next(G.parameters()).device
    ends = G.mapping(z.to(device), truncation_psi)                                      # [K, num_ws, w_dim]
    pairs = [(i, (i + 1) % len(z)) for i in range(len(z) - (not loop))]
    steps = [i / frames for i in range(1, frames)]
    path = []
    for i, j in pairs:
        path.append(ends[i:i + 1])
        if space == "w":
            path += [ends[i:i + 1].lerp(ends[j:j + 1], t) for t in steps]
        elif steps:
            between = torch.stack([slerp(z[i], z[j], t) for t in steps])
            path.append(G.mapping(between.to(device), truncation_psi))
    return torch.cat(path if loop else [*path, ends[-1:]])


@checked
@torch.no_grad()
def paint(G: GeneratorLike, ws: shape("N", "L", "D"),
          noise_mode: Literal["random", "const", "none"] = "const") -> Tensor:
    """Pictures [N, 3, R, R] of latents, on the CPU, clamped to [-1, 1], painted one by one.

    A network may round a picture otherwise in another batch; so, with the noise of G's buffers, a picture depends on
    its ws alone, and the frame at the end of a film is bit by bit the sample it ends with.
    """
    return torch.cat([G.synthesis(one[None], noise_mode).clamp(-1, 1).cpu() for one in ws])


@checked
def save_film(path: str | os.PathLike, images: shape("N", (1, 3), "H", "W"), fps: Positive = 24.0,
              scale: Count = 1, loop: bool = True, colors: Annotated[int, Limits(2, 256)] = 256) -> None:
    """Write frames [T, 3, H, W] in [-1, 1] as a film, `.gif` or `.mp4` by the name; whole or not at all.

    fps: pictures a second; a GIF counts hundredths of a second and is at most 50. scale: screen pixels per pixel.
    loop: of a GIF, begins again at its end. colors: of a GIF, one palette for all frames. MP4 needs the extra `video`
    (imageio with ffmpeg).
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path {path} ends in {suffix or 'nothing'}; a film is written as {' or '.join(SUFFIXES)}")
    frames = plotting.to_uint8(images).repeat(scale, 1).repeat(scale, 2)                 # [THW3]
    write_atomically(path, _gif(frames, fps, loop, colors) if suffix == ".gif" else _mp4(frames, fps))


def _gif(frames: np.ndarray, fps: float, loop: bool, colors: int) -> bytes:
    # One palette, of frames from everywhere: with one of its own for each, plain areas flicker.
    some = np.concatenate(frames[::max(1, len(frames) // 16)])
    palette = Image.fromarray(some).quantize(colors)
    pages = [Image.fromarray(frame).quantize(palette=palette) for frame in frames]
    file = io.BytesIO()
    pages[0].save(file, "gif", save_all=True, append_images=pages[1:], duration=max(20, round(1000 / fps)),
                  **({"loop": 0} if loop else {}))
    return file.getvalue()


def _mp4(frames: Iterable[np.ndarray], fps: float) -> bytes:
    try:
        import imageio.v3 as imageio
        import imageio_ffmpeg  # noqa: F401 (imageio finds it by itself, and says little when it does not)
    except ImportError as error:
        raise ImportError(f"MP4 needs {error.name}: pip install 'sketchgan[video]', or write a .gif") from error
    # Players want even sides and 4:2:0, and blocks of 2 for the former; the edge is repeated where one is odd.
    odd = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
    return imageio.imwrite("<bytes>", np.pad(frames, odd, "edge"), extension=".mp4", plugin="FFMPEG", fps=fps,
                           codec="libx264", quality=8, macro_block_size=2)
