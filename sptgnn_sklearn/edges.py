"""What an edge carries: how far apart its two rows are, in each sense that a relation knows.

Rows are described once (`describe`), and distances are taken for the edges at hand only, so memory
follows the batch and not the table. `differences` uses nothing but operators that numpy arrays and
torch tensors share: the graph that is handed out and the network read the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .columns import Table
from .features import Features

# Edge features in the order in which the network sees them.
NAMES = ("distance", "covariate_distance", "elevation_difference", "time_difference")


def describe(features: Features, table: Table) -> dict[str, np.ndarray]:
    """Return what edge features are taken from: name to array of shape (n, d).

    distance is in km or CRS units; the others are in standard deviations of the training rows.
    """
    spaces = features.spaces(table)
    rows = {"distance": spaces["spatial"]}
    if "spectral" in spaces:
        rows["covariate_distance"] = spaces["spectral"]
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
    """
    return {
        name: ((receivers[name] - senders[name]) ** 2).sum(-1) ** 0.5
        for name in NAMES
        if name in receivers
    }
