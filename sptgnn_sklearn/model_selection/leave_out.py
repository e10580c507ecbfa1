"""Leaving out places, with a belt around them, and places and times together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from ..spatial.blocks import assign_folds
from ..spatial.distances import distance_to_chord, to_metric_coordinates
from ..table.coordinate_columns import as_dataframe, find_column
from ..table.parsing import decimal_years, format_rows
from ..utils.validation import as_random_state, require_count
from .locations import check_distance, read_locations

__all__ = ["BufferedLeaveOneOut", "LeaveLocationAndTimeOut"]


class BufferedLeaveOneOut(BaseCrossValidator):
    """Leave one location out, and train on the rows that are farther than a distance from it.

    Parameters
    ----------
    distance : float
        Training rows nearer than this to the test rows are left out, in km or units of the CRS.
    n_locations : int, default=None
        Locations that are tested, drawn at random; None tests all, and fits as many models.
    coordinates, crs
        As in `SpatialBlockKFold`.
    random_state : int, RandomState or None, default=0
        Draws the locations.

    Notes
    -----
    The distance is best the range of the residual variogram, see `suggest_block_size` (spatial
    leave-one-out of Le Rest et al. [1]_). All rows of a location, or of a group, are left out
    together. With one row at a location R2 has no meaning in a fold: pool the predictions of all
    folds, as `cross_val_predict` does, or score by absolute errors.

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
        """Yield the row positions of training and test set of each location.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table that holds the coordinates.
        y : array-like of shape (n_samples,), default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are left out together.

        Yields
        ------
        train, test : ndarray of int
            Row positions in ascending order. Each row is tested once, or never where
            `n_locations` leaves it out.

        Raises
        ------
        ValueError
            If a parameter is out of range, all rows are at one location, or the distance leaves no
            training rows.
        """
        X, y, groups = indexable(X, y, groups)
        check_distance("distance", self.distance)
        survey = read_locations(X, self.coordinates, self.crs, groups)
        survey.require_units(2, groups)
        space = to_metric_coordinates(survey.xy, survey.reference)
        tree = cKDTree(space)
        reach = distance_to_chord(self.distance, survey.reference)
        for unit in self._tested(survey.n_units):
            test = np.flatnonzero(survey.unit == unit)
            kept = np.ones(len(space), dtype=bool)
            for place in np.unique(space[test], axis=0):
                near = np.array(tree.query_ball_point(place, reach), dtype=np.int64)
                # As far as the distance itself is far enough.
                kept[near[np.linalg.norm(space[near] - place, axis=1) < reach]] = False
            kept[test] = False
            if not kept.any():
                raise ValueError(
                    f"distance={self.distance} {survey.reference.unit} leaves no training rows for the "
                    f"location of row {test[0]}: all others are nearer. Use a smaller distance."
                )
            yield np.flatnonzero(kept), test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table that holds the coordinates.
        y : object, default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None

        Returns
        -------
        n_splits : int

        Raises
        ------
        ValueError
            If X is None: the number of locations is that of X.
        """
        if X is None:
            raise ValueError("The number of folds is that of the locations of X: pass X.")
        X, groups = indexable(X, groups)
        survey = read_locations(X, self.coordinates, self.crs, groups)
        return len(self._tested(survey.n_units))

    def _tested(self, n_units: int) -> np.ndarray:
        if self.n_locations is None:
            return np.arange(n_units)
        require_count("n_locations", self.n_locations)
        drawn = as_random_state(self.random_state).permutation(n_units)
        return np.sort(drawn[: self.n_locations])


class LeaveLocationAndTimeOut(BaseCrossValidator):
    """Hold out places and times together: train on other places at other times.

    Locations are dealt to folds and dates are cut to periods; each pair of a fold of locations and
    a period is tested by a model that saw neither these locations nor this period.

    Parameters
    ----------
    n_splits : int, default=5
        Folds of locations.
    n_periods : int, default=2
        Periods, of about equally many rows. Rows of one date are in one period.
    time : label or position
        Column of dates: datetimes, date strings or decimal years.
    coordinates, crs
        As in `SpatialBlockKFold`.
    random_state : int, RandomState or None, default=0
        Deals locations to folds.

    Notes
    -----
    The target-oriented validation of Meyer et al. [1]_ for maps of new places at new times. There
    are ``n_splits * n_periods`` folds; a pair without any rows is left out.

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
        """Yield the row positions of training and test set of each fold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Table that holds the coordinates and dates.
        y : array-like of shape (n_samples,), default=None
            Not used.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are one location.

        Yields
        ------
        train, test : ndarray of int
            Row positions in ascending order. Each row is in one test set.

        Raises
        ------
        ValueError
            If there are fewer locations than folds or fewer dates than periods, a date is missing,
            or a fold is left without training rows.
        """
        for train, test, place, period in self._folds(X, groups):
            if not len(train):
                raise ValueError(
                    f"No rows train for fold {place} of locations and period {period}: each other "
                    "row is at one of its locations or in its period. Use fewer folds."
                )
            yield train, test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features), default=None
            Table that holds the coordinates and dates; None counts all pairs.
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
        survey = read_locations(X, self.coordinates, self.crs, groups)
        survey.require_units(self.n_splits, groups)
        rng = as_random_state(self.random_state)
        places = assign_folds(survey.unit, self.n_splits, rng)
        periods = self._periods(X)
        for place in range(self.n_splits):
            for period in range(self.n_periods):
                test = np.flatnonzero((places == place) & (periods == period))
                if len(test):
                    train = np.flatnonzero((places != place) & (periods != period))
                    yield train, test, place, period

    def _periods(self, X: Any) -> np.ndarray:
        reference = as_dataframe(X)
        label = find_column(reference, self.time, "time")
        years = decimal_years(reference[label], label)
        if np.isnan(years).any():
            raise ValueError(
                f"Column {label!r} lacks the date in {format_rows(np.isnan(years))}: fill in "
                "or drop these rows."
            )
        dates, date, rows = np.unique(years, return_inverse=True, return_counts=True)
        if len(dates) < self.n_periods:
            raise ValueError(
                f"n_periods={self.n_periods} needs as many dates; column {label!r} holds "
                f"{len(dates)}."
            )
        # A date goes to the period in which the middle of its rows falls; where a date with many
        # rows leaves a period empty, periods are of equally many dates instead.
        share = (np.cumsum(rows) - rows / 2) / rows.sum()
        period = np.floor(share * self.n_periods).astype(np.int64)
        if len(np.unique(period)) < self.n_periods:
            period = np.arange(len(dates)) * self.n_periods // len(dates)
        return period[date.reshape(-1)]
