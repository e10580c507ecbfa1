"""Tests of GeoDataFrames: their points and CRS are the coordinates wherever X goes in."""

import numpy as np
import pandas as pd
import pytest
from small_models import make_regressor

from sptgnn_sklearn import XGBoostBaseline, predict_map, predict_uncertainty
from sptgnn_sklearn.inspection import grouped_permutation_importance
from sptgnn_sklearn.metrics import residual_morans_i
from sptgnn_sklearn.model_selection import EnvironmentalBlockKFold, SpatialBlockKFold
from sptgnn_sklearn.table.coordinate_columns import as_dataframe, locate_coordinates

geopandas = pytest.importorskip("geopandas")
UTM = "EPSG:32632"
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "clay": RNG.normal(size=40),
        "x": RNG.uniform(5e5, 6e5, 40),
        "y": RNG.uniform(5.4e6, 5.5e6, 40),
        "land": RNG.choice(["a", "b"], 40),
    }
)
Y = TABLE["clay"].to_numpy() + TABLE["x"].to_numpy() / 1e5


def geo(table=TABLE, crs=UTM, name="geometry"):
    """Return a table with its coordinates as geometry."""
    points = geopandas.points_from_xy(table["x"], table["y"])
    frame = geopandas.GeoDataFrame(table.drop(columns=["x", "y"]), geometry=points, crs=crs)
    return frame if name == "geometry" else frame.rename_geometry(name)


@pytest.mark.parametrize("name", ["geometry", "geom"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", None])
def test_points_and_crs_are_the_coordinates(name, crs):
    """Also with another name of the geometry, in degrees and without a CRS."""
    frame = geo(name=name).to_crs(crs) if crs else geo(name=name).set_crs(None, allow_override=True)
    xy, reference, labels = locate_coordinates(frame)
    np.testing.assert_array_equal(xy, np.column_stack([frame.geometry.x, frame.geometry.y]))
    assert reference.crs == crs
    assert labels == ("geometry.x", "geometry.y")
    assert as_dataframe(frame).columns.tolist() == [*labels, "clay", "land"]


def test_estimators_equal_those_of_coordinate_columns():
    """The same predictions as with columns x and y; results keep the geometry."""
    settings = {"base_estimator": None, "n_estimators": 1, "max_epochs": 1, "hidden_size": 8}
    plain = make_regressor(**settings, n_neighbors=3, crs=UTM, random_state=0).fit(TABLE, Y)
    model = make_regressor(**settings, n_neighbors=3, random_state=0).fit(geo(), Y)
    np.testing.assert_array_equal(model.predict(geo()), plain.predict(TABLE))
    found = predict_uncertainty(model, geo())
    assert isinstance(found, geopandas.GeoDataFrame)
    assert found.crs == UTM
    assert found.geometry.geom_equals(geo().geometry).all()
    trees = XGBoostBaseline(n_estimators=3, random_state=0)
    ordered = TABLE[["x", "y", "clay", "land"]]
    expected = trees.fit(ordered, Y).predict(ordered)
    np.testing.assert_array_equal(trees.fit(geo(), Y).predict(geo()), expected)


@pytest.mark.parametrize(
    "splitter", [SpatialBlockKFold(3), EnvironmentalBlockKFold(2, columns=["clay"])]
)
def test_splitters_equal_those_of_coordinate_columns(splitter):
    """Folds follow the geometry."""
    plain = type(splitter)(**{**vars(splitter), "crs": UTM})
    for first, second in zip(splitter.split(geo()), plain.split(TABLE), strict=True):
        np.testing.assert_array_equal(first[1], second[1])


def test_morans_i_uses_the_geometry():
    """The statistic equals that of coordinate columns."""
    residuals = TABLE["x"].to_numpy()
    xy = TABLE[["x", "y"]].to_numpy()
    expected = residual_morans_i(residuals, np.zeros(40), xy, crs=UTM)
    assert residual_morans_i(residuals, np.zeros(40), geo()) == expected


def test_importance_shuffles_the_geometry():
    """The points are one group, as coordinate columns are."""
    trees = XGBoostBaseline(n_estimators=3, random_state=0).fit(geo(), Y)
    found = grouped_permutation_importance(trees, geo(), Y, n_repeats=1, random_state=0)
    assert found.loc["position", "columns"] == ["geometry.x", "geometry.y"]
    assert found.loc["position", "mean"] > 0


def test_other_geometries_raise():
    """The error names the column, the geometry and the row."""
    frame = geo()
    frame.loc[3, "geometry"] = frame.geometry[3].buffer(10)
    with pytest.raises(ValueError, match=r"'geometry' must hold points; found POLYGON.* 3 \(1 "):
        as_dataframe(frame)
    with pytest.raises(ValueError, match="without a geometry"):
        as_dataframe(geopandas.GeoDataFrame(TABLE))


def test_other_crs_raises():
    """A parameter or a query in another CRS raises; the same CRS in other words does not."""
    locate_coordinates(geo(), crs="+proj=utm +zone=32 +datum=WGS84")
    with pytest.raises(ValueError, match="crs='EPSG:4326' differs"):
        locate_coordinates(geo(), crs="EPSG:4326")
    trees = XGBoostBaseline(n_estimators=2).fit(geo(), Y)
    with pytest.raises(ValueError, match="differs from the CRS of the geometry"):
        trees.predict(geo().to_crs("EPSG:4326"))


def test_named_columns_take_precedence():
    """With coordinates set, the geometry is not a covariate."""
    table = geo().assign(east=TABLE["x"], north=TABLE["y"])
    trees = XGBoostBaseline(coordinates=("east", "north"), crs=UTM, n_estimators=2).fit(table, Y)
    assert trees.columns_.numeric == ("clay",)


def test_map_of_a_model_of_points():
    """Cells of a map are predicted like points at their centers."""
    xr = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    x, y = np.arange(5.05e5, 6e5, 1e4), np.arange(5.495e6, 5.4e6, -1e4)
    clay = RNG.normal(size=(len(y), len(x)))
    grid = xr.Dataset({"clay": (("y", "x"), clay)}, coords={"y": y, "x": x}).rio.write_crs(UTM)
    trees = XGBoostBaseline(n_estimators=3, random_state=0).fit(geo().drop(columns="land"), Y)
    centers = np.meshgrid(x, y)
    cells = pd.DataFrame({"clay": clay.ravel(), "x": centers[0].ravel(), "y": centers[1].ravel()})
    found = predict_map(trees, grid, verbose=0)["mean"].to_numpy().ravel()
    np.testing.assert_allclose(found, trees.predict(geo(cells)), rtol=1e-5)
