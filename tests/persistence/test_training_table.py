"""Training rows restored from node inputs."""

import numpy as np
import pytest
from saved_models import X, fit_model

from sptgnn_sklearn.persistence.training_table import invert_scores, restore_training_table
from sptgnn_sklearn.table.features import normal_scores


def test_rows_are_restored(model):
    """Coordinates, dates, elevation and codes are exact, covariates within the score limits."""
    found = restore_training_table(model.ensemble_.to("cpu"))
    table = model.columns_.transform(X).take(model._merged.rows)
    np.testing.assert_allclose(found.coordinates, table.coordinates, atol=1e-9)
    np.testing.assert_allclose(found.time, table.time, atol=1e-4)
    np.testing.assert_allclose(found.elevation, table.elevation, atol=1e-2)
    np.testing.assert_array_equal(found.categories, table.categories)
    spread = table.numeric.std(axis=0)
    assert np.quantile(np.abs(found.numeric - table.numeric) / spread, 0.97) < 1e-3


def test_missing_values_stay_missing():
    """Gaps in covariates, dates and elevation are restored from their indicators."""
    gaps = X.copy()
    gaps.loc[gaps.index[::7], ["elevation", "cov_1"]] = np.nan
    gaps.loc[gaps.index[::5], "date"] = None
    model = fit_model().set_params().fit(gaps, fit_targets())
    found = restore_training_table(model.ensemble_.to("cpu"))
    table = model.columns_.transform(gaps).take(model._merged.rows)
    np.testing.assert_array_equal(np.isnan(found.numeric), np.isnan(table.numeric))
    np.testing.assert_array_equal(np.isnan(found.time), np.isnan(table.time))
    np.testing.assert_array_equal(np.isnan(found.elevation), np.isnan(table.elevation))


def fit_targets():
    return np.linspace(1.0, 2.0, len(X))


@pytest.mark.parametrize("zeros", [0, 20])
def test_scores_are_inverted(zeros):
    """Also in columns with many equal values."""
    rng = np.random.RandomState(0)
    values = np.sort(np.concatenate([np.zeros(zeros), rng.gamma(2, size=80)]))[:, None]
    found = invert_scores(normal_scores(values, values), values)
    np.testing.assert_allclose(found[1:-1], values[1:-1], atol=1e-6)
