"""The uncertainty benchmark: scores of known distributions, and the command line."""

import json
from functools import partial

import numpy as np
import pytest
from benchmark_helpers import run_main
from scipy.stats import norm

from benchmarks import uncertainty
from benchmarks.report import Results, calibration_table
from benchmarks.uncertainty import INTERVAL_LEVELS, LEVELS, quantile_scores
from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.metrics import crps_gaussian, expected_calibration_error, interval_score


@pytest.fixture(scope="module")
def overconfident():
    """Target, mean and std of normal predictions whose errors are 1.5 times the std."""
    rng = np.random.RandomState(0)
    mean, std = rng.normal(size=4000), np.exp(0.3 * rng.normal(size=4000))
    return mean + 1.5 * std * rng.normal(size=4000), mean, std


def test_quantile_scores_equal_those_of_the_distribution(overconfident):
    """199 quantiles of a normal distribution have the scores of its closed forms."""
    y, mean, std = overconfident
    scores = quantile_scores(y, norm.ppf(LEVELS, mean[:, None], std[:, None]), LEVELS)
    assert scores["ece"] == pytest.approx(expected_calibration_error(y, mean, std), abs=1e-9)
    assert scores["crps"] == pytest.approx(crps_gaussian(y, mean, std), rel=0.01)
    low, high = norm.ppf([[0.05], [0.95]], mean, std)
    assert scores["interval_score_90"] == pytest.approx(interval_score(y, low, high, 0.9))
    assert scores["coverage_90%"] == pytest.approx(1 - scores["below_05"] - scores["above_95"])
    assert scores["width_50%"] == pytest.approx(np.mean(2 * norm.ppf(0.75) * std))


def test_interval_limits_have_no_scores_of_the_distribution(overconfident):
    """Four intervals have coverages and an interval score, but no ECE and no CRPS."""
    y, mean, std = overconfident
    scores = quantile_scores(y, norm.ppf(LEVELS, mean[:, None], std[:, None]), LEVELS)
    limits = norm.ppf(INTERVAL_LEVELS, mean[:, None], std[:, None])
    of_intervals = quantile_scores(y, limits, INTERVAL_LEVELS)
    assert of_intervals == {key: pytest.approx(scores[key]) for key in of_intervals}
    assert set(scores) - set(of_intervals) == {"ece", "crps"}


@pytest.mark.filterwarnings("ignore")
def test_command_line(tmp_path, monkeypatch, capsys):
    """One fit of SpTGNN yields four entries; a second run fits nothing."""
    quick = {
        "base_estimator": None,
        "n_estimators": 2,
        "max_epochs": 1,
        "network": NetworkConfig(hidden_size=8, n_experts=2),
    }
    fits = []

    class CountedRegressor(SpTGNNRegressor):
        def fit(self, X, y):
            fits.append(len(y))
            return super().fit(X, y)

    monkeypatch.setattr(uncertainty, "SpTGNNRegressor", partial(CountedRegressor, **quick))
    command = ["--simulated", "no spatial field", "--folds", "random"]
    command += ["--models", *uncertainty.SPTGNN_MODELS, "mapie_xgboost"]
    command += ["--out", tmp_path / "records", "--predictions", tmp_path / "stored"]
    first = run_main(uncertainty, monkeypatch, capsys, *command)
    assert fits == [480] * 5
    assert first.count("90 %") == 5
    assert run_main(uncertainty, monkeypatch, capsys, *command) == first
    assert len(fits) == 5
    record = json.loads(next((tmp_path / "records").glob("*.json")).read_text())
    assert [len(entry["parts"]) for entry in record["results"]] == [5] * 5
    results = Results(tmp_path / "records")
    errors = calibration_table(results, "random", "ece").to_markdown()
    assert "predict_interval" not in errors  # four intervals have no calibration error
    assert "| MAPIE on XGBoost | 0." in errors
    coverages = calibration_table(results, "random", "coverage_90%").to_markdown()
    assert "| SpTGNN, predict_interval | 0." in coverages
