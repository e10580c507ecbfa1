"""Tests of ``sptgnn compare``: models, folds, output files, failures and interrupts."""

import argparse
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import BayesianRidge
from table_files import KINDS, soil_table

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.cli import compare
from sptgnn_sklearn.cli.options import add_model_options
from sptgnn_sklearn.model_selection import comparison

FAST_OPTIONS = ["--splits", "2", "--members", "1", "--folds", "random", "--jobs", "1"]


@pytest.fixture
def fast_model(monkeypatch):
    """Replace the models by a fast one, for tests of files."""
    model = BayesianRidge()
    monkeypatch.setattr(compare, "make_models", lambda *_: {"SpTGNN": model})


@pytest.fixture
def small_models(monkeypatch):
    """Replace the models by small ones of the same classes."""

    def make_small_models(survey, options):
        models = make_models(survey, options)
        models["SpTGNN"].set_params(base_estimator=None, n_estimators=1, max_epochs=1)
        models["XGBoost"].set_params(n_estimators=3)
        return models

    make_models = compare.make_models
    monkeypatch.setattr(compare, "make_models", make_small_models)


@pytest.fixture
def compared(monkeypatch, run):
    """A function that returns the arguments of `compare_models` for a command line."""

    def compare_arguments(*arguments):
        recorded: dict[str, Any] = {}

        def record_arguments(models, X, y, splits, **_):
            recorded.update(models=models, X=X, y=y, splits=splits)
            raise KeyboardInterrupt

        monkeypatch.setattr(comparison, "compare_models", record_arguments)
        code, recorded["out"], err = run("compare", "survey.csv", "--target", "soc", *arguments)
        assert code == 130 and "stopped" in err
        return recorded

    return compare_arguments


def test_csv_to_results(working_directory, table, small_models, run):
    """Roles are printed, models compared, and table, predictions and figure written."""
    table.to_csv("survey.csv", index=False)
    code, out, err = run(
        *("compare", "survey.csv", "--target", "soc", "--quick", "--members", 1, "--jobs", 1),
        *("--splits", 2, "--epochs", 1, "--time", "date"),
    )
    assert code == 0
    assert "38 rows; dropped: 1 without target, 1 without coordinates" in out
    assert "time         date (as set)" in out
    assert "target_clay (name begins with target_)" in out
    assert "quick        2 splits, 1 members, 1 epochs, 100 trees" in out
    assert "| block  | training mean |" in out
    assert re.search(r"\| block  \| SpTGNN        \| +-?\d\.\d{3} ± \d\.\d{3} \|", out)
    assert re.search(
        r"^R² of SpTGNN minus that of XGBoost, block folds: -?\d+\.\d{3} ± \d\.\d{3} "
        r"\(90 %: -?\d+\.\d{3} to -?\d+\.\d{3}\)$",
        out,
        re.MULTILINE,
    )
    assert "block folds, XGBoost" in err

    results = working_directory / "sptgnn-output"
    names = ["comparison.csv", "comparison.png", "differences.csv", "predictions.csv", "scores.csv"]
    assert sorted(path.name for path in results.iterdir()) == sorted([*names, "finished-fits"])
    for name in names:
        assert f"wrote sptgnn-output/{name}" in out.replace("\\", "/")
    scores = pd.read_csv(results / "comparison.csv")
    assert {"R2", "RMSE", "MAE", "ME", "CCC", "RPIQ", "coverage"} <= set(scores)
    assert list(zip(scores["folds"], scores["model"], strict=True)) == [
        (folds, model)
        for folds in ("random", "block")
        for model in ("SpTGNN", "XGBoost", "training mean")
    ]
    assert (scores["R2_std_error"] > 0).all()
    intervals = pd.read_csv(results / "scores.csv")
    assert len(intervals) == 6 * 5 and (intervals["low"] < intervals["high"]).all()
    differences = pd.read_csv(results / "differences.csv")
    assert set(differences["model"]) == {"XGBoost", "training mean"}
    assert set(differences["reference"]) == {"SpTGNN"}
    result = pd.read_csv(results / "predictions.csv")
    one = result[(result["folds"] == "block") & (result["model"] == "SpTGNN")]
    assert one["row"].tolist() == [row for row in range(40) if row not in (3, 5)]
    assert one["sample"].tolist() == [f"s{row}" for row in one["row"]]
    np.testing.assert_allclose(one["observed"], table["soc"].drop([3, 5]))
    assert (one["std"] > 0).all()
    assert (results / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_results_are_not_overwritten(working_directory, numeric, fast_model, run, error_message):
    """The results of an earlier run are replaced with --force only."""
    numeric.to_csv("survey.csv", index=False)
    command = ("compare", "survey.csv", "--target", "soc", "--out", "a/b", *FAST_OPTIONS)
    assert run(*command)[0] == 0
    before = (working_directory / "a" / "b" / "comparison.csv").read_text()
    assert "replace them with --force" in error_message(*command)
    assert run(*command, "--force")[0] == 0
    assert (working_directory / "a" / "b" / "comparison.csv").read_text().count("\n") == (
        before.count("\n")
    )
    assert "is a file" in error_message(*command[:4], "--out", "survey.csv")


class _Stopping(BayesianRidge):
    """Interrupts its third fit."""

    fits = 0

    def fit(self, X, y):
        """Fit, or interrupt."""
        _Stopping.fits += 1
        if _Stopping.fits == 3:
            raise KeyboardInterrupt
        return super().fit(X, y)


def test_interrupts_keep_finished_fits(working_directory, numeric, run, error_message, monkeypatch):
    """Ctrl-C writes what there is, and the same command continues."""
    numeric.to_csv("survey.csv", index=False)
    monkeypatch.setattr(_Stopping, "fits", 0)
    monkeypatch.setattr(
        compare, "make_models", lambda *_: {"mean": DummyRegressor(), "SpTGNN": _Stopping()}
    )
    command = ("compare", "survey.csv", "--target", "soc", "--splits", 4, "--folds", "random")
    code, out, _ = run(*command)
    assert code == 130
    assert "stopped after 6 of 8 fits; wrote what there is" in out
    scores = pd.read_csv("sptgnn-output/comparison.csv")
    assert scores["model"].tolist() == ["mean"]
    assert pd.read_csv("sptgnn-output/predictions.csv")["model"].nunique() == 2
    code, out, _ = run(*command)
    assert code == 0
    assert "6 fits of an earlier run were reused" in out
    assert pd.read_csv("sptgnn-output/comparison.csv")["model"].tolist() == ["mean", "SpTGNN"]
    assert "replace them with --force" in error_message(*command)


class _Failing(BayesianRidge):
    """Fails in each fit."""

    def fit(self, X, y):
        """Raise an error."""
        raise ValueError("no fit today")


def test_failing_models_do_not_stop_the_others(working_directory, numeric, run, monkeypatch):
    """A failure is printed once, and the other models are scored."""
    numeric.to_csv("survey.csv", index=False)
    monkeypatch.setattr(
        compare, "make_models", lambda *_: {"bad": _Failing(), "mean": DummyRegressor()}
    )
    code, out, _ = run("compare", "survey.csv", "--target", "soc", *FAST_OPTIONS)
    assert code == 1
    assert out.count("no fit today") == 1
    assert "bad failed on fold 0 of random folds: ValueError: no fit today" in out
    scores = pd.read_csv("sptgnn-output/comparison.csv").set_index("model")
    assert np.isnan(scores["R2"]["bad"]) and scores["RMSE"]["mean"] > 0


def test_seed_determines_folds(working_directory, table, compared):
    """Random folds follow the seed."""
    table.to_csv("survey.csv", index=False)
    first, same, other = (
        compared("--seed", seed)["splits"]["random"][0][1].tolist() for seed in "112"
    )
    assert first == same != other


def test_rows_of_one_site_stay_in_one_fold(working_directory, table, compared):
    """Neither random nor block folds split a site."""
    table["site"] = np.arange(40) // 4
    table.to_csv("survey.csv", index=False)
    seen = compared("--splits", "3")
    sites = seen["X"]["site"].to_numpy()
    for splits in seen["splits"].values():
        assert len(splits) == 3
        for train, test in splits:
            assert not set(sites[train]) & set(sites[test])


@pytest.mark.parametrize(
    ("folds", "kinds"),
    [
        ("random", ["random"]),
        ("spatial", ["block"]),
        ("block, random", ["block", "random"]),
        ("spatial,block", ["block"]),
    ],
)
def test_kinds_of_folds(working_directory, numeric, compared, folds, kinds):
    """Kinds of folds have an alias and keep their order."""
    numeric.to_csv("survey.csv", index=False)
    assert list(compared("--folds", folds)["splits"]) == kinds


@pytest.mark.parametrize(
    ("arguments", "transform"),
    [
        ([], SpTGNNRegressor().target_transform),
        (["--log"], "log1p"),
        (["--target-transform", "auto"], "auto"),
        (["--target-transform", "log1p"], "log1p"),
        (["--target-transform", "none"], None),
    ],
)
def test_models_share_transform_roles_and_seed(
    working_directory, table, compared, arguments, transform
):
    """SpTGNN and XGBoost get the same parameters; the default transform is that in Python."""
    table.to_csv("survey.csv", index=False)
    models = compared(*arguments, "--seed", "7", "--crs", "EPSG:4258")["models"]
    shared = ("coordinates", "crs", "time", "elevation", "site", "target_transform", "random_state")
    network, trees = (models[name].get_params() for name in ("SpTGNN", "XGBoost"))
    assert {name: network[name] for name in shared} == {name: trees[name] for name in shared}
    assert network["target_transform"] == transform
    assert (network["crs"], network["random_state"]) == ("EPSG:4258", 7)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (5, 5, None, 500)),
        (["--quick"], (3, 2, 5, 100)),
        (["--quick", "--members", "3", "--splits", "4"], (4, 3, 5, 100)),
        (["--epochs", "7"], (5, 5, 7, 500)),
    ],
)
def test_quick_runs_are_smaller(working_directory, numeric, compared, arguments, expected):
    """Fewer folds, members, epochs and trees, unless they are set."""
    numeric.to_csv("survey.csv", index=False)
    seen = compared(*arguments)
    network, trees = (seen["models"][name] for name in ("SpTGNN", "XGBoost"))
    found = len(seen["splits"]["random"]), network.n_estimators, network.max_epochs
    assert (*found, trees.n_estimators) == expected
    assert ("quick  " in seen["out"]) == ("--quick" in arguments)


def test_transform_is_printed(working_directory, table, compared):
    """The transform of a skewed target is printed, or proposed."""
    table["soc"] = np.exp(table["soc"] / 4)
    table.to_csv("survey.csv", index=False)
    assert "transform    none (the target is skewed: compare with --" in compared()["out"]
    assert "transform    log1p" in compared("--target-transform", "auto")["out"]


def test_warnings_are_printed_once(working_directory, table, small_models, run):
    """Warnings are printed once after the table."""
    table["land_use"] = ["rare", "odd", *["usual"] * 38]
    table.to_csv("survey.csv", index=False)
    code, out, err = run("compare", "survey.csv", "--target", "soc", *FAST_OPTIONS, "--epochs", 1)
    assert code == 0
    notes = [line for line in out.splitlines() if line.startswith("note: Categories")]
    assert len(notes) == 1
    assert "times)" in notes[0]
    assert "Warning" not in err and "deprecated" not in out


def test_quiet_prints_scores_only(working_directory, numeric, fast_model, run):
    """Scores are printed without roles, notes and progress."""
    numeric.to_csv("survey.csv", index=False)
    code, out, err = run("compare", "survey.csv", "--target", "soc", "--quiet", *FAST_OPTIONS)
    assert code == 0 and err == ""
    assert all(line.startswith("|") for line in out.strip().splitlines())


def test_files_are_written_atomically(working_directory, numeric, fast_model, run, monkeypatch):
    """A failing run leaves the earlier file and no partial one."""
    numeric.to_csv("survey.csv", index=False)
    command = ("compare", "survey.csv", "--target", "soc", *FAST_OPTIONS)
    run(*command)
    before = (working_directory / "sptgnn-output" / "comparison.png").read_bytes()

    def fail(result, survey, options, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(compare, "_draw", fail)
    with pytest.raises(OSError, match="disk full"):
        run(*command, "--force")
    results = working_directory / "sptgnn-output"
    assert (results / "comparison.png").read_bytes() == before
    assert not list(results.glob(".*"))


def test_no_figure_without_matplotlib(working_directory, numeric, fast_model, run, monkeypatch):
    """Table and predictions are written, and the missing extra is named."""
    numeric.to_csv("survey.csv", index=False)
    find = compare.importlib.util.find_spec
    monkeypatch.setattr(
        compare.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else find(name, *rest),
    )
    code, out, _ = run("compare", "survey.csv", "--target", "soc", *FAST_OPTIONS)
    assert code == 0
    assert "sptgnn-sklearn[plot]" in out
    assert not (working_directory / "sptgnn-output" / "comparison.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--members", "0"], "--members 0: must be at least 1"),
        (["--jobs", "0"], "--jobs 0: must be at least 1"),
        (["--epochs", "0"], "--epochs 0: must be at least 1"),
        (["--splits", "1"], "--splits 1: must be at least 2"),
        (["--splits", "39"], "39"),
    ],
)
def test_invalid_options_raise(working_directory, numeric, error_message, arguments, words):
    """Invalid options are named before any fit."""
    numeric.to_csv("survey.csv", index=False)
    assert words in error_message("compare", "survey.csv", "--target", "soc", *arguments)


def test_default_transform_is_that_of_the_regressor():
    """The command line and Python have one default."""
    parser = argparse.ArgumentParser()
    add_model_options(parser)
    default = parser.parse_args([]).target_transform
    assert (None if default == "none" else default) == SpTGNNRegressor().target_transform


_FAST_KINDS = ("GeoPackage",)  # others are read in test_check.py


@pytest.mark.parametrize(
    "kind",
    [kind if kind in _FAST_KINDS else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_files_as_they_come(working_directory, run, kind):
    """Each kind of file is compared at the first try."""
    writers, options = KINDS[kind]
    path = writers[0](soil_table(), working_directory)
    code, out, err = run(
        *("compare", path, "--target", "SOC", "--quick", "--folds", "spatial"),
        *("--members", 1, "--epochs", 2, "--splits", 2, "--jobs", 1, *options),
    )
    assert code == 0, err
    assert "| block | SpTGNN" in out
    result = pd.read_csv("sptgnn-output/predictions.csv")
    assert result["SampleID"].str.startswith("S0").all()
