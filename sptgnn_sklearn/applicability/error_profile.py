"""Error profile: expected error of predictions by their dissimilarity to the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ..metrics.validation import aligned_vectors, check_metric_weight
from ..utils.atomic_fit import atomic_fit
from ..utils.messages import did_you_mean
from ..utils.parameter_names import ParameterNames
from .area_of_applicability import AreaOfApplicability
from .monotone_spline import MonotoneSpline

__all__ = ["ErrorProfile"]

_MIN_PROFILE_ROWS = 10
_WINDOW_SHARE = 0.1
_END_ROWS = 10  # that share their mean dissimilarity at either end
# Attribute of AreaOfApplicability, and whether errors increase with it.
_VARIABLES = {"di": ("train_di_", True), "lpd": ("train_lpd_", False)}


class ErrorProfile(ParameterNames, BaseEstimator):
    """Expected root mean squared error (RMSE) by dissimilarity, from held-out errors.

    Cross-validation gives one score for all rows, but rows that are dissimilar to the training rows
    have larger errors. The profile is the RMSE of held-out rows as a monotone function of their
    dissimilarity [1]_: the dissimilarity index of `AreaOfApplicability`, the local point density
    [2]_, the distance to the samples, or any other number per row. Applied to the cells of a map,
    it gives the expected error of each cell.

    Parameters
    ----------
    window_size : int, default=None
        Number of rows of a moving window of `table_`. None means a tenth of the rows, but at least
        10. The profile itself is fitted to single rows.
    increasing : bool, default=True
        Whether errors increase with dissimilarity (True), or decrease, as with the local point
        density (False).
    out_of_bounds : {"nan", "clip"}, default="nan"
        Expected error beyond the dissimilarity of all rows of `fit`, at the end where errors are
        largest: NaN, because larger errors than those seen are likely there, or the error at the
        end of the range, a lower limit. At the other end, the error at the end of the range is an
        upper limit and is always used.

    Attributes
    ----------
    table_ : DataFrame
        One row for each window of `window_size` rows that follow each other in order of
        dissimilarity, with the columns dissimilarity (mean), lower, upper (range), rmse, and n
        (number of rows).
    range_ : tuple of two float
        Smallest and largest dissimilarity of the rows of `fit`.
    rmse_ : float
        RMSE of all rows, whatever their dissimilarity.

    See Also
    --------
    AreaOfApplicability : Dissimilarity index and local point density.
    sample_distance : Distances to the samples.
    sptgnn_sklearn.plotting.ErrorProfileDisplay : Figure of a profile.

    Notes
    -----
    A monotone cubic spline is fitted to the squared errors of single rows, and the profile is its
    square root. Ten rows at either end, or a fifth of fewer than 50 rows, are fitted at their mean
    dissimilarity, beyond which the profile is constant: no value rests on one or two rows.

    ``errorProfiles`` of the R package CAST fits such a spline to the RMSE of windows of five rows,
    which is too small on average, because the root of a mean of few squares is expected to be less
    than the root of their expectation. ``python -m benchmarks.error_profile`` compares both, and
    isotonic regression, on simulated errors with a known profile; the results are in the user
    guide.

    CAST uses rows inside the area of applicability only; here all rows are used, so that the
    profile extends to the largest dissimilarity with a known error. Rows with equal dissimilarity
    share the mean of their squared errors in `table_`, so that the order of rows has no influence.

    A profile is an average: it does not know that a model has larger errors in forests than in
    fields unless dissimilarity does. `SpTGNNRegressor.predict_uncertainty` predicts a standard
    deviation for each row.

    References
    ----------
    .. [1] Meyer, H., Pebesma, E. (2021). Predicting into unknown space? Estimating the area of
       applicability of spatial prediction models. Methods in Ecology and Evolution 12, 1620-1633.
    .. [2] Schumacher, F. L., Knoth, C., Ludwig, M., Meyer, H. (2025). Estimation of local training
       data point densities to support the assessment of spatial prediction uncertainty.
       Geoscientific Model Development 18, 10185-10202.

    Examples
    --------
    Errors with a standard deviation of 1 at a dissimilarity of 0, and of 3 at 1:

    >>> import numpy as np
    >>> from sptgnn_sklearn.applicability import ErrorProfile
    >>> rng = np.random.default_rng(0)
    >>> dissimilarity = rng.uniform(0, 1, 2000)
    >>> profile = ErrorProfile().fit(dissimilarity, rng.normal(scale=1 + 2 * dissimilarity))
    >>> profile.predict([0.0, 0.5, 0.9, 1.2]).round(1)
    array([1. , 2. , 2.9, nan])
    """

    _parameter_constraints: ClassVar[dict] = {
        "window_size": [Interval(Integral, 2, None, closed="left"), None],
        "increasing": ["boolean"],
        "out_of_bounds": [StrOptions({"nan", "clip"})],
    }

    def __init__(self, *, window_size=None, increasing=True, out_of_bounds="nan"):
        self.window_size = window_size
        self.increasing = increasing
        self.out_of_bounds = out_of_bounds

    @atomic_fit
    def fit(self, dissimilarity, error, sample_weight=None):
        """Fit the profile to the errors of held-out rows.

        Parameters
        ----------
        dissimilarity : array-like of shape (n_samples,)
            Dissimilarity of each row to the rows of which its prediction was made, without those of
            its own fold.
        error : array-like of shape (n_samples,)
            Observed minus predicted values, or the reverse.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, for example for clustered samples; 0 drops the row.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If lengths differ, a value is not finite, or fewer than ten rows have a positive weight.
        """
        self._validate_params()
        dissimilarity, error = aligned_vectors(dissimilarity=dissimilarity, error=error)
        weight = check_metric_weight(sample_weight, len(error))
        weight = np.ones(len(error)) if weight is None else weight
        used = weight > 0
        if used.sum() < _MIN_PROFILE_ROWS:
            raise ValueError(
                f"dissimilarity and error must have at least {_MIN_PROFILE_ROWS} rows with a "
                f"positive weight; found {used.sum()}."
            )
        x, squared, weight = dissimilarity[used], error[used] ** 2, weight[used]
        sign = 1.0 if self.increasing else -1.0
        ends = _end_means(x, weight)
        self._spline = MonotoneSpline.fit(sign * np.clip(x, *ends), squared, weight)
        self.table_ = _window_table(x, squared, weight, self._window_size(len(x)))
        self.range_ = float(x.min()), float(x.max())
        self.rmse_ = float(np.sqrt(np.average(squared, weights=weight)))
        return self

    @classmethod
    def from_area(
        cls,
        area: AreaOfApplicability,
        predictions: Any,
        *,
        variable: str = "di",
        sample_weight: Any = None,
        **parameters: Any,
    ) -> ErrorProfile:
        """Fit a profile to out-of-fold predictions and an area of applicability.

        The dissimilarity of each training row is that to the training rows of its fold, as is its
        prediction.

        Parameters
        ----------
        area : AreaOfApplicability
            Fitted with the folds of the predictions, ``cv=predictions["fold"]``; with a buffer
            around test rows, with the same splitter.
        predictions : DataFrame or mapping of str to array-like of shape (n_samples,)
            One entry per training row of the area, in the same order: observed, mean (the
            prediction), and, if known, fold, as `ComparisonResult.select` returns them.
        variable : {"di", "lpd"}, default="di"
            Dissimilarity index, or local point density, with which errors decrease.
        sample_weight : array-like of shape (n_samples,), default=None
        **parameters
            Parameters of `ErrorProfile`.

        Returns
        -------
        ErrorProfile
            Fitted; rows in no test set are not used.

        Raises
        ------
        ValueError
            If a column is missing, predictions and area differ in rows or folds, or a prediction is
            not finite.

        Examples
        --------
        >>> from sklearn.ensemble import ExtraTreesRegressor
        >>> from sptgnn_sklearn import AreaOfApplicability, compare_models
        >>> from sptgnn_sklearn.applicability import ErrorProfile
        >>> from sptgnn_sklearn.datasets import load_meuse
        >>> meuse = load_meuse()
        >>> X, y = meuse.data[["x", "y", "elev", "dist"]], meuse.target
        >>> trees = ExtraTreesRegressor(20, random_state=0)
        >>> result = compare_models(trees, X, y, ["block"], crs=meuse.crs, progress=False)
        >>> held_out = result.select("block", "ExtraTreesRegressor")
        >>> area = AreaOfApplicability(cv=held_out["fold"]).fit(X)
        >>> profile = ErrorProfile.from_area(area, held_out)
        >>> expected_error = profile.predict(area.dissimilarity_index(X))
        >>> bool((expected_error < profile.rmse_).all())  # at the samples themselves
        True
        """
        if variable not in _VARIABLES:
            raise ValueError(
                f"variable must be one of {list(_VARIABLES)}; found {variable!r}: pass other "
                "numbers to fit."
            )
        attribute, increasing = _VARIABLES[variable]
        check_is_fitted(area, attribute)
        table = pd.DataFrame(dict(predictions) if isinstance(predictions, Mapping) else predictions)
        for name in ("observed", "mean"):
            if name not in table:
                raise ValueError(
                    f"predictions must have the column {name!r}; found {list(table.columns)}"
                    f"{did_you_mean(name, table.columns)}"
                )
        dissimilarity = getattr(area, attribute)
        if len(table) != len(dissimilarity):
            raise ValueError(
                "predictions must have one row per training row of area, which has "
                f"{len(dissimilarity)}; found {len(table)}."
            )
        held_out = ~np.isnan(dissimilarity)
        if "fold" in table:
            _check_equal_folds(table["fold"].to_numpy()[held_out], area.train_fold_[held_out])
        weight = check_metric_weight(sample_weight, len(table))
        observed, mean = aligned_vectors(
            observed=table["observed"][held_out], mean=table["mean"][held_out]
        )
        profile = cls(**{"increasing": increasing, **parameters})
        return profile.fit(
            dissimilarity[held_out],
            observed - mean,
            None if weight is None else weight[held_out],
        )

    def predict(self, dissimilarity):
        """Predict the RMSE of rows by their dissimilarity.

        Parameters
        ----------
        dissimilarity : array-like of any shape
            Of new rows to all training rows; NaN gives NaN.

        Returns
        -------
        ndarray of the same shape
            In the unit of the errors.
        """
        check_is_fitted(self)
        values = np.asarray(dissimilarity, dtype=np.float64)
        sign = 1.0 if self.increasing else -1.0
        known = ~np.isnan(values)
        rmse = np.full(values.shape, np.nan)
        rmse[known] = np.sqrt(self._spline(sign * values[known]))
        if self.out_of_bounds == "nan":
            lower, upper = self.range_
            rmse[values > upper if self.increasing else values < lower] = np.nan
        return rmse

    def _window_size(self, n_rows: int) -> int:
        size = self.window_size
        if size is None:
            size = max(_MIN_PROFILE_ROWS, round(_WINDOW_SHARE * n_rows))
        return min(int(size), n_rows)


def _end_means(x: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the mean x of the first and of the last rows in order of x."""
    order = np.argsort(x, kind="stable")
    n_rows = min(_END_ROWS, len(x) // 5)
    first, last = order[:n_rows], order[-n_rows:]
    return (
        float(np.average(x[first], weights=weight[first])),
        float(np.average(x[last], weights=weight[last])),
    )


def _window_table(
    x: np.ndarray, squared: np.ndarray, weight: np.ndarray, size: int
) -> pd.DataFrame:
    """Return the mean x and the RMSE of all windows of rows that follow each other in x."""
    order = np.argsort(x, kind="stable")
    x, squared, weight = x[order], squared[order], weight[order]
    group = np.unique(x, return_inverse=True)[1]
    total = np.bincount(group, weight)
    squared = (np.bincount(group, weight * squared) / total)[group]
    weight = (total / np.bincount(group))[group]

    def window_sum(values: np.ndarray) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(values, size).sum(axis=1)

    n = window_sum(weight)
    return pd.DataFrame(
        {
            "dissimilarity": window_sum(weight * x) / n,
            "lower": x[: len(n)],
            "upper": x[size - 1 :],
            "rmse": np.sqrt(window_sum(weight * squared) / n),
            "n": size,
        }
    )


def _check_equal_folds(fold: np.ndarray, other: np.ndarray) -> None:
    """Raise a ValueError unless two fold labels divide the rows in the same way."""
    pairs = pd.DataFrame({"fold": fold, "other": other}).drop_duplicates()
    if len(pairs) != pairs["fold"].nunique() or len(pairs) != pairs["other"].nunique():
        raise ValueError(
            "area was fitted with other folds than those of predictions, so that dissimilarities "
            "and errors do not belong together: fit AreaOfApplicability(cv=predictions['fold'])."
        )
