"""The benchmark of uncertainty: scores of known distributions, baselines, and the command."""

import json
import sys
from functools import partial

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks import uncertainty
from benchmarks.probabilistic_baselines import PROBABILISTIC_BASELINES, QuantileBaseline
from benchmarks.report import Results, honesty
from benchmarks.uncertainty import ENDS, LEVELS, scores
from benchmarks.simulated_surveys import SIMULATED_SURVEYS, make_simulated_table
from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.metrics import crps_gaussian, expected_calibration_error, interval_score


@pytest.fixture(scope="module")
def known():
    """Normal predictions of differing widths, with errors half as wide again as stated."""
    rng = np.random.RandomState(0)
    mean, std = rng.normal(size=4000), np.exp(0.3 * rng.normal(size=4000))
    return mean + 1.5 * std * rng.normal(size=4000), mean, std


def test_scores_of_quantiles_are_those_of_the_distribution(known):
    """199 quantiles of a normal distribution score as the formulas for the distribution do."""
    y, mean, std = known
    found = scores(y, norm.ppf(LEVELS, mean[:, None], std[:, None]), LEVELS)
    assert found["ece"] == pytest.approx(expected_calibration_error(y, mean, std), abs=1e-9)
    assert found["crps"] == pytest.approx(crps_gaussian(y, mean, std), rel=0.01)
    low, high = norm.ppf([[0.05], [0.95]], mean, std)
    assert found["interval_score_90"] == pytest.approx(interval_score(y, low, high, 0.9))
    assert found["coverage_90%"] == pytest.approx(1 - found["below_05"] - found["above_95"])
    assert found["width_50%"] == pytest.approx(np.mean(2 * norm.ppf(0.75) * std))


def test_ends_of_intervals_have_no_score_of_the_whole(known):
    """Four intervals tell coverage and interval score, and no more."""
    y, mean, std = known
    whole = scores(y, norm.ppf(LEVELS, mean[:, None], std[:, None]), LEVELS)
    ends = scores(y, norm.ppf(ENDS, mean[:, None], std[:, None]), ENDS)
    assert ends == {key: pytest.approx(whole[key]) for key in ends}
    assert set(whole) - set(ends) == {"ece", "crps"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROBABILISTIC_BASELINES)
def test_opponents_state_distributions(name):
    """Quantiles rise, and intervals of 90 % hold more than half and less than all of new rows."""
    module = {"quantile_forest": "quantile_forest", "ngboost": "ngboost", "gpboost": "gpboost"}
    pytest.importorskip(module.get(name, "mapie"))
    data = make_simulated_table(SIMULATED_SURVEYS["survey"])
    train, test = np.arange(150), np.arange(150, 600)
    model = QuantileBaseline(name, time="date", elevation="elevation")
    found = model.fit(data.X.iloc[train], data.y[train]).predict_quantiles(
        data.X.iloc[test], LEVELS
    )
    assert (np.diff(found, axis=1) >= -1e-6).all()
    assert 0.6 < scores(data.y[test], found, LEVELS)["coverage_90%"] <= 1


@pytest.mark.filterwarnings("ignore")
def test_the_command(tmp_path, monkeypatch, capsys):
    """One fit of ours fills four entries; a second run fits nothing."""
    small = {"base": None, "n_members": 2, "max_epochs": 1, "hidden_size": 8, "n_experts": 2}
    fits = []

    class Counted(SpTGNNRegressor):
        def fit(self, X, y):
            fits.append(len(y))
            return super().fit(X, y)

    monkeypatch.setattr(uncertainty, "SpTGNNRegressor", partial(Counted, **small))
    command = ["uncertainty", "--worlds", "no field", "--folds", "random"]
    command += ["--models", *uncertainty.OURS, "mapie_xgboost"]
    command += ["--out", str(tmp_path / "records"), "--predictions", str(tmp_path / "kept")]
    monkeypatch.setattr(sys, "argv", command)
    uncertainty.main()
    assert fits == [480] * 5
    first = capsys.readouterr().out
    assert first.count("90 %") == 5
    uncertainty.main()
    assert len(fits) == 5
    assert capsys.readouterr().out == first
    record = json.loads(next((tmp_path / "records").glob("*.json")).read_text())
    assert [len(cell["parts"]) for cell in record["cells"]] == [5] * 5
    grid = honesty(Results(tmp_path / "records"), "random", "ece").to_markdown()
    assert "predict_interval" not in grid  # four intervals have no calibration error
    assert "| MAPIE on XGBoost | 0." in grid
    whole = honesty(Results(tmp_path / "records"), "random", "coverage_90%").to_markdown()
    assert "| SpTGNN, predict_interval | 0." in whole
