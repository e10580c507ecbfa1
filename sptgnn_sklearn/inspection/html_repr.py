"""A fitted estimator at a glance: what it took which column for, as a table for notebooks."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from html import escape

import numpy as np
from sklearn.metrics import r2_score

from ..table.schema import TableSchema

__all__ = ["fitted_facts", "out_of_fold_r2", "table_html"]

_NONE = "–"
_MOST_NAMES = 12  # of covariates; a survey may have hundreds
_LONGEST_CRS = 40  # characters; a system without an authority is a page of text
_CELL = "text-align: left; padding: 0.1em 1em 0.1em 0; vertical-align: top"


def fitted_facts(
    columns: TableSchema,
    *,
    relations: Sequence[str],
    streams: Sequence[str],
    weight: np.ndarray,
    n_rows: int,
    n_members: int,
    r2: float,
) -> dict[str, str]:
    """Return what there is to know of a fit, in the order in which it is read.

    Parameters
    ----------
    columns : Columns
        Roles of the columns.
    relations, streams : sequence of str
        Those in use.
    weight : ndarray of shape (m,)
        Of the distinct rows.
    n_rows : int
        Rows that were fitted, copies counted.
    n_members : int
        Members of the ensemble.
    r2 : float
        R2 on held-out rows; NaN is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> from sptgnn_sklearn.inspection.html_repr import fitted_facts
    >>> X = pd.DataFrame({"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, 0.2]})
    >>> settings = {"relations": ["spatial"], "streams": ["covariates"], "weight": np.ones(2)}
    >>> facts = fitted_facts(TableSchema.learn(X), **settings, n_rows=2, n_members=5, r2=0.5)
    >>> facts["coordinates"], facts["covariates"], facts["time"]
    ('lon, lat (EPSG:4326, distances in km)', 'clay', '–')
    """
    facts = {
        "coordinates": f"{_names(columns.coordinates)} ({_system(columns)})",
        "time": _label(columns.time),
        "elevation": _label(columns.elevation),
        "site": _label(columns.site),
        "images": ", ".join(f"{name}: {label}" for name, label in columns.images.items()) or _NONE,
        "covariates": _names([*columns.numeric, *columns.categorical]),
        "ignored": _names(columns.ignored),
        "relations": _names(relations),
        "streams": _names(streams),
        "rows": f"{n_rows}" if n_rows == len(weight) else f"{n_rows}, {len(weight)} distinct",
        "members": f"{n_members}",
        "held-out R²": _NONE if np.isnan(r2) else f"{r2:.2f}",
    }
    if not columns.ignored:
        del facts["ignored"]
    return facts


def out_of_fold_r2(
    y: np.ndarray, predicted: np.ndarray, weight: np.ndarray, held_out: np.ndarray
) -> float:
    """Return R2 on the rows (n,) that were held out from a member; NaN where these are too few.

    Parameters
    ----------
    y, predicted, weight : ndarray of shape (n,)
    held_out : ndarray of shape (n_members, n) of bool

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.inspection.html_repr import out_of_fold_r2
    >>> y, held_out = np.array([0.0, 2.0, 5.0]), np.array([[True, True, False]])
    >>> out_of_fold_r2(y, np.array([0.0, 1.0, 9.0]), np.ones(3), held_out)
    0.5
    """
    rows = held_out.any(axis=0)
    if rows.sum() < 2:
        return float("nan")
    return float(r2_score(y[rows], predicted[rows], sample_weight=weight[rows]))


def table_html(facts: Mapping[str, str]) -> str:
    """Return facts as an HTML table; what they hold is escaped.

    Parameters
    ----------
    facts : mapping of str to str
        A line each.

    Examples
    --------
    >>> from sptgnn_sklearn.inspection.html_repr import table_html
    >>> (
    ...     "<td" in table_html({"covariates": "<clay>"}),
    ...     "<clay>" in table_html({"covariates": "<clay>"}),
    ... )
    (True, False)
    """
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    # Without colours of its own it is read on light and on dark pages.
    return f'<table class="sptgnn-summary" style="margin: 0.5em 0"><tbody>{lines}</tbody></table>'


def _label(label: Hashable | None) -> str:
    return _NONE if label is None else str(label)


def _names(labels: Iterable[Hashable]) -> str:
    names = [str(label) for label in labels]
    if len(names) <= _MOST_NAMES:
        return ", ".join(names) or _NONE
    return f"{', '.join(names[:_MOST_NAMES])} … ({len(names)} in all)"


def _system(columns: TableSchema) -> str:
    """Return what the coordinates mean, in a few words."""
    frame = columns.reference
    if frame.crs is None:
        return "a plane of unknown unit"
    short = frame.crs if len(frame.crs) <= _LONGEST_CRS else f"{frame.crs[:_LONGEST_CRS]}…"
    return f"{short}, distances in {'m' if frame.unit == 'metre' else frame.unit}"
