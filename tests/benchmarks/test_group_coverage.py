"""The benchmark of coverage in groups: one fit for both calibrations, and the command line."""

import json
from functools import partial

import numpy as np
import pytest
from benchmark_helpers import run_main

from benchmarks import group_coverage, noise_worlds
from benchmarks.coverage_report import GLOBAL, LOCAL
from benchmarks.experiments import Experiment, PredictionStore
from benchmarks.group_coverage import SMALL_SURVEYS, FoldedTable, predict_sptgnn, run_pooled
from benchmarks.noise_worlds import make_noise_world
from benchmarks.tables import Task
from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor

QUICK = {
    "base_estimator": None,
    "n_estimators": 2,
    "max_epochs": 1,
    "network": NetworkConfig(hidden_size=8, n_experts=2),
}


@pytest.fixture
def quick(monkeypatch):
    """Small surveys and quick fits; a list of the number of rows of each fit."""
    fits = []

    class CountedRegressor(SpTGNNRegressor):
        def fit(self, X, y):
            fits.append(len(y))
            return super().fit(X, y)

    monkeypatch.setattr(group_coverage, "SpTGNNRegressor", partial(CountedRegressor, **QUICK))
    monkeypatch.setattr(noise_worlds, "N_TRAINING", 300)
    monkeypatch.setattr(noise_worlds, "N_TEST", 800)
    return fits


@pytest.mark.filterwarnings("ignore")
def test_both_calibrations_of_one_fit(quick):
    """The intervals equal those of models fitted with each calibration."""
    data = make_noise_world("noise by region", 0)
    test = data.folds["random"] == 0
    experiment = Experiment(Task("world", "soc", elevation="elevation"), "random", LOCAL, 0)
    found = predict_sptgnn(experiment, data, test)
    assert quick == [300]
    for name, calibration in ((LOCAL, "local"), (GLOBAL, "quantile")):
        model = SpTGNNRegressor(
            elevation="elevation", calibration=calibration, random_state=0, **QUICK
        )
        expected = model.fit(data.X[~test], data.y[~test]).predict_interval(data.X[test], 0.9)
        np.testing.assert_allclose(found[name]["mean"], expected)


@pytest.mark.filterwarnings("ignore")
def test_command_line(quick, tmp_path, monkeypatch, capsys):
    """One fit yields two entries; a second run fits nothing and prints the same."""
    pytest.importorskip("quantile_forest")
    command = ["--simulated", "noise by category", "--seeds", "0"]
    command += ["--models", LOCAL, GLOBAL, "quantile_forest"]
    command += ["--out", tmp_path / "records", "--predictions", tmp_path / "stored"]
    first = run_main(group_coverage, monkeypatch, capsys, *command)
    assert quick == [300]
    assert run_main(group_coverage, monkeypatch, capsys, *command) == first
    assert quick == [300]
    (path,) = (tmp_path / "records").glob("*.json")
    record = json.loads(path.read_text())
    assert [entry["model"] for entry in record["results"]] == sorted(
        [LOCAL, GLOBAL, "quantile_forest"]
    )
    for entry in record["results"]:
        assert entry["rows"] == 800
        assert entry["worst"]["coverage"] == min(group["coverage"] for group in entry["groups"])
        assert {group["by"] for group in entry["groups"]} >= {"distance", "land_use", "noise"}
        assert all(group["n"] >= 200 for group in entry["groups"])


def test_pooled_tables_are_in_standard_deviations(tmp_path):
    """Tables in different units count alike, and each table is a group."""
    rng = np.random.default_rng(0)
    store = PredictionStore(tmp_path)
    tables = []
    for name, unit in (("a", 1.0), ("b", 1000.0)):
        data = make_noise_world("constant noise", 0)
        y = unit * rng.normal(size=len(data.y))
        data = type(data)(data.X, y, y, data.folds, data.coordinates, data.crs)
        table = FoldedTable(data, data.folds["random"])
        n = int(table.tested.sum())
        limits = np.tile([-2.0 * unit, 2.0 * unit], (n, 1))
        experiment = Experiment(Task(name, "z"), "random", "quantile_forest", 0)
        store.save(experiment, 0, {"mean": limits, "infinite": np.zeros(n, dtype=bool)})
        tables.append((experiment.task, table))
    entry = run_pooled(Experiment(SMALL_SURVEYS, "random", "quantile_forest", 0), tables, store)
    assert entry["rows"] == 4000
    assert entry["width"] == pytest.approx(4.0, rel=0.05)
    assert entry["coverage"] == pytest.approx(0.954, abs=0.01)
    assert {group["by"] for group in entry["groups"]} == {"width", "distance", "table"}
    assert [g["group"] for g in entry["groups"] if g["by"] == "table"] == ["a", "b"]
