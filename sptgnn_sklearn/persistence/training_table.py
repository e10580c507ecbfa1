"""Training rows of a fitted ensemble as a table, restored from the inputs of its nodes.

An ensemble keeps encoded rows instead of its training table. The encoding is invertible up to
rounding, up to the limits of the normal scores, and up to levels without a column of their own.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from ..ensemble.fitted import Ensemble
from ..network.config import IMAGERY
from ..table.categories import MISSING_CODE
from ..table.features import FeatureEncoder
from ..table.schema import SampleTable

__all__ = ["invert_scores", "restore_training_table", "row_positions"]


def restore_training_table(ensemble: Ensemble) -> SampleTable:
    """Return the training rows of an ensemble on the CPU, without site ids and image paths.

    Covariates that are not an input of the network are approximated by their principal components.

    Parameters
    ----------
    ensemble : Ensemble
        With training rows.

    Returns
    -------
    SampleTable of n rows
    """
    features, schema = ensemble.features, ensemble.features.schema
    blocks = _streams(ensemble)
    inputs = blocks.get("covariates")
    if inputs is None:
        inputs = _covariates_from_axes(ensemble)
    p, n_gaps = len(schema.numeric), int(features.has_missing.sum())
    numeric = invert_scores(inputs[:, :p], features.quantiles)
    missing = np.zeros(numeric.shape, dtype=bool)
    missing[:, features.has_missing] = inputs[:, p : p + n_gaps] > 0.5
    numeric[missing] = np.nan
    elevation = None
    if features.elevation_scale is not None:
        elevation = _unscale(ensemble, "elevation_difference", features.elevation_scale)
        column = schema.numeric.index(schema.elevation)
        elevation[missing[:, column]] = np.nan
        numeric[:, column] = elevation
    time = None
    if features.time_scale is not None:
        time = _unscale(ensemble, "time_difference", features.time_scale)
        if "time" in blocks:
            time[blocks["time"][:, 1] > 0.5] = np.nan
    return SampleTable(
        coordinates=features.coordinates(row_positions(ensemble)),
        numeric=numeric,
        categories=_codes(features, inputs[:, p + n_gaps :]),
        elevation=elevation,
        time=time,
        embedding=_embedding(ensemble, blocks.get(IMAGERY)),
        indices=_image_inputs(ensemble) if features.similarity == "indices" else None,
    )


def row_positions(ensemble: Ensemble) -> np.ndarray:
    """Return the training rows (n, d) in the "spatial" space."""
    found = ensemble.knn_graph.spaces.get("spatial")
    return _edge_input(ensemble, "distance") if found is None else found


def invert_scores(scores: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Return the values of normal scores, the inverse of `table.features.normal_scores`.

    Parameters
    ----------
    scores : ndarray of shape (n, p)
    quantiles : ndarray of shape (n_quantiles, p)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.persistence.training_table import invert_scores
    >>> invert_scores(np.array([[0.0], [3.0]]), np.array([[0.0], [1.0], [2.0]])).round(2).ravel()
    array([1., 2.])
    """
    levels = np.linspace(0, 1, len(quantiles))
    values = np.empty(scores.shape)
    for value, score, knots in zip(values.T, scores.T, quantiles.T, strict=True):
        value[:] = np.interp(ndtr(score), levels, knots)
    return values


def _streams(ensemble: Ensemble) -> dict[str, np.ndarray]:
    """Input streams (n, width) of the training rows."""
    widths = ensemble.network.shape.streams
    nodes = ensemble.require_training_rows().node_features.astype(np.float64)
    ends = np.cumsum(list(widths.values()))[:-1]
    return dict(zip(widths, np.split(nodes, ends, axis=1), strict=True))


def _edge_input(ensemble: Ensemble, name: str) -> np.ndarray:
    return ensemble.edge_inputs[name].cpu().numpy().astype(np.float64)


def _unscale(ensemble: Ensemble, name: str, scale: tuple[float, float]) -> np.ndarray:
    return _edge_input(ensemble, name)[:, 0] * scale[1] + scale[0]


def _covariates_from_axes(ensemble: Ensemble) -> np.ndarray:
    """Covariate inputs (n, f) from their principal components; zero where these do not use them."""
    features, schema = ensemble.features, ensemble.features.schema
    n_levels = sum(len(levels) for levels in features.levels)
    width = len(schema.numeric) + int(features.has_missing.sum()) + n_levels
    inputs = np.zeros((len(ensemble.context.targets), width))
    if features.covariate_axes is not None and "covariate_distance" in ensemble.edge_inputs:
        mean, axes = features.covariate_axes
        chosen = schema.spectral_positions or list(range(width))
        inputs[:, chosen] = mean + _edge_input(ensemble, "covariate_distance") @ axes
    return inputs


def _codes(features: FeatureEncoder, indicators: np.ndarray) -> np.ndarray:
    """Level codes (n, c) from one-hot columns; missing where none is set."""
    codes = np.full((len(indicators), len(features.levels)), MISSING_CODE)
    start = 0
    for column, levels in enumerate(features.levels):
        block = indicators[:, start : start + len(levels)]
        start += len(levels)
        if len(levels):
            found = levels[block.argmax(axis=1)]
            codes[:, column] = np.where(block.max(axis=1) > 0.5, found, MISSING_CODE)
    return codes


def _image_inputs(ensemble: Ensemble) -> np.ndarray | None:
    """Image features (n, f) from their principal components; NaN without image."""
    axes = ensemble.features.image_axes
    if axes is None or "image_distance" not in ensemble.edge_inputs:
        return None
    return axes[0] + _edge_input(ensemble, "image_distance") @ axes[1]


def _embedding(ensemble: Ensemble, stream: np.ndarray | None) -> np.ndarray | None:
    features = ensemble.features
    if features.image_scale is None:
        return None
    center, spread = features.image_scale
    if stream is not None:
        known = np.where(stream[:, -1:] > 0.5, np.nan, stream[:, :-1])
    else:
        found = _image_inputs(ensemble) if features.similarity == "embeddings" else None
        known = np.zeros((len(ensemble.context.targets), len(center))) if found is None else found
    return known * spread + center
