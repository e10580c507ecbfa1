"""The benchmark: tables in, records out, the same figures however often it is cut off."""

import argparse
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks import ablation, skill
from benchmarks.experiments import Experiment, PredictionStore, ExperimentRecord, fit_and_predict, average_predictions, run_experiment
from benchmarks.baselines import FOUR_TREE_MODELS, BASELINES, NeighborFeatureRegressor, TabularBaseline
from benchmarks.report import (
    Results,
    ablations,
    aims,
    cost,
    differences,
    leaderboard,
    left_out,
)
from benchmarks.table_selection import add_table_arguments, selected_tables
from benchmarks.tables import TASKS, TableData, Task, read
from benchmarks.simulated_surveys import SIMULATED_SURVEYS, make_simulated_table
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import r2_score

TASK = Task("soil", "target_soc", log=True, elevation="elevation", time="meta_date")


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    """A table in the convention, with planar and geographic coordinates and rows without target."""
    survey = make_soil_survey(205, random_state=0, distribution="lognormal", missing=0.05)
    table = survey.data.rename(columns={"date": "meta_date"})
    rng = np.random.RandomState(0)
    table["x"], table["y"] = 100 * table["lon"], 100 * table["lat"]
    table["soil_code"] = rng.randint(3, size=len(table))
    table["target_soc"], table["target_ph"] = survey.target, 7.0
    table.loc[:4, "target_soc"] = np.nan
    table["meta_fold_random"] = rng.randint(3, size=len(table))
    table["meta_fold_block"] = pd.qcut(table["x"], 3, labels=False)
    path = tmp_path_factory.mktemp("data") / "soil.parquet"
    table.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def data(parquet):
    return read(parquet, TASK)


class Nearest:
    """A regressor that is quick, and counts its fits."""

    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        self.X, self.y = X[["x", "y"]].to_numpy(), y
        return self

    def predict(self, X):
        gaps = np.linalg.norm(X[["x", "y"]].to_numpy()[:, None] - self.X, axis=-1)
        return self.y[gaps.argmin(axis=1)]


def test_a_table_is_taken_apart(data):
    """Targets, other metadata and the second pair of coordinates are no covariates."""
    assert len(data.X) == len(data.y) == 200
    assert not [name for name in data.X if name.startswith("target_") or name in ("lon", "lat")]
    assert {"x", "y", "elevation", "meta_date", "soil_code"} <= set(data.X)
    np.testing.assert_allclose(np.expm1(data.y), data.observed)
    assert sorted(data.folds) == ["block", "random"]
    assert data.crs is None


def test_numbers_that_are_codes(parquet):
    """Columns named as categorical become categories."""
    data = read(parquet, replace(TASK, categorical=("soil_code",), log=False))
    assert data.X["soil_code"].dtype == "category"
    np.testing.assert_array_equal(data.y, data.observed)


def test_shuffled_targets_are_the_same_numbers(parquet, data):
    """Nothing is left to learn, and files have names of their own."""
    task = replace(TASK, shuffled=True)
    shuffled = read(parquet, task)
    assert (shuffled.y != data.y).mean() > 0.9
    np.testing.assert_allclose(np.sort(shuffled.y), np.sort(data.y))
    assert task.name != TASK.name


def test_columns_that_are_not_there_are_named(parquet):
    with pytest.raises(SystemExit, match=r"no column \['hight'\]; it has .*'elevation'"):
        read(parquet, replace(TASK, elevation="hight"))


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_table_arguments(parser)
    return parser.parse_args(arguments)


def test_options_name_tables(parquet, tmp_path):
    """One table with its roles, a folder, or simulated surveys."""
    found = selected_tables(options("--table", str(parquet), "--target", "target_soc", "--log"))
    assert [source.task for source in found] == [Task("soil", "target_soc", log=True)]
    assert len(found[0].load().y) == 200
    assert [s.task.table for s in selected_tables(options("--worlds"))] == list(SIMULATED_SURVEYS)
    with pytest.raises(SystemExit, match="Name a table"):
        selected_tables(options())
    with pytest.raises(SystemExit, match=r"no file .*meuse"):
        selected_tables(options("--data", str(tmp_path), "--tables", "meuse"))


def test_a_cell_goes_on_where_it_stopped(data, tmp_path):
    """Folds that are kept are not fitted again, and the scores are the same."""
    cell, folder = Experiment(TASK, "random", "nearest", 0), PredictionStore(tmp_path)
    predict = partial(fit_and_predict, Nearest, data)
    Nearest.fits = 0
    first = run_experiment(cell, data, predict, folder)
    assert Nearest.fits == 3
    next(tmp_path.rglob("*fold1.npz")).unlink()
    second = run_experiment(cell, data, predict, folder)
    assert Nearest.fits == 4
    for name in ("R2", "unit", "moran_i", "total_square"):
        assert first[name] == second[name]
    run_experiment(cell, data, predict, replace(folder, fresh=True))
    assert Nearest.fits == 7


def test_scores_are_pooled(data, tmp_path):
    """One R2 of all predictions; the folds' squared errors add up to it."""
    cell = Experiment(TASK, "block", "nearest", 0)
    entry = run_experiment(cell, data, partial(fit_and_predict, Nearest, data), PredictionStore(tmp_path))
    found = np.empty(len(data.y))
    for fold in range(3):
        test = data.folds["block"] == fold
        found[test] = Nearest().fit(data.X[~test], data.y[~test]).predict(data.X[test])
    assert entry["R2"] == pytest.approx(r2_score(data.y, found))
    squared = sum(part["squared_error"] for part in entry["parts"])
    assert entry["R2"] == pytest.approx(1 - squared / entry["total_square"])
    rmse = np.sqrt(np.mean((data.observed - np.expm1(found)) ** 2))
    assert entry["unit"]["RMSE"] == pytest.approx(rmse)


def test_predictions_of_another_table_are_refused(data, tmp_path):
    cell, folder = Experiment(TASK, "random", "nearest", 0), PredictionStore(tmp_path)
    run_experiment(cell, data, partial(fit_and_predict, Nearest, data), folder)
    fewer = TableData(
        data.X[5:],
        data.y[5:],
        data.observed[5:],
        {"random": data.folds["random"][5:]},
        data.coordinates[5:],
        None,
    )
    with pytest.raises(SystemExit, match="another table; remove it"):
        run_experiment(cell, fewer, partial(fit_and_predict, Nearest, fewer), folder)


def test_means_of_models(data, tmp_path):
    """The mean of kept predictions; what is not there yet is said."""
    folder = PredictionStore(tmp_path)
    cells = [Experiment(TASK, "random", name, 0) for name in ("one", "other")]
    test = data.folds["random"] == 2
    for value, cell in enumerate(cells):
        kept = {"mean": np.full(test.sum(), value), "fit_seconds": 1.0, "predict_seconds": 0.5}
        folder.keep(cell, 2, kept)
    found = average_predictions(cells, data, folder, test)
    assert (found["mean"] == 0.5).all()
    assert found["fit_seconds"] == 2.0
    with pytest.raises(LookupError, match="not there yet"):
        average_predictions(cells, data, folder, data.folds["random"] == 1)


def entry(folds, model, errors):
    parts = [
        {"fold": i, "rows": 10, "squared_error": error, "fit_seconds": 1.0}
        for i, error in enumerate(errors)
    ]
    total = 100.0
    return {
        "folds": folds,
        "model": model,
        "R2": 1 - sum(errors) / total,
        "moran_i": 0.1,
        "total_square": total,
        "parts": parts,
    }


@pytest.fixture
def records(tmp_path):
    """Two seeds of one table, in which ours leads by 0.1 on random folds and is second on block."""
    for seed in (0, 1):
        record = ExperimentRecord(tmp_path, TASK, seed)
        for folds, ours in (("random", [10, 10, 10]), ("block", [20, 20, 20])):
            record.add(entry(folds, "sptgnn", ours))
            record.add(entry(folds, "xgboost_tuned", [13 + seed, 14, 12 - seed]))
            record.add(entry(folds, "mean_of_four_trees", [15, 15, 15]))
    return tmp_path


def test_an_entry_takes_the_place_of_the_old_one(records):
    record = ExperimentRecord(records, TASK, 0)
    n_before = len(record.entries())
    record.add(entry("random", "sptgnn", [1, 1, 1]))
    assert len(record.entries()) == n_before
    assert record.find(Experiment(TASK, "random", "sptgnn", 0))["R2"] == pytest.approx(0.97)
    assert record.find(Experiment(TASK, "random", "gpboost", 0)) is None
    assert json.loads(record.path.read_text())["scale"] == "log1p"


def test_differences_have_intervals_over_folds(records):
    """Seeds are averaged within each fold; Student's t over the folds."""
    gap = Results(records).difference("soil", "random", "sptgnn", "xgboost_tuned")
    gains = 3 * np.array([3.5, 4.0, 1.5]) / 100
    half = 4.302653 * gains.std(ddof=1) / np.sqrt(3)
    assert (gap.mean, gap.high) == pytest.approx((gains.mean(), gains.mean() + half), abs=1e-6)
    assert Results(records).difference("soil", "random", "sptgnn", "gpboost") is None


def test_reports_say_what_is_on_record(records):
    """Leaderboard, differences, cost and aims; means of models have no rank."""
    results = Results(records)
    board = leaderboard(results)
    assert "| SpTGNN | 0.700 | 0.700 | 1.00 |" in board
    assert "| SpTGNN | 0.400 | 0.400 | 2.00 |" in board
    assert "| mean of four trees | 0.550 | 0.550 | – |" in board
    assert "+0.090 [" in differences(results, "random").to_markdown()
    assert "1.0" in cost(results).to_markdown()
    lines = aims(results)
    assert "random: +0.090 above XGBoost, tuned, better on 1 of 1 tables" in lines
    assert "mean rank among single models 1.50 over 2 cells" in lines
    assert [line for line in lines if line.startswith("behind: soil, block folds: -0.210")]
    assert ".. list-table:: Differences" in differences(results, "random").to_rst("Differences")
    assert Results(records, tables={"other"}).tables == []


def test_ablations_are_differences_from_the_default(tmp_path):
    record = ExperimentRecord(tmp_path, TASK, 0)
    record.add(entry("random", "default", [10, 10, 10]))
    record.add(entry("random", "no graph", [12, 12, 12]))
    text = ablations(Results(tmp_path), "random", ["default", "no graph"]).to_markdown()
    assert "| default, R2 | 0.700 | – |" in text
    assert "| no graph | -0.060 [-0.060, -0.060] | -0.060 |" in text


def test_a_choice_is_judged_by_the_tables_that_did_not_make_it(tmp_path):
    """The mean over all tables but one, the least and the most of it; both kinds of folds count."""
    for name, error in (("a", 8), ("b", 13), ("c", 10)):
        record = ExperimentRecord(tmp_path, replace(TASK, table=name), 0)
        for kind in ("random", "block"):
            record.add(entry(kind, "default", [10, 10, 10]))
            record.add(entry(kind, "no graph", [error] * 3))
    text = left_out(Results(tmp_path), ["default", "no graph", "two layers"]).to_markdown()
    assert "| no graph | -0.0100 | -0.0450 | +0.0300 |" in text
    assert "two layers" not in text


QUICK = [name for name in BASELINES if name not in ("xgboost_tuned", "mlp_ensemble")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", QUICK)
def test_opponents_know_more_than_the_mean(data, name):
    """Each learns from a table with gaps, categories and dates."""
    if name in ("gpboost", "quantile_forest", "regression_kriging"):
        pytest.importorskip({"regression_kriging": "pykrige"}.get(name, name))
    test = data.folds["random"] == 0
    model = TabularBaseline(name, time="meta_date", elevation="elevation")
    found = model.fit(data.X[~test], data.y[~test]).predict(data.X[test])
    assert r2_score(data.y[test], found) > 0


def test_neighbour_columns_hide_the_own_place():
    """A training row sees no value of its own place, its own least of all."""

    class Remember:
        def fit(self, X, y):
            type(self).seen = X
            return self

        def get_params(self, deep=True):
            return {}

    X = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    NeighborFeatureRegressor(Remember(), n_neighbors=2).fit(X, np.arange(4.0))
    assert Remember.seen[0, -2:].tolist() == [2.0, 3.0]
    assert Remember.seen[2, -2:].tolist() in ([0.0, 1.0], [1.0, 0.0])


def test_the_network_alone_is_that_without_base(data, tmp_path, monkeypatch):
    """Its predictions are kept from the fit with the base; a fit without one gives the same."""
    monkeypatch.setitem(skill.OURS, "sptgnn", {"max_epochs": 2, "n_members": 2})
    test = data.folds["random"] == 0
    cell, folder = Experiment(TASK, "random", "sptgnn_network", 0), PredictionStore(tmp_path)
    skill.fit_both(skill.maker("sptgnn", TASK, 0), data, cell, folder, test)
    monkeypatch.setitem(
        skill.OURS, "sptgnn_network", {"max_epochs": 2, "n_members": 2, "base": None}
    )
    alone = fit_and_predict(skill.maker("sptgnn_network", TASK, 0), data, test)
    np.testing.assert_array_equal(folder.find(cell, 0, test.sum())["mean"], alone["mean"])


def run(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["benchmark", *map(str, arguments)])
    module.main()
    return capsys.readouterr().out


def test_the_command_of_skill(parquet, tmp_path, monkeypatch, capsys):
    """Any table in the convention runs, and a second run finds everything on record."""
    table = ["--table", parquet, "--target", "target_soc", "--log", "--time", "meta_date"]
    kept = ["--out", tmp_path / "records", "--predictions", tmp_path / "predictions"]
    models = ["--models", "mean_of_four_trees", "random_forest", "--seeds", 0, 1]
    monkeypatch.setattr(
        skill, "fit_and_predict", lambda make, data, test: fit_and_predict(Nearest, data, test)
    )
    Nearest.fits = 0
    out = run(skill, monkeypatch, capsys, *table, *kept, *models)
    assert Nearest.fits == 2 * 2 * 3 * len(FOUR_TREE_MODELS)
    assert out.count("R2 ") == 2 * 2 * 2
    again = run(skill, monkeypatch, capsys, *table, *kept, *models)
    assert Nearest.fits == 2 * 2 * 3 * len(FOUR_TREE_MODELS)
    assert "| mean of four trees | " in again


def test_the_command_of_ablations(tmp_path, monkeypatch, capsys):
    """Variants run on simulated surveys too."""
    monkeypatch.setattr(
        ablation,
        "VARIANTS",
        {
            n: v | {"max_epochs": 1, "n_members": 1, "base": None}
            for n, v in ablation.VARIANTS.items()
        },
    )
    monkeypatch.setitem(skill.OURS, "sptgnn", ablation.VARIANTS["default"])
    out = run(
        ablation, monkeypatch, capsys, "--worlds", "no field", "--folds", "random",
        "--variants", "default", "no graph",
        "--out", tmp_path / "records", "--predictions", tmp_path / "predictions",
    )  # fmt: skip
    assert "| no graph | " in out


def test_variants_that_change_nothing_are_left_out():
    """A table without dates has no variant without them."""
    assert "no time" not in ablation.variants(TASKS["meuse"])
    assert "no elevation relation" not in ablation.variants(TASKS["afsp_soc"])
    assert "no time" in ablation.variants(next(iter(SIMULATED_SURVEYS.values())).task)


def test_worlds_are_the_same_every_time():
    world = SIMULATED_SURVEYS["field only"]
    one, other = make_simulated_table(world), make_simulated_table(world)
    np.testing.assert_array_equal(one.y, other.y)
    assert sorted(np.unique(one.folds["block"])) == list(range(5))
