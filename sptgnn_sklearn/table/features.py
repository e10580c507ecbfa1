"""Node features of each network stream, spaces of the relations, and features of tree models.

All scales are fitted to the training rows. Streams are float32 arrays with one row per sample:

covariates
    Numeric covariates as normal scores, missing-value indicators, one-hot categories.
position
    Fourier features of the local plane at several scales, for trends across the survey and for
    patches within it.
time
    Trend and season, with an indicator of unknown dates.
imagery
    Standardized image embedding, with an indicator of rows without any image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from ..spatial.distances import (
    from_metric_coordinates,
    plane_origin,
    to_local_plane,
    to_metric_coordinates,
)
from .categories import frequent_levels, one_hot
from .schema import SampleTable, TableSchema

__all__ = ["FeatureEncoder", "normal_scores"]

_CLIP = 3.0  # in standard deviations
_MAX_QUANTILES = 1000
_CYCLES = (0.5, 1.0, 2.0, 4.0)  # waves across the survey in the position stream
_MAX_LEVELS = 32  # rarer levels of a category have no column of their own
_N_COMPONENTS = 8  # principal components of the covariates for spectral similarity
_ELEVATION_POSITION_WEIGHT = 0.5  # of position in the space of the elevation relation
_TINY, _HUGE = 2.0**-900, 2.0**900  # powers of two, by which scaling is exact
_RELATIVE_ROUNDING = 1e-12  # a smaller standard deviation, relative to the maximum, counts as zero


@dataclass(frozen=True)
class FeatureEncoder:
    """Encoder of a `SampleTable` as inputs of the network and of tree models.

    Attributes
    ----------
    schema : TableSchema
    quantiles : ndarray of shape (n_quantiles, p)
        Evenly spaced quantiles of each numeric covariate.
    has_missing : ndarray of shape (p,) of bool
        Numeric covariates with missing values.
    levels : list of ndarray of int
        Codes of the levels with a one-hot column, for each categorical covariate.
    origin : ndarray of shape (2,)
        Origin of the local plane.
    center : ndarray of shape (2,) or (3,)
        Mean of the training rows in metric coordinates.
    plane_scale : float
        Root mean square distance of the training rows from the origin, in km or CRS units.
    time_scale : tuple of float or None
        Mean and standard deviation of the dates, in years; None without dates.
    seasonal : bool
        Whether dates are more precise than the year.
    elevation_scale : tuple of float or None
        Mean and standard deviation of elevation; None without elevation.
    covariate_axes : tuple of ndarray or None
        Mean (f,) and principal axes (c, f) of the covariates; None if none of them varies.
    image_scale : tuple of ndarray or None
        Mean and standard deviation (d,) of the embedding; None without images.
    image_axes : tuple of ndarray or None
        Mean and principal axes of the image features that define spectral similarity; None if
        covariates define it.
    similarity : {"embeddings", "indices", "covariates"}
        Features that define spectral similarity.
    radius : float or None
        Distance of the farthest training row from the origin, in km or CRS units, rounded up to two
        digits. None disables the warning about queries far from the survey.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.table.schema import TableSchema
    >>> from sptgnn_sklearn.table.features import FeatureEncoder
    >>> X = pd.DataFrame({"x": [0.0, 3.0, 3.0], "y": [0.0, 0.0, 4.0], "clay": [0.1, 0.3, 0.2]})
    >>> schema, table = TableSchema.fit_transform(X)
    >>> encoder = FeatureEncoder.fit(schema, table)
    >>> {name: stream.shape for name, stream in encoder.node_features(table).items()}
    {'covariates': (3, 1), 'position': (3, 18)}
    >>> sorted(encoder.relation_spaces(table))
    ['spatial', 'spectral']
    """

    schema: TableSchema
    quantiles: np.ndarray
    has_missing: np.ndarray
    levels: list[np.ndarray]
    origin: np.ndarray
    center: np.ndarray
    plane_scale: float
    time_scale: tuple[float, float] | None
    seasonal: bool
    elevation_scale: tuple[float, float] | None
    covariate_axes: tuple[np.ndarray, np.ndarray] | None = None
    image_scale: tuple[np.ndarray, np.ndarray] | None = None
    image_axes: tuple[np.ndarray, np.ndarray] | None = None
    similarity: str = "covariates"
    radius: float | None = None

    @classmethod
    def fit(
        cls, schema: TableSchema, table: SampleTable, similarity: str | None = None
    ) -> FeatureEncoder:
        """Fit scales, levels and principal axes to the training rows.

        Parameters
        ----------
        schema : TableSchema
        table : SampleTable
            Training rows.
        similarity : {"embeddings", "indices", "covariates"}, default=None
            Features that define spectral similarity. None uses embeddings if there are images.
        """
        if similarity is None:
            similarity = "covariates" if table.embedding is None else "embeddings"
        origin = plane_origin(table.coordinates, schema.reference)
        plane = to_local_plane(table.coordinates, schema.reference, origin)
        points = to_metric_coordinates(table.coordinates, schema.reference)
        radius = np.sqrt((plane**2).sum(axis=1).mean())
        dates = np.empty(0) if table.time is None else table.time[~np.isnan(table.time)]
        encoder = cls(
            schema=schema,
            quantiles=_quantiles(table.numeric),
            has_missing=np.isnan(table.numeric).any(axis=0),
            levels=[frequent_levels(codes, _MAX_LEVELS) for codes in table.categories.T],
            origin=origin,
            center=points.mean(axis=0),
            plane_scale=float(radius)
            if radius > _RELATIVE_ROUNDING * np.abs(points).max()
            else 1.0,
            time_scale=_center_scale(dates),
            seasonal=bool((dates % 1 > 0).any()),
            elevation_scale=None if table.elevation is None else _center_scale(table.elevation),
            image_scale=None if table.embedding is None else _columns_scale(table.embedding),
            similarity=similarity,
            radius=_round_up(float(np.sqrt((plane**2).sum(axis=1).max()))),
        )
        axes = _principal_axes(encoder._spectral_inputs(table))
        encoder = replace(encoder, covariate_axes=axes)
        if similarity != "covariates":
            encoder = replace(encoder, image_axes=_principal_axes(encoder._image_inputs(table)))
        return encoder

    def node_features(self, table: SampleTable) -> dict[str, np.ndarray]:
        """Return the node features of each stream.

        Parameters
        ----------
        table : SampleTable of n rows

        Returns
        -------
        dict of str to ndarray of shape (n, width), float32
            "imagery", "covariates", "position" and "time", without those that have no data. The
            last column of "imagery" is one in rows without any image, where all others are zero.
        """
        streams = {"covariates": self._covariates(table), "position": self._position(table)}
        if self.time_scale is not None:
            streams["time"] = self._time(table)
        if self.image_scale is not None:
            streams = {"imagery": self._imagery(table), **streams}
        return {
            name: values.astype(np.float32) for name, values in streams.items() if values.shape[1]
        }

    def relation_spaces(self, table: SampleTable) -> dict[str, np.ndarray]:
        """Return the space of each relation, in which nearest neighbors are connected.

        Parameters
        ----------
        table : SampleTable of n rows

        Returns
        -------
        dict of str to ndarray of shape (n, d)
            "spatial" is in km or CRS units. "spectral" is in standard deviations of the covariates
            or image features, if any of them varies; image features are NaN in rows without image.
            "elevation" is in standard deviations of elevation, followed by the position with a
            smaller weight, if there is elevation.
        """
        # Centered, so that single precision resolves meters in coordinates of millions of meters.
        spaces = {"spatial": self._centered_metric(table.coordinates)}
        similar = (
            self.covariate_space(table) if self.image_axes is None else self.image_space(table)
        )
        if similar is not None:
            spaces["spectral"] = similar
        if self.elevation_scale is not None:
            # The plane, divided by its root mean square radius, has variance 0.5 per axis.
            height = self.standard_elevation(table)[:, None]
            spaces["elevation"] = np.hstack([height, self._weighted_plane(table.coordinates)])
        return spaces

    def with_coordinates(
        self, spaces: Mapping[str, np.ndarray], coordinates: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the `relation_spaces` of the same rows at other coordinates (n, 2)."""
        moved = {**spaces, "spatial": self._centered_metric(coordinates)}
        if "elevation" in moved:
            plane = self._weighted_plane(coordinates)
            moved["elevation"] = np.hstack([moved["elevation"][:, :1], plane])
        return {name: space for name, space in moved.items() if name in spaces}

    def coordinates(self, space: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, 2) of rows from their "spatial" space."""
        return from_metric_coordinates(space + self.center, self.schema.reference)

    def covariate_space(self, table: SampleTable) -> np.ndarray | None:
        """Return leading principal components (n, c) of the covariates, or None if none varies."""
        return _project_to_axes(self._spectral_inputs(table), self.covariate_axes)

    def image_space(self, table: SampleTable) -> np.ndarray | None:
        """Return leading principal components (n, c) of embeddings or indices; NaN without image.

        None if covariates define spectral similarity.
        """
        return _project_to_axes(self._image_inputs(table), self.image_axes)

    def standard_elevation(self, table: SampleTable) -> np.ndarray:
        """Return elevation in standard deviations of the training rows; 0 if unknown."""
        return np.nan_to_num(_standardize(table.elevation, self.elevation_scale))

    def standard_time(self, table: SampleTable) -> np.ndarray:
        """Return dates in standard deviations of the training dates; NaN if unknown."""
        return _standardize(table.time, self.time_scale)

    def tree_features(self, table: SampleTable) -> np.ndarray:
        """Return the input matrix of tree models.

        Parameters
        ----------
        table : SampleTable of n rows

        Returns
        -------
        ndarray of shape (n, width)
            Coordinates, numeric covariates, one-hot categories and dates; missing values are NaN.
        """
        parts = [table.coordinates, table.numeric, *self._one_hot(table)]
        if self.time_scale is not None and table.time is not None:
            parts.append(table.time[:, None])
            if self.seasonal:
                parts.append(table.time[:, None] % 1)
        return np.hstack(parts)

    def covariate_scores(self, table: SampleTable) -> np.ndarray:
        """Return covariates and dates (n, width) in standard deviations, without missing values."""
        parts = [self._covariates(table)]
        if self.time_scale is not None:
            parts.append(self._time(table))
        return np.hstack(parts)

    def _covariates(self, table: SampleTable) -> np.ndarray:
        scores = np.nan_to_num(normal_scores(table.numeric, self.quantiles))
        missing = np.isnan(table.numeric)[:, self.has_missing]
        return np.hstack([scores, missing, *self._one_hot(table)])

    def _spectral_inputs(self, table: SampleTable) -> np.ndarray:
        chosen = self.schema.spectral_positions
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
        # Rare, unseen and missing levels have no column: all zeros.
        return [
            one_hot(codes, levels)
            for codes, levels in zip(table.categories.T, self.levels, strict=True)
        ]

    def _centered_metric(self, coordinates: np.ndarray) -> np.ndarray:
        return to_metric_coordinates(coordinates, self.schema.reference) - self.center

    def _weighted_plane(self, coordinates: np.ndarray) -> np.ndarray:
        return _ELEVATION_POSITION_WEIGHT * np.sqrt(2) * self._plane(coordinates)

    def _plane(self, coordinates: np.ndarray) -> np.ndarray:
        """Return offsets east and north of the origin, with a root mean square distance of one."""
        return to_local_plane(coordinates, self.schema.reference, self.origin) / self.plane_scale

    def _position(self, table: SampleTable) -> np.ndarray:
        plane = self._plane(table.coordinates)
        # The extent of a survey is about three of these units.
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
    """Transform each column to a standard normal distribution by its training quantiles.

    In contrast to scikit-learn's QuantileTransformer there is no absolute tolerance, so that a flux
    of 1e-8 m/s is resolved as well as a height in meters, and tied values get their middle rank, so
    that a column of mostly zeros does not become bimodal.

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
    for score, value, knots in zip(scores.T, values.T, quantiles.T, strict=True):
        if knots[-1] - knots[0] < _TINY:  # where slopes between quantiles would overflow
            value, knots = np.clip(value, knots[0], knots[-1]) * _HUGE, knots * _HUGE
        # At tied quantiles one interpolates the upper and the other the lower end.
        upper = np.interp(value, knots, levels)
        lower = np.interp(-value, -knots[::-1], levels)
        score[:] = (upper + 1 - lower) / 2
    return np.clip(ndtri(np.clip(scores, 0, 1)), -_CLIP, _CLIP)


def _quantiles(numeric: np.ndarray) -> np.ndarray:
    """Return evenly spaced quantiles (n_quantiles, p), zeros for a column without values."""
    known = np.where(np.isnan(numeric).all(axis=0), 0.0, numeric)
    levels = np.linspace(0, 1, min(_MAX_QUANTILES, len(numeric)))
    if not known.size:  # nanquantile would return one dimension
        return np.empty((len(levels), numeric.shape[1]))
    # Interpolation has rounding errors, and `np.interp` needs non-decreasing numbers.
    return np.maximum.accumulate(np.nanquantile(known, levels, axis=0), axis=0)


def _round_up(value: float) -> float:
    """Return a number rounded up to two digits, so that it does not identify a row."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / unit) * unit)


def _principal_axes(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    inputs = inputs[~np.isnan(inputs).any(axis=1)]
    if len(inputs) == 0 or not (np.ptp(inputs, axis=0) > 0).any():
        return None
    from sklearn.decomposition import PCA

    pca = PCA(min(_N_COMPONENTS, *inputs.shape), svd_solver="full").fit(inputs)
    return pca.mean_, pca.components_


def _project_to_axes(
    inputs: np.ndarray, axes: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray | None:
    return None if axes is None else (inputs - axes[0]) @ axes[1].T


def _columns_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviation of each column over the rows without NaN."""
    known = values[~np.isnan(values).any(axis=1)].astype(np.float64)
    if len(known) == 0:
        return None
    spread = known.std(axis=0)
    constant = spread <= 1e-6 * np.abs(known).max(axis=0)  # up to rounding of single precision
    return known.mean(axis=0), np.where(constant, 1.0, spread)


def _center_scale(values: np.ndarray) -> tuple[float, float] | None:
    """Return mean and standard deviation of the known values; the latter is 1 if all are equal."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    scale = float(known.std())
    # The computed deviation of equal numbers is a rounding error.
    constant = scale <= _RELATIVE_ROUNDING * np.abs(known).max()
    return float(known.mean()), 1.0 if constant else scale


def _standardize(values: np.ndarray | None, scale: tuple[Any, Any] | None) -> np.ndarray:
    if values is None or scale is None:
        raise ValueError("The column of this role has no values in the training rows.")
    return (values - scale[0]) / scale[1]
