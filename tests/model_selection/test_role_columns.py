"""Columns with a role: where they are found, and how positions move when columns are left out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sptgnn_sklearn import ImageColumn, SpTGNNRegressor, TerraMindImages, XGBoostBaseline
from sptgnn_sklearn.model_selection.role_columns import RoleColumns, estimator_with_roles

NAMES = ["clay", "lon", "lat", "date", "dem", "b1", "b2", "plot", "s2", "rain"]
X = pd.DataFrame([range(10)] * 6, columns=NAMES)


def roles_of(estimator, frame=X, named=True):
    return RoleColumns.find(estimator, frame, named)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ({}, ["lon", "lat"]),
        ({"coordinates": ("rain", "clay")}, ["clay", "rain"]),
        ({"time": "date", "elevation": "dem", "site": "plot"}, ["lon", "lat", *NAMES[3:5], "plot"]),
        ({"time": 3, "site": -3}, ["lon", "lat", "date", "plot"]),
        ({"spectral": ["b1", "b2"]}, ["lon", "lat", "b1", "b2"]),
        ({"spectral": "covariates"}, ["lon", "lat"]),
        ({"images": {"S2L2A": "s2"}}, ["lon", "lat", "s2"]),
        ({"images": {"S2L2A": ImageColumn("s2")}}, ["lon", "lat", "s2"]),
        ({"images": TerraMindImages(columns={"S2L2A": 8})}, ["lon", "lat", "s2"]),
    ],
)
def test_columns_with_a_role_are_found(roles, expected):
    """By label, by position, in images, and the coordinates by their names."""
    found = roles_of(SpTGNNRegressor(**roles))
    assert [NAMES[position] for position in found.positions] == expected


def test_estimator_inside_wrappers():
    """Pipelines, searches and transformed targets, not fitted; none for other estimators."""
    inner = XGBoostBaseline(time="date")
    for model in (
        make_pipeline(StandardScaler(), inner),
        GridSearchCV(make_pipeline(inner), {}),
        TransformedTargetRegressor(inner),
    ):
        assert estimator_with_roles(model) is inner
    for model in (Ridge(), make_pipeline(Ridge()), TransformedTargetRegressor(Ridge()), object()):
        assert estimator_with_roles(model) is None
    assert roles_of(Ridge()).positions == ()


def test_positions_move_and_labels_stay():
    """Roles by position are set to the position among the columns that are left."""
    images = TerraMindImages(columns={"S2L2A": ImageColumn(-2, scale=2.0)})
    model = SpTGNNRegressor(
        coordinates=(1, "lat"), time=3, site=-3, spectral=["b1", 6], images=images
    )
    found = roles_of(model)
    left = [1, 2, 3, 5, 6, 7, 8, 9]
    moved = found.set_roles(clone(model), left)
    assert moved.coordinates == (0, "lat")
    assert (moved.time, moved.site, moved.elevation) == (2, 5, None)
    assert moved.spectral == ("b1", 4)
    assert moved.images.columns == {"S2L2A": ImageColumn(6, scale=2.0)}
    assert model.images.columns["S2L2A"].column == -2  # the estimator of the user is unchanged


def test_positions_of_arrays_move_inside_a_pipeline():
    """Columns of an array have no labels, so that all roles are positions."""
    model = make_pipeline(StandardScaler(), XGBoostBaseline(coordinates=(-1, 1), elevation=4))
    frame = pd.DataFrame(np.zeros((6, 10)))
    found = roles_of(model, frame, named=False)
    assert found.positions == (1, 4, 9)
    moved = found.set_roles(clone(model), [1, 2, 4, 9])[-1]
    assert (moved.coordinates, moved.elevation) == ((3, 0), 2)


def test_labels_that_are_numbers_are_not_taken_for_positions():
    """A position is set to the label of its column if other labels are numbers."""
    frame = pd.DataFrame([range(5)] * 6, columns=[4, 3, 2, 1, 0])
    model = XGBoostBaseline(coordinates=(4, 3), elevation=-1)
    found = roles_of(model, frame)
    assert found.positions == (0, 1, 4)
    moved = found.set_roles(clone(model), [0, 1, 3, 4])
    assert (moved.coordinates, moved.elevation) == ((4, 3), 0)


def test_points_are_no_covariates():
    """The coordinates of a GeoDataFrame stay, whether the estimator uses them or others."""
    frame = X.rename(columns={"b1": "geometry.x", "b2": "geometry.y"})
    assert roles_of(XGBoostBaseline(), frame).positions == (5, 6)
    assert roles_of(XGBoostBaseline(coordinates=("lon", "lat")), frame).positions == (1, 2, 5, 6)


def test_unknown_column_raises():
    """The error names the role and the column."""
    with pytest.raises(ValueError, match="elevation='alt'"):
        roles_of(XGBoostBaseline(elevation="alt"))
