"""`AreaOfApplicability`: where the training rows bear a prediction out, and where they do not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ..model_selection.splits import read_folds
from ..table.coordinate_columns import as_dataframe, find_column
from ..table.validation import check_table
from .dissimilarity import (
    THRESHOLDS,
    count_within,
    held_out_counts,
    held_out_distances,
    mean_pairwise_distance,
)
from .encoding import EncodedCovariate
from .feature_weights import IMPORTANCES, given_weights

__all__ = ["AreaOfApplicability"]

_CHUNK_ROWS_DI = 65_536  # rows that are taken to the space of covariates at once


class AreaOfApplicability(BaseEstimator):
    """Tell for each row whether a model's training rows are similar enough to trust its prediction.

    The dissimilarity index (DI) [1]_ of a row is its distance to the nearest training row in the
    space of the covariates, divided by the mean distance between training rows: 0 is a copy of a
    training row, 1 is as far as two training rows are on average. Covariates are standardised on
    the training rows and multiplied by what they are worth to the model. The index of a training
    row is taken to the nearest row *outside its own fold* of the cross-validation, so it says what
    distances the model's score was earned at. Rows up to a threshold of that index are inside the
    area of applicability, where the score of that cross-validation can be expected to hold; a row
    outside is an extrapolation. The local point density (LPD) [2]_ counts the training rows within
    the threshold.

    Names follow scikit-learn's outlier detectors: `predict` gives 1 and -1, higher scores are more
    normal.

    Parameters
    ----------
    columns : sequence of labels or positions, default=None
        Columns of X to measure by. None: all of them, the coordinates too, because regressors of
        this package predict from them: a place far from all samples is then unlike them. Name the
        covariates here to ask about these alone, and to leave out ids and paths.
    estimator : regressor or classifier, default=None
        The model whose predictions are judged; its X is that of `fit`. It is used to weigh the
        columns only. Where it is not fitted, a clone is fitted on X and y. As cloning an
        `AreaOfApplicability` clones the model too, wrap a fitted one in
        `sklearn.frozen.FrozenEstimator` to keep it fitted in pipelines and searches.
    importance : None, str, mapping or array-like of shape (n_columns,), default=None
        Weights of the columns. Only their ratios matter.

        - None: "permutation" where there is an `estimator`, else "equal".
        - "equal": 1 for each column.
        - "permutation": by how much the squared error (of a classifier, the inaccuracy) rises when
          a column is shuffled in the rows given to `fit`.
        - "held_out": the same in rows held out by `cv`, each predicted by a clone that is fitted to
          its fold's training rows. Costs as many fits as there are folds. Needed for models that
          remember their training rows, such as `SpTGNNRegressor` and nearest neighbours.
        - "native": `feature_importances_`, or magnitudes of `coef_` times standard deviations.
        - A weight for each column, by label or in the order of `columns`.

        Importances below zero are set to zero; where none is above, columns weigh the same and a
        warning says so.
    cv : None, array-like of shape (n_samples,), int, splitter or iterable, default=None
        Folds of the training rows: label of each row's fold, a splitter such as
        `SpatialBlockKFold`, a number of folds of consecutive rows, or pairs of training and test
        rows. Take those that the model was scored by. Rows that a splitter's buffer keeps out of a
        fold's training set do not count there. None leaves one row out at a time, which suits
        predictions next to samples.
    threshold : {"fence", "whisker", "max"} or float, default="fence"
        Largest DI inside the area, from the DI of the training rows with quartiles Q1 and Q3 (by
        linear interpolation):

        - "fence": Q3 + 1.5 (Q3 - Q1), but no more than the largest. The rule of the R package CAST
          from 0.9 on; its 0.7.1 had no upper limit.
        - "whisker": the largest DI that is not above that fence, as in CAST to 0.7.0, which took
          Tukey's hinges for the quartiles.
        - "max": the largest, outliers kept.
        - A number is the threshold itself.
    n_repeats : int, default=5
        How often each column is shuffled.
    n_jobs : int, default=None
        Threads of searches, and workers of shuffling. None is 1.
    random_state : int, RandomState instance or None, default=None
        Seed of shuffling.

    Attributes
    ----------
    threshold_ : float
        Largest DI inside the area.
    offset_ : float
        ``-threshold_``, which `decision_function` takes from `score_samples`.
    columns_ : list
        Labels of the columns measured by.
    weights_ : ndarray of shape (n_columns,)
        Their weights, 0 for those that do not vary in training.
    mean_train_distance_ : float
        Mean distance between two training rows, in standardised and weighted covariates.
    train_di_ : ndarray of shape (n_samples,)
        Dissimilarity index of the training rows; NaN for those that no fold holds out.
    train_lpd_ : ndarray of shape (n_samples,)
        Local point density of the training rows among the training rows of their fold; NaN as
        above.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, where it has string names.

    Notes
    -----
    Categories (text, pandas categories) become one column for each level, standardised and with the
    weight of their column, as in CAST. A level that no training row has is none of these columns,
    so the row is away from all training rows. Dates are decimal years. Missing values are refused:
    leave cells without data out, and impute the others as the model does.

    Training rows are at distance 0 of themselves, so `predict` finds all of them inside and there
    is no `fit_predict`: ``train_di_ > threshold_`` tells which are far from the rest. CAST counts
    rows nearer than the threshold; here the threshold itself counts, so that the LPD is at least 1
    exactly where `predict` gives 1.

    The mean distance is taken over all pairs of up to 20,000 training rows, and beyond from as many
    evenly spaced among the sorted rows. Neither their order nor the units of columns matter.

    References
    ----------
    .. [1] Meyer, H., Pebesma, E. (2021). Predicting into unknown space? Estimating the area of
       applicability of spatial prediction models. Methods in Ecology and Evolution 12, 1620-1633.
    .. [2] Schumacher, F. L., Knoth, C., Ludwig, M., Meyer, H. (2025). Estimation of local training
       data point densities to support the assessment of spatial prediction uncertainty.
       Geoscientific Model Development 18, 10185-10202.

    Examples
    --------
    Samples with two covariates, and three cells of a map:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from sptgnn_sklearn import AreaOfApplicability
    >>> rng = np.random.default_rng(0)
    >>> samples = pd.DataFrame(
    ...     {"rain": rng.uniform(300, 900, 200), "clay": rng.uniform(5, 40, 200)}
    ... )
    >>> area = AreaOfApplicability(importance={"rain": 2, "clay": 1}, cv=np.arange(200) % 10)
    >>> area = area.fit(samples)
    >>> cells = pd.DataFrame({"rain": [500.0, 890.0, 2500.0], "clay": [20.0, 44.0, 20.0]})
    >>> cells.assign(
    ...     inside=area.predict(cells) == 1,
    ...     di=area.dissimilarity_index(cells).round(2),
    ...     lpd=area.local_point_density(cells),
    ... )
         rain  clay  inside    di  lpd
    0   500.0  20.0    True  0.04    7
    1   890.0  44.0   False  0.19    0
    2  2500.0  20.0   False  6.33    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "columns": ["array-like", None],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "importance": [StrOptions({"equal", *IMPORTANCES}), Mapping, "array-like", None],
        "cv": ["cv_object", "array-like"],
        "threshold": [StrOptions(set(THRESHOLDS)), Interval(Real, 0, None, closed="left")],
        "n_repeats": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        columns=None,
        estimator=None,
        importance=None,
        cv=None,
        threshold="fence",
        n_repeats=5,
        n_jobs=None,
        random_state=None,
    ):
        self.columns = columns
        self.estimator = estimator
        self.importance = importance
        self.cv = cv
        self.threshold = threshold
        self.n_repeats = n_repeats
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the space of covariates and the threshold from the model's training rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            The rows that the model was trained on, with all columns that it was given.
        y : array-like of shape (n_samples,), default=None
            Their target: needed to shuffle columns or to fit the estimator, else not used.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column has gaps, holds what cannot be compared or does not exist, no column varies,
            weights or folds do not fit the table, or an importance cannot be had.
        """
        self._validate_params()
        X = check_table(self, X, reset=True)
        frame = as_dataframe(X)
        if len(frame) < 2:
            raise ValueError(
                f"Found array with {len(frame)} sample(s) (n_samples={len(frame)}) while a minimum "
                "of 2 is required: distances need two rows."
            )
        self._labels = tuple(frame.columns)
        self.columns_ = _choose_columns(frame, self.columns)
        covariates = [EncodedCovariate.fit(frame[label], label) for label in self.columns_]
        splits = None if self.cv is None else read_folds(self.cv, X, y)
        weights = self._weigh(X, y, splits)
        self.weights_ = np.where([one.varies for one in covariates], weights, 0.0)
        _report_constant(self.columns_, weights, self.weights_)
        self._covariates = [one for one in zip(covariates, self.weights_, strict=True) if one[1]]

        points = self._points(frame)
        self.mean_train_distance_ = mean_pairwise_distance(points)
        points /= self.mean_train_distance_
        self.train_di_ = held_out_distances(points, splits)
        self.threshold_ = self._find_threshold(self.train_di_[~np.isnan(self.train_di_)])
        self.offset_ = -self.threshold_
        self.train_lpd_ = held_out_counts(points, splits, self.threshold_)
        self._tree = cKDTree(points)
        return self

    def predict(self, X):
        """Tell which rows are inside the area of applicability.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows of any number, such as all cells of a map.

        Returns
        -------
        ndarray of shape (n_samples,) of int
            1 inside, -1 outside.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def decision_function(self, X):
        """Return how far rows are inside the area: the threshold minus their DI.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Negative outside.
        """
        return self.score_samples(X) - self.offset_

    def score_samples(self, X):
        """Return minus the dissimilarity index, the higher the more alike.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return -self.dissimilarity_index(X)

    def dissimilarity_index(self, X):
        """Return the distance to the nearest training row over the mean distance of training rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            0 for a copy of a training row; no unit.
        """
        return self._in_chunks(
            X, lambda points, workers: self._tree.query(points, workers=workers)[0]
        )

    def local_point_density(self, X, *, most=None):
        """Return how many training rows are within the threshold of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        most : int, default=None
            Count no further than this; a small number is several times faster where there are many.
            None counts all.

        Returns
        -------
        ndarray of shape (n_samples,) of int
            0 outside the area of applicability.

        Raises
        ------
        ValueError
            If `most` is not a number of 1 or more.
        """
        if most is not None and (not isinstance(most, Integral) or most < 1):
            raise ValueError(f"most must be a whole number of 1 or more, or None; found {most!r}.")
        cap = None if most is None else int(most)
        return self._in_chunks(
            X,
            lambda points, workers: count_within(self._tree, points, self.threshold_, workers, cap),
        )

    def _in_chunks(self, X: Any, measure: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
        check_is_fitted(self)
        frame = as_dataframe(check_table(self, X, reset=False))
        if set(frame.columns) != set(self._labels):  # names are missing here or were in fit
            frame = frame.set_axis(list(self._labels), axis=1)
        workers = effective_n_jobs(self.n_jobs)
        parts = [
            measure(self._points(part) / self.mean_train_distance_, workers)
            for part in _chunks(frame)
        ]
        return np.concatenate(parts)

    def _points(self, frame: pd.DataFrame) -> np.ndarray:
        return np.column_stack(
            [weight * one.standardized(frame[one.label]) for one, weight in self._covariates]
        )

    def _weigh(self, X: Any, y: Any, splits: list | None) -> np.ndarray:
        kind = self.importance
        if kind is None:
            kind = "equal" if self.estimator is None else "permutation"
        if not isinstance(kind, str):
            return given_weights(kind, self.columns_)
        if kind == "equal":
            return np.ones(len(self.columns_))
        if self.estimator is None:
            raise ValueError(f"importance={kind!r} needs a model: give it as estimator.")
        if y is None and kind != "native":
            raise ValueError(f"importance={kind!r} requires y to be passed, but y is None.")
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(X, y)
        found = IMPORTANCES[kind](
            self.estimator,
            X,
            y,
            splits,
            n_repeats=self.n_repeats,
            n_jobs=self.n_jobs,
            random_state=check_random_state(self.random_state),
        )
        found = found[[self._labels.index(label) for label in self.columns_]]
        if not (found > 0).any():
            warnings.warn(
                f"importance={kind!r} finds no column that helps {type(self.estimator).__name__}; "
                "all columns weigh the same.",
                UserWarning,
                stacklevel=3,
            )
            return np.ones(len(found))
        return np.maximum(found, 0.0)

    def _find_threshold(self, index: np.ndarray) -> float:
        if isinstance(self.threshold, str):
            return THRESHOLDS[self.threshold](index)
        return float(self.threshold)


def _choose_columns(frame: pd.DataFrame, columns: Iterable[Hashable] | None) -> list[Hashable]:
    if columns is None:
        return list(frame.columns)
    chosen = list(dict.fromkeys(find_column(frame, label, "columns") for label in columns))
    if not chosen:
        raise ValueError("columns is empty: name at least one column, or give None for all.")
    return chosen


def _report_constant(columns: list[Hashable], wanted: np.ndarray, weights: np.ndarray) -> None:
    constant = [
        label
        for label, before, after in zip(columns, wanted, weights, strict=True)
        if before and not after
    ]
    if not weights.any():
        raise ValueError(
            f"No column with a weight varies in the training rows (constant: {constant}): there is "
            "no distance to measure. Check how they were joined, or name other columns."
        )
    if constant:
        warnings.warn(
            f"Columns without any variation in the training rows get weight 0: {constant}. "
            "Whether a row is unlike the training rows in these is not seen.",
            UserWarning,
            stacklevel=3,
        )


def _chunks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), _CHUNK_ROWS_DI):
        yield frame.iloc[start : start + _CHUNK_ROWS_DI]
