"""Baseline regressors that predict quantiles."""

import numpy as np
import pytest

from benchmarks.probabilistic_baselines import PROBABILISTIC_BASELINES, QuantileBaseline
from benchmarks.simulated_surveys import SIMULATED_SURVEYS, make_simulated_table
from benchmarks.uncertainty import LEVELS, quantile_scores


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROBABILISTIC_BASELINES)
def test_quantiles_increase_and_cover_new_rows(name):
    """Quantiles increase with the level; 90 % intervals cover more than 60 % of new rows."""
    module = {"quantile_forest": "quantile_forest", "ngboost": "ngboost", "gpboost": "gpboost"}
    pytest.importorskip(module.get(name, "mapie"))
    data = make_simulated_table(SIMULATED_SURVEYS["default survey"])
    train, test = np.arange(150), np.arange(150, 600)
    model = QuantileBaseline(name, time="date", elevation="elevation")
    model.fit(data.X.iloc[train], data.y[train])
    quantiles = model.predict_quantiles(data.X.iloc[test], LEVELS)
    assert (np.diff(quantiles, axis=1) >= -1e-6).all()
    assert 0.6 < quantile_scores(data.y[test], quantiles, LEVELS)["coverage_90%"] <= 1
