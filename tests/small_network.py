"""A small network and a random graph of twelve rows."""

import numpy as np
import torch

from sptgnn_sklearn.network.config import NetworkShape
from sptgnn_sklearn.network.inference import NodeTensors, build_context, build_neighborhood
from sptgnn_sklearn.network.sptgnn import SpTGNN

N, K = 12, 3


def network_shape(**changes):
    """Return the shape of a network of two members and two relations."""
    settings = {
        "streams": {"covariates": 4, "position": 3},
        "relations": ("spatial", "spectral"),
        "edge_features": ("distance", "covariate_distance"),
        "own_feature": (0, 1),
        "n_members": 2,
        "hidden_size": 8,
        "n_heads": 4,
        "n_experts": 3,
    }
    return NetworkShape(**{**settings, **changes})


def random_network(seed=0, **changes):
    """Return a network in evaluation mode without parameters equal to zero."""
    shape = network_shape(**changes)
    network = SpTGNN(shape).reset_parameters(
        [torch.Generator().manual_seed(i) for i in range(shape.n_members)]
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def random_graph(n_relations=2, seed=0):
    """Return rows, neighbor lists without the row itself, and targets."""
    rng = np.random.RandomState(seed)
    rows = NodeTensors(
        {
            "covariates": torch.from_numpy(rng.normal(size=(N, 4)).astype(np.float32)),
            "position": torch.from_numpy(rng.normal(size=(N, 3)).astype(np.float32)),
        },
        {
            "distance": torch.from_numpy(rng.normal(size=(N, 2)).astype(np.float32)),
            "covariate_distance": torch.from_numpy(rng.normal(size=(N, 3)).astype(np.float32)),
        },
    )
    source_index = np.full((N, n_relations, K), -1)
    for i, r in np.ndindex(N, n_relations):
        source_index[i, r] = rng.choice(np.delete(np.arange(N), i), K, replace=False)
    source_index[0, :1, 1:] = -1  # a row with a single neighbor
    return rows, torch.from_numpy(source_index), torch.from_numpy(rng.normal(size=N)).float()


def neighborhood(network, rows, source_index):
    """Return a function from a slice of rows to their neighborhood."""

    def neighbors_of(part):
        target_inputs = {name: values[part] for name, values in rows.edge_inputs.items()}
        return build_neighborhood(network, target_inputs, source_index[part], rows.edge_inputs)

    return neighbors_of


def encode_context(network, rows, source_index, targets, **options):
    """Return the source nodes of rows that are neighbors of each other."""
    return build_context(
        network, rows, neighborhood(network, rows, source_index), targets, **options
    )
