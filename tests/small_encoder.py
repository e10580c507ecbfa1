"""A small encoder with the stages of TerraMind, and chips for it."""

import numpy as np
import torch
from torch import nn

from sptgnn_sklearn.encoders.terramind import PatchEmbedding, Pool

SIDE, WIDTH = 16, 8


class Patches(nn.Module):
    """Patch embedding of a modality as in terratorch: tokens and a modality embedding."""

    def __init__(self, channels):
        super().__init__()
        self.proj = nn.Linear(channels * SIDE * SIDE, WIDTH)
        self.mod_emb = nn.Parameter(torch.randn(1, 1, WIDTH))

    def forward(self, chips):
        return {"x": self.proj(chips.flatten(1))[:, None], "emb": self.mod_emb}


class Block(nn.Module):
    """Residual block that mixes tokens."""

    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens):
        mixed = torch.tanh(self.linear(self.norm1(tokens)))
        return tokens + mixed + mixed.mean(1, keepdim=True)


def small_stages(n_blocks=3, **channels):
    """Return encoder stages for modalities with the given numbers of channels."""
    torch.manual_seed(0)
    embeddings = {name: Patches(n) for name, n in (channels or {"DEM": 1}).items()}
    blocks = [Block() for _ in range(n_blocks)]
    return nn.Sequential(PatchEmbedding(embeddings), *blocks, Pool(nn.LayerNorm(WIDTH)))


def write_chips(folder, n, channels=1, seed=0, signal=None):
    """Write n .npy chips and return their paths; `signal` (n,) shifts their means."""
    rng = np.random.default_rng(seed)
    paths = []
    for i in range(n):
        chip = rng.normal(670, 300, (channels, SIDE, SIDE)).astype(np.float32)
        if signal is not None:
            chip += 900 * signal[i]
        path = folder / f"chip-{seed}-{channels}-{i}.npy"
        np.save(path, chip)
        paths.append(str(path))
    return paths
