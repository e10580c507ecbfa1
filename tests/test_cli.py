"""Tests of the command line: output, files and errors."""

import gzip
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge

from sptgnn_sklearn import cli
from sptgnn_sklearn.cli import main
from sptgnn_sklearn.datasets import make_soil_survey

FAST_OPTIONS = ["--splits", "2", "--members", "1", "--folds", "random"]


@pytest.fixture
def table():
    """Forty samples with an id, another target, a constant column and two missing values."""
    survey = make_soil_survey(40, n_covariates=2, n_informative=2, random_state=0)
    frame = survey.data.assign(soc=survey.target, target_clay=1.0 * np.arange(40), country="NL")
    frame.insert(0, "sample", [f"s{i}" for i in range(40)])
    frame.loc[3, "soc"] = np.nan
    frame.loc[5, "lon"] = np.nan
    return frame


@pytest.fixture
def numeric(table):
    """The numeric columns of the table."""
    return table.drop(columns=["sample", "country", "date", "land_use"])


@pytest.fixture
def working_directory(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    """Return exit code, standard output and standard error."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def fast_model(monkeypatch):
    """Replace the models by a fast one, for tests of files."""
    model = BayesianRidge()
    monkeypatch.setattr(cli, "_models", lambda *_: {"SpTGNN": model})


def error_message(capsys, *arguments):
    """Return the one-line error of an invalid table or option."""
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert len(err.splitlines()) == 1, err
    assert err.startswith("python -m sptgnn_sklearn: error: ")
    return err


def test_csv_to_results(working_directory, table, capsys):
    """Roles are printed, models compared, and table, predictions and figure written."""
    table.to_csv("survey.csv", index=False)
    code, out, err = run(
        capsys, "survey.csv", "--target", "soc", "--splits", 2, "--members", 1, "--time", "date"
    )
    assert code == 0
    assert "38 rows; dropped: 1 without target, 1 without coordinates" in out
    assert "coordinates  lon, lat (recognized names)" in out
    assert "time         date (as set)" in out
    assert "elevation    elevation (recognized name; also a covariate)" in out
    assert "numbers      3: elevation, cov_0, cov_1" in out
    assert "categories   1: land_use" in out
    assert "sample (different in every row)" in out
    assert "target_clay (name begins with target_)" in out
    assert "country (constant)" in out
    assert "distances    km (EPSG:4326)" in out
    assert "| block  | training mean |" in out
    assert "block folds, XGBoost" in err

    results = working_directory / "sptgnn-output"
    assert sorted(path.name for path in results.iterdir()) == [
        "comparison.csv", "comparison.png", "predictions.csv",
    ]  # fmt: skip
    for name in ("comparison.csv", "comparison.png", "predictions.csv"):
        assert f"wrote sptgnn-output/{name}" in out.replace("\\", "/")
    scores = pd.read_csv(results / "comparison.csv")
    assert list(zip(scores["folds"], scores["model"], strict=True)) == [
        (folds, model)
        for folds in ("random", "block")
        for model in ("SpTGNN", "XGBoost", "training mean")
    ]
    result = pd.read_csv(results / "predictions.csv")
    one = result[(result["folds"] == "block") & (result["model"] == "SpTGNN")]
    assert one["row"].tolist() == [row for row in range(40) if row not in (3, 5)]
    np.testing.assert_allclose(one["observed"], table["soc"].drop([3, 5]))
    assert (one["std"] > 0).all()
    assert (results / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_parquet_and_out_folder(working_directory, numeric, fast_model, capsys):
    """Parquet files are read, and results are written to a new folder."""
    numeric.to_parquet("survey.parquet")
    code, _, _ = run(capsys, "survey.parquet", "--target", "soc", "--out", "a/b", *FAST_OPTIONS)
    assert code == 0
    assert (working_directory / "a" / "b" / "comparison.csv").is_file()


def comparison_arguments(monkeypatch, *arguments):
    """Return the arguments of `compare_models` for a command line."""
    recorded = {}

    def record_arguments(models, X, y, splits, **_):
        recorded.update(models=models, X=X, y=y, splits=splits)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "compare_models", record_arguments)
    with pytest.raises(KeyboardInterrupt):
        main(["survey.csv", "--target", "soc", *arguments])
    return recorded


def test_seed_determines_folds(working_directory, table, monkeypatch):
    """Random folds follow the seed."""
    table.to_csv("survey.csv", index=False)
    first, same, other = (
        comparison_arguments(monkeypatch, "--seed", seed)["splits"]["random"][0][1].tolist()
        for seed in "112"
    )
    assert first == same != other


def test_rows_of_one_site_stay_in_one_fold(working_directory, table, monkeypatch):
    """Neither random nor block folds split a site."""
    table["site"] = np.arange(40) // 4
    table.to_csv("survey.csv", index=False)
    seen = comparison_arguments(monkeypatch, "--splits", "3")
    sites = seen["X"]["site"].to_numpy()
    for splits in seen["splits"].values():
        assert len(splits) == 3
        for train, test in splits:
            assert not set(sites[train]) & set(sites[test])


@pytest.mark.parametrize(
    ("arguments", "transform"),
    [
        ([], "auto"),
        (["--log"], "log1p"),
        (["--target-transform", "log1p"], "log1p"),
        (["--target-transform", "none"], None),
    ],
)
def test_models_share_transform_roles_and_seed(
    working_directory, table, monkeypatch, arguments, transform
):
    """SpTGNN and XGBoost get the same parameters."""
    table.to_csv("survey.csv", index=False)
    models = comparison_arguments(monkeypatch, *arguments, "--seed", "7", "--crs", "EPSG:4258")[
        "models"
    ]
    shared = ("coordinates", "crs", "time", "elevation", "site", "target_transform", "random_state")
    network, trees = (models[name].get_params() for name in ("SpTGNN", "XGBoost"))
    assert {name: network[name] for name in shared} == {name: trees[name] for name in shared}
    assert network["target_transform"] == transform
    assert (network["crs"], network["random_state"]) == ("EPSG:4258", 7)


def test_transform_is_printed(working_directory, table, capsys, monkeypatch):
    """The transform of a skewed target is printed."""
    table["soc"] = np.exp(table["soc"] / 4)
    table.to_csv("survey.csv", index=False)
    comparison_arguments(monkeypatch)
    assert "transform    log1p" in capsys.readouterr().out
    comparison_arguments(monkeypatch, "--target-transform", "none")
    assert "transform    none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("separator", "decimal", "opener"),
    [
        (",", ".", open),
        (";", ",", open),
        (";", ".", open),
        ("\t", ".", open),
        ("\t", ",", open),
        (",", ".", gzip.open),
    ],
)
def test_csv_dialects_are_detected(working_directory, table, separator, decimal, opener):
    """Separators, decimal commas, byte order marks and compression are detected."""
    path = working_directory / ("survey.csv.gz" if opener is gzip.open else "survey.csv")
    with opener(path, "wt", encoding="utf-8-sig") as file:
        table.to_csv(file, sep=separator, decimal=decimal, index=False)
    result = cli._read(path)
    assert list(result.columns) == list(table.columns)
    np.testing.assert_allclose(result["lon"], table["lon"])


def test_categorical_option_makes_categories(working_directory, table, capsys, monkeypatch):
    """Numeric codes become categories, also as floats with missing values."""
    table["soiltype"] = [1.0, 2.0, np.nan, 3.0] * 10
    table.to_csv("survey.csv", index=False)
    comparison_arguments(monkeypatch, "--categorical", "soiltype")
    assert "categories   2: land_use, soiltype" in capsys.readouterr().out
    assert set(cli._as_classes(table["soiltype"]).dropna()) == {"1", "2", "3"}


def test_warnings_are_printed_once(working_directory, table, capsys):
    """Warnings are printed once after the table."""
    table["land_use"] = ["rare", "odd", *["usual"] * 38]
    table.to_csv("survey.csv", index=False)
    code, out, err = run(capsys, "survey.csv", "--target", "soc", *FAST_OPTIONS)
    assert code == 0
    notes = [line for line in out.splitlines() if line.startswith("note: Categories")]
    assert len(notes) == 1
    assert "times)" in notes[0]
    assert "Warning" not in err


def test_files_are_written_atomically(working_directory, numeric, fast_model, capsys, monkeypatch):
    """A failing run leaves the earlier file and no partial one."""
    numeric.to_csv("survey.csv", index=False)
    run(capsys, "survey.csv", "--target", "soc", *FAST_OPTIONS)
    before = (working_directory / "sptgnn-output" / "comparison.png").read_bytes()

    def fail(result, job, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(cli, "_draw", fail)
    with pytest.raises(OSError, match="disk full"):
        main(["survey.csv", "--target", "soc", *FAST_OPTIONS])
    assert (working_directory / "sptgnn-output" / "comparison.png").read_bytes() == before
    assert len(list((working_directory / "sptgnn-output").iterdir())) == 3


def test_no_figure_without_matplotlib(working_directory, numeric, fast_model, capsys, monkeypatch):
    """Table and predictions are written, and the missing extra is named."""
    numeric.to_csv("survey.csv", index=False)
    find = cli.importlib.util.find_spec
    monkeypatch.setattr(
        cli.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else find(name, *rest),
    )
    code, out, _ = run(capsys, "survey.csv", "--target", "soc", *FAST_OPTIONS)
    assert code == 0
    assert "sptgnn-sklearn[plot]" in out
    assert not (working_directory / "sptgnn-output" / "comparison.png").exists()


# ------------------------------------------------------------------- invalid tables and options


@pytest.mark.parametrize(
    ("error", "message"), [(KeyError("pandas_type"), "'pandas_type'"), (EOFError(), "EOFError")]
)
def test_library_errors_become_one_line(working_directory, capsys, monkeypatch, error, message):
    """Errors of pandas and pyarrow on damaged files become one line."""

    def fail(path):
        raise error

    monkeypatch.setattr(pd, "read_parquet", fail)
    (working_directory / "odd.parquet").write_bytes(b"PAR1")
    assert f"as Parquet: {message}" in error_message(capsys, "odd.parquet", "--target", "soc")


def test_unreadable_files_raise(working_directory, capsys):
    """Missing, empty, truncated, binary and other unreadable files give one line each."""
    assert "no such file" in error_message(capsys, "missing.csv", "--target", "soc")
    assert "is a folder" in error_message(capsys, working_directory, "--target", "soc")
    (working_directory / "empty.csv").write_text("")
    assert "cannot be read as CSV" in error_message(capsys, "empty.csv", "--target", "soc")
    packed = gzip.compress(b"lon,lat,soc\n" + bytes(range(48, 58)) * 400)
    for name, content in (("cut", packed[:-12]), ("bad", packed[:20] + b"\xff" * 20)):
        (working_directory / f"{name}.csv.gz").write_bytes(content)
        assert "cannot be read as CSV" in error_message(capsys, f"{name}.csv.gz", "--target", "soc")
    (working_directory / "head.csv").write_text("lon,lat,soc\n")
    assert "has no rows" in error_message(capsys, "head.csv", "--target", "soc")
    (working_directory / "torn.csv").write_text("a,b\n1,2\n1,2,3\n")
    assert "cannot be read as CSV" in error_message(capsys, "torn.csv", "--target", "soc")
    (working_directory / "latin.csv").write_bytes("x,y,so\xdf\n1,2,3\n".encode("latin-1"))
    assert "UTF-8" in error_message(capsys, "latin.csv", "--target", "soc")
    (working_directory / "text.parquet").write_text("lon,lat,soc\n1,2,3\n")
    assert "cannot be read as Parquet" in error_message(capsys, "text.parquet", "--target", "soc")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "sok"], "--target sok: no such column; did you mean soc?"),
        (["--target", "soc", "--drop", "Elevaton"], "did you mean elevation"),
        (["--target", "soc", "--time", "dat"], "--time dat: no such column"),
        (["--target", "soc", "--coordinates", "lon", "lati"], "--coordinates lati"),
        (["--target", "soc", "--categorical", "cov"], "--categorical cov"),
        (["--target", "land_use"], "--target land_use: must be numeric; data row 1 has"),
        (["--target", "country"], "must be numeric"),
        (
            ["--target", "soc", "--drop", "sample", "--members", "0"],
            "--members 0: must be at least",
        ),
        (["--target", "soc", "--splits", "1"], "--splits 1: must be at least 2"),
        (["--target", "soc", "--crs", "EPSG:1"], "EPSG:1"),
        (["--target", "soc", "--coordinates", "lat", "lon"], "swapped"),
        (["--target", "soc", "--elevation", "land_use"], "land_use"),
        (["--target", "soc", "--splits", "39"], "39"),
        (["--target", "cold", "--log"], "above -1"),
        (["--target", "same"], "all rows have the value 3"),
        (["--target", "soc", "--out", "survey.csv"], "survey.csv"),
    ],
)
def test_invalid_options_raise(working_directory, table, capsys, arguments, words):
    """Invalid options are named before any fit."""
    table.assign(cold=-5.0 - np.arange(40), same=3).to_csv("survey.csv", index=False)
    assert words in error_message(capsys, "survey.csv", *arguments)


def test_small_tables_raise(working_directory, table, capsys):
    """Fewer than twenty usable rows raise."""
    table.head(15).to_csv("survey.csv", index=False)
    assert "13 rows have a target and coordinates" in error_message(
        capsys, "survey.csv", "--target", "soc"
    )


def test_tables_without_coordinates_raise(working_directory, table, capsys):
    """The option to set is named."""
    table.rename(columns={"lon": "a", "lat": "b"}).to_csv("survey.csv", index=False)
    assert "--coordinates" in error_message(capsys, "survey.csv", "--target", "soc")


def test_laboratory_values_are_listed(working_directory, table, capsys, monkeypatch):
    """Names of laboratory properties among the covariates are printed, unless dropped."""
    table.assign(pH=table["cov_0"], Clay_0_30=table["cov_1"]).to_csv("survey.csv", index=False)
    comparison_arguments(monkeypatch)
    out = capsys.readouterr().out
    assert "laboratory values used as covariates: pH, Clay_0_30; drop them with --drop" in out
    comparison_arguments(monkeypatch, "--drop", "pH", "Clay_0_30")
    assert "laboratory" not in capsys.readouterr().out


def test_no_data_codes_in_the_target_raise(working_directory, table, capsys, monkeypatch):
    """The error names column, code, count and option; --na reads the code as missing."""
    table.loc[[7, 9], "soc"] = -9999
    table.to_csv("survey.csv", index=False)
    message = error_message(capsys, "survey.csv", "--target", "soc")
    assert "--target soc: holds -9999 in 2 of 38 rows" in message and "--na" in message
    assert len(comparison_arguments(monkeypatch, "--na", "-9999", "-99")["y"]) == 36


def test_no_data_codes_in_covariates_are_printed(working_directory, table, capsys, monkeypatch):
    """One full note names the column and the code, and --na resolves it."""
    table.loc[7, "cov_0"] = -9999
    table.drop(columns="date").to_csv("survey.csv", index=False)
    run(capsys, "survey.csv", "--target", "soc", *FAST_OPTIONS, "--na", "-9999")
    code, out, _ = run(capsys, "survey.csv", "--target", "soc", *FAST_OPTIONS)
    notes = [line for line in out.splitlines() if "holds -9999" in line]
    assert code == 0 and "'cov_0'" in notes[0] and "set it to NaN" in notes[0]


@pytest.mark.parametrize(
    ("entry", "rule", "expected"),
    [
        ("<3", "half", 1.5),
        ("< 0,2", "half", 0.1),
        ("<3", "limit", 3.0),
        (">200", "half", 200.0),
        ("<3", "drop", np.nan),
    ],
)
def test_limits_of_detection(working_directory, table, capsys, monkeypatch, entry, rule, expected):
    """The error names column, entry and row; --censored gives the numbers."""
    table["cov_0"] = table["cov_0"].astype(object)
    table.loc[7, "cov_0"] = entry
    table.to_csv("survey.csv", index=False)
    message = error_message(capsys, "survey.csv", "--target", "soc")
    assert (
        f"cov_0: numbers, but also limits of detection such as {entry!r} in data row 8" in message
    )
    assert "--censored half, limit or drop" in message
    X = comparison_arguments(monkeypatch, "--censored", rule)["X"]
    np.testing.assert_equal(X.loc[7, "cov_0"], expected)
    assert "different in every row" not in capsys.readouterr().out.replace("sample (diff", "")


def test_limits_of_detection_in_the_target(working_directory, table, capsys, monkeypatch):
    """The option also applies to the target."""
    table["soc"] = table["soc"].astype(object)
    table.loc[7, "soc"] = "<1"
    table.to_csv("survey.csv", index=False)
    assert "soc: numbers, but" in error_message(capsys, "survey.csv", "--target", "soc")
    assert 0.5 in comparison_arguments(monkeypatch, "--censored", "half")["y"]


def test_flagged_numbers_are_no_ids(working_directory, table, capsys, monkeypatch):
    """A column that is dropped because of one entry is listed with this entry and its row."""
    table["cov_0"] = table["cov_0"].astype(object)
    table.loc[7, "cov_0"] = "12*"
    table.to_csv("survey.csv", index=False)
    comparison_arguments(monkeypatch)
    assert "numbers, but also text such as '12*' in data row 8" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["t.csv"], ["t.csv", "--target", "a", "--folds", "x"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    """Errors of argparse have the same exit code and print the usage."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m sptgnn_sklearn" in capsys.readouterr().err


def test_module_runs_as_program(working_directory):
    """``python -m sptgnn_sklearn`` runs the command line and returns its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "sptgnn_sklearn", "missing.csv", "--target", "soc"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "python -m sptgnn_sklearn: error: missing.csv: no such file.\n"
