"""What the network looks at, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = ["attention_table", "expert_table"]


def attention_table(
    relations: Sequence[str], neighbors: np.ndarray, weights: np.ndarray, distances: np.ndarray
) -> pd.DataFrame:
    """Return weights as a line for each row, relation and neighbour, nobody included.

    Parameters
    ----------
    relations : sequence of str
        R names.
    neighbours : ndarray of shape (n, R, K)
        -1 where there is none.
    weights, distances : ndarray of shape (n, R, K)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.attention import attention_table
    >>> one = np.array([[[7, -1]]])
    >>> weights, distances = np.array([[[0.75, 0.0]]]), np.array([[[2.0, np.inf]]])
    >>> print(attention_table(["spatial"], one, weights, distances).to_string(index=False))
     row relation  neighbor  weight  distance
       0  spatial         7    0.75       2.0
       0  spatial        -1    0.25       NaN
    """
    n, n_relations, k = neighbors.shape
    rows, relation, _ = np.indices((n, n_relations, k))
    there = neighbors >= 0
    found = pd.DataFrame(
        {
            "row": rows[there],
            "relation": relation[there],
            "neighbor": neighbors[there],
            "weight": weights[there],
            "distance": distances[there],
        }
    )
    rows, relation = np.indices((n, n_relations))
    left = 1.0 - np.where(there, weights, 0.0).sum(-1)
    nobody = pd.DataFrame(
        {
            "row": rows.ravel(),
            "relation": relation.ravel(),
            "neighbor": -1,
            "weight": np.clip(left, 0.0, None).ravel(),
            "distance": np.nan,
        }
    )
    together = pd.concat([found, nobody], ignore_index=True)
    # Nobody comes after the neighbours, which keep their order: from near to far.
    together = together.sort_values(["row", "relation"], kind="stable", ignore_index=True)
    together["relation"] = np.asarray(relations, dtype=object)[together["relation"]]
    return together


def expert_table(gates: np.ndarray, index: pd.Index | None) -> pd.DataFrame:
    """Return shares of experts (n, M, E) with a column for each member and expert.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.attention import expert_table
    >>> expert_table(np.array([[[1.0, 0.0], [0.5, 0.5]]]), None).columns.tolist()
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    n, members, experts = gates.shape
    columns = pd.MultiIndex.from_product(
        [range(members), range(experts)], names=["member", "expert"]
    )
    return pd.DataFrame(gates.reshape(n, -1), columns=columns, index=index)
