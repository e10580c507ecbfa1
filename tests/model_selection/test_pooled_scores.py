"""Pooled scores: equal to scores of concatenated predictions, and their jackknife errors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.metrics import get_scorer, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn.metrics import crps_gaussian, make_residual_morans_i_scorer, neg_crps_scorer
from sptgnn_sklearn.model_selection.pooled_scores import (
    FoldModel,
    PooledPredictions,
    jackknife_error,
    pooled_score,
)


@pytest.fixture
def folds():
    """Return models of three folds, and the rows that they hold out."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(60, 3)), columns=["x", "y", "clay"])
    y = X["clay"].to_numpy() + rng.normal(scale=0.3, size=60)
    fold = np.arange(60) % 3
    models = [
        make_pipeline(StandardScaler(), BayesianRidge()).fit(X[fold != k], y[fold != k])
        for k in range(3)
    ]
    parts = [X[fold == k] for k in range(3)]
    pairs = zip(models, parts, strict=True)
    return (
        [FoldModel(model, part) for model, part in pairs],
        parts,
        [y[fold == k] for k in (0, 1, 2)],
    )


def test_score_is_that_of_concatenated_predictions(folds):
    """R2 of all rows, and of all rows without each fold."""
    models, _, y = folds
    predicted = [fold.model.predict(fold.X) for fold in models]
    score = pooled_score(get_scorer("r2"), *folds)
    assert score.value == pytest.approx(r2_score(np.concatenate(y), np.concatenate(predicted)))
    for k in range(3):
        rest = [j for j in range(3) if j != k]
        expected = r2_score(
            np.concatenate([y[j] for j in rest]), np.concatenate([predicted[j] for j in rest])
        )
        assert score.without_fold[k] == pytest.approx(expected)


def test_scorers_of_uncertainty_are_pooled(folds):
    """Standard deviations are those of the regressor at the end of each pipeline."""
    models, _, y = folds
    moments = [fold.model.predict(fold.X, return_std=True) for fold in models]
    mean, std = (np.concatenate(column) for column in zip(*moments, strict=True))
    score = pooled_score(neg_crps_scorer, *folds)
    assert score.value == pytest.approx(-crps_gaussian(np.concatenate(y), mean, std))


def test_scorers_get_all_columns(folds):
    """A scorer of residual autocorrelation reads the coordinates."""
    models, parts, y = folds
    scorer = make_residual_morans_i_scorer(n_neighbors=4)
    score = pooled_score(scorer, *folds)
    X, mean = pd.concat(parts), np.concatenate([fold.model.predict(fold.X) for fold in models])
    known = DummyRegressor()
    known.predict = lambda X: mean
    known.fit(X, mean)
    assert score.value == pytest.approx(scorer(known, X, np.concatenate(y)))


def test_arguments_of_the_scorer_are_pooled(folds):
    """Sample weights of 0 drop rows."""
    models, parts, y = folds
    weight = [np.arange(len(part)) % 2 for part in parts]
    score = pooled_score(get_scorer("r2"), *folds, [{"sample_weight": w} for w in weight])
    used = np.concatenate(weight) > 0
    predicted = np.concatenate([fold.model.predict(fold.X) for fold in models])
    assert score.value == pytest.approx(r2_score(np.concatenate(y)[used], predicted[used]))


def test_models_predict_once():
    """Predictions are not repeated for the scores without each fold."""

    class Counting(LinearRegression):
        n_calls = 0

        def predict(self, X):
            type(self).n_calls += 1
            return super().predict(X)

    X = np.arange(12.0).reshape(-1, 1)
    models = [FoldModel(Counting().fit(X, X[:, 0]), X[k : k + 4]) for k in (0, 4, 8)]
    y = [fold.X[:, 0] for fold in models]
    assert pooled_score(get_scorer("r2"), models, [f.X for f in models], y).value == 1.0
    assert Counting.n_calls == 3


def test_other_methods_are_those_of_the_models():
    """Quantiles and standard deviations exist only if all models have them."""
    X = np.zeros((5, 1))
    plain = PooledPredictions([FoldModel(LinearRegression().fit(X, X[:, 0]), X)])
    assert not hasattr(plain, "predict_quantiles")
    assert not hasattr(plain, "predict_uncertainty")
    ridge = PooledPredictions([FoldModel(BayesianRidge().fit(X, X[:, 0]), X)])
    assert list(ridge.predict_uncertainty(X).columns) == ["mean", "std"]
    assert not hasattr(ridge, "predict_quantiles")


def test_jackknife_error_of_a_mean():
    """For folds of equal size it is the standard error of the mean of the fold means."""
    means = np.array([1.0, 4.0, 2.0, 8.0, 3.0])
    without = np.array([np.delete(means, k).mean() for k in range(5)])
    assert jackknife_error(without) == pytest.approx(means.std(ddof=1) / np.sqrt(5))
