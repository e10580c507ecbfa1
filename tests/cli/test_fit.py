"""Tests of ``sptgnn fit``: the saved model is that of Python."""

import numpy as np
import pandas as pd
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


def test_measurement_errors(working_directory, run, error_message):
    """The role is that of Python, a table without the column is predicted, and a map as well."""
    noise_std = np.where(np.arange(60) % 2, 0.0, 2.0)
    soil_table().assign(lab_sd=noise_std).to_csv("soil.csv", index=False)
    settings = ("--target", "SOC", "--members", 1, "--epochs", 1, "--jobs", 1)
    fit = ("fit", "soil.csv", *settings, "--noise-std", "lab_sd", "--crs", "EPSG:25833")
    code, out, _ = run(*fit)
    assert code == 0 and "noise_std    lab_sd (as set)" in out
    model = SpTGNNRegressor.load("model.safetensors")
    assert model.columns_.noise_std == "lab_sd" and "lab_sd" not in model.columns_.numeric
    run("predict", "model.safetensors", "soil.csv", "-o", "measured.csv")
    soil_table().to_csv("new.csv", index=False)
    code, out, _ = run("predict", "model.safetensors", "new.csv", "-o", "true.csv")
    assert code == 0 and "no column lab_sd" in out
    measured, true = pd.read_csv("measured.csv"), pd.read_csv("true.csv")
    np.testing.assert_allclose(measured["mean"], true["mean"])
    np.testing.assert_allclose(measured["std"] ** 2, true["std"] ** 2 + noise_std**2, rtol=1e-6)
    soil_table().assign(lab_sd=-1.0).to_csv("soil.csv", index=False)
    assert "--noise-std 'lab_sd' holds standard deviations" in error_message(*fit, "--force")
