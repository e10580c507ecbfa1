"""HTML table of the column roles and held-out R2 of a fitted estimator."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from html import escape

import numpy as np

from ..spatial.crs import SpatialReference
from ..table.schema import TableSchema

__all__ = ["fitted_facts", "out_of_fold_r2", "table_html"]

_NONE = "–"
_MAX_NAMES = 12  # tables can have hundreds of covariates
_MAX_CRS_LENGTH = 40  # the WKT of a CRS without an authority code is a page of text
_HELD_OUT = "(at locations that a member did not train on, half of them in blocks)"
_CELL_STYLE = "text-align: left; padding: 0.1em 1em 0.1em 0; vertical-align: top"


def fitted_facts(
    schema: TableSchema,
    *,
    relations: Sequence[str],
    streams: Sequence[str],
    weight: np.ndarray,
    n_rows: int,
    n_members: int,
    r2: float,
    gains: Mapping[str, float] | None = None,
) -> dict[str, str]:
    """Return column roles, relations, rows and held-out R2 of a fitted estimator as text.

    Parameters
    ----------
    schema : TableSchema
        Roles of the columns.
    relations, streams : sequence of str
        Relations and streams of the fitted network.
    weight : ndarray of shape (m,)
        Weights of the distinct training rows.
    n_rows : int
        Number of training rows, including duplicates.
    n_members : int
        Number of ensemble members.
    r2 : float
        R2 on held-out rows; NaN if unknown.
    gains : dict of str to float, default=None
        R2 that is lost without a part of the model.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> from sptgnn_sklearn.inspection.html_repr import fitted_facts
    >>> X = pd.DataFrame({"lon": [5.0, 6.0], "lat": [52.0, 53.0], "clay": [0.1, 0.2]})
    >>> settings = {"relations": ["spatial"], "streams": ["covariates"], "weight": np.ones(2)}
    >>> facts = fitted_facts(TableSchema.fit(X), **settings, n_rows=2, n_members=5, r2=0.5)
    >>> facts["coordinates"], facts["covariates"], facts["time"]
    ('lon, lat (EPSG:4326, distances in km)', 'clay', '–')
    """
    facts = {
        "coordinates": f"{_format_names(schema.coordinates)} ({_describe_crs(schema.reference)})",
        "time": _format_label(schema.time),
        "elevation": _format_label(schema.elevation),
        "site": _format_label(schema.site),
        "images": ", ".join(f"{name}: {label}" for name, label in schema.images.items()) or _NONE,
        "noise_std": _format_label(schema.noise_std),
        "campaign": _format_label(schema.campaign),
        "covariates": _format_names([*schema.numeric, *schema.categorical]),
        "ignored": _format_names(schema.ignored),
        "relations": _format_names(relations),
        "streams": _format_names(streams),
        "rows": f"{n_rows}" if n_rows == len(weight) else f"{n_rows}, {len(weight)} distinct",
        "members": f"{n_members}",
        "held-out R²": _NONE if np.isnan(r2) else f"{r2:.2f} {_HELD_OUT}",
        "lost R² without": ", ".join(f"{name} {gain:.3f}" for name, gain in (gains or {}).items()),
    }
    if not schema.ignored:
        del facts["ignored"]
    for name in ("noise_std", "campaign"):
        if getattr(schema, name) is None:
            del facts[name]
    if not gains:
        del facts["lost R² without"]
    return facts


def out_of_fold_r2(
    y: np.ndarray, predicted: np.ndarray, weight: np.ndarray, held_out: np.ndarray
) -> float:
    """Return R2 on the rows held out from an ensemble member; NaN for fewer than two rows.

    Parameters
    ----------
    y, predicted, weight : ndarray of shape (n,)
        Targets, out-of-fold predictions and sample weights.
    held_out : ndarray of shape (n_members, n) of bool
        Rows held out from each ensemble member.

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
    from sklearn.metrics import r2_score

    return float(r2_score(y[rows], predicted[rows], sample_weight=weight[rows]))


def table_html(facts: Mapping[str, str]) -> str:
    """Return names and texts as the rows of an HTML table, escaped.

    Examples
    --------
    >>> from sptgnn_sklearn.inspection.html_repr import table_html
    >>> (
    ...     "<td" in table_html({"covariates": "<clay>"}),
    ...     "<clay>" in table_html({"covariates": "<clay>"}),
    ... )
    (True, False)
    """
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL_STYLE}">{escape(name)}</th>'
        f'<td style="{_CELL_STYLE}">{escape(text)}</td></tr>'
        for name, text in facts.items()
    )
    # Without colors it is readable on light and dark pages.
    return f'<table class="sptgnn-summary" style="margin: 0.5em 0"><tbody>{rows}</tbody></table>'


def _format_label(label: Hashable | None) -> str:
    return _NONE if label is None else str(label)


def _format_names(labels: Iterable[Hashable]) -> str:
    names = [str(label) for label in labels]
    if len(names) <= _MAX_NAMES:
        return ", ".join(names) or _NONE
    return f"{', '.join(names[:_MAX_NAMES])} … ({len(names)} in all)"


def _describe_crs(reference: SpatialReference) -> str:
    """Return the CRS, shortened if it is long, and the unit of distances."""
    crs = reference.crs
    if crs is None:
        return "planar, unit unknown"
    short = crs if len(crs) <= _MAX_CRS_LENGTH else f"{crs[:_MAX_CRS_LENGTH]}…"
    return f"{short}, distances in {'m' if reference.unit == 'metre' else reference.unit}"
