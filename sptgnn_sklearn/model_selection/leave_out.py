"""Buffered leave-one-out, and leave-location-and-time-out cross-validation."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from ..spatial.blocks import assign_folds
from ..spatial.distances import distance_to_chord, to_metric_coordinates
from ..table.column_parsing import decimal_years
from ..table.coordinate_columns import as_dataframe, find_column
from ..utils.messages import format_rows
from ..utils.validation import as_random_state, require_count
from .locations import check_distance, read_locations

__all__ = ["BufferedLeaveOneOut", "LeaveLocationAndTimeOut"]


class BufferedLeaveOneOut(BaseCrossValidator):
    """Leave-one-location-out cross-validation without the training rows near the test location.

    Parameters
    ----------
    distance : float
        Rows nearer than this to a test row are not used for training, in km or units of the CRS.
    n_locations : int, default=None
        Number of test locations, drawn at random. None tests all locations, each with a model.
    coordinates, crs
        As in `SpatialBlockKFold`.
    random_state : int, RandomState or None, default=0
        Seed of the test locations.

    Notes
    -----
    The recommended distance is the range of the residual variogram, see `suggest_block_size`
    (spatial leave-one-out of Le Rest et al. [1]_). All rows of a location or a group are held out
    together. R2 is undefined for one test row: pool the predictions of all folds with
    `cross_val_predict`, or score by absolute errors.

    References
    ----------
    .. [1] Le Rest, K. et al. (2014). Spatial leave-one-out cross-validation for variable selection
       in the presence of spatial autocorrelation. Global Ecology and Biogeography 23, 811-820.

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.model_selection import BufferedLeaveOneOut
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    >>> for train, test in BufferedLeaveOneOut(distance=2.0).split(X):
    ...     print(train, test)
    [2] [0]
    [2] [1]
    [0 1] [2]
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        distance: float,
        *,
        n_locations: int | None = None,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        random_state: Any = 0,
    ) -> None:
        self.distance = distance
        self.n_locations = n_locations
        self.coordinates = coordinates
        self.crs = crs
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row positions of the training and test set of each location.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table with the coordinates.
        y : array-like of shape (n_samples,), default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are held out together.

        Yields
        ------
        train, test : ndarray of int
            Row positions in ascending order. Each row is in one test set, or in none if
            `n_locations` excludes its location.

        Raises
        ------
        ValueError
            If a parameter is out of range, all rows are at one location, or the distance leaves no
            training rows.
        """
        X, y, groups = indexable(X, y, groups)
        check_distance("distance", self.distance)
        locations = read_locations(X, self.coordinates, self.crs, groups)
        locations.require_units(2, groups)
        points = to_metric_coordinates(locations.xy, locations.reference)
        tree = cKDTree(points)
        radius = distance_to_chord(self.distance, locations.reference)
        for unit in self._test_units(locations.n_units):
            test = np.flatnonzero(locations.unit == unit)
            is_train = np.ones(len(points), dtype=bool)
            for center in np.unique(points[test], axis=0):
                near = np.array(tree.query_ball_point(center, radius), dtype=np.int64)
                # query_ball_point includes rows at exactly this distance, which stay.
                is_train[near[np.linalg.norm(points[near] - center, axis=1) < radius]] = False
            is_train[test] = False
            if not is_train.any():
                raise ValueError(
                    f"distance={self.distance} {locations.reference.unit} leaves no training rows "
                    f"for the location of row {test[0]}: all others are nearer. Use a smaller "
                    "distance."
                )
            yield np.flatnonzero(is_train), test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table with the coordinates.
        y : object, default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        n_splits : int

        Raises
        ------
        ValueError
            If X is None, because the number of folds is the number of its locations.
        """
        if X is None:
            raise ValueError(
                "X must be passed: the number of folds is the number of its locations."
            )
        X, groups = indexable(X, groups)
        locations = read_locations(X, self.coordinates, self.crs, groups)
        return len(self._test_units(locations.n_units))

    def _test_units(self, n_units: int) -> np.ndarray:
        if self.n_locations is None:
            return np.arange(n_units)
        require_count("n_locations", self.n_locations)
        drawn = as_random_state(self.random_state).permutation(n_units)
        return np.sort(drawn[: self.n_locations])


class LeaveLocationAndTimeOut(BaseCrossValidator):
    """Leave-location-and-time-out (LLTO) cross-validation: test at new locations and new times.

    Locations are assigned to folds and dates to periods. Each pair of a fold of locations and a
    period is tested by a model trained on other locations in other periods.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds of locations.
    time : label or position
        Column of dates: datetimes, date strings or decimal years.
    n_periods : int, default=2
        Number of periods, with about equal numbers of rows. Rows of one date are in one period.
    coordinates, crs
        As in `SpatialBlockKFold`.
    random_state : int, RandomState or None, default=0
        Seed of the assignment of locations to folds.

    Notes
    -----
    This is the target-oriented validation of Meyer et al. [1]_, for maps of new locations at new
    times. There are ``n_splits * n_periods`` folds, without the pairs that have no rows.

    References
    ----------
    .. [1] Meyer, H., Reudenbach, C., Hengl, T., Katurji, M., Nauss, T. (2018). Improving
       performance of spatio-temporal machine learning models using forward feature selection and
       target-oriented validation. Environmental Modelling & Software 101, 1-9.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.model_selection import LeaveLocationAndTimeOut
    >>> X = pd.DataFrame({"x": [0, 0, 1, 1], "y": [0, 0, 0, 0], "year": [1990, 2020, 1990, 2020]})
    >>> for train, test in LeaveLocationAndTimeOut(2, n_periods=2, time="year").split(X):
    ...     print(train, test)
    [1] [2]
    [0] [3]
    [3] [0]
    [2] [1]
    """

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        time: Hashable,
        n_periods: int = 2,
        coordinates: Sequence[Hashable] | None = None,
        crs: Any = None,
        random_state: Any = 0,
    ) -> None:
        self.n_splits = n_splits
        self.time = time
        self.n_periods = n_periods
        self.coordinates = coordinates
        self.crs = crs
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row positions of the training and test set of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table with the coordinates and dates.
        y : array-like of shape (n_samples,), default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group count as one location.

        Yields
        ------
        train, test : ndarray of int
            Row positions in ascending order. Each row is in exactly one test set.

        Raises
        ------
        ValueError
            If there are fewer locations than folds or fewer dates than periods, a date is missing,
            or a fold has no training rows.
        """
        for train, test, fold, period in self._folds(X, groups):
            if not len(train):
                raise ValueError(
                    f"No training rows for fold {fold} of locations and period {period}: each "
                    "other row is at one of its locations or in its period. Use fewer folds or "
                    "periods."
                )
            yield train, test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features), default=None
            Table with the coordinates and dates. None counts all pairs.
        y : object, default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        n_splits : int
        """
        if X is None:
            return self.n_splits * self.n_periods
        return sum(1 for _ in self._folds(X, groups))

    def _folds(self, X: Any, groups: Any) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
        X, groups = indexable(X, groups)
        require_count("n_splits", self.n_splits, least=2)
        require_count("n_periods", self.n_periods, least=2)
        locations = read_locations(X, self.coordinates, self.crs, groups)
        locations.require_units(self.n_splits, groups)
        rng = as_random_state(self.random_state)
        folds = assign_folds(locations.unit, self.n_splits, rng)
        periods = self._assign_periods(X)
        for fold in range(self.n_splits):
            for period in range(self.n_periods):
                test = np.flatnonzero((folds == fold) & (periods == period))
                if len(test):
                    train = np.flatnonzero((folds != fold) & (periods != period))
                    yield train, test, fold, period

    def _assign_periods(self, X: Any) -> np.ndarray:
        """Return the period of each row (n,)."""
        frame = as_dataframe(X)
        label = find_column(frame, self.time, "time")
        years = decimal_years(frame[label], label)
        if np.isnan(years).any():
            raise ValueError(
                f"Column {label!r} has no date in {format_rows(np.isnan(years))}: fill in or drop "
                "these rows."
            )
        dates, date, n_rows = np.unique(years, return_inverse=True, return_counts=True)
        if len(dates) < self.n_periods:
            raise ValueError(
                f"n_periods={self.n_periods} needs at least as many dates; column {label!r} holds "
                f"{len(dates)}."
            )
        # The midpoint of a date's rows determines its period. If a date with many rows leaves a
        # period empty, the periods have equal numbers of dates instead.
        midpoint = (np.cumsum(n_rows) - n_rows / 2) / n_rows.sum()
        period = np.floor(midpoint * self.n_periods).astype(np.int64)
        if len(np.unique(period)) < self.n_periods:
            period = np.arange(len(dates)) * self.n_periods // len(dates)
        return period[date.reshape(-1)]
