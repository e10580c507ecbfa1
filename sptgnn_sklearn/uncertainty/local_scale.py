"""Local scale of standardized errors: kernel-weighted means of the held-out errors around a row.

Errors are alike where rows are close, similar in all covariates or in one, equally far from the
data, or predicted with the same standard deviation. The kernels are evaluated at a fixed number of
centers, so that the cost of a prediction does not depend on the number of held-out rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from ..spatial.blocks import cluster_labels

__all__ = [
    "COLUMN_PREFIX",
    "SPACES",
    "CalibrationInputs",
    "ErrorSmoother",
    "ErrorSupport",
    "LocalScale",
    "SmoothingSpace",
]

SPACES = ("location", "covariates", "distance", "std")
COLUMN_PREFIX = "covariate "  # of the spaces of single covariates and categories
_N_CENTERS = (32, 64)  # of spaces with one axis and with more
_N_AXES = 6  # principal components of the covariates
_BANDWIDTHS = (0.2, 0.4, 0.8)  # in units of the space, in which rows have a mean square norm of 1
_PRIORS = (30.0, 100.0)  # rows that a scale of 1 counts as
_MOST_SMOOTHERS = 4
_MOST_COLUMNS = 30  # covariates and categories with a space of their own
# Gain of the log-likelihood of all rows by one more smoother among four spaces; more spaces need
# more, by the logarithm of their number.
_LEAST_GAIN = 3.0
_LEAST_SIGNIFICANCE = 2.0  # gain over its standard error
_SUPPORT_BANDWIDTH = 1.0  # of the effective number of errors
_MOST_SMOOTHED = 20_000  # the smoothers are fitted to
_MOST_CLUSTERED = 5_000  # rows that centers are clusters of
_KERNEL_ROWS = 16_384
_LEAST_ERROR = 1e-3  # least absolute error relative to the mean


class CalibrationInputs(NamedTuple):
    """What the calibration of rows depends on, apart from their predictions.

    Attributes
    ----------
    distance : ndarray of shape (n,) or None
        Mean distance to the spatial neighbors. None without a spatial relation.
    positions : ndarray of shape (n, d) or None
        Coordinates with Euclidean distances.
    covariates : ndarray of shape (n, q) or None
        Normal scores of covariates and dates.
    """

    distance: np.ndarray | None = None
    positions: np.ndarray | None = None
    covariates: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> CalibrationInputs:
        """Return some of the rows."""
        return CalibrationInputs(*(None if part is None else part[rows] for part in self))


@dataclass(frozen=True)
class SmoothingSpace:
    """Space of a kernel, with centers that stand for the held-out rows around them.

    Attributes
    ----------
    offset : ndarray of shape (p,)
        Origin of the input of the space.
    axes : ndarray of shape (d, p)
        Linear map from the input to the space.
    low, high : float
        Limits of an input of one column; infinite for others.
    centers : ndarray of shape (k, d)
    count : ndarray of shape (k,)
        Sum of the weights of the rows at each center.
    """

    offset: np.ndarray
    axes: np.ndarray
    low: float
    high: float
    centers: np.ndarray
    count: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, weight: np.ndarray, limited: bool) -> SmoothingSpace | None:
        """Fit to the inputs (n, p) of held-out rows with weights (n,); None if all are equal."""
        offset = np.average(values, axis=0, weights=weight)
        centered = values - offset
        axes = np.eye(values.shape[1])
        if values.shape[1] > _N_AXES:
            root = np.sqrt(weight)[:, None]
            _, vectors = np.linalg.eigh((root * centered).T @ (root * centered))
            axes = vectors[:, ::-1][:, :_N_AXES].T
        size = np.sqrt(np.average(((centered @ axes.T) ** 2).sum(axis=1), weights=weight))
        if not size > 1e-9 * (1 + np.abs(offset).max(initial=0.0)):
            return None
        axes = np.ascontiguousarray(axes / size)  # the order of sums depends on the layout
        low, high = (values.min(), values.max()) if limited else (-np.inf, np.inf)
        space = cls(offset, axes, float(low), float(high), np.empty(0), np.empty(0))
        points = space._encode(values)
        label = _cluster(points)
        count = np.bincount(label, weight)
        centers = np.column_stack([np.bincount(label, weight * p) / count for p in points.T])
        return cls(offset, axes, float(low), float(high), np.ascontiguousarray(centers), count)

    def kernel(self, values: np.ndarray, bandwidth: float) -> np.ndarray:
        """Return the Gaussian kernel weights (n, k) of the centers for inputs (n, p)."""
        square = np.zeros((len(values), len(self.centers)))
        for point, center in zip(self._encode(values).T, self.centers.T, strict=True):
            square += (point[:, None] - center) ** 2
        square *= -0.5 / bandwidth**2
        return np.exp(square, out=square)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """Return the nearest center (n,) of inputs (n, p)."""
        return self.kernel(values, _SUPPORT_BANDWIDTH).argmax(axis=1)

    def _encode(self, values: np.ndarray) -> np.ndarray:
        if np.isfinite(self.low):
            values = np.clip(values, self.low, self.high)
        return np.einsum("ij,kj->ik", np.ascontiguousarray(values - self.offset), self.axes)


@dataclass(frozen=True)
class ErrorSmoother:
    """Kernel-weighted mean of absolute errors in one space, shrunk to 1 where rows are few.

    Attributes
    ----------
    space : str
        One of `SPACES`, or a column of the covariates.
    bandwidth, prior : float
        Standard deviation of the kernel, and the number of rows that 1 counts as.
    total : ndarray of shape (k,)
        Sum of the relative errors at each center of the space.
    """

    space: str
    bandwidth: float
    prior: float
    total: np.ndarray

    def scale(self, space: SmoothingSpace, values: np.ndarray) -> np.ndarray:
        """Return the scale (n,) of inputs (n, p) of the space."""
        kernel = space.kernel(values, self.bandwidth)
        total, count = (_weighted_sum(kernel, part) for part in (self.total, space.count))
        return (self.prior + total) / (self.prior + count)


@dataclass(frozen=True)
class LocalScale:
    """Product of kernel smoothers of the standardized errors of held-out rows.

    Smoothers are added as long as they increase the likelihood of Laplace-distributed errors of
    other locations; a row's own location does not count for it.

    Attributes
    ----------
    spaces : dict of str to SmoothingSpace
        By name: some of `SPACES`, and those of single columns of the covariates that are in use.
    smoothers : tuple of ErrorSmoother
        Factors of the scale, in the order in which they were added.

    Examples
    --------
    Errors are three times as large in the east as in the west:

    >>> import numpy as np
    >>> from sptgnn_sklearn.uncertainty.local_scale import CalibrationInputs, LocalScale
    >>> rng = np.random.default_rng(0)
    >>> places = rng.uniform(size=(2000, 2))
    >>> score = rng.normal(size=2000) * np.where(places[:, 0] > 0.5, 3.0, 1.0)
    >>> inputs, std = CalibrationInputs(positions=places), np.ones(2000)
    >>> local, _ = LocalScale.fit(score, np.ones(2000), np.arange(2000), inputs, std)
    >>> west_and_east = CalibrationInputs(positions=np.array([[0.2, 0.5], [0.8, 0.5]]))
    >>> scale = local.scale(west_and_east, np.ones(2))
    >>> bool(2.5 < scale[1] / scale[0] < 3.2)
    True
    """

    spaces: dict[str, SmoothingSpace]
    smoothers: tuple[ErrorSmoother, ...]

    @classmethod
    def fit(
        cls,
        scores: np.ndarray,
        weight: np.ndarray,
        location: np.ndarray,
        inputs: CalibrationInputs,
        std: np.ndarray,
    ) -> tuple[LocalScale, np.ndarray]:
        """Fit to held-out errors.

        Parameters
        ----------
        scores : ndarray of shape (n,)
            Errors over their predicted standard deviation.
        weight : ndarray of shape (n,)
            Sample weights.
        location : ndarray of shape (n,) of int
            Location ids.
        inputs : CalibrationInputs
        std : ndarray of shape (n,)
            Predicted standard deviations.

        Returns
        -------
        LocalScale
        ndarray of shape (n,)
            Scale of each row without the errors of its own location.
        """
        weight = weight / weight.mean()
        every = -(-len(scores) // _MOST_SMOOTHED)
        chosen = np.arange(len(scores)) % every == 0
        values = _space_inputs(inputs, std)
        part = weight[chosen] * every  # so that counts are those of all rows
        found = {
            name: SmoothingSpace.fit(entries[chosen], part, limited=name in ("distance", "std"))
            for name, entries in values.items()
        }
        spaces = {name: space for name, space in found.items() if space is not None}
        values = {name: values[name] for name in spaces}
        size = np.abs(scores)
        mean = np.average(size, weights=weight)
        scale = np.ones(len(scores))
        if not mean > 0:  # a constant target
            return cls({name: spaces[name] for name in SPACES if name in spaces}, ()), scale
        size = np.maximum(size / mean, _LEAST_ERROR)
        rows = _Rows(
            spaces,
            {name: entries[chosen] for name, entries in values.items()},
            part,
            np.unique(location[chosen], return_inverse=True)[1].reshape(-1),
        )
        smoothers: list[ErrorSmoother] = []
        left_out = np.ones(int(chosen.sum()))
        while len(smoothers) < _MOST_SMOOTHERS:
            best = rows.best_smoother(size[chosen], left_out)
            if best is None:
                break
            smoother, factor = best
            left_out = left_out * factor
            smoothers.append(smoother)
        used = {*SPACES, *(smoother.space for smoother in smoothers)}
        kept = {name: space for name, space in spaces.items() if name in used}
        local = cls(kept, tuple(smoothers))
        if every > 1 and smoothers:
            scale = local.scale(inputs, std)
        scale[chosen] = left_out
        return local, scale

    def scale(self, inputs: CalibrationInputs, std: np.ndarray) -> np.ndarray:
        """Return the scale (n,) of the standardized errors of rows, 1 on average."""
        scale = np.ones(len(std))
        values = _space_inputs(inputs, std)
        for smoother in self.smoothers:
            space, entries = self.spaces[smoother.space], values[smoother.space]
            for part in _chunks(len(std)):
                scale[part] *= smoother.scale(space, entries[part])
        return scale

    def n_effective(self, inputs: CalibrationInputs, std: np.ndarray) -> np.ndarray:
        """Return the effective number (n,) of held-out errors around rows.

        It is the least over the spaces of the sum of the kernel weights of the errors, with a
        bandwidth of the root mean square distance of the errors to their mean.
        """
        number = np.full(len(std), np.inf)
        values = _space_inputs(inputs, std)
        for name, space in self.spaces.items():
            if name not in SPACES:
                continue
            if name == "distance":
                # Rows nearer to the data than any error was are no extrapolation, farther ones are.
                space = replace(space, high=np.inf)
            for part in _chunks(len(std)):
                kernel = space.kernel(values[name][part], _SUPPORT_BANDWIDTH)
                found = _weighted_sum(kernel, space.count)
                number[part] = np.minimum(number[part], found)
        return number


@dataclass(frozen=True)
class ErrorSupport:
    """Rows whose effective number of held-out errors is computed where it is needed.

    Attributes
    ----------
    local : LocalScale
    inputs : CalibrationInputs of n rows
    std : ndarray of shape (n,)
        Predicted standard deviations before the local scale.
    """

    local: LocalScale
    inputs: CalibrationInputs
    std: np.ndarray

    @cached_property
    def n_effective(self) -> np.ndarray:
        """Effective number (n,) of held-out errors around each row."""
        return self.local.n_effective(self.inputs, self.std)

    def take(self, rows: np.ndarray) -> ErrorSupport:
        """Return some of the rows."""
        return ErrorSupport(self.local, self.inputs.take(rows), self.std[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[ErrorSupport]) -> ErrorSupport:
        """Return the rows of several parts of one model."""
        inputs = CalibrationInputs(
            *(
                None if columns[0] is None else np.concatenate(columns)
                for columns in zip(*(part.inputs for part in parts), strict=True)
            )
        )
        return cls(parts[0].local, inputs, np.concatenate([part.std for part in parts]))


class _Rows:
    """Held-out rows with their kernels, from which smoothers are chosen."""

    def __init__(
        self,
        spaces: Mapping[str, SmoothingSpace],
        values: Mapping[str, np.ndarray],
        weight: np.ndarray,
        location: np.ndarray,
    ) -> None:
        self.spaces, self.values, self.weight = spaces, values, weight
        self.nearest = {name: space.nearest(values[name]) for name, space in spaces.items()}
        # Rows of one location at one center are left out together.
        self.groups = {
            name: np.unique(location * len(spaces[name].count) + nearest, return_inverse=True)[1]
            for name, nearest in self.nearest.items()
        }

    def best_smoother(
        self, size: np.ndarray, scale: np.ndarray
    ) -> tuple[ErrorSmoother, np.ndarray] | None:
        """Return the smoother with the greatest gain and its scale of other locations, or None."""
        best, least = None, 0.0
        relative = size / scale
        loss, n = np.log(scale) + relative, len(size)
        least_gain = _LEAST_GAIN + np.log(max(len(self.spaces) / len(SPACES), 1.0))
        for name, space in self.spaces.items():
            total = np.bincount(self.nearest[name], self.weight * relative, len(space.count))
            group = self.groups[name].reshape(-1)
            own_total, own_count = (
                np.bincount(group, self.weight * part)[group] for part in (relative, 1.0)
            )
            for bandwidth in _BANDWIDTHS:
                sums = np.empty((2, n))
                for part in _chunks(n):
                    kernel = space.kernel(self.values[name][part], bandwidth)
                    own = kernel[np.arange(len(kernel)), self.nearest[name][part]]
                    sums[0, part] = kernel @ total - own * own_total[part]
                    sums[1, part] = kernel @ space.count - own * own_count[part]
                np.maximum(sums, 0.0, out=sums)
                for prior in _PRIORS:
                    factor = (prior + sums[0]) / (prior + sums[1])
                    gain = loss - np.log(scale * factor) - relative / factor
                    mean = np.average(gain, weights=self.weight)
                    error = np.sqrt(np.average((gain - mean) ** 2, weights=self.weight) / n)
                    enough = mean > _LEAST_SIGNIFICANCE * error and mean * n > least_gain
                    if enough and mean > least:
                        least = mean
                        best = ErrorSmoother(name, bandwidth, prior, total), factor
        return best


def _weighted_sum(kernel: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sums (n,) of values (k,) of the centers with kernel weights (n, k).

    Without BLAS, the last bits of which depend on the number of rows.
    """
    return np.einsum("ik,k->i", kernel, values)


def _space_inputs(inputs: CalibrationInputs, std: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs (n, p) of each space."""
    values = {
        "location": inputs.positions,
        "covariates": inputs.covariates,
        "distance": None if inputs.distance is None else _finite_log(inputs.distance)[:, None],
        "std": _finite_log(std)[:, None],
    }
    columns = inputs.covariates
    if columns is not None and 1 < columns.shape[1] <= _MOST_COLUMNS:
        values |= {f"{COLUMN_PREFIX}{j}": columns[:, [j]] for j in range(columns.shape[1])}
    return {name: part for name, part in values.items() if part is not None and part.shape[1]}


def _finite_log(values: np.ndarray) -> np.ndarray:
    """Return finite logarithms of values from 0 to infinity."""
    limits = np.finfo(np.float32)
    return np.log(np.clip(values, limits.tiny, limits.max))


def _cluster(points: np.ndarray) -> np.ndarray:
    """Return the cluster (n,) of points (n, d), numbered without gaps."""
    if points.shape[1] == 1:
        shares = np.linspace(0, 1, _N_CENTERS[0] + 1)[1:-1]
        edges = np.unique(np.quantile(points[:, 0], shares))
        label = np.searchsorted(edges, points[:, 0])
    else:
        every = -(-len(points) // _MOST_CLUSTERED)
        sample = points[::every]
        label = cluster_labels(sample, min(_N_CENTERS[1], len(sample)))
        if every > 1:
            count = np.bincount(label)
            centers = np.column_stack([np.bincount(label, p) / count for p in sample.T])
            square = (centers**2).sum(axis=1) / 2 - points @ centers.T
            label = square.argmin(axis=1)
    return np.unique(label, return_inverse=True)[1].reshape(-1)


def _chunks(n: int) -> Iterator[slice]:
    return gen_batches(n, _KERNEL_ROWS)
