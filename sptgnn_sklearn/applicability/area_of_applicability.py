"""Area of applicability: where the training data support predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from ..model_selection.splits import Split, read_folds
from ..table.coordinate_columns import as_dataframe, find_column
from ..table.validation import check_table
from ..utils.atomic_fit import atomic_fit
from ..utils.documentation_link import DocumentationLink
from ..utils.parameter_names import ParameterNames
from .dissimilarity import (
    THRESHOLDS,
    count_within,
    held_out_counts,
    held_out_distances,
    mean_pairwise_distance,
)
from .encoding import EncodedCovariate
from .feature_weights import IMPORTANCES, check_weights

__all__ = ["AreaOfApplicability"]

_MAX_QUERY_ROWS = 65_536  # rows encoded at once


class AreaOfApplicability(DocumentationLink, ParameterNames, BaseEstimator):
    """Area of applicability of a model, from the dissimilarity of rows to its training rows.

    The dissimilarity index (DI) [1]_ of a row is its distance to the nearest training row in
    covariate space, divided by the mean distance between training rows: 0 for a copy of a training
    row, 1 for the average distance of two training rows. Covariates are standardized on the
    training rows and multiplied by their importance to the model. For a training row, the nearest
    training row *of another cross-validation fold* is used, so its DI reflects the distances at
    which the model was scored. Rows with a DI up to a threshold are inside the area of
    applicability, where the cross-validated score can be expected to hold; for rows outside, the
    model extrapolates. The local point density (LPD) [2]_ is the number of training rows within the
    threshold.

    Methods are named as in scikit-learn's outlier detectors: `predict` returns 1 and -1, and higher
    scores are more normal.

    Parameters
    ----------
    columns : sequence of labels or positions, default=None
        Columns used for distances. None uses all, including the coordinates, because regressors of
        this package predict from them: locations far from all samples are then dissimilar. List the
        covariates to use these alone, and to exclude ids and paths.
    estimator : regressor or classifier, default=None
        Model with the same X as `fit`, used only to compute the weights of the columns. If it is
        not fitted, a clone is fitted to X and y. Cloning an `AreaOfApplicability` clones the model
        too: wrap a fitted model in `sklearn.frozen.FrozenEstimator` to keep it fitted in pipelines
        and searches.
    importance : None, str, mapping or array-like of shape (n_columns,), default=None
        Weights of the columns. Only their ratios matter.

        - None: "permutation" if there is an `estimator`, else "equal".
        - "equal": 1 for each column.
        - "permutation": increase of the squared error (for a classifier, decrease of the accuracy)
          when a column is shuffled in the rows passed to `fit`.
        - "held_out": the same for rows held out by `cv`, predicted by clones fitted to the training
          rows of their fold. Requires one fit per fold. Use it for models that memorize their
          training rows, such as `SpTGNNRegressor` and nearest neighbors.
        - "native": `feature_importances_`, or magnitudes of `coef_` times standard deviations.
        - A weight for each column, by label or in the order of `columns`.

        Negative importances are set to 0; if none is positive, all weights are equal and a warning
        is issued.
    cv : None, array-like of shape (n_samples,), int, splitter or iterable, default=None
        Folds of the training rows: fold labels, a splitter such as `SpatialBlockKFold`, a number of
        unshuffled folds, or (train, test) pairs. Use the folds of the model's score. Rows that the
        buffer of a splitter drops from a training set are not used in that fold. None is
        leave-one-out, which suits predictions near samples.
    threshold : {"fence", "whisker", "max"} or float, default="fence"
        Largest DI inside the area, from the DI of the training rows with quartiles Q1 and Q3 (by
        linear interpolation):

        - "fence": Q3 + 1.5 (Q3 - Q1), but at most the largest DI, as in the R package CAST since
          0.9; its 0.7.1 had no upper limit.
        - "whisker": the largest DI not above that fence, as in CAST up to 0.7.0, which used Tukey's
          hinges as quartiles.
        - "max": the largest DI, including outliers.
        - A number: the threshold itself.
    n_repeats : int, default=5
        Number of times each column is shuffled.
    n_jobs : int, default=None
        Number of threads of searches and of workers of permutation importance. None means 1.
    random_state : int, RandomState instance or None, default=None
        Seed of shuffling.

    Attributes
    ----------
    threshold_ : float
        Largest DI inside the area.
    offset_ : float
        ``-threshold_``; `decision_function` is `score_samples` minus this offset.
    columns_ : list
        Labels of the selected columns.
    weights_ : ndarray of shape (n_columns,)
        Their weights, 0 for columns without variation in training.
    mean_train_distance_ : float
        Mean distance between two training rows, in standardized and weighted covariates.
    train_di_ : ndarray of shape (n_samples,)
        Dissimilarity index of the training rows; NaN for rows in no test set.
    train_lpd_ : ndarray of shape (n_samples,)
        Local point density of the training rows among the training rows of their fold; NaN for rows
        in no test set.
    train_fold_ : ndarray of shape (n_samples,) of int
        Fold that holds out each training row, from 0; -1 for rows in no test set.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if they are strings.

    Notes
    -----
    Categories (text, pandas categories) are one-hot encoded, and their columns are standardized and
    weighted as the original column, as in CAST. Rows with an unseen level have none of these
    columns, so they are distant from all training rows. Dates are decimal years. Missing values
    raise an error: exclude cells without data, and impute others as for the model.

    Training rows have distance 0 from themselves, so `predict` returns 1 for all of them and there
    is no `fit_predict`: ``train_di_ > threshold_`` selects rows that are far from the others. CAST
    counts rows nearer than the threshold; here rows at the threshold count as well, so that the LPD
    is at least 1 exactly if `predict` returns 1.

    The mean distance is computed over all pairs of up to 20,000 training rows; of more rows, 20,000
    evenly spaced ones of the sorted rows are used. The order of rows and the units of columns have
    no influence.

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

    @atomic_fit
    def fit(self, X, y=None):
        """Fit the encoding of covariates, their weights and the threshold to the training rows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Training rows of the model, with all its columns.
        y : array-like of shape (n_samples,), default=None
            Target, used for permutation importance and to fit the estimator.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column is unknown, has missing values or too many levels, no column varies, weights
            or folds do not match X, or importances cannot be computed.
        """
        self._validate_params()
        X = check_table(self, X, reset=True)
        frame = as_dataframe(X)
        if len(frame) < 2:
            raise ValueError(
                f"Found array with {len(frame)} sample(s) (n_samples={len(frame)}) while a minimum "
                "of 2 is required to compute distances."
            )
        labels = tuple(frame.columns)
        columns = _select_columns(frame, self.columns)
        encoded = [EncodedCovariate.fit(frame[label], label) for label in columns]
        splits = None if self.cv is None else read_folds(self.cv, X, y)
        importances = self._compute_weights(X, y, splits, labels, columns)
        weights = np.where([covariate.varies for covariate in encoded], importances, 0.0)
        _check_variation(columns, importances, weights)
        covariates = [
            (covariate, weight)
            for covariate, weight in zip(encoded, weights, strict=True)
            if weight
        ]

        points = _encode_rows(frame, covariates)
        mean_distance = mean_pairwise_distance(points)
        points /= mean_distance
        di = held_out_distances(points, splits)
        threshold = self._find_threshold(di[~np.isnan(di)])
        lpd = held_out_counts(points, splits, threshold)
        self._labels, self._covariates, self._tree = labels, covariates, cKDTree(points)
        self.columns_, self.weights_, self.mean_train_distance_ = columns, weights, mean_distance
        self.train_di_, self.train_lpd_ = di, lpd
        self.train_fold_ = _number_folds(splits, len(frame))
        self.threshold_, self.offset_ = threshold, -threshold
        return self

    def predict(self, X):
        """Predict whether rows are inside the area of applicability.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Rows, for example all cells of a map; they are processed in chunks.

        Returns
        -------
        ndarray of shape (n_samples,) of int
            1 inside, -1 outside.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def decision_function(self, X):
        """Return the threshold minus the dissimilarity index; negative outside the area.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def score_samples(self, X):
        """Return the negative dissimilarity index; higher is more similar.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return -self.dissimilarity_index(X)

    def dissimilarity_index(self, X):
        """Return the dissimilarity index (DI): distance to the nearest over mean training distance.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Without unit; 0 for a copy of a training row.
        """
        return self._apply_in_chunks(
            X, lambda points, workers: self._tree.query(points, workers=workers)[0]
        )

    def local_point_density(self, X, *, max_count=None):
        """Return the local point density (LPD): training rows within the threshold of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        max_count : int, default=None
            Largest count; a small number is several times faster if there are many training rows.
            None counts all.

        Returns
        -------
        ndarray of shape (n_samples,) of int
            0 outside the area of applicability.

        Raises
        ------
        ValueError
            If `max_count` is not an integer of at least 1.
        """
        if max_count is not None and (not isinstance(max_count, Integral) or max_count < 1):
            raise ValueError(
                f"max_count must be an integer of at least 1 or None; found {max_count!r}."
            )
        limit = None if max_count is None else int(max_count)
        return self._apply_in_chunks(
            X,
            lambda points, workers: count_within(
                self._tree, points, self.threshold_, workers, limit
            ),
        )

    def _apply_in_chunks(
        self, X: Any, function: Callable[[np.ndarray, int], np.ndarray]
    ) -> np.ndarray:
        """Apply a function of encoded rows and a number of threads to chunks of X."""
        check_is_fitted(self)
        frame = as_dataframe(check_table(self, X, reset=False))
        if set(frame.columns) != set(self._labels):  # X has no names, or had none in fit
            frame = frame.set_axis(list(self._labels), axis=1)
        workers = effective_n_jobs(self.n_jobs)
        parts = [
            function(
                _encode_rows(frame.iloc[rows], self._covariates) / self.mean_train_distance_,
                workers,
            )
            for rows in gen_batches(len(frame), _MAX_QUERY_ROWS)
        ]
        return np.concatenate(parts)

    def _compute_weights(
        self,
        X: Any,
        y: Any,
        splits: list[Split] | None,
        labels: tuple[Hashable, ...],
        columns: list[Hashable],
    ) -> np.ndarray:
        """Return the weights of the selected columns of X, which has the given labels."""
        importance = self.importance
        if importance is None:
            importance = "equal" if self.estimator is None else "permutation"
        if not isinstance(importance, str):
            return check_weights(importance, columns)
        if importance == "equal":
            return np.ones(len(columns))
        if self.estimator is None:
            raise ValueError(f"importance={importance!r} needs a model: pass it as estimator.")
        if y is None and importance != "native":
            raise ValueError(f"importance={importance!r} requires y to be passed, but y is None.")
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(X, y)
        weights = IMPORTANCES[importance](
            self.estimator,
            X,
            y,
            splits,
            n_repeats=self.n_repeats,
            n_jobs=self.n_jobs,
            random_state=check_random_state(self.random_state),
        )
        weights = weights[[labels.index(label) for label in columns]]
        if not (weights > 0).any():
            warnings.warn(
                f"importance={importance!r} gives no column of {type(self.estimator).__name__} a "
                "positive weight; all weights are set to 1.",
                UserWarning,
                stacklevel=4,
            )
            return np.ones(len(weights))
        return np.maximum(weights, 0.0)

    def _find_threshold(self, index: np.ndarray) -> float:
        if isinstance(self.threshold, str):
            return THRESHOLDS[self.threshold](index)
        return float(self.threshold)


def _number_folds(splits: list[Split] | None, n_rows: int) -> np.ndarray:
    """Return the fold of each row, -1 for rows in no test set."""
    if splits is None:
        return np.arange(n_rows)
    fold = np.full(n_rows, -1)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    return fold


def _encode_rows(
    frame: pd.DataFrame, covariates: Iterable[tuple[EncodedCovariate, float]]
) -> np.ndarray:
    """Return rows as points in the space of weighted covariates."""
    return np.column_stack(
        [weight * covariate.standardize(frame[covariate.label]) for covariate, weight in covariates]
    )


def _select_columns(frame: pd.DataFrame, columns: Iterable[Hashable] | None) -> list[Hashable]:
    if columns is None:
        return list(frame.columns)
    selected = list(dict.fromkeys(find_column(frame, label, "columns") for label in columns))
    if not selected:
        raise ValueError("columns is empty: list at least one column, or pass None for all.")
    return selected


def _check_variation(columns: list[Hashable], weights: np.ndarray, used: np.ndarray) -> None:
    """Warn of weighted columns that are constant in training; raise if there are no others."""
    constant = [
        label
        for label, weight, used_weight in zip(columns, weights, used, strict=True)
        if weight and not used_weight
    ]
    if not used.any():
        raise ValueError(
            f"columns must include one that varies in the training rows; constant: {constant}. "
            "Check how the covariates were joined, or list other columns."
        )
    if constant:
        warnings.warn(
            f"Columns {constant} are constant in the training rows and get weight 0. "
            "Dissimilarity in these columns is not detected.",
            UserWarning,
            stacklevel=4,
        )
