"""The benchmark of time and memory: every subcommand writes a record."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import speed, timed_job
from benchmarks.speed import growth_exponent, main, time_to_same_accuracy
from benchmarks.speed_report import speed_tables
from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

QUICK = {
    "n_estimators": 2,
    "max_epochs": 1,
    "network": NetworkConfig(hidden_size=8, n_experts=2),
}


def point(epoch, seconds, score):
    return {"epoch": epoch, "seconds": seconds, "R2": score}


def test_time_to_the_same_accuracy():
    """The first evaluation within 0.005 of SpTGNN counts, or with fewer members of its own best."""
    sptgnn = {"R2": 0.7, "fit_seconds": 2.0, "fit_mib": 10.0}
    plain = {
        "members": 5,
        "setup_seconds": 1.0,
        "train_seconds": 60.0,
        "fit_mib": 40.0,
        "curve": [point(3, 9.0, 0.6), point(6, 19.0, 0.696), point(9, 29.0, 0.8)],
    }
    result = time_to_same_accuracy(sptgnn, plain)
    assert result["timed_until"] == "the R2 of SpTGNN"
    assert (result["plain_seconds"], result["time_ratio"]) == (20.0, 10.0)
    assert result["memory_ratio"] == 0.25
    assert result["plain_seconds_to_end"] == 61.0
    worse = time_to_same_accuracy({**sptgnn, "R2": 0.9}, plain)
    assert (worse["timed_until"], worse["plain_seconds"]) == ("its own best R2", 30.0)
    one = time_to_same_accuracy(sptgnn, {**plain, "members": 1})
    assert (one["timed_until"], one["plain_seconds"]) == ("its own best R2", 146.0)


def test_growth_exponent():
    """Time proportional to rows**1.5 has that exponent; one size has none."""
    results = [{"rows": n, "fit_seconds": n**1.5} for n in (10, 100, 1000)]
    assert growth_exponent(results, "fit_seconds") == pytest.approx(1.5)
    assert growth_exponent(results[:1], "fit_seconds") is None


@pytest.fixture
def quick_models(monkeypatch):
    """Small networks and small tree ensembles."""
    monkeypatch.setattr(timed_job, "SpTGNNRegressor", partial(SpTGNNRegressor, **QUICK))
    small_base = {"base_estimator": timed_job.boosted_trees(n_estimators=5)}
    monkeypatch.setitem(timed_job.SPTGNN_MODELS, "sptgnn", small_base)
    make_model = timed_job.make_model

    def make_quick_model(job, roles, **settings):
        model = make_model(job, roles, **settings)
        if isinstance(model, timed_job.TimedBaseline):
            model.factories = {
                name: lambda *args: timed_job.boosted_trees(0, 1, n_estimators=5)
                for name in model.factories
            }
        return model

    monkeypatch.setattr(timed_job, "make_model", make_quick_model)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def check_plain(record):
    plain = record["results"]["plain"]
    assert plain["epochs"] == [4, 4]
    assert [point["epoch"] for point in plain["curve"]] == [2, 4]
    assert record["time_ratio"] > 0


def check_growth(record):
    entry = record["models"]["sptgnn"]
    assert [result["rows"] for result in entry["sizes"]] == [60, 120]
    assert isinstance(entry["exponent_fit_seconds"], float)


def check_predict(record):
    assert record["results"]["random_forest_300"]["times_forest"] == 1.0


def check_graph(record):
    relations = record["results"]["graph"]["relations"]
    assert set(relations) == {"spatial", "spectral", "elevation"}


def check_gpu(record):
    assert list(record["results"]) == ["mixed", "float32", "tf32"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("command", "check"),
    [
        (
            ["plain", "--rows", "120", "--members", "2", "--max-epochs", "4", "--every", "2"],
            check_plain,
        ),
        (
            ["growth", "--sizes", "60", "120", "999", "--max-rows", "500", "--exponent-from", "60"],
            check_growth,
        ),
        (["predict", "--rows", "100", "--queries", "150"], check_predict),
        (["graph", "--rows", "200"], check_graph),
        (["gpu", "--rows", "100", "--device", "cpu"], check_gpu),
    ],
    ids=["plain", "growth", "predict", "graph", "gpu"],
)
def test_subcommands_write_records(command, check, quick_models, monkeypatch, tmp_path, capsys):
    """Each writes its record, from which the tables of the documentation are made."""
    monkeypatch.setattr(speed, "_N_NEW", 50)
    main([*command, "--in-process", "--threads", "1", "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_text())
    assert {"commit", "machine", "versions", "seed", "threads"} <= set(record)
    assert record["benchmark"] == command[0]
    assert speed_tables(tmp_path).startswith(".. list-table::")
    assert capsys.readouterr().out.count("| --:") >= 1
    check(record)


@pytest.mark.filterwarnings("ignore")
def test_trees_on_a_table(quick_models, tmp_path):
    """SpTGNN and its baselines run together, with times relative to XGBoost."""
    survey = make_soil_survey(150, random_state=0)
    table = survey.data.rename(columns={"elevation": "elev", "date": "meta_date"})
    table["target_om_pct"], table["meta_fold_random"] = survey.target, np.arange(150) % 3
    table.to_parquet(tmp_path / "meuse.parquet")
    command = ["trees", "--data", str(tmp_path), "--tables", "meuse", "--in-process"]
    main([*command, "--threads", "1", "--out", str(tmp_path)])
    record = json.loads((tmp_path / "trees-seed0.json").read_text())["tables"]["meuse"]
    assert (record["rows"], record["new_rows"]) == (100, 50)
    assert set(record["results"]) == set(speed.TREES)
    assert record["results"]["xgboost_800"]["times_xgboost"] == 1.0


def test_reference_of_the_ratios_is_required(capsys):
    """Times relative to XGBoost need a fit of XGBoost."""
    with pytest.raises(SystemExit):
        main(["trees", "--data", ".", "--models", "sptgnn"])
    assert "xgboost_800" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is available")
def test_missing_gpu_is_an_error(tmp_path):
    """No record is written."""
    with pytest.raises(SystemExit, match="cuda"):
        main(["gpu", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_job_in_a_new_process(tmp_path):
    """A job runs in its own process with the requested number of threads."""
    main(["graph", "--rows", "300", "--threads", "1", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "graph-seed0.json").read_text())["results"]["graph"]
    assert result["rows"] == 300
    assert result["search_seconds"] > 0
