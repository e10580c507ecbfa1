"""Node features: what each stream of the network, and the base regressor, is given to read.

Everything is learned from training rows. Streams are float32 arrays of one row per sample:

covariates
    Numeric covariates as normal scores, an indicator for those with gaps, one-hot categories.
position
    Fourier features of the local plane at several scales, so that both a trend across the survey
    and a patch within it can be learned.
time
    Season and trend; a row without a date says so.
imagery
    Standardised embedding of the chips; a row without any image says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.decomposition import PCA

from ..spatial.distances import (
    from_metric_coordinates,
    plane_origin,
    to_local_plane,
    to_metric_coordinates,
)
from .categories import one_hot
from .schema import SampleTable, TableSchema

__all__ = ["FeatureEncoder", "normal_scores"]

_CLIP = 3.0  # beyond three standard deviations a covariate says no more than "extreme"
_MAX_QUANTILES = 1000
_CYCLES = (0.5, 1.0, 2.0, 4.0)  # waves across the survey, the scales of the position stream
_MAX_LEVELS = 32  # rarer levels of a category share one column
_N_COMPONENTS = 8  # of the covariates, for spectral similarity
_ELEVATION_PULL = 0.5  # of position in the space of the elevation relation
_TINY, _HUGE = 2.0**-900, 2.0**900  # powers of two, by which numbers keep all their digits
_FEATURE_ROUNDING = 1e-12  # of the largest number: less deviation than this is none


@dataclass(frozen=True)
class FeatureEncoder:
    """Maps from a `Table` to the inputs of the network, learned from the training rows.

    Use `FeatureEncoder.learn`, then `streams`, `spaces` and `tabular`.

    Attributes
    ----------
    columns : Columns
    quantiles : ndarray of shape (n_quantiles, p)
        Evenly spaced quantiles of each numeric covariate.
    gaps : ndarray of shape (p,) of bool
        Numeric covariates with missing values.
    levels : list of ndarray of int
        For each categorical covariate the codes of the levels that get a column.
    origin : ndarray of shape (2,)
        Of the local plane.
    centre : ndarray of shape (2,) or (3,)
        Mean of the training rows in the space of distances.
    reach : float
        Root mean square distance of the training rows from the origin, in km or CRS units.
    period : tuple of float or None
        Mean and standard deviation of the dates, in years; None where there are none.
    seasonal : bool
        Whether dates say more than the year.
    heights : tuple of float or None
        Mean and standard deviation of elevation; None where it is not known.
    axes : tuple of ndarray or None
        Mean of shape (f,) and principal axes of shape (c, f) of the covariates; None where nothing
        varies.
    image_scale : tuple of ndarray or None
        Mean and standard deviation (d,) of the embedding; None without images.
    image_axes : tuple of ndarray or None
        Mean and principal axes of what spectral similarity looks at in images; None where it looks
        at covariates.
    similarity : {"embeddings", "indices", "covariates"}
        What spectral similarity looks at.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> from sptgnn_sklearn.table.features import FeatureEncoder
    >>> X = pd.DataFrame({"x": [0.0, 3.0, 3.0], "y": [0.0, 0.0, 4.0], "clay": [0.1, 0.3, 0.2]})
    >>> columns = TableSchema.learn(X)
    >>> table = columns.split(X)
    >>> features = FeatureEncoder.learn(columns, table)
    >>> {name: stream.shape for name, stream in features.node_features(table).items()}
    {'covariates': (3, 1), 'position': (3, 18)}
    >>> sorted(features.relation_spaces(table))
    ['spatial', 'spectral']
    """

    columns: TableSchema
    quantiles: np.ndarray
    gaps: np.ndarray
    levels: list[np.ndarray]
    origin: np.ndarray
    center: np.ndarray
    reach: float
    period: tuple[float, float] | None
    seasonal: bool
    heights: tuple[float, float] | None
    axes: tuple[np.ndarray, np.ndarray] | None = None
    image_scale: tuple[np.ndarray, np.ndarray] | None = None
    image_axes: tuple[np.ndarray, np.ndarray] | None = None
    similarity: str = "covariates"

    @classmethod
    def fit(
        cls, columns: TableSchema, table: SampleTable, similarity: str | None = None
    ) -> FeatureEncoder:
        """Learn scales, levels and principal axes from the training rows.

        Parameters
        ----------
        columns : Columns
        table : Table
            Training rows.
        similarity : {"embeddings", "indices", "covariates"}, default=None
            What spectral similarity looks at. None: embeddings where there are images.
        """
        if similarity is None:
            similarity = "covariates" if table.embedding is None else "embeddings"
        origin = plane_origin(table.coordinates, columns.reference)
        plane = to_local_plane(table.coordinates, columns.reference, origin)
        points = to_metric_coordinates(table.coordinates, columns.reference)
        reach = np.sqrt((plane**2).sum(axis=1).mean())
        dates = np.empty(0) if table.time is None else table.time[~np.isnan(table.time)]
        features = cls(
            columns=columns,
            quantiles=_quantiles(table.numeric),
            gaps=np.isnan(table.numeric).any(axis=0),
            levels=[_frequent_levels(codes) for codes in table.categories.T],
            origin=origin,
            center=points.mean(axis=0),
            reach=float(reach) if reach > _FEATURE_ROUNDING * np.abs(points).max() else 1.0,
            period=_center_scale(dates),
            seasonal=bool((dates % 1 > 0).any()),
            heights=None if table.elevation is None else _center_scale(table.elevation),
            image_scale=None if table.embedding is None else _columns_scale(table.embedding),
            similarity=similarity,
        )
        features = replace(features, axes=_principal_axes(features._spectral_inputs(table)))
        if similarity != "covariates":
            features = replace(features, image_axes=_principal_axes(features._image_inputs(table)))
        return features

    def node_features(self, table: SampleTable) -> dict[str, np.ndarray]:
        """Return the inputs of each stream that the table has.

        Parameters
        ----------
        table : Table of n rows

        Returns
        -------
        dict of str to ndarray of shape (n, width), float32
            Of "imagery", "covariates", "position" and "time" those that are there. The last column
            of "imagery" is one where a row has no image; all its others are zero then.
        """
        streams = {"covariates": self._covariates(table), "position": self._position(table)}
        if self.period is not None:
            streams["time"] = self._time(table)
        if self.image_scale is not None:
            streams = {"imagery": self._imagery(table), **streams}
        return {
            name: values.astype(np.float32) for name, values in streams.items() if values.shape[1]
        }

    def relation_spaces(self, table: SampleTable) -> dict[str, np.ndarray]:
        """Return the space of each relation, in which near means related.

        Parameters
        ----------
        table : Table of n rows

        Returns
        -------
        dict of str to ndarray of shape (n, d)
            "spatial" is in km or CRS units. "spectral" is in standard deviations of the covariates
            or of what images show, and is there if any varies; a row without image has no place in
            the latter and is NaN. "elevation" is in standard deviations of elevation with a
            weak pull of position, and is there if elevation is known.
        """
        # Centred, so that single precision keeps metres in coordinates of millions of metres.
        spaces = {"spatial": self._ground(table.coordinates)}
        similar = (
            self.covariate_space(table) if self.image_axes is None else self.image_space(table)
        )
        if similar is not None:
            spaces["spectral"] = similar
        if self.heights is not None:
            # Divided by its root mean square radius, the plane has half of the variance by axis.
            height = self.standard_elevation(table)[:, None]
            spaces["elevation"] = np.hstack([height, self._pull(table.coordinates)])
        return spaces

    def moved(
        self, spaces: Mapping[str, np.ndarray], coordinates: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the `spaces` of rows that stand at other coordinates (n, 2), all else the same."""
        moved = {**spaces, "spatial": self._ground(coordinates)}
        if "elevation" in moved:
            moved["elevation"] = np.hstack([moved["elevation"][:, :1], self._pull(coordinates)])
        return {name: space for name, space in moved.items() if name in spaces}

    def coordinates(self, space: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, 2) of rows from their space "spatial"."""
        return from_metric_coordinates(space + self.center, self.columns.reference)

    def covariate_space(self, table: SampleTable) -> np.ndarray | None:
        """Return leading principal components (n, c) of the covariates, if any varies."""
        return _project(self._spectral_inputs(table), self.axes)

    def image_space(self, table: SampleTable) -> np.ndarray | None:
        """Return leading principal components (n, c) of embeddings or indices; NaN without image.

        None where spectral similarity does not look at images.
        """
        return _project(self._image_inputs(table), self.image_axes)

    def standard_elevation(self, table: SampleTable) -> np.ndarray:
        """Return elevation in standard deviations of the training rows; the unknown is average."""
        return np.nan_to_num(_standardize(table.elevation, self.heights))

    def standard_time(self, table: SampleTable) -> np.ndarray:
        """Return dates in standard deviations of the training dates; the unknown is NaN."""
        return _standardize(table.time, self.period)

    def tree_features(self, table: SampleTable) -> np.ndarray:
        """Return coordinates, covariates, one-hot categories and dates as one float matrix.

        Missing values stay NaN; this is what tree models are given.

        Parameters
        ----------
        table : Table of n rows

        Returns
        -------
        ndarray of shape (n, width)
        """
        parts = [table.coordinates, table.numeric, *self._one_hot(table)]
        if self.period is not None and table.time is not None:
            parts.append(table.time[:, None])
            if self.seasonal:
                parts.append(table.time[:, None] % 1)
        return np.hstack(parts)

    def _covariates(self, table: SampleTable) -> np.ndarray:
        scores = np.nan_to_num(normal_scores(table.numeric, self.quantiles))
        missing = np.isnan(table.numeric)[:, self.gaps]
        return np.hstack([scores, missing, *self._one_hot(table)])

    def _spectral_inputs(self, table: SampleTable) -> np.ndarray:
        chosen = self.columns.spectral_positions
        if not chosen:
            return self._covariates(table)
        return np.nan_to_num(normal_scores(table.numeric[:, chosen], self.quantiles[:, chosen]))

    def _imagery(self, table: SampleTable) -> np.ndarray:
        embedding = _standardize(table.embedding, self.image_scale)
        missing = np.isnan(embedding).any(axis=1, keepdims=True)
        return np.hstack([np.where(missing, 0.0, embedding), missing])

    def _image_inputs(self, table: SampleTable) -> np.ndarray:
        if self.similarity == "indices" and table.indices is not None:
            return table.indices
        if self.similarity == "embeddings" and table.embedding is not None:
            return _standardize(table.embedding, self.image_scale)
        return np.empty((len(table), 0))

    def _one_hot(self, table: SampleTable) -> list[np.ndarray]:
        # Rare, unseen and missing levels have no column: all zeros is "none of the usual ones".
        return [
            one_hot(codes, levels)
            for codes, levels in zip(table.categories.T, self.levels, strict=True)
        ]

    def _ground(self, coordinates: np.ndarray) -> np.ndarray:
        return to_metric_coordinates(coordinates, self.columns.reference) - self.center

    def _pull(self, coordinates: np.ndarray) -> np.ndarray:
        return _ELEVATION_PULL * np.sqrt(2) * self._plane(coordinates)

    def _plane(self, coordinates: np.ndarray) -> np.ndarray:
        """Return east and north of the origin, with a root mean square distance of one."""
        return to_local_plane(coordinates, self.columns.reference, self.origin) / self.reach

    def _position(self, table: SampleTable) -> np.ndarray:
        plane = self._plane(table.coordinates)
        # The survey is about three of these units across.
        waves = 2 * np.pi / 3 * np.asarray(_CYCLES)[None, None, :] * plane[:, :, None]
        waves = waves.reshape(len(plane), -1)
        return np.hstack([np.clip(plane, -_CLIP, _CLIP), np.sin(waves), np.cos(waves)])

    def _time(self, table: SampleTable) -> np.ndarray:
        trend = self.standard_time(table)
        unknown = np.isnan(trend)
        parts = [np.clip(trend, -_CLIP, _CLIP), unknown.astype(float)]
        if self.seasonal and table.time is not None:
            phase = 2 * np.pi * table.time
            parts += [f(n * phase) for n in (1, 2) for f in (np.sin, np.cos)]
        return np.nan_to_num(np.column_stack(parts))


def normal_scores(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Map each column to a standard normal distribution, by its quantiles in training.

    Unlike scikit-learn's QuantileTransformer this knows no absolute tolerance, so a flux of
    1e-8 m/s counts as much as a height in metres, and equal values get their middle rank, so a
    column of mostly zeros is not torn apart.

    Parameters
    ----------
    values : ndarray of shape (n, p)
    quantiles : ndarray of shape (n_quantiles, p)
        Evenly spaced quantiles of the training rows.

    Returns
    -------
    ndarray of shape (n, p)
        Between -3 and 3; NaN stays NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.table.features import normal_scores
    >>> quantiles = np.array([[0.0], [0.0], [0.0], [1.0], [9.0]])
    >>> normal_scores(np.array([[0.0], [1.0], [99.0], [np.nan]]), quantiles).ravel().round(2)
    array([-0.67,  0.67,  3.  ,   nan])
    """
    levels = np.linspace(0, 1, len(quantiles))
    scores = np.empty(values.shape)
    for column, found, known in zip(scores.T, values.T, quantiles.T, strict=True):
        if known[-1] - known[0] < _TINY:  # where slopes between quantiles would overflow
            found, known = np.clip(found, known[0], known[-1]) * _HUGE, known * _HUGE
        # Where quantiles are tied, one of the two reads the upper and the other the lower end.
        upper = np.interp(found, known, levels)
        lower = np.interp(-found, -known[::-1], levels)
        column[:] = (upper + 1 - lower) / 2
    return np.clip(ndtri(np.clip(scores, 0, 1)), -_CLIP, _CLIP)


def _quantiles(numeric: np.ndarray) -> np.ndarray:
    """Return evenly spaced quantiles (n_quantiles, p), those of a column without values as zero."""
    known = np.where(np.isnan(numeric).all(axis=0), 0.0, numeric)
    levels = np.linspace(0, 1, min(_MAX_QUANTILES, len(numeric)))
    # Interpolation can be off by a rounding error, and the search needs rising numbers.
    return np.maximum.accumulate(np.nanquantile(known, levels, axis=0), axis=0)


def _frequent_levels(codes: np.ndarray) -> np.ndarray:
    levels, counts = np.unique(codes[codes >= 0], return_counts=True)
    return np.sort(levels[np.argsort(-counts, kind="stable")[:_MAX_LEVELS]])


def _principal_axes(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    inputs = inputs[~np.isnan(inputs).any(axis=1)]
    if len(inputs) == 0 or not (np.ptp(inputs, axis=0) > 0).any():
        return None
    pca = PCA(min(_N_COMPONENTS, *inputs.shape), svd_solver="full").fit(inputs)
    return pca.mean_, pca.components_


def _project(inputs: np.ndarray, axes: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray | None:
    return None if axes is None else (inputs - axes[0]) @ axes[1].T


def _columns_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation of each column over the rows that have values."""
    known = values[~np.isnan(values).any(axis=1)].astype(np.float64)
    if len(known) == 0:
        return None
    spread = known.std(axis=0)
    steady = spread <= 1e-6 * np.abs(known).max(axis=0)  # single precision rounds
    return known.mean(axis=0), np.where(steady, 1.0, spread)


def _center_scale(values: np.ndarray) -> tuple[float, float] | None:
    """Return mean and standard deviation of the known values, one where they are all equal."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    scale = known.std()
    # The deviation of equal numbers is a rounding error and would blow up any other number.
    return float(known.mean()), float(scale) if scale > _FEATURE_ROUNDING * np.abs(
        known
    ).max() else 1.0


def _standardize(values: np.ndarray | None, scale: tuple[Any, Any] | None) -> np.ndarray:
    if values is None or scale is None:
        raise ValueError("The training rows have no such column.")
    return (values - scale[0]) / scale[1]
