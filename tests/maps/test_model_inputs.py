"""Input columns of fitted regressors and their roles."""

import numpy as np
import pytest
from map_models import SETTINGS, make_network, survey_columns
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_rasters import CRS, survey

from sptgnn_sklearn import XGBoostBaseline, predict_map
from sptgnn_sklearn.maps.model_inputs import fitted_columns, inspect_inputs


def test_roles_are_those_of_the_fitted_network(model):
    """Coordinates, CRS, time and category levels, through Pipelines and searches."""
    X, _ = survey()
    result = inspect_inputs(model)
    assert result.labels == tuple(X.columns)
    assert result.coordinates == ("x", "y")
    assert result.reference.crs == "EPSG:32636"
    assert result.time == "date"
    assert set(result.levels) == {"land_use"}
    assert result.named
    assert result.allows_missing
    search = make_network(max_epochs=1)
    inner = make_pipeline("passthrough", search).fit(*survey_columns(list(X.columns)))
    assert inspect_inputs(inner) == result


def test_other_regressors_have_columns_and_usual_coordinates():
    """Coordinates are inferred from names; an array has positions and no coordinates."""
    X, y = survey_columns(["x", "y", "cov_0"])
    result = inspect_inputs(make_pipeline(StandardScaler(), LinearRegression()).fit(X, y))
    assert (result.labels, result.coordinates) == (("x", "y", "cov_0"), ("x", "y"))
    result = inspect_inputs(LinearRegression().fit(X.to_numpy(), y))
    assert (result.labels, result.named, result.coordinates) == ((0, 1, 2), False, None)


def test_first_step_decides_whether_values_may_be_missing():
    """The tag of the estimator inside a search or Pipeline that receives X counts."""
    X, y = survey_columns(["cov_0", "cov_1"])
    trees = HistGradientBoostingRegressor(max_iter=1)
    search = GridSearchCV(trees, {"max_iter": [1]}, cv=2).fit(X, y)
    assert inspect_inputs(search).allows_missing
    assert inspect_inputs(make_pipeline(StandardScaler(), trees).fit(X, y)).allows_missing
    assert not inspect_inputs(LinearRegression().fit(X, y)).allows_missing


def test_fitted_columns_of_nested_estimators():
    """The first step with names gives those of a Pipeline; arrays have none."""
    X, y = survey_columns(["cov_0", "cov_1"])
    pipe = make_pipeline("passthrough", LinearRegression()).fit(X, y)
    assert fitted_columns(pipe) == ["cov_0", "cov_1"]
    assert fitted_columns(LinearRegression().fit(X.to_numpy(), y)) is None


def test_estimator_without_columns_raises():
    class Constant(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            self.fitted_ = True
            return self

    with pytest.raises(ValueError, match=r"Constant .*n_features_in_"):
        inspect_inputs(Constant().fit(None, None))


def test_arguments_must_not_contradict_the_model(model, stack):
    """crs and coordinates are for models that were fitted without."""
    with pytest.raises(ValueError, match="fitted with coordinates in EPSG:32636"):
        predict_map(model, stack, crs="EPSG:4326", **SETTINGS)
    with pytest.raises(ValueError, match="fitted with the coordinates"):
        predict_map(model, stack, coordinates=("cov_0", "cov_1"), **SETTINGS)
    with pytest.raises(ValueError, match=r"coordinates=\('x', 'z'\) must name two columns"):
        predict_map(model, stack, coordinates=("x", "z"), **SETTINGS)
    linear = LinearRegression().fit(*survey_columns(["cov_0"]))
    with pytest.raises(ValueError, match=r"crs='EPSG:4326' .*coordinates"):
        predict_map(linear, stack, crs="EPSG:4326", verbose=0)


def test_standard_deviations_of_measurement_errors_are_optional():
    """A map has none, as it has no site ids."""
    X, y = survey()
    X = X.assign(lab_sd=np.where(np.arange(len(X)) % 2, 0.0, 0.1), profile=np.arange(len(X)) // 2)
    settings = {"crs": CRS, "time": "date", "n_estimators": 5}
    model = XGBoostBaseline(noise_std="lab_sd", site="profile", **settings).fit(X, y)
    assert inspect_inputs(model).optional == {"lab_sd", "profile"}
