"""The Meuse data set: known values, dtypes, missing values and errors."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.datasets import load_meuse


def test_known_values():
    """Shape and means are those of the published survey."""
    meuse = load_meuse(target="zinc")
    assert meuse.data.shape == (155, 8)
    assert meuse.target.mean() == pytest.approx(469.7161, abs=5e-5)
    assert meuse.frame[["cadmium", "copper", "lead"]].mean().to_numpy() == pytest.approx(
        [3.245806, 40.316129, 153.361290]
    )
    assert meuse.data["landuse"].isna().sum() == 1
    assert meuse.data.iloc[0, :2].tolist() == [181072, 333611]
    assert meuse.crs == "EPSG:28992"
    for source in ("Burrough", "Rikken"):
        assert source in meuse.DESCR


@pytest.mark.parametrize("target", ["om", "cadmium", "copper", "lead", "zinc"])
def test_covariates_contain_no_targets(target):
    """For any target, the other measured properties are not in the data."""
    meuse = load_meuse(target=target)
    assert meuse.feature_names == ["x", "y", "elev", "dist", "ffreq", "soil", "lime", "landuse"]
    assert meuse.data.columns.tolist() == meuse.feature_names
    assert meuse.target_names == [target] == [meuse.target.name]
    pd.testing.assert_series_equal(meuse.frame[target], meuse.target)


def test_rows_without_target_are_dropped():
    """The two rows without organic matter are dropped, and the index is reset."""
    meuse = load_meuse()
    assert len(meuse.data) == len(meuse.target) == len(meuse.frame) == 153
    assert meuse.target.notna().all()
    assert meuse.data.index.tolist() == list(range(153))


def test_arrays():
    """Arrays have the numbers of the DataFrame, and categories as ordinal codes."""
    X, y = load_meuse(return_X_y=True)
    X_array, y_array = load_meuse(return_X_y=True, as_frame=False)
    assert X_array.dtype == np.float64
    np.testing.assert_array_equal(y_array, y)
    np.testing.assert_array_equal(X_array[:, :4], X[["x", "y", "elev", "dist"]])
    np.testing.assert_array_equal(X_array[:, 4], X["ffreq"].astype("str").astype(int) - 1)
    np.testing.assert_array_equal(np.isnan(X_array[:, 7]), X["landuse"].isna())
    assert load_meuse(as_frame=False).frame is None


def test_missing_scikit_gstat_raises(monkeypatch):
    """The error names the extra to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "sptgnn-sklearn\[demo\]"'):
        load_meuse()


def test_scikit_gstat_is_not_imported(monkeypatch):
    """Reading the table runs no code of scikit-gstat."""
    for name in [name for name in sys.modules if name.split(".")[0] == "skgstat"]:
        monkeypatch.delitem(sys.modules, name)
    load_meuse()
    assert "skgstat" not in sys.modules


def test_unknown_target_raises():
    """The error names the parameter."""
    with pytest.raises(ValueError, match="'target' parameter"):
        load_meuse(target="gold")
