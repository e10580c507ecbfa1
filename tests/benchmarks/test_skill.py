"""The accuracy benchmark."""

import numpy as np
from benchmark_helpers import TASK, CountingNearest, run_main

from benchmarks import skill
from benchmarks.baselines import FOUR_TREE_MODELS
from benchmarks.experiments import Experiment, PredictionStore, fit_and_predict


def test_one_fit_stores_the_network_alone(data, tmp_path, monkeypatch):
    """Stored predictions of the network equal those of a fit without base estimator."""
    quick = {"max_epochs": 2, "n_estimators": 2}
    monkeypatch.setitem(skill.SPTGNN_MODELS, "sptgnn", quick)
    test = data.folds["random"] == 0
    experiment, store = Experiment(TASK, "random", "sptgnn_network", 0), PredictionStore(tmp_path)
    make = skill.model_factory("sptgnn", TASK, 0)
    skill.fit_and_store_network(make, data, experiment, store, test)
    monkeypatch.setitem(skill.SPTGNN_MODELS, "sptgnn_network", quick | {"base_estimator": None})
    network = fit_and_predict(skill.model_factory("sptgnn_network", TASK, 0), data, test)
    np.testing.assert_array_equal(store.load(experiment, 0, test.sum())["mean"], network["mean"])


def test_command_line(parquet, tmp_path, monkeypatch, capsys):
    """Any table of the convention runs, and a second run reuses the record."""
    table = ["--table", parquet, "--target", "target_soc", "--log", "--time", "meta_date"]
    folders = ["--out", tmp_path / "records", "--predictions", tmp_path / "predictions"]
    models = ["--models", "mean_of_four_tree_models", "random_forest", "--seeds", 0, 1]
    monkeypatch.setattr(
        skill,
        "fit_and_predict",
        lambda make, data, test: fit_and_predict(CountingNearest, data, test),
    )
    CountingNearest.n_fits = 0
    first = run_main(skill, monkeypatch, capsys, *table, *folders, *models)
    assert CountingNearest.n_fits == 2 * 2 * 3 * len(FOUR_TREE_MODELS)
    assert first.count("R2 ") == 2 * 2 * 2
    second = run_main(skill, monkeypatch, capsys, *table, *folders, *models)
    assert CountingNearest.n_fits == 2 * 2 * 3 * len(FOUR_TREE_MODELS)
    assert "| mean of four tree models | " in second
