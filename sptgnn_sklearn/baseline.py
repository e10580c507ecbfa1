"""`XGBoostBaseline`: gradient-boosted trees on the same table and column roles."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .ensemble.base_regressor import boosted_trees, fit_base, out_of_fold
from .spatial.blocks import assign_folds, location_ids
from .table.deduplication import deduplicate
from .table.features import FeatureEncoder
from .table.measurement_error import noise_weight, standardized_noise
from .table.schema import ROLE_CONSTRAINTS, SampleTable, TableSchema, named_roles
from .table.table_checks import warn_unlikely_queries, warn_unlikely_values
from .table.target_scaling import TargetScaler
from .table.validation import check_fit_input, check_predict_input
from .utils.atomic_fit import atomic_fit
from .utils.documentation_link import DocumentationLink
from .utils.parameter_names import ParameterNames

_SMEARING_FOLDS = 5
_TREE_PARAMETERS = (
    *("n_estimators", "learning_rate", "max_depth", "min_child_weight", "subsample"),
    *("colsample_bytree", "reg_lambda"),
)
_COORDINATE_COLUMNS = 2  # the first columns of `FeatureEncoder.tree_features`


class XGBoostBaseline(DocumentationLink, ParameterNames, RegressorMixin, BaseEstimator):
    """Gradient-boosted trees with the column roles of `SpTGNNRegressor`.

    X and the roles are the same, so one pipeline, search or comparison works for both. Coordinates
    and dates are numeric features, categories are one-hot encoded, and the column of sites is not a
    covariate. Covariates and dates may be missing, coordinates and targets may not. The defaults
    are those of the default base estimator of `SpTGNNRegressor`.

    Parameters
    ----------
    coordinates, crs, time, elevation, spectral, site, images, noise_std, campaign
        Roles of columns, as in `SpTGNNRegressor`. Columns of `elevation` and `spectral` are
        covariates. Images are ignored; use a `TerraMindEmbedder` before the trees. Rows with known
        measurement error `noise_std` get smaller weights in `fit`; predictions use neither it nor
        `campaign`.
    use_coordinates : bool, default=True
        Whether coordinates are features.
    target_transform : None, "log1p" or "auto", default=None
        Transform of the target. "auto" uses log1p for non-negative, right-skewed targets.
        Predictions are means in the unit of y: the bias of the back-transform is corrected by
        Duan's smearing factor [2]_, estimated from out-of-fold residuals at whole locations.
    n_estimators : int, default=500
        Number of trees.
    learning_rate : float, default=0.04
        Shrinkage of each tree.
    max_depth : int, default=6
        Maximum depth of a tree.
    min_child_weight : float, default=3.0
        Minimum sum of weights in a leaf.
    subsample, colsample_bytree : float, default=0.8, 0.5
        Fraction of rows and of columns used by each tree.
    reg_lambda : float, default=1.0
        L2 penalty of leaf values.
    n_jobs : int, default=None
        Largest number of threads; small tables are fitted with fewer. None means 1 unless in a
        `joblib.parallel_config` context.
    random_state : int, RandomState or None, default=None
        Seed of the subsampling of rows and columns.

    Attributes
    ----------
    columns_ : TableSchema
        Roles, data types and categories of the columns of X.
    target_ : TargetScaler
        Transform and scale of the target.
    smearing_ : float
        Smearing factor of the back-transform; 1 without log1p.
    trees_ : xgboost.XGBRegressor
        The fitted trees, in standardized units of the target.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if all are strings.

    See Also
    --------
    SpTGNNRegressor : Graph neural network on the same table.

    References
    ----------
    .. [1] Chen, T., Guestrin, C. (2016). XGBoost: a scalable tree boosting system. KDD, 785-794.
    .. [2] Duan, N. (1983). Smearing estimate: a nonparametric retransformation method. Journal of
       the American Statistical Association 78, 605-610.

    Examples
    --------
    >>> from sptgnn_sklearn.baseline import XGBoostBaseline
    >>> from sptgnn_sklearn.datasets import make_soil_survey
    >>> survey = make_soil_survey(n_samples=600, random_state=0)
    >>> model = XGBoostBaseline(time="date", n_estimators=100, random_state=0)
    >>> model = model.fit(survey.data[:500], survey.target[:500])
    >>> model.predict(survey.data[500:]).shape
    (100,)
    >>> bool(model.score(survey.data[500:], survey.target[500:]) > 0.2)
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **ROLE_CONSTRAINTS,
        "use_coordinates": ["boolean"],
        "target_transform": [StrOptions({"log1p", "auto"}), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_depth": [Interval(Integral, 1, None, closed="left")],
        "min_child_weight": [Interval(Real, 0, None, closed="left")],
        "subsample": [Interval(Real, 0, 1, closed="right")],
        "colsample_bytree": [Interval(Real, 0, 1, closed="right")],
        "reg_lambda": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        coordinates=None,
        crs=None,
        time=None,
        elevation=None,
        spectral=None,
        site=None,
        images=None,
        noise_std=None,
        campaign=None,
        use_coordinates=True,
        target_transform=None,
        n_estimators=500,
        learning_rate=0.04,
        max_depth=6,
        min_child_weight=3.0,
        subsample=0.8,
        colsample_bytree=0.5,
        reg_lambda=1.0,
        n_jobs=None,
        random_state=None,
    ):
        self.coordinates = coordinates
        self.crs = crs
        self.time = time
        self.elevation = elevation
        self.spectral = spectral
        self.site = site
        self.images = images
        self.noise_std = noise_std
        self.campaign = campaign
        self.use_coordinates = use_coordinates
        self.target_transform = target_transform
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.min_child_weight = min_child_weight
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.n_jobs = n_jobs
        self.random_state = random_state

    @atomic_fit
    def fit(self, X, y, sample_weight=None):
        """Fit the trees.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Coordinates, covariates and the columns of other roles. Covariates may be numeric,
            boolean or categorical and may have missing values.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights; a weight of 2 equals repeating the row, 0 drops it.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column, role or parameter is invalid; the message names it.
        """
        self._validate_params()
        rng = check_random_state(self.random_state)
        X, y, weight, _ = check_fit_input(self, X, y, sample_weight)
        schema, table = TableSchema.fit_transform(X, **named_roles(self))
        warn_unlikely_values(schema, table, y)
        # As in SpTGNNRegressor: row subsampling would otherwise distinguish weights from copies.
        merged = deduplicate(table, y, weight)
        table, y, weight = table.take(merged.rows), y[merged.rows], merged.weight
        target = TargetScaler.fit(y, weight, self.target_transform)
        features = FeatureEncoder.fit(schema, table)
        z, inputs = target.transform(y), self._inputs(features, table)
        trees = boosted_trees(
            rng.randint(2**31 - 1),
            self.n_jobs,
            n_cells=inputs.size,
            **{name: getattr(self, name) for name in _TREE_PARAMETERS},
        )
        noise = standardized_noise(table.noise_std, y, weight, target, schema.noise_std)
        fitted = fit_base(trees, inputs, z, weight, noise)
        smearing = 1.0
        if target.function is not None:
            folds = _location_folds(table, rng)
            error = target.scale * (z - out_of_fold(trees, inputs, z, weight, folds, noise))
            if noise is not None:
                weight = weight * noise_weight(noise, weight)
            smearing = float(np.average(np.exp(error), weights=weight))
        self.columns_, self.target_, self._features = schema, target, features
        self.trees_, self.smearing_ = fitted, smearing
        return self

    def predict(self, X):
        """Predict the mean of the target.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            In the unit of y.
        """
        check_is_fitted(self)
        table = self.columns_.transform(check_predict_input(self, X))
        warn_unlikely_queries(self._features, table)
        found = self.target_.inverse_transform(
            self.trees_.predict(self._inputs(self._features, table)).astype(np.float64)
        )
        return found if self.target_.function is None else self.smearing_ * (1 + found) - 1

    def _inputs(self, features: FeatureEncoder, table: SampleTable) -> np.ndarray:
        inputs = features.tree_features(table)
        if self.use_coordinates:
            return inputs
        if inputs.shape[1] == _COORDINATE_COLUMNS:
            raise ValueError(
                "use_coordinates=False leaves no features: X has no covariates that vary."
            )
        return inputs[:, _COORDINATE_COLUMNS:]


def _location_folds(table: SampleTable, rng: np.random.RandomState) -> np.ndarray:
    """Folds of whole locations."""
    locations = location_ids(table.coordinates, table.site)
    return assign_folds(locations, min(_SMEARING_FOLDS, int(locations.max()) + 1), rng)
