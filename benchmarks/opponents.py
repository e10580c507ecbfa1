"""What a soil mapper would use instead: trees, kriging, Gaussian processes, plain networks.

Each is a regressor on the matrix of `sptgnn_sklearn.table.features.FeatureEncoder.tabular`:
two coordinates, the numeric covariates with their gaps, one-hot categories, and the date.
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

_WIDE = 60  # columns; from here on splits look at fewer of them
_LONG = 6000  # rows; from here on each tree of a forest sees half of them
_SHORT = 1000  # rows; below, GPBoost grows shallow trees beside an exact process
_SPARE = 4  # neighbours at the same place, which training rows must not see
_SEARCH = {
    "n_estimators": randint(200, 1001),
    "learning_rate": loguniform(0.02, 0.2),
    "max_depth": randint(3, 10),
    "min_child_weight": loguniform(1, 20),
    "subsample": uniform(0.5, 0.5),
    "colsample_bytree": uniform(0.2, 0.8),
    "reg_lambda": loguniform(0.1, 20),
}


class OnTable(RegressorMixin, BaseEstimator):
    """A regressor on the matrix of a table; whichever columns are constant are left out.

    Parameters
    ----------
    name : str
        One of `OPPONENTS`.
    time, elevation : label, default=None
        Roles of columns.
    threads : int, default=1
    random_state : int, default=0
    """

    makers: ClassVar[Mapping[str, Callable[..., Any]]]  # OPPONENTS, of this module

    def __init__(self, name, time=None, elevation=None, threads=1, random_state=0):
        self.name = name
        self.time = time
        self.elevation = elevation
        self.threads = threads
        self.random_state = random_state

    def fit(self, X, y):
        """Fit the named model."""
        self.columns_ = TableSchema.fit(X, time=self.time, elevation=self.elevation)
        table = self.columns_.transform(X)
        self.features_ = FeatureEncoder.fit(self.columns_, table)
        inputs = self.features_.tree_features(table)
        varies = np.array([len(np.unique(column[~np.isnan(column)])) > 1 for column in inputs.T])
        self.kept_ = varies | (np.arange(inputs.shape[1]) < 2)
        # Coordinates on a local plane: kriging and neighbours need distances that mean something.
        frame = self.columns_.frame
        self.origin_ = plane_origin(table.coordinates, frame)
        inputs = self._inputs(table)
        model = self.makers[self.name](*inputs.shape, self.random_state, self.threads)
        grouped = isinstance(model, RandomizedSearchCV)
        places = {"groups": location_ids(table.coordinates, table.site)} if grouped else {}
        self.model_ = model.fit(inputs, np.asarray(y, dtype=float), **places)
        return self

    def predict(self, X):
        """Predict the mean."""
        return self.model_.predict(self._inputs(self.columns_.transform(X))).astype(float)

    def _inputs(self, table):
        inputs = self.features_.tree_features(table)[:, self.kept_]
        plane = to_local_plane(table.coordinates, self.columns_.frame, self.origin_)
        return np.hstack([plane, inputs[:, 2:]])


class NeighbourColumns(RegressorMixin, BaseEstimator):
    """A regressor that sees its nearest samples: their distances and their values as columns.

    Random forest spatial interpolation (Sekulic et al. 2020, eq. 6) with any regressor. A training
    row does not see samples at its own place.

    Parameters
    ----------
    regressor : regressor
        Has to take missing values where X has them.
    n_neighbors : int, default=10
    """

    def __init__(self, regressor, n_neighbors=10):
        self.regressor = regressor
        self.n_neighbors = n_neighbors

    def fit(self, X, y):
        """Fit on the columns of X, of which the first two are coordinates, and the neighbours'."""
        self.targets_ = y
        self.tree_ = cKDTree(X[:, :2])
        self.k_ = max(1, min(self.n_neighbors, len(y) - 1))
        asked = min(self.n_neighbors + _SPARE, len(y))
        distance, index = self.tree_.query(X[:, :2], k=np.arange(1, asked + 1))
        # Own place last: a stable sort by "is at the own place" keeps the order of the others.
        order = np.argsort(distance == 0, axis=1, kind="stable")[:, : self.k_]
        distance = np.take_along_axis(distance, order, axis=1)
        index = np.take_along_axis(index, order, axis=1)
        self.regressor_ = clone(self.regressor).fit(np.hstack([X, distance, y[index]]), y)
        return self

    def predict(self, X):
        """Predict from the columns of X and the nearest training rows."""
        distance, index = self.tree_.query(X[:, :2], k=np.arange(1, self.k_ + 1))
        return self.regressor_.predict(np.hstack([X, distance, self.targets_[index]]))


class RegressionKriging(RegressorMixin, BaseEstimator):
    """A random forest, and ordinary kriging (PyKrige) of what it leaves over.

    The residuals are those out of bag: a forest's own residuals are far too small.

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
        filled = self.imputer_.transform(X)
        self.forest_ = clone(self.forest).set_params(oob_score=True, bootstrap=True).fit(filled, y)
        residual = y - self.forest_.oob_prediction_
        places, inverse = np.unique(X[:, :2], axis=0, return_inverse=True)
        mean = np.bincount(inverse.ravel(), residual) / np.bincount(inverse.ravel())
        self.kriging_ = OrdinaryKriging(
            *places.T, mean, variogram_model="exponential", nlags=15, pseudo_inv=True
        )
        return self

    def predict(self, X):
        """Add the kriged residual to the forest's prediction."""
        n_closest = min(self.n_closest, len(self.kriging_.X_ORIG))
        residual, _ = self.kriging_.execute(
            "points", *X[:, :2].T.copy(), backend="loop", n_closest_points=n_closest
        )
        return self.forest_.predict(self.imputer_.transform(X)) + np.asarray(residual)


class GaussianProcessBoosting(RegressorMixin, BaseEstimator):
    """GPBoost (Sigrist 2022): boosted trees and a Gaussian process, fitted together.

    Matern 1.5 covariance; Vecchia's approximation from a thousand rows on. Left alone, the trees go
    on until no noise is left to the process and predictions run away, so the number of rounds is
    that which serves a fifth of the rows best.
    """

    def __init__(self, n_estimators=200, learning_rate=0.03, threads=1, random_state=0):
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.threads = threads
        self.random_state = random_state

    def fit(self, X, y):
        """Boost trees on all columns, with the coordinates in the process too."""
        import gpboost

        self.scaler_ = StandardScaler().fit(y[:, None])
        z = self.scaler_.transform(y[:, None]).ravel()
        self.reach_ = X[:, :2].std() or 1.0
        part, rest = train_test_split(
            np.arange(len(z)), test_size=0.2, random_state=self.random_state
        )
        process = self._process(X[part])
        process.set_prediction_data(gp_coords_pred=X[rest, :2] / self.reach_)
        train_set = gpboost.Dataset(X[part], z[part])
        found = gpboost.train(
            params=self._settings(X),
            train_set=train_set,
            gp_model=process,
            num_boost_round=self.n_estimators,
            valid_sets=gpboost.Dataset(X[rest], z[rest], reference=train_set),
            early_stopping_rounds=20,
            use_gp_model_for_validation=True,
            verbose_eval=False,
        )
        self.booster_ = gpboost.train(
            params=self._settings(X),
            train_set=gpboost.Dataset(X, z),
            gp_model=self._process(X),
            num_boost_round=max(1, found.best_iteration),
        )
        return self

    def predict(self, X):
        """Predict the response."""
        found = self.booster_.predict(
            data=X, gp_coords_pred=X[:, :2] / self.reach_, predict_var=False, pred_latent=False
        )
        return self.scaler_.inverse_transform(np.asarray(found["response_mean"])[:, None]).ravel()

    def predict_std(self, X):
        """Predict the standard deviation of the response."""
        found = self.booster_.predict(
            data=X, gp_coords_pred=X[:, :2] / self.reach_, predict_var=True, pred_latent=False
        )
        return np.sqrt(np.asarray(found["response_var"])) * self.scaler_.scale_

    def _process(self, X):
        import gpboost

        return gpboost.GPModel(
            gp_coords=X[:, :2] / self.reach_,
            cov_function="matern",
            cov_fct_shape=1.5,
            gp_approx="none" if len(X) < _SHORT else "vecchia",
            num_neighbors=10,
            num_parallel_threads=self.threads,
            likelihood="gaussian",
            seed=self.random_state,
        )

    def _settings(self, X):
        wide = X.shape[1] > _WIDE
        return {
            "learning_rate": self.learning_rate,
            "max_depth": 2 if len(X) < _SHORT else 5,  # few rows are learnt by heart in no time
            "num_leaves": 31,
            "min_data_in_leaf": 10,
            "lambda_l2": 1.0,
            "feature_fraction": 0.3 if wide else 0.7,
            "max_bin": 63 if wide else 255,
            "metric": "mse",
            "verbose": -1,
            "num_threads": self.threads,
            "seed": self.random_state,
        }


def _boosted(rows: int, columns: int, seed: int, threads: int) -> Any:
    return boosted_trees(seed, threads, n_columns=columns)


def _tuned(rows: int, columns: int, seed: int, threads: int) -> Any:
    return RandomizedSearchCV(
        _boosted(rows, columns, seed, threads),
        _SEARCH,
        n_iter=20,
        cv=GroupKFold(3, shuffle=True, random_state=seed),
        scoring="neg_mean_squared_error",
        random_state=seed,
        error_score="raise",
    )


def _forest_settings(rows: int, columns: int, seed: int, threads: int) -> dict[str, Any]:
    wide, long = columns > _WIDE, rows > _LONG
    return {
        "n_estimators": 150 if long else 300,
        "min_samples_leaf": 3 if wide else 2,
        "max_features": "sqrt" if wide else 1 / 3,
        "n_jobs": threads,
        "random_state": seed,
        "bootstrap": True,
        "max_samples": 0.5 if wide or long else None,
    }


def _forest(*about: int) -> Any:
    return RandomForestRegressor(**_forest_settings(*about))


def _extra_trees_neighbours(*about: int) -> Any:
    settings = {**_forest_settings(*about), "bootstrap": False, "max_samples": None}
    return NeighbourColumns(ExtraTreesRegressor(**settings))


def _quantile_forest(rows: int, columns: int, seed: int, threads: int) -> Any:
    from quantile_forest import RandomForestQuantileRegressor

    settings = {**_forest_settings(rows, columns, seed, threads), "min_samples_leaf": 5}

    class Mean(RandomForestQuantileRegressor):
        def predict(self, X):
            return super().predict(X, quantiles="mean")

    return make_pipeline(SimpleImputer(keep_empty_features=True), Mean(**settings))


def _mlp_ensemble(rows: int, columns: int, seed: int, threads: int) -> Any:
    network = MLPRegressor(
        hidden_layer_sizes=(128, 64),
        alpha=1e-2,
        early_stopping=rows >= 500,
        max_iter=200,
        n_iter_no_change=10,
    )
    network = TransformedTargetRegressor(network, transformer=StandardScaler())
    return make_pipeline(
        SimpleImputer(keep_empty_features=True),
        QuantileTransformer(n_quantiles=min(rows, 1000), output_distribution="normal"),
        BaggingRegressor(network, n_estimators=5, bootstrap=False, random_state=seed),
    )


FOUR_TREES = ("xgboost", "xgboost_neighbours", "random_forest", "extra_trees_neighbours")

# Name: function of rows, columns, seed and threads.
OPPONENTS = {
    "xgboost_tuned": _tuned,
    "xgboost": _boosted,
    "xgboost_neighbours": lambda *about: NeighbourColumns(_boosted(*about)),
    "random_forest": _forest,
    "extra_trees_neighbours": _extra_trees_neighbours,
    "quantile_forest": _quantile_forest,
    "gpboost": lambda rows, columns, seed, threads: GaussianProcessBoosting(
        threads=threads, random_state=seed
    ),
    "regression_kriging": lambda *about: RegressionKriging(_forest(*about)),
    "mlp_ensemble": _mlp_ensemble,
}
OnTable.makers = OPPONENTS
# Means of other models' predictions.
MEANS = {"mean_of_four_trees": FOUR_TREES}
SMALL_ONLY = {"regression_kriging": 5000}  # rows that a model is run on at most
