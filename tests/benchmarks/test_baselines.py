"""Baseline regressors on benchmark tables."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from benchmarks.baselines import BASELINES, NeighborFeatureRegressor, TabularBaseline

QUICK = [name for name in BASELINES if name not in ("xgboost_tuned", "mlp_ensemble")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", QUICK)
def test_baselines_beat_the_mean(data, name):
    """Each has a positive R2 on a table with missing values, categories and dates."""
    if name in ("gpboost", "quantile_forest", "regression_kriging"):
        pytest.importorskip({"regression_kriging": "pykrige"}.get(name, name))
    test = data.folds["random"] == 0
    model = TabularBaseline(name, time="meta_date", elevation="elevation")
    predicted = model.fit(data.X[~test], data.y[~test]).predict(data.X[test])
    assert r2_score(data.y[test], predicted) > 0


def test_neighbor_features_exclude_the_own_location():
    """Neighbor targets of a training row exclude those of its own location."""

    class Recorder:
        def fit(self, X, y):
            type(self).X = X
            return self

        def get_params(self, deep=True):
            return {}

    X = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    NeighborFeatureRegressor(Recorder(), n_neighbors=2).fit(X, np.arange(4.0))
    assert Recorder.X[0, -2:].tolist() == [2.0, 3.0]
    assert Recorder.X[2, -2:].tolist() in ([0.0, 1.0], [1.0, 0.0])
