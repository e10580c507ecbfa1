"""Tests of ``sptgnn info``."""

from table_files import soil_table

from sptgnn_sklearn import SpTGNNRegressor


def test_facts_of_a_model(working_directory, run, error_message):
    """Roles, rows, members and transform are printed."""
    frame = soil_table().drop(columns="SampleID")
    model = SpTGNNRegressor(base_estimator=None, n_estimators=2, max_epochs=1, random_state=0)
    model.fit(frame.drop(columns="SOC"), frame["SOC"]).save("m.safetensors")
    code, out, _ = run("info", "m.safetensors")
    assert code == 0
    assert "coordinates  Easting, Northing (planar, unit unknown)" in out
    assert "rows         60" in out and "members      2" in out and "transform    none" in out
    assert "no such file" in error_message("info", "other.safetensors")
    frame.to_csv("soil.csv")
    assert "soil.csv" in error_message("info", "soil.csv")


def test_models_without_column_names(working_directory, error_message):
    """A model of an array cannot predict a table by names."""
    frame = soil_table().drop(columns="SampleID")
    model = SpTGNNRegressor(base_estimator=None, n_estimators=2, max_epochs=1, random_state=0)
    model.fit(frame.drop(columns="SOC").to_numpy(), frame["SOC"]).save("m.safetensors")
    assert "array without column names" in error_message("info", "m.safetensors")
