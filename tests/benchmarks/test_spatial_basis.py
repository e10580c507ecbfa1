"""Spatial basis functions."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from benchmarks.spatial_basis import SpatialBasis


def test_functions_are_local_and_reproduce_a_smooth_field():
    """Values are between 0 and 1, and more rows have finer grids."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(0, [3, 2], (800, 2)), rng.normal(size=800)])
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1])
    few, many = SpatialBasis().fit(X[:60]), SpatialBasis().fit(X)
    assert len(few.radii_) < len(many.radii_)
    functions = many.transform(X)[:, 3:]
    assert functions.shape[1] == sum(map(len, many.centers_)) <= 400
    assert functions.min() == 0
    assert functions.max() <= 1
    model = make_pipeline(SpatialBasis(), LinearRegression()).fit(X[:600], y[:600])
    assert model.score(X[600:], y[600:]) > 0.9


@pytest.mark.parametrize("axis", [0, 1])
def test_places_on_a_line(axis):
    """A transect or a single place has functions as well."""
    X = np.zeros((30, 2))
    X[:, axis] = np.arange(30)
    for rows in (X, X[:1]):
        assert np.isfinite(SpatialBasis().fit_transform(rows)).all()
