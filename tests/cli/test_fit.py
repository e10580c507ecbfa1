"""Tests of ``sptgnn fit``: the saved model is that of Python."""

import numpy as np
from table_files import points, soil_table

from sptgnn_sklearn import SpTGNNRegressor


def test_saved_model_is_that_of_python(working_directory, run):
    """The same table and settings give the same predictions, and roles are printed."""
    frame = soil_table()
    frame.to_csv("soil.csv", index=False)
    code, out, err = run(
        *("fit", "soil.csv", "--target", "SOC", "--members", 2, "--epochs", 1, "--log"),
        *("--jobs", 1, "--crs", "EPSG:25833", "-o", "soc.safetensors"),
    )
    assert code == 0
    assert "transform    log1p (as set)" in out and "wrote soc.safetensors" in out
    assert "training" in err
    model = SpTGNNRegressor.load("soc.safetensors")
    X = frame[["Easting", "Northing", "Altitude", "Slope", "ERa"]]
    again = SpTGNNRegressor(
        coordinates=("Easting", "Northing"),
        crs="EPSG:25833",
        elevation="Altitude",
        target_transform="log1p",
        n_estimators=2,
        max_epochs=1,
        random_state=0,
    ).fit(X, frame["SOC"])
    np.testing.assert_allclose(model.predict(X), again.predict(X), rtol=1e-6)


def test_points_to_predictions(working_directory, run):
    """A model of a GeoPackage predicts a GeoPackage, with its CRS and ids."""
    points(soil_table()).to_file("soil.gpkg")
    settings = ("--members", 1, "--epochs", 1, "--jobs", 1, "--quiet")
    code, out, err = run("fit", "soil.gpkg", "--target", "SOC", *settings)
    assert (code, out, err) == (0, "wrote model.safetensors\n", "")
    code, out, _ = run("predict", "model.safetensors", "soil.gpkg", "-o", "out.gpkg")
    assert code == 0 and "wrote out.gpkg: 60 rows" in out


def test_existing_models_are_kept(working_directory, run, error_message):
    """An existing file is replaced with --force only, before any fit."""
    soil_table().to_csv("soil.csv", index=False)
    (working_directory / "model.safetensors").write_text("old")
    message = error_message("fit", "soil.csv", "--target", "SOC")
    assert "-o model.safetensors: exists" in message
    message = error_message("fit", "soil.csv", "--target", "SOC", "-o", "nowhere/m.safetensors")
    assert "the folder nowhere does not exist" in message
