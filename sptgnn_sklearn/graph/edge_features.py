"""What an edge carries: how far apart its two rows are, in each sense that a relation knows.

Rows are described once (`describe`), and distances are taken for the edges at hand only, so memory
follows the batch and not the table. `differences` uses nothing but operators that numpy arrays and
torch tensors share: the graph that is handed out and the network read the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..table.features import FeatureEncoder
from ..table.schema import SampleTable

__all__ = ["EDGE_FEATURES", "edge_inputs", "pairwise_edge_distances"]

# Edge features in the order in which the network sees them.
EDGE_FEATURES = (
    "distance",
    "covariate_distance",
    "image_distance",
    "elevation_difference",
    "time_difference",
)


def edge_inputs(
    features: FeatureEncoder, table: SampleTable, spaces: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what edge features are taken from.

    Parameters
    ----------
    features : Features
        Learned from the training rows.
    table : Table of n rows
    spaces : mapping of str to ndarray of shape (n, d)
        `FeatureEncoder.spaces` of the table.

    Returns
    -------
    dict of str to ndarray of shape (n, d)
        Those of `NAMES` that the table has. "distance" is in CRS units, or in km straight through
        the earth; the others are in standard deviations of the training rows. "image_distance" is
        NaN in rows without image, and there only if spectral similarity looks at images.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> from sptgnn_sklearn.graph.edge_features import edge_inputs
    >>> from sptgnn_sklearn.table.features import FeatureEncoder
    >>> X = pd.DataFrame({"x": [0.0, 3.0, 3.0], "y": [0.0, 0.0, 4.0], "year": [2001, 2003, None]})
    >>> columns = TableSchema.learn(X, time="year")
    >>> table = columns.split(X)
    >>> features = FeatureEncoder.learn(columns, table)
    >>> rows = describe(features, table, features.relation_spaces(table))
    >>> list(rows), rows["time_difference"].ravel().tolist()
    (['distance', 'time_difference'], [-1.0, 1.0, 0.0])
    """
    rows = {"distance": spaces["spatial"]}
    # Without images the spectral space is that of the covariates.
    covariates = (
        spaces.get("spectral") if features.image_axes is None else features.covariate_space(table)
    )
    images = features.image_space(table)
    if covariates is not None:
        rows["covariate_distance"] = covariates
    if images is not None:
        rows["image_distance"] = images
    if "elevation" in spaces:
        rows["elevation_difference"] = features.standard_elevation(table)[:, None]
    if features.period is not None:
        # An unknown date counts as the mean date: the difference must be some number.
        rows["time_difference"] = np.nan_to_num(features.standard_time(table))[:, None]
    return rows


def pairwise_edge_distances(
    target_nodes: Mapping[str, Any], source_index: Mapping[str, Any]
) -> dict[str, Any]:
    """Euclidean difference between the two ends of each edge, feature by feature.

    Parameters
    ----------
    receivers, senders : mapping of name to array of shape (..., d)
        Descriptions of both ends, broadcast against each other.

    Returns
    -------
    dict of name to array of shape (...)
        In the order of `NAMES`.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.edge_features import pairwise_edge_distances
    >>> differences({"distance": np.array([[0.0, 0.0]])}, {"distance": np.array([[3.0, 4.0]])})
    {'distance': array([5.])}
    """
    return {
        name: ((target_nodes[name] - source_index[name]) ** 2).sum(-1) ** 0.5
        for name in EDGE_FEATURES
        if name in target_nodes
    }
