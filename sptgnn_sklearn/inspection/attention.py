"""Tables of attention weights and expert weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = ["attention_table", "expert_table"]


def attention_table(
    relations: Sequence[str], neighbors: np.ndarray, weights: np.ndarray, distances: np.ndarray
) -> pd.DataFrame:
    """Return one table row per query row, relation and neighbor, and the unassigned attention.

    Parameters
    ----------
    relations : sequence of str
        Names of the R relations.
    neighbors : ndarray of shape (n, R, K)
        Training rows; -1 for no neighbor.
    weights, distances : ndarray of shape (n, R, K)
        Attention weights and distances of the neighbors.

    Returns
    -------
    DataFrame
        Columns row, relation, neighbor, weight and distance. The unassigned attention is the last
        row of each relation, with neighbor -1.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.attention import attention_table
    >>> neighbors = np.array([[[7, -1]]])
    >>> weights, distances = np.array([[[0.75, 0.0]]]), np.array([[[2.0, np.inf]]])
    >>> table = attention_table(["spatial"], neighbors, weights, distances)
    >>> print(table.to_string(index=False))
     row relation  neighbor  weight  distance
       0  spatial         7    0.75       2.0
       0  spatial        -1    0.25       NaN
    """
    n, n_relations, k = neighbors.shape
    rows, relation, _ = np.indices((n, n_relations, k))
    exists = neighbors >= 0
    assigned = pd.DataFrame(
        {
            "row": rows[exists],
            "relation": relation[exists],
            "neighbor": neighbors[exists],
            "weight": weights[exists],
            "distance": distances[exists],
        }
    )
    rows, relation = np.indices((n, n_relations))
    remainder = 1.0 - np.where(exists, weights, 0.0).sum(-1)
    unassigned = pd.DataFrame(
        {
            "row": rows.ravel(),
            "relation": relation.ravel(),
            "neighbor": -1,
            "weight": np.clip(remainder, 0.0, None).ravel(),
            "distance": np.nan,
        }
    )
    table = pd.concat([assigned, unassigned], ignore_index=True)
    # A stable sort keeps the neighbors from near to far, before the unassigned attention.
    table = table.sort_values(["row", "relation"], kind="stable", ignore_index=True)
    table["relation"] = np.asarray(relations, dtype=object)[table["relation"]]
    return table


def expert_table(gates: np.ndarray, index: pd.Index | None) -> pd.DataFrame:
    """Return expert weights (n, M, E) as one column per ensemble member and expert.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.attention import expert_table
    >>> expert_table(np.array([[[1.0, 0.0], [0.5, 0.5]]]), None).columns.tolist()
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    n, n_members, n_experts = gates.shape
    columns = pd.MultiIndex.from_product(
        [range(n_members), range(n_experts)], names=["member", "expert"]
    )
    return pd.DataFrame(gates.reshape(n, -1), columns=columns, index=index)
