"""A small training set, network shape and training configuration."""

import numpy as np
import torch

from sptgnn_sklearn.graph.knn_graph import build_graph
from sptgnn_sklearn.network.config import NetworkShape
from sptgnn_sklearn.network.inference import NodeTensors
from sptgnn_sklearn.training.config import TrainingConfig
from sptgnn_sklearn.training.dataset import TrainingSet

N, K = 60, 4


def training_set(n_members=2, seed=0):
    """Return rows with a smooth target; each member holds out another fifth of them."""
    rng = np.random.RandomState(seed)
    positions = rng.uniform(size=(N, 2)).astype(np.float32)
    target = np.sin(4 * positions[:, 0]) + 0.1 * rng.normal(size=N)
    fold = rng.permutation(N) % 5
    nearest = build_graph({"spatial": positions}, 2 * K, np.arange(N))
    far = build_graph({"spatial": positions}, 2 * K, (positions[:, 0] > 0.5).astype(int))
    return TrainingSet(
        rows=NodeTensors(
            {"covariates": torch.from_numpy(positions)}, {"distance": torch.from_numpy(positions)}
        ),
        targets=(target - target.mean()) / target.std(),
        weight=np.ones(N),
        candidates=np.array([nearest, far]),
        held_out=np.array([fold == m for m in range(n_members)]),
        held_out_neighbors=build_graph({"spatial": positions}, K, fold)[None],
        rounds=np.zeros(n_members, dtype=int),
        n_neighbors=K,
    )


def training_shape(n_members=2, **changes):
    """Return the shape of a small network."""
    settings = {
        "streams": {"covariates": 2},
        "relations": ("spatial",),
        "edge_features": ("distance",),
        "own_feature": (0,),
        "n_members": n_members,
        "hidden_size": 8,
        "n_experts": 2,
    }
    return NetworkShape(**{**settings, **changes})


def training_config(**changes):
    """Return the settings of three epochs."""
    return TrainingConfig(**{"max_epochs": 3, "batch_size": 16, **changes})


def row_rngs():
    """Return random states of the row order of two members."""
    return [np.random.RandomState(seed) for seed in (0, 1)]
