"""The accuracy benchmark."""

import json
import time

import numpy as np
import pytest
from benchmark_helpers import TASK, CountingNearest, run_main

from benchmarks import skill
from benchmarks.baselines import FOUR_TREE_MODELS
from benchmarks.experiments import Experiment, PredictionStore, fit_and_predict
from benchmarks.field_baselines import FIELD_BASELINES
from benchmarks.limesoda_fields import FIELD_FOLDS


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


def nearest(make, data, test):
    return fit_and_predict(CountingNearest, data, test)


def test_group_of_field_baselines(parquet, tmp_path, monkeypatch, capsys):
    """The name "field" selects all of them, and each has an entry."""
    options = ["--table", parquet, "--target", "target_soc", "--log", "--folds", "random"]
    options += ["--out", tmp_path / "records", "--predictions", tmp_path / "predictions"]
    monkeypatch.setattr(skill, "fit_and_predict", nearest)
    run_main(skill, monkeypatch, capsys, *options, "--models", "field", "catboost")
    (record,) = (tmp_path / "records").glob("*.json")
    models = [entry["model"] for entry in json.loads(record.read_text())["results"]]
    assert sorted(models) == sorted(FIELD_BASELINES)


def test_time_limit_is_recorded(parquet, tmp_path, monkeypatch, capsys):
    """A model that is stopped has its limit on record, is not run again and has no score."""

    def slow(make, data, test):
        CountingNearest.n_fits += 1
        time.sleep(5)

    options = ["--table", parquet, "--target", "target_soc", "--log", "--folds", "random"]
    options += ["--out", tmp_path / "records", "--predictions", tmp_path / "predictions"]
    monkeypatch.setattr(skill, "fit_and_predict", slow)
    monkeypatch.setitem(skill.TIME_LIMITS, "tabm", 0.2)
    CountingNearest.n_fits = 0
    first = run_main(skill, monkeypatch, capsys, *options, "--models", "tabm")
    assert "random-tabm-seed0: stopped, a fold takes more than 0 s" in first
    run_main(skill, monkeypatch, capsys, *options, "--models", "tabm")
    assert CountingNearest.n_fits == 1
    (record,) = (tmp_path / "records").glob("*.json")
    (entry,) = json.loads(record.read_text())["results"]
    assert entry["time_limit_seconds"] == 0.2


def test_pretrained_models_need_a_checkpoint(parquet, tmp_path, monkeypatch, capsys):
    """The message names the option, or the file that does not exist."""
    options = ["--table", parquet, "--target", "target_soc", "--models", "kriging_prior_tabpfn"]
    with pytest.raises(SystemExit, match="needs --tabpfn-checkpoint FILE"):
        run_main(skill, monkeypatch, capsys, *options)
    options += ["--tabpfn-checkpoint", tmp_path / "absent.ckpt"]
    with pytest.raises(SystemExit, match=r"absent.ckpt does not exist"):
        run_main(skill, monkeypatch, capsys, *options)


def test_limesoda_with_its_own_folds(tmp_path, monkeypatch, capsys):
    """All properties of a field run on the ten folds of the package, random and block folds."""
    pytest.importorskip("LimeSoDa")
    options = ["--limesoda", "BB.30_1", "--models", "catboost", "--out", tmp_path / "records"]
    options += ["--predictions", tmp_path / "predictions"]
    monkeypatch.setattr(skill, "fit_and_predict", nearest)
    out = run_main(skill, monkeypatch, capsys, *options)
    for soil_property in ("SOC", "pH", "Clay"):
        assert f"| BB.30_1 {soil_property} | " in out
    files = [path.name for path in (tmp_path / "predictions").rglob("*.npz")]
    n_files = {kind: sum(name.startswith(f"{kind}-") for name in files) for kind in FIELD_FOLDS}
    assert n_files == {"own": 3 * 10, "random": 3 * 5, "block": 3 * 5}
    assert len(files) == 60
