"""Random samples of a generator, the same for everybody who names the same seed."""
import torch
from torch import Generator, Tensor

from ..files.checks import Count, GeneratorLike, Seed, checked


@checked
@torch.no_grad()
def sample(G: GeneratorLike, n: Count, seed: Seed = 0, batch: Count = 64, truncation_psi: float = 1.0) -> Tensor:
    """n random samples of a generator: [n, 3, R, R] on the CPU, clamped to [-1, 1].

    z and the noise of each layer come from `seed`, so two generators are shown with the same z and the same noise.
    """
    random = Generator().manual_seed(seed)
    device = next(G.parameters()).device
    pieces = []
    for start in range(0, n, batch):
        # Always a whole batch, so that the first images do not depend on n.
        ws = G.mapping(torch.randn(batch, G.z_dim, generator=random).to(device), truncation_psi)
        pieces.append(G.synthesis(ws, generator=random).clamp(-1, 1).cpu()[:n - start])
    return torch.cat(pieces)
