"""Tests of ``sptgnn predict``: formats, columns, coordinates and ids."""

import numpy as np
import pandas as pd
import pytest
from table_files import points, soil_table

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.readers import read_table


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """A model of the soil table, saved."""
    frame = soil_table()
    model = SpTGNNRegressor(
        coordinates=("Easting", "Northing"),
        crs="EPSG:25833",
        elevation="Altitude",
        base_estimator=None,
        n_estimators=2,
        max_epochs=1,
        random_state=0,
    )
    model.fit(frame[["Easting", "Northing", "Altitude", "Slope", "ERa"]], frame["SOC"])
    path = tmp_path_factory.mktemp("model") / "soc.safetensors"
    model.save(path)
    return path


@pytest.fixture
def expected(model_path):
    """Predictions in Python."""
    return SpTGNNRegressor.load(model_path).predict_uncertainty(
        soil_table().drop(columns=["SampleID", "SOC"])
    )


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "xlsx", "gpkg", "geojson", "shp"])
def test_output_formats(working_directory, run, model_path, expected, suffix):
    """Each format holds ids, coordinates and the predictions of Python."""
    soil_table().to_csv("new.csv", index=False)
    code, out, _ = run("predict", model_path, "new.csv", "-o", f"out.{suffix}")
    assert (code, out) == (0, f"wrote out.{suffix}: 60 rows\n")
    result = read_table(f"out.{suffix}")
    assert result["SampleID"].tolist() == soil_table()["SampleID"].tolist()
    np.testing.assert_allclose(result["mean"], expected["mean"], rtol=1e-6)
    if suffix in ("gpkg", "geojson", "shp"):
        assert result.crs.to_epsg() == (4326 if suffix == "geojson" else 25833)
    else:
        np.testing.assert_allclose(result["Easting"], soil_table()["Easting"])
    assert not list(working_directory.glob(".*"))


def test_further_columns(working_directory, run, model_path):
    """Intervals, quantiles and probabilities are those of predict_uncertainty."""
    frame = soil_table()
    frame.to_csv("new.csv", index=False)
    run(
        *("predict", model_path, "new.csv", "--coverage", "0.8", "--quantiles", "0.05,0.95"),
        *("--above", "1.5,2"),
    )
    result = pd.read_csv("predictions.csv")
    wanted = SpTGNNRegressor.load(model_path).predict_uncertainty(
        frame.drop(columns=["SampleID", "SOC"]), 0.8, [0.05, 0.95], above=[1.5, 2]
    )
    assert list(result.columns[3:]) == list(wanted.columns)
    np.testing.assert_allclose(result[list(wanted)], wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["geometry", "degrees", "names", "other coordinate names"])
def test_columns_and_coordinates_are_matched(working_directory, run, model_path, expected, kind):
    """Points, other coordinate systems and other spellings of names give the same predictions."""
    frame = soil_table()
    arguments = ["new.csv"]
    if kind == "geometry":
        points(frame).to_file("new.gpkg")
        arguments = ["new.gpkg"]
    elif kind == "degrees":
        points(frame).to_crs(4326).to_file("new.geojson")
        arguments = ["new.geojson"]
    elif kind == "names":
        frame.rename(columns={"Altitude": "altitude (m)", "ERa": " era"}).to_csv(
            "new.csv", index=False
        )
    else:
        frame.rename(columns={"Easting": "POINT_X", "Northing": "POINT_Y"}).to_csv(
            "new.csv", index=False
        )
    code, out, _ = run("predict", model_path, *arguments)
    assert code == 0
    assert ("transformed from EPSG:4326 to EPSG:25833" in out) == (kind == "degrees")
    np.testing.assert_allclose(
        pd.read_csv("predictions.csv")["mean"],
        expected["mean"],
        rtol=1e-3 if kind == "degrees" else 1e-6,
    )


def test_rows_without_coordinates_are_empty(working_directory, run, model_path):
    """Such rows stay in the output, without a prediction."""
    frame = soil_table()
    frame.loc[3, "Easting"] = np.nan
    frame.to_csv("new.csv", index=False)
    _, out, _ = run("predict", model_path, "new.csv")
    assert "note: 1 rows without coordinates have no prediction" in out
    result = pd.read_csv("predictions.csv")
    assert len(result) == 60 and result["mean"].isna().sum() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.safetensors", "new.csv"], "no.safetensors: no such file"),
        (["new.csv", "new.csv"], "new.csv"),
        (["MODEL", "few.csv"], "few.csv: column Slope: no such column; did you mean Slopes"),
        (["MODEL", "bare.csv"], "has no columns with names of coordinates"),
        (["MODEL", "new.csv", "-o", "out.docx"], "must end in one of .csv"),
        (["MODEL", "new.csv", "-o", "new.csv"], "exists; choose another name"),
        (["MODEL", "new.csv", "-o", "nowhere/out.csv"], "the folder nowhere does not exist"),
        (["MODEL", "new.csv", "--coverage", "90"], "coverage"),
        (["MODEL", "new.csv", "--crs", "nonsense"], "nonsense"),
    ],
)
def test_invalid_input(working_directory, error_message, model_path, arguments, words):
    """Files, columns and options are named."""
    frame = soil_table()
    frame.to_csv("new.csv", index=False)
    frame.rename(columns={"Slope": "Slopes"}).to_csv("few.csv", index=False)
    frame.drop(columns=["Easting"]).to_csv("bare.csv", index=False)
    arguments = [model_path if argument == "MODEL" else argument for argument in arguments]
    assert words in error_message("predict", *arguments)


def test_existing_output_is_replaced_with_force(working_directory, run, model_path):
    """--force replaces a file."""
    soil_table().to_csv("new.csv", index=False)
    (working_directory / "out.csv").write_text("old")
    assert run("predict", model_path, "new.csv", "-o", "out.csv", "--force")[0] == 0
    assert (working_directory / "out.csv").read_text().startswith("SampleID")
