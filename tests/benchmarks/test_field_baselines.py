"""Baselines of 2026 on benchmark tables."""

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.metrics import r2_score

from benchmarks.field_baselines import FIELD_BASELINES, FieldBaseline

PACKAGES = {"catboost": "catboost", "lightgbm": "lightgbm", "kriging_prior_catboost": "catboost"}
SLOW = ("tabm", "realmlp")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in FIELD_BASELINES if name not in SLOW])
def test_baselines_beat_the_mean(data, name):
    """Each has a positive R2 on a table with missing values, categories and dates."""
    pytest.importorskip(PACKAGES.get(name, "skgstat"))
    test = data.folds["random"] == 0
    model = FieldBaseline(name, time="meta_date", elevation="elevation")
    predicted = model.fit(data.X[~test], data.y[~test]).predict(data.X[test])
    assert r2_score(data.y[test], predicted) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SLOW)
def test_trained_networks_beat_the_mean(data, name):
    """TabM and RealMLP with their tuned defaults."""
    if find_spec("pytabkit") is None:  # not imported here: it needs a torchvision that fits torch
        pytest.skip("pytabkit is not installed")
    test = data.folds["random"] == 0
    model = FieldBaseline(name, time="meta_date", elevation="elevation")
    predicted = model.fit(data.X[~test], data.y[~test]).predict(data.X[test])
    assert r2_score(data.y[test], predicted) > 0


@pytest.mark.filterwarnings("ignore:.*did not occur")
def test_typed_columns(data):
    """Categories stay categories, unseen levels are missing, and constant columns are left out."""
    X = data.X.assign(land=np.where(np.arange(len(data.X)) % 2, "crop", "grass"))
    X.loc[X.index[-1], "land"] = "lake"
    pytest.importorskip("lightgbm")
    model = FieldBaseline("lightgbm", time="meta_date").fit(X[:-1], data.y[:-1])
    features = model._features(model.schema_.transform(X))
    assert list(features)[:2] == ["x", "y"]
    assert np.hypot(features["x"].mean(), features["y"].mean()) < 1  # a plane around the samples
    assert features.nunique().min() > 1
    land = features[[name for name in features if name.startswith("category_")]].iloc[:, -1]
    assert set(land.cat.categories) == {"crop", "grass"}
    assert land.isna().sum() == 1
