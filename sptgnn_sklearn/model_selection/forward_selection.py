"""Forward selection of covariates by the score of spatial folds."""

from __future__ import annotations

from copy import deepcopy
from itertools import combinations
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier
from sklearn.feature_selection import SelectorMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, assert_all_finite, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .. import meta_estimators
from ..table.coordinate_columns import as_dataframe, find_column
from ..table.geo_frames import GEOMETRY_LABELS
from ..table.validation import check_fit_input, check_table
from ..utils.atomic_fit import atomic_fit
from ..utils.parameter_names import ParameterNames
from .block_kfold import SpatialBlockKFold
from .column_sets import ColumnSetEvaluation, take_columns
from .pooled_scores import PooledScore
from .role_columns import RoleColumns, estimator_with_roles
from .splits import read_folds

__all__ = ["ForwardSelection"]

_MIN_FOLDS = 2


def _best_has(method: str) -> Any:
    """Return a decorator: a method exists if the regressor inside the estimator has it."""

    def has_method(selection: ForwardSelection) -> bool:
        fitted = getattr(selection, "estimator_", None)
        if fitted is not None:
            return hasattr(meta_estimators.innermost_estimator(fitted), method)
        return hasattr(estimator_with_roles(selection.estimator), method)

    return available_if(has_method)


class ForwardSelection(ParameterNames, SelectorMixin, MetaEstimatorMixin, BaseEstimator):
    """Forward selection of covariates by the pooled score of spatial folds.

    The best pair of covariates is found among all pairs. Then the covariate that improves the score
    of held-out rows most is added, until none improves it [1]_. With spatial folds, covariates that
    only identify where a sample is, such as smooth surfaces and distances to corners, do not help
    to predict the held-out blocks and are left out; random folds select them [2]_.

    Columns with a role of the estimator are not covariates and always stay. The selection is fitted
    like a regressor, predicts through its estimator, fitted again to the selected columns of all
    rows, and is a transformer that selects these columns.

    Parameters
    ----------
    estimator : regressor
        Model, optionally inside Pipelines, searches and TransformedTargetRegressors. Set its
        `random_state`, otherwise sets of columns are compared with different seeds.
    keep : sequence of labels or positions, default=None
        Columns that always stay, in addition to those with a role of the estimator: its
        coordinates, time, elevation, spectral columns, site and images. Other estimators have no
        roles: list the coordinates here to keep them, otherwise they are selected like covariates.
    cv : int, splitter, array-like of shape (n_samples,) or iterable, default=None
        Folds, the same for all sets of columns: a splitter, a number of unshuffled folds, fold
        labels, or (train, test) pairs. None means `SpatialBlockKFold` with the coordinates and the
        CRS of the estimator, which holds out sites of the estimator as a whole. Splitters have all
        columns of X.
    scoring : str or callable, default=None
        Scorer, greater is better. It is called once with the predictions of all held-out rows, and
        not for each fold, because the R2 of a fold compares errors with the variance of a spatial
        block. None means R2, which selects the same columns as "neg_root_mean_squared_error".
        Scorers of `sptgnn_sklearn.metrics` for predicted uncertainty work as well.
    min_columns : int, default=2
        Number of covariates of the first step, in which all sets of this size are compared. 1 is
        faster and misses covariates that help only together. 0 starts from the columns that stay,
        so that no covariate may be selected.
    max_columns : int, default=None
        Largest number of selected covariates; None is no limit.
    tol : float or "standard_error", default=0.0
        Smallest gain, in units of the score: a covariate is added if the score increases by more.
        "standard_error" is the standard error of this gain, for fewer covariates.
    n_jobs : int, default=None
        Number of sets of columns that are evaluated in parallel. None means 1.
    verbose : int, default=0
        1 prints a line after each step.

    Attributes
    ----------
    support_ : ndarray of shape (n_features_in_,) of bool
        Mask of the columns that are used, with those that always stay.
    selected_columns_ : list
        Labels of the selected covariates, in the order of selection; those of the first step in the
        order of X.
    kept_columns_ : list
        Labels of the columns that always stay, in the order of X.
    results_ : DataFrame
        One row for each set of columns that was evaluated, with the columns step (from 1), added
        (tuple of labels), n_columns (number of covariates), score, standard_error, gain (difference
        to the selected set of the step before), gain_standard_error, and selected. The standard
        errors are jackknife estimates over folds.
    score_ : float
        Pooled score of the selected set. It is too optimistic, because the set was selected by it:
        for an estimate of accuracy, cross-validate the whole selection.
    n_fits_ : int
        Number of fits.
    estimator_ : regressor
        The estimator, fitted to the selected columns of all rows.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if all are strings.

    See Also
    --------
    sklearn.feature_selection.SequentialFeatureSelector : Selection by the mean score over folds.

    Notes
    -----
    With p covariates, k folds and m = `min_columns`, the first step fits k C(p, m) models, and the
    step that adds one to s covariates k (p - s). The largest number of fits is k (C(p, m) + (p - m)
    (p - m + 1) / 2) + 1: 406 for 10 covariates and 5 folds, 1,806 for 20 and 7,606 for 40. A
    selection that stops at 5 covariates fits 356, 1,281 and 4,631 models. Fast trees are a common
    choice of estimator, also to select the covariates of a slower model.

    The rule is that of ``ffs`` of the R package CAST, with ``globalval=TRUE``. There
    ``withinSE=TRUE`` compares the gain with the standard error of the score; here
    ``tol="standard_error"`` takes that of the gain, which is smaller because both sets of columns
    are scored on the same rows.

    Of sets with equal scores, the first in the order of X is selected. An X that is a GeoDataFrame
    is used as a table with two columns of coordinates; an estimator without roles does not get them
    unless they are in `keep`, as "geometry.x" and "geometry.y".

    References
    ----------
    .. [1] Meyer, H., Reudenbach, C., Hengl, T., Katurji, M., Nauss, T. (2018). Improving
       performance of spatio-temporal machine learning models using forward feature selection and
       target-oriented validation. Environmental Modelling & Software 101, 1-9.
    .. [2] Meyer, H., Reudenbach, C., Woellauer, S., Nauss, T. (2019). Importance of spatial
       predictor variable selection in machine learning applications: moving from data reproduction
       to spatial prediction. Ecological Modelling 411, 108815.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sklearn.linear_model import LinearRegression
    >>> from sptgnn_sklearn.model_selection import ForwardSelection
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(100, 4)), columns=["clay", "rain", "slope", "ndvi"])
    >>> X = X.assign(x=rng.uniform(0, 50, 100), y=rng.uniform(0, 50, 100))
    >>> y = X["clay"] - X["ndvi"] + rng.normal(scale=0.1, size=100)
    >>> selection = ForwardSelection(LinearRegression(), keep=["x", "y"], tol=0.001).fit(X, y)
    >>> selection.selected_columns_, selection.transform(X).columns.tolist()
    (['clay', 'ndvi'], ['clay', 'ndvi', 'x', 'y'])
    >>> selection.results_.query("selected")[["step", "added", "score"]].round(3)
       step         added  score
    2     1  (clay, ndvi)  0.995
    >>> bool(selection.score(X, y) > 0.99)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "keep": ["array-like", None],
        "cv": ["cv_object", "array-like"],
        "scoring": [str, callable, None],
        "min_columns": [Interval(Integral, 0, None, closed="left")],
        "max_columns": [Interval(Integral, 0, None, closed="left"), None],
        "tol": [Interval(Real, None, None, closed="neither"), StrOptions({"standard_error"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator,
        *,
        keep=None,
        cv=None,
        scoring=None,
        min_columns=2,
        max_columns=None,
        tol=0.0,
        n_jobs=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.keep = keep
        self.cv = cv
        self.scoring = scoring
        self.min_columns = min_columns
        self.max_columns = max_columns
        self.tol = tol
        self.n_jobs = n_jobs
        self.verbose = verbose

    @atomic_fit
    def fit(self, X, y, *, groups=None, **params):
        """Select covariates, and fit the estimator to the selected columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        groups : array-like of shape (n_samples,), default=None
            Passed to the splitter: rows of one group are in one fold. None means the sites of the
            estimator with ``cv=None``, otherwise no groups.
        **params : dict
            Passed to the `fit` of the estimator, such as `sample_weight`; an entry per row is split
            like X. With scikit-learn's metadata routing, as requested by estimator, scorer and
            splitter.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter, column or role is invalid, folds do not match X, or no set of columns
            has a score.
        """
        self._validate_params()
        if is_classifier(self.estimator):
            raise ValueError(
                f"estimator must be a regressor; found the classifier "
                f"{type(self.estimator).__name__}."
            )
        X, y, _, _ = check_fit_input(self, X, y, None)
        frame = as_dataframe(X)
        roles = RoleColumns.find(self.estimator, frame, named=isinstance(X, pd.DataFrame))
        kept, candidates = self._divide_columns(frame, roles)
        routed = self._route(frame, groups, params)
        splits = read_folds(self._folds(), X, y, **routed.splitter.split)
        if len(splits) < _MIN_FOLDS:
            raise ValueError(f"cv must give at least {_MIN_FOLDS} folds; found {len(splits)}.")
        task = ColumnSetEvaluation(
            self.estimator,
            X,
            y,
            splits,
            roles,
            kept,
            self._scorer(),
            routed.estimator.fit,
            routed.scorer.score,
        )
        selected, score, steps, n_sets = self._search(task, candidates)

        columns = task.columns(selected)
        self.support_ = np.isin(np.arange(frame.shape[1]), columns)
        self.selected_columns_ = [roles.labels[position] for position in selected]
        self.kept_columns_ = [roles.labels[position] for position in kept]
        self.results_ = pd.concat(steps, ignore_index=True)
        self.score_, self.n_fits_ = score, n_sets * len(splits) + 1
        model = roles.set_roles(clone(self.estimator), columns)
        self.estimator_ = model.fit(take_columns(X, columns), y, **routed.estimator.fit)
        return self

    def transform(self, X):
        """Select the columns that stay and the selected covariates.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        DataFrame or ndarray of shape (n_samples, n_selected)
            Columns in the order of X; a DataFrame keeps its index, names and data types.
        """
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        if not get_tags(self).input_tags.allow_nan:
            _check_finite(X)
        return take_columns(X, np.flatnonzero(self.support_))

    def predict(self, X, **params):
        """Predict with the estimator fitted to the selected columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With all columns of fit.
        **params : dict
            Passed to the `predict` of the estimator.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        X = self.transform(X)
        return self.estimator_.predict(X, **params)

    def score(self, X, y, **params):
        """Return the score of the estimator fitted to the selected columns, by default R2.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        **params : dict
            Passed to the `score` of the estimator, such as `sample_weight`.

        Returns
        -------
        float
        """
        X = self.transform(X)
        return self.estimator_.score(X, y, **params)

    @_best_has("predict_uncertainty")
    def predict_uncertainty(self, X, coverage=None, quantiles=None, below=None, above=None):
        """Predict mean and uncertainty; see `sptgnn_sklearn.predict_uncertainty`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coverage, quantiles, below, above : float or sequence of float, default=None

        Returns
        -------
        DataFrame of shape (n_samples, 4 + n_added)
        """
        X = self.transform(X)
        return meta_estimators.predict_uncertainty(
            self.estimator_, X, coverage, quantiles, below, above
        )

    @_best_has("predict_interval")
    def predict_interval(self, X, coverage=0.9):
        """Predict intervals; see `sptgnn_sklearn.predict_interval`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        coverage : float, default=0.9

        Returns
        -------
        ndarray of shape (n_samples, 2)
        """
        X = self.transform(X)
        return meta_estimators.predict_interval(self.estimator_, X, coverage)

    @_best_has("predict_quantiles")
    def predict_quantiles(self, X, quantiles=(0.05, 0.5, 0.95)):
        """Predict quantiles.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        quantiles : sequence of float, default=(0.05, 0.5, 0.95)

        Returns
        -------
        ndarray of shape (n_samples, n_quantiles)
        """
        X = self.transform(X)
        return meta_estimators.predict_quantiles(self.estimator_, X, quantiles)

    @_best_has("predict_probability")
    def predict_probability(self, X, *, below=None, above=None):
        """Predict probabilities below or above limits; see `sptgnn_sklearn.predict_probability`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
        below, above : float or sequence of float, default=None

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_limits)
        """
        X = self.transform(X)
        return meta_estimators.predict_probability(self.estimator_, X, below=below, above=above)

    def get_metadata_routing(self):
        """Return the metadata that estimator, splitter and scorer request.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=self)
        fit = MethodMapping().add(caller="fit", callee="fit")
        split = MethodMapping().add(caller="fit", callee="split")
        score = MethodMapping().add(caller="fit", callee="score")
        return (
            router.add(estimator=self.estimator, method_mapping=fit)
            .add(splitter=check_cv(self._folds()), method_mapping=split)
            .add(scorer=self._scorer(), method_mapping=score)
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.regressor_tags = deepcopy(inner.regressor_tags)
        tags.target_tags.required = True
        # Covariates may be missing for estimators with roles, which check their coordinates.
        has_roles = estimator_with_roles(self.estimator) is not None
        tags.input_tags.allow_nan = inner.input_tags.allow_nan or has_roles
        return tags

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return self.support_

    def _scorer(self) -> Any:
        return check_scoring(self.estimator, scoring="r2" if self.scoring is None else self.scoring)

    def _folds(self) -> Any:
        if self.cv is not None:
            return self.cv
        inner = estimator_with_roles(self.estimator)
        coordinates, crs = getattr(inner, "coordinates", None), getattr(inner, "crs", None)
        return SpatialBlockKFold(coordinates=coordinates, crs=crs)

    def _route(self, frame: pd.DataFrame, groups: Any, params: dict[str, Any]) -> Bunch:
        """Return the arguments of the fits, of the splitter and of the scorer."""
        site = getattr(estimator_with_roles(self.estimator), "site", None)
        if groups is None and self.cv is None and site is not None:
            groups = frame[find_column(frame, site, "site")]
        split = {} if groups is None else {"groups": groups}
        if get_config()["enable_metadata_routing"]:
            return process_routing(self, "fit", **params, **split)
        return Bunch(
            estimator=Bunch(fit=params), splitter=Bunch(split=split), scorer=Bunch(score={})
        )

    def _divide_columns(
        self, frame: pd.DataFrame, roles: RoleColumns
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the positions of the columns that stay and of the covariates."""
        named = [] if self.keep is None else list(self.keep)
        labels = {find_column(frame, label, "keep") for label in named}
        labels |= {roles.labels[position] for position in roles.positions}
        kept = tuple(i for i, label in enumerate(roles.labels) if label in labels)
        candidates = tuple(
            i
            for i, label in enumerate(roles.labels)
            if label not in labels and label not in GEOMETRY_LABELS
        )
        if not kept and not min(self.min_columns, len(candidates)):
            raise ValueError(
                f"min_columns={self.min_columns} starts from the columns that stay, but there are "
                "none: name them as keep, or set min_columns=1."
            )
        if self.max_columns is not None and self.max_columns < self.min_columns:
            raise ValueError(
                f"max_columns={self.max_columns} must be at least min_columns={self.min_columns}."
            )
        return kept, candidates

    def _search(
        self, task: ColumnSetEvaluation, candidates: tuple[int, ...]
    ) -> tuple[tuple[int, ...], float, list[pd.DataFrame], int]:
        """Return the selected covariates, their score, a table of each step and the number of sets.

        Covariates are positions in X.
        """
        most = len(candidates) if self.max_columns is None else self.max_columns
        sets = list(combinations(candidates, min(self.min_columns, len(candidates))))
        selected: tuple[int, ...] = ()
        best: PooledScore | None = None
        tables: list[pd.DataFrame] = []
        n_sets = 0
        while sets:
            scores = Parallel(n_jobs=self.n_jobs)(
                delayed(task.evaluate)(columns) for columns in sets
            )
            n_sets += len(sets)
            table = task.tabulate(len(tables) + 1, sets, selected, scores, best)
            first = _best_row(table)
            improves = best is None or self._improves(table.iloc[first])
            table.loc[first, "selected"] = improves
            tables.append(table)
            if self.verbose:
                print(_describe_columns(table.iloc[first]))
            if not improves:
                break
            selected, best = sets[first], scores[first]
            left = [column for column in candidates if column not in selected]
            sets = [(*selected, column) for column in left] if len(selected) < most else []
        assert best is not None  # the first step has at least one set
        return selected, best.value, tables, n_sets

    def _improves(self, row: pd.Series) -> bool:
        tol = row["gain_standard_error"] if self.tol == "standard_error" else self.tol
        return bool(row["gain"] > tol)


def _best_row(table: pd.DataFrame) -> int:
    """Return the position of the highest score; the first one of several."""
    if not np.isfinite(table["score"]).any():
        raise ValueError(
            "scoring gives no finite score for any set of columns; found "
            f"{table['score'].iloc[0]}: use another scorer or other folds."
        )
    return int(table["score"].argmax())


def _describe_columns(row: pd.Series) -> str:
    names = ", ".join(map(str, row["added"])) or "no covariate"
    outcome = "added" if row["selected"] else "not added, the gain is too small"
    return (
        f"[ForwardSelection] step {row['step']}: {names}, score {row['score']:.4g} "
        f"(standard error {row['standard_error']:.2g}), {outcome}"
    )


def _check_finite(X: Any) -> None:
    """Raise a ValueError if numeric columns have missing or infinite values."""
    if isinstance(X, pd.DataFrame):
        X = X.select_dtypes("number").to_numpy(dtype=np.float64, na_value=np.nan)
    assert_all_finite(X, input_name="X")
