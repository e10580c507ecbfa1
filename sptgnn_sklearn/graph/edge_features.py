"""What an edge carries: how far apart its two rows are, in each sense that a relation knows.

Rows are described once (`describe`), and distances are taken for the edges at hand only, so memory
follows the batch and not the table. `differences` uses nothing but operators that numpy arrays and
torch tensors share: the graph that is handed out and the network read the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..table.features import Features
from ..table.schema import Table

__all__ = ["NAMES", "describe", "differences"]

# Edge features in the order in which the network sees them.
NAMES = (
    "distance",
    "covariate_distance",
    "image_distance",
    "elevation_difference",
    "time_difference",
)


def describe(
    features: Features, table: Table, spaces: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what edge features are taken from.

    Parameters
    ----------
    features : Features
        Learned from the training rows.
    table : Table of n rows
    spaces : mapping of str to ndarray of shape (n, d)
        `Features.spaces` of the table.

    Returns
    -------
    dict of str to ndarray of shape (n, d)
        Those of `NAMES` that the table has. "distance" is in CRS units, or in km straight through
        the earth; the others are in standard deviations of the training rows. "image_distance" is
        NaN in rows without image, and there only if spectral similarity looks at images.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import Columns
    >>> from sptgnn_sklearn.graph.edge_features import describe
    >>> from sptgnn_sklearn.table.features import Features
    >>> X = pd.DataFrame({"x": [0.0, 3.0, 3.0], "y": [0.0, 0.0, 4.0], "year": [2001, 2003, None]})
    >>> columns = Columns.learn(X, time="year")
    >>> table = columns.split(X)
    >>> features = Features.learn(columns, table)
    >>> rows = describe(features, table, features.spaces(table))
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


def differences(receivers: Mapping[str, Any], senders: Mapping[str, Any]) -> dict[str, Any]:
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
    >>> from sptgnn_sklearn.graph.edge_features import differences
    >>> differences({"distance": np.array([[0.0, 0.0]])}, {"distance": np.array([[3.0, 4.0]])})
    {'distance': array([5.])}
    """
    return {
        name: ((receivers[name] - senders[name]) ** 2).sum(-1) ** 0.5
        for name in NAMES
        if name in receivers
    }
