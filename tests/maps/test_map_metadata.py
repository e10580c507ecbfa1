"""Descriptions of maps."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest
from map_models import fit_counting, map_in_blocks
from sklearn.pipeline import make_pipeline

from sptgnn_sklearn.maps.cell_table import CellTable
from sptgnn_sklearn.maps.layers import BlockPredictor
from sptgnn_sklearn.maps.map_metadata import describe_map
from sptgnn_sklearn.maps.model_inputs import inspect_inputs


def make_predictor(columns, layers, crs=None, wrap=False):
    model = fit_counting(columns)
    table = CellTable(inspect_inputs(model), crs, {}, ())
    model = make_pipeline(model) if wrap else model
    return BlockPredictor(model, table, layers, 0.9, None, np.nan)


def test_descriptions_and_units_of_layers(columns):
    """Layers in the unit of the target have it, others have the unit 1."""
    layers = ("mean", "lower", "q97.5", "p<2.0", "p>0.5", "aoa", "dissimilarity")
    found = describe_map(make_predictor(columns, layers), target="SOC", units="g/kg")
    assert list(found.long_names.values()) == [
        "predicted mean of SOC",
        "lower limit of the 90 % interval of SOC",
        "97.5 % quantile of SOC",
        "probability of SOC below 2",
        "probability of SOC above 0.5",
        "1 inside the area of applicability, 0 outside",
        "dissimilarity index",
    ]
    assert list(found.units.values()) == ["g/kg", "g/kg", "g/kg", "1", "1", "1", "1"]
    assert found.attributes("p<2.0") == {"long_name": "probability of SOC below 2", "units": "1"}
    bare = describe_map(make_predictor(columns, layers))
    assert list(bare.units) == ["p<2.0", "p>0.5", "aoa", "dissimilarity"]
    assert "target" not in bare.tags


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("2012-06-01", "2012-06-01"),
        (datetime(2012, 6, 1), "2012-06-01"),
        (date(2012, 6, 1), "2012-06-01"),
        (np.datetime64("2012-06-01"), "2012-06-01"),
        (pd.Timestamp("2012-06-01 12:30"), "2012-06-01T12:30:00"),
        (2012, "2012"),
    ],
)
def test_dates_are_text(columns, given, text):
    assert describe_map(make_predictor(columns, ("mean",)), date=given).tags["date"] == text


def test_tags_of_limits_and_crs(columns):
    """The coverage is stored with limits only; the CRS by its code; given tags come last."""
    predictor = make_predictor(columns, ("upper",), crs="EPSG:32636", wrap=True)
    tags = describe_map(predictor, tags={"title": "Soil", "run": 3}).tags
    assert (tags["coverage"], tags["crs_name"]) == ("0.9", "EPSG:32636")
    assert (tags["title"], tags["run"]) == ("Soil", "3")
    assert tags["source"].endswith(", CountingRegressor")
    assert "coverage" not in describe_map(make_predictor(columns, ("mean",))).tags


@pytest.mark.parametrize("invalid", [{"units": 3}, {"target": " "}, {"tags": ["a"]}], ids=str)
def test_invalid_descriptions_raise(rasters, columns, tmp_path, invalid):
    """Before anything is predicted or written."""
    model = fit_counting(columns)
    with pytest.raises(ValueError, match=next(iter(invalid))):
        map_in_blocks(model, rasters, tmp_path / "soil.tif", **invalid)
    assert model.calls == 0
    assert not list(tmp_path.glob("soil*"))
