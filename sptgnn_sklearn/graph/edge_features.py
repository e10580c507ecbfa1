"""Edge features: distances between the two rows of an edge in several spaces.

The inputs of the distances are kept for each row and distances are computed for the edges at hand,
so memory grows with the batch and not with the table. `pairwise_edge_distances` takes numpy arrays
and torch tensors alike, so that the exported graph and the network share one definition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..table.features import FeatureEncoder
from ..table.schema import SampleTable

__all__ = ["EDGE_FEATURES", "edge_inputs", "pairwise_edge_distances"]

# Edge features in the order of the network's input.
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
    """Return the row coordinates between which edge features are distances.

    Parameters
    ----------
    features : FeatureEncoder
        Fitted on the training rows.
    table : SampleTable of n rows
    spaces : mapping of str to ndarray of shape (n, d)
        `FeatureEncoder.relation_spaces` of the table.

    Returns
    -------
    dict of str to ndarray of shape (n, d)
        Those of `EDGE_FEATURES` that the table provides. "distance" is in CRS units, or in km along
        the chord for geographic coordinates; the others are in standard deviations of the training
        rows. "image_distance" is NaN in rows without image, and present only if spectral similarity
        uses images.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> from sptgnn_sklearn.graph.edge_features import edge_inputs
    >>> from sptgnn_sklearn.table.features import FeatureEncoder
    >>> X = pd.DataFrame({"x": [0.0, 3.0, 3.0], "y": [0.0, 0.0, 4.0], "year": [2001, 2003, None]})
    >>> schema = TableSchema.fit(X, time="year")
    >>> table = schema.transform(X)
    >>> features = FeatureEncoder.fit(schema, table)
    >>> inputs = edge_inputs(features, table, features.relation_spaces(table))
    >>> list(inputs), inputs["time_difference"].ravel().tolist()
    (['distance', 'time_difference'], [-1.0, 1.0, 0.0])
    """
    inputs = {"distance": spaces["spatial"]}
    # Without images the spectral space is that of the covariates.
    covariates = (
        spaces.get("spectral") if features.image_axes is None else features.covariate_space(table)
    )
    images = features.image_space(table)
    if covariates is not None:
        inputs["covariate_distance"] = covariates
    if images is not None:
        inputs["image_distance"] = images
    if "elevation" in spaces:
        inputs["elevation_difference"] = features.standard_elevation(table)[:, None]
    if features.time_scale is not None:
        # Missing dates are imputed by the mean date, so that every difference is finite.
        inputs["time_difference"] = np.nan_to_num(features.standard_time(table))[:, None]
    return inputs


def pairwise_edge_distances(
    target_inputs: Mapping[str, Any], source_inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the Euclidean distances between the target and source rows of edges.

    Parameters
    ----------
    target_inputs, source_inputs : mapping of name to array of shape (..., d)
        `edge_inputs` of both rows of each edge, broadcast against each other.

    Returns
    -------
    dict of name to array of shape (...)
        In the order of `EDGE_FEATURES`.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.graph.edge_features import pairwise_edge_distances
    >>> pairwise_edge_distances(
    ...     {"distance": np.array([[0.0, 0.0]])}, {"distance": np.array([[3.0, 4.0]])}
    ... )
    {'distance': array([5.])}
    """
    return {
        name: ((target_inputs[name] - source_inputs[name]) ** 2).sum(-1) ** 0.5
        for name in EDGE_FEATURES
        if name in target_inputs
    }
