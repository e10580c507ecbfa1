"""Baseline regressors: tree ensembles, regression kriging, GPBoost and an MLP ensemble.

Each is fitted on the matrix of `sptgnn_sklearn.table.features.FeatureEncoder.tree_features`: two
coordinates, numeric covariates with missing values, one-hot categories, and the date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import loguniform, randint, uniform
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupKFold, RandomizedSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from sptgnn_sklearn.ensemble.base_regressor import boosted_trees
from sptgnn_sklearn.spatial.blocks import location_ids
from sptgnn_sklearn.spatial.distances import plane_origin, to_local_plane
from sptgnn_sklearn.table.features import FeatureEncoder
from sptgnn_sklearn.table.schema import TableSchema

_MANY_COLUMNS = 60  # above, each split considers fewer columns
_MANY_ROWS = 6000  # above, each tree of a forest is fitted on half of the rows
_FEW_ROWS = 1000  # below, GPBoost fits shallow trees and an exact Gaussian process
_N_COLOCATED = 4  # extra neighbors searched to replace samples at the row's own location
_SEARCH_SPACE = {
    "n_estimators": randint(200, 1001),
    "learning_rate": loguniform(0.02, 0.2),
    "max_depth": randint(3, 10),
    "min_child_weight": loguniform(1, 20),
    "subsample": uniform(0.5, 0.5),
    "colsample_bytree": uniform(0.2, 0.8),
    "reg_lambda": loguniform(0.1, 20),
}


class TabularBaseline(RegressorMixin, BaseEstimator):
    """Named baseline on the feature matrix of a table, without constant columns.

    Parameters
    ----------
    name : str
        Key of `BASELINES`.
    time, elevation : label, default=None
        Columns with these roles.
    threads : int, default=1
    random_state : int, default=0
    """

    factories: ClassVar[Mapping[str, Callable[..., Any]]]  # set to BASELINES below

    def __init__(self, name, time=None, elevation=None, threads=1, random_state=0):
        self.name = name
        self.time = time
        self.elevation = elevation
        self.threads = threads
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the named model."""
        self.schema_ = TableSchema.fit(X, time=self.time, elevation=self.elevation)
        table = self.schema_.transform(X)
        self.encoder_ = FeatureEncoder.fit(self.schema_, table)
        features = self.encoder_.tree_features(table)
        varies = np.array([len(np.unique(column[~np.isnan(column)])) > 1 for column in features.T])
        self.support_ = varies | (np.arange(features.shape[1]) < 2)
        # Kriging and neighbor search need metric distances, hence a local plane.
        self.origin_ = plane_origin(table.coordinates, self.schema_.reference)
        features = self._features(table)
        model = self.factories[self.name](*features.shape, self.random_state, self.threads)
        grouped = isinstance(model, RandomizedSearchCV)
        groups = {"groups": location_ids(table.coordinates, table.site)} if grouped else {}
        self.model_ = model.fit(features, np.asarray(y, dtype=float), **groups)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model_.predict(self._features(self.schema_.transform(X))).astype(float)

    def _features(self, table):
        features = self.encoder_.tree_features(table)[:, self.support_]
        plane = to_local_plane(table.coordinates, self.schema_.reference, self.origin_)
        return np.hstack([plane, features[:, 2:]])


class NeighborFeatureRegressor(RegressorMixin, BaseEstimator):
    """Regressor with the distances and targets of the nearest samples as additional features.

    Random forest spatial interpolation (Sekulic et al. 2020, eq. 6) with any regressor. Samples at
    the same location are no neighbors of a training row.

    Parameters
    ----------
    regressor : regressor
        Must accept missing values if X has any.
    n_neighbors : int, default=10
    """

    def __init__(self, regressor, n_neighbors=10):
        self.regressor = regressor
        self.n_neighbors = n_neighbors

    def fit(self, X, y):
        """Fit on X, whose first two columns are coordinates, and the neighbor features."""
        self.targets_ = y
        self.tree_ = cKDTree(X[:, :2])
        self.k_ = max(1, min(self.n_neighbors, len(y) - 1))
        n_searched = min(self.n_neighbors + _N_COLOCATED, len(y))
        distance, index = self.tree_.query(X[:, :2], k=np.arange(1, n_searched + 1))
        # Co-located samples last: a stable sort keeps the order of the others.
        order = np.argsort(distance == 0, axis=1, kind="stable")[:, : self.k_]
        distance = np.take_along_axis(distance, order, axis=1)
        index = np.take_along_axis(index, order, axis=1)
        self.regressor_ = clone(self.regressor).fit(np.hstack([X, distance, y[index]]), y)
        return self

    def predict(self, X):
        """Predict from X and the nearest training rows."""
        distance, index = self.tree_.query(X[:, :2], k=np.arange(1, self.k_ + 1))
        return self.regressor_.predict(np.hstack([X, distance, self.targets_[index]]))


class RegressionKriging(RegressorMixin, BaseEstimator):
    """Random forest plus ordinary kriging (PyKrige) of its residuals.

    Out-of-bag residuals are kriged, because the training residuals of a forest are far too small.

    Parameters
    ----------
    forest : RandomForestRegressor
    n_closest : int, default=32
        Samples in each kriging system.
    """

    def __init__(self, forest, n_closest=32):
        self.forest = forest
        self.n_closest = n_closest

    def fit(self, X, y):
        """Fit the forest and the variogram of its residuals."""
        from pykrige.ok import OrdinaryKriging

        self.imputer_ = SimpleImputer(keep_empty_features=True).fit(X)
        imputed = self.imputer_.transform(X)
        self.forest_ = clone(self.forest).set_params(oob_score=True, bootstrap=True)
        self.forest_.fit(imputed, y)
        residual = y - self.forest_.oob_prediction_
        locations, inverse = np.unique(X[:, :2], axis=0, return_inverse=True)
        mean = np.bincount(inverse.ravel(), residual) / np.bincount(inverse.ravel())
        self.kriging_ = OrdinaryKriging(
            *locations.T, mean, variogram_model="exponential", nlags=15, pseudo_inv=True
        )
        return self

    def predict(self, X):
        """Add the kriged residual to the prediction of the forest."""
        n_closest = min(self.n_closest, len(self.kriging_.X_ORIG))
        residual, _ = self.kriging_.execute(
            "points", *X[:, :2].T.copy(), backend="loop", n_closest_points=n_closest
        )
        return self.forest_.predict(self.imputer_.transform(X)) + np.asarray(residual)


class GaussianProcessBoosting(RegressorMixin, BaseEstimator):
    """GPBoost (Sigrist 2022): boosted trees and a Gaussian process, fitted jointly.

    Matern 1.5 covariance; Vecchia approximation from 1,000 rows. The number of boosting rounds is
    chosen on a fifth of the rows: with too many rounds the trees absorb the noise variance of the
    process, and predictions diverge.
    """

    def __init__(self, n_estimators=200, learning_rate=0.03, threads=1, random_state=0):
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.threads = threads
        self.random_state = random_state

    def fit(self, X, y):
        """Fit trees on all columns and a process on the coordinates."""
        import gpboost

        self.scaler_ = StandardScaler().fit(y[:, None])
        z = self.scaler_.transform(y[:, None]).ravel()
        self.coordinate_scale_ = X[:, :2].std() or 1.0
        train, validation = train_test_split(
            np.arange(len(z)), test_size=0.2, random_state=self.random_state
        )
        process = self._process(X[train])
        process.set_prediction_data(gp_coords_pred=X[validation, :2] / self.coordinate_scale_)
        train_set = gpboost.Dataset(X[train], z[train])
        stopped = gpboost.train(
            params=self._parameters(X),
            train_set=train_set,
            gp_model=process,
            num_boost_round=self.n_estimators,
            valid_sets=gpboost.Dataset(X[validation], z[validation], reference=train_set),
            early_stopping_rounds=20,
            use_gp_model_for_validation=True,
            verbose_eval=False,
        )
        self.booster_ = gpboost.train(
            params=self._parameters(X),
            train_set=gpboost.Dataset(X, z),
            gp_model=self._process(X),
            num_boost_round=max(1, stopped.best_iteration),
        )
        return self

    def predict(self, X):
        """Predict the mean of the response."""
        mean = np.asarray(self._predict(X, variance=False)["response_mean"])
        return self.scaler_.inverse_transform(mean[:, None]).ravel()

    def predict_std(self, X):
        """Predict the standard deviation of the response."""
        variance = np.asarray(self._predict(X, variance=True)["response_var"])
        return np.sqrt(variance) * self.scaler_.scale_

    def _predict(self, X, *, variance):
        return self.booster_.predict(
            data=X,
            gp_coords_pred=X[:, :2] / self.coordinate_scale_,
            predict_var=variance,
            pred_latent=False,
        )

    def _process(self, X):
        import gpboost

        return gpboost.GPModel(
            gp_coords=X[:, :2] / self.coordinate_scale_,
            cov_function="matern",
            cov_fct_shape=1.5,
            gp_approx="none" if len(X) < _FEW_ROWS else "vecchia",
            num_neighbors=10,
            num_parallel_threads=self.threads,
            likelihood="gaussian",
            seed=self.random_state,
        )

    def _parameters(self, X):
        many_columns = X.shape[1] > _MANY_COLUMNS
        return {
            "learning_rate": self.learning_rate,
            "max_depth": 2 if len(X) < _FEW_ROWS else 5,  # deep trees overfit few rows
            "num_leaves": 31,
            "min_data_in_leaf": 10,
            "lambda_l2": 1.0,
            "feature_fraction": 0.3 if many_columns else 0.7,
            "max_bin": 63 if many_columns else 255,
            "metric": "mse",
            "verbose": -1,
            "num_threads": self.threads,
            "seed": self.random_state,
        }


def _boosted_trees(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    return boosted_trees(seed, threads, n_columns=n_columns)


def _tuned_boosted_trees(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    return RandomizedSearchCV(
        _boosted_trees(n_rows, n_columns, seed, threads),
        _SEARCH_SPACE,
        n_iter=20,
        cv=GroupKFold(3, shuffle=True, random_state=seed),
        scoring="neg_mean_squared_error",
        random_state=seed,
        error_score="raise",
    )


def _forest_parameters(n_rows: int, n_columns: int, seed: int, threads: int) -> dict[str, Any]:
    many_columns, many_rows = n_columns > _MANY_COLUMNS, n_rows > _MANY_ROWS
    return {
        "n_estimators": 150 if many_rows else 300,
        "min_samples_leaf": 3 if many_columns else 2,
        "max_features": "sqrt" if many_columns else 1 / 3,
        "n_jobs": threads,
        "random_state": seed,
        "bootstrap": True,
        "max_samples": 0.5 if many_columns or many_rows else None,
    }


def _random_forest(*size_seed_threads: int) -> Any:
    return RandomForestRegressor(**_forest_parameters(*size_seed_threads))


def _extra_trees_neighbors(*size_seed_threads: int) -> Any:
    parameters = {
        **_forest_parameters(*size_seed_threads),
        "bootstrap": False,
        "max_samples": None,
    }
    return NeighborFeatureRegressor(ExtraTreesRegressor(**parameters))


def _quantile_forest(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    from quantile_forest import RandomForestQuantileRegressor

    parameters = {**_forest_parameters(n_rows, n_columns, seed, threads), "min_samples_leaf": 5}

    class MeanForest(RandomForestQuantileRegressor):
        def predict(self, X):
            return super().predict(X, quantiles="mean")

    return make_pipeline(SimpleImputer(keep_empty_features=True), MeanForest(**parameters))


def _mlp_ensemble(n_rows: int, n_columns: int, seed: int, threads: int) -> Any:
    network = MLPRegressor(
        hidden_layer_sizes=(128, 64),
        alpha=1e-2,
        early_stopping=n_rows >= 500,
        max_iter=200,
        n_iter_no_change=10,
    )
    network = TransformedTargetRegressor(network, transformer=StandardScaler())
    return make_pipeline(
        SimpleImputer(keep_empty_features=True),
        QuantileTransformer(n_quantiles=min(n_rows, 1000), output_distribution="normal"),
        BaggingRegressor(network, n_estimators=5, bootstrap=False, random_state=seed),
    )


# Functions of (n_rows, n_columns, seed, threads) that return an unfitted regressor.
BASELINES = {
    "xgboost_tuned": _tuned_boosted_trees,
    "xgboost": _boosted_trees,
    "xgboost_neighbors": lambda *args: NeighborFeatureRegressor(_boosted_trees(*args)),
    "random_forest": _random_forest,
    "extra_trees_neighbors": _extra_trees_neighbors,
    "quantile_forest": _quantile_forest,
    "gpboost": lambda n_rows, n_columns, seed, threads: GaussianProcessBoosting(
        threads=threads, random_state=seed
    ),
    "regression_kriging": lambda *args: RegressionKriging(_random_forest(*args)),
    "mlp_ensemble": _mlp_ensemble,
}
TabularBaseline.factories = BASELINES

FOUR_TREE_MODELS = ("xgboost", "xgboost_neighbors", "random_forest", "extra_trees_neighbors")
# Averages of the predictions of several models.
MODEL_AVERAGES = {"mean_of_four_tree_models": FOUR_TREE_MODELS}
MAX_ROWS = {"regression_kriging": 5000}  # models that are skipped on larger tables
