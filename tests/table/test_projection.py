"""Projection of more covariates than rows, and fits, predictions and files with it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.table.projection import CovariateProjection
from sptgnn_sklearn.table.schema import TableSchema


@pytest.fixture
def spectra():
    """Sixty rows of 200 correlated covariates, elevation and a target that follows two of them."""
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(60, 4))
    bands = sources @ rng.normal(size=(4, 200)) + 0.1 * rng.normal(size=(60, 200))
    X = pd.DataFrame(bands, columns=[f"band_{i}" for i in range(200)])
    X.insert(0, "x", rng.uniform(size=60))
    X.insert(1, "y", rng.uniform(size=60))
    X.insert(7, "height", rng.normal(size=60))
    return X, sources[:, 0] + 0.1 * rng.normal(size=60)


def fit(X, y, **roles):
    schema, table = TableSchema.fit_transform(X, **roles)
    y = (y - y.mean()) / y.std()
    return (schema, table, *CovariateProjection.fit(schema, table, y, np.ones(len(y))))


def test_components_are_principal_components_and_elevation_is_kept(spectra):
    """Scores equal those of scikit-learn up to their sign; elevation stays the first column."""
    X, y = spectra
    schema, table, projection, _ = fit(X, y, elevation="height")
    bands = X.drop(columns=["x", "y", "height"]).to_numpy()
    standardized = (bands - bands.mean(0)) / bands.std(0)
    projected = projection.transform(table).numeric
    expected = PCA(25, svd_solver="full").fit_transform(standardized)
    np.testing.assert_array_equal(projected[:, 0], X["height"])
    np.testing.assert_allclose(np.abs(projected[:, 1:5]), np.abs(expected[:, :4]), rtol=1e-6)
    derived = projection.schema(schema)
    assert derived.numeric[0] == derived.elevation == "height"
    assert len(derived.numeric) == projected.shape[1] == 1 + 25 + 1


def test_score_is_a_ridge_regression_and_left_out_for_training_rows(spectra):
    """New rows get the prediction of all rows, training rows that of all others."""
    X, y = spectra
    _, table, projection, training = fit(X, y)
    bands = X.drop(columns=["x", "y"]).to_numpy()
    standardized, target = (bands - bands.mean(0)) / bands.std(0), (y - y.mean()) / y.std()
    penalties = np.logspace(0, 6, 25)
    left_out = [
        cross_val_predict(Ridge(p, fit_intercept=False), standardized, target, cv=LeaveOneOut())
        for p in penalties
    ]
    best = int(np.argmin([np.mean((target - found) ** 2) for found in left_out]))
    np.testing.assert_allclose(training.numeric[:, -1], left_out[best], atol=1e-6)
    model = Ridge(penalties[best], fit_intercept=False).fit(standardized, target)
    score = projection.transform(table).numeric[:, -1]
    np.testing.assert_allclose(score, model.predict(standardized), atol=1e-6)


def test_missing_and_constant_covariates_count_as_their_mean(spectra):
    """Gaps, a column without values and a constant one give finite components."""
    X, y = spectra
    X.loc[3, "band_7"] = np.nan
    _, table, projection, training = fit(X, y)
    gaps = X.copy()
    gaps.loc[:, "band_8":"band_199"] = np.nan
    schema, _ = TableSchema.fit_transform(X)
    found = projection.transform(schema.transform(gaps)).numeric
    assert np.isfinite(found).all() and np.isfinite(training.numeric).all()
    assert np.isfinite(projection.transform(table).numeric).all()


def test_projection_is_needed_with_more_covariates_than_rows_only(spectra):
    """Not with as many rows, and not where the user chose columns for spectral similarity."""
    X, _ = spectra
    schema, _ = TableSchema.fit_transform(X)
    assert CovariateProjection.is_needed(schema, 60)
    assert not CovariateProjection.is_needed(schema, len(schema.numeric))
    chosen, _ = TableSchema.fit_transform(X, spectral=["band_1", "band_2"])
    assert not CovariateProjection.is_needed(chosen, 60)


def test_models_of_spectra_predict_and_round_trip(spectra, tmp_path):
    """The fit has skill, a file gives the same predictions, and rows cannot be left out of it."""
    X, y = spectra
    model = SpTGNNRegressor(
        elevation="height", n_estimators=2, max_epochs=2, random_state=0, calibration=None
    )
    model.fit(X[:45], y[:45])
    assert model.projection_ is not None
    assert np.corrcoef(model.predict(X[45:]), y[45:])[0, 1] > 0.9
    model.save(tmp_path / "model.safetensors")
    again = SpTGNNRegressor.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="more covariates than rows"):
        model.save(tmp_path / "shared.safetensors", training_data=False)
