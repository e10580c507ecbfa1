"""Tables with columns from rasters: known answers, CRSs, names, warnings and errors."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import xarray as xr
from map_models import flatten
from sklearn.linear_model import LinearRegression
from small_rasters import CRS, HEIGHT, WIDTH, as_dataset, bands_of, write_raster

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps.sample_rasters import sample_rasters

VALUES = np.arange(20.0).reshape(4, 5)


def affine(*parts):
    result = rasterio.Affine.identity()
    for part in parts:
        result = result @ part
    return result


NORTH_UP = affine(rasterio.Affine.translation(500_000, 5e6), rasterio.Affine.scale(10, -10))
SOUTH_UP = affine(rasterio.Affine.translation(500_000, 5e6), rasterio.Affine.scale(10, 10))
ROTATED = affine(
    rasterio.Affine.translation(500_000, 5e6),
    rasterio.Affine.rotation(30),
    rasterio.Affine.scale(10, -10),
)


def points_at(transform, cells, **columns):
    """Return a table of points at fractional (row, column)."""
    xy = [transform @ (column, row) for row, column in cells]
    return pd.DataFrame(xy, columns=["x", "y"]).assign(**columns)


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north", "south", "rot"])
@pytest.mark.parametrize("tile", [None, 16])
def test_cell_centers_give_the_cells(tmp_path, transform, tile):
    """By all methods, for files and for arrays with coordinates, whatever way rows run."""
    path = write_raster(tmp_path / "v.tif", VALUES, transform=transform, tile=tile)
    X = points_at(transform, [(r + 0.5, c + 0.5) for r in range(4) for c in range(5)])
    for method in ("nearest", "bilinear"):
        found = sample_rasters(X, path, method=method, crs=CRS)["v"]
        np.testing.assert_array_equal(found, VALUES.ravel())
    mean = sample_rasters(X, {"v": path}, method="mean", window=1, crs=CRS)["v"]
    np.testing.assert_array_equal(mean, VALUES.ravel())


def test_points_on_edges(tmp_path):
    """Inner edges belong to the cell right and below, outer edges to the last cell."""
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    cells = [(0, 0), (1, 1), (4, 5), (2, 5), (4, 2), (3.999, 4.999)]
    found = sample_rasters(points_at(NORTH_UP, cells), path, crs=CRS)["v"]
    assert found.tolist() == [0.0, 6.0, 19.0, 14.0, 17.0, 19.0]
    with pytest.warns(UserWarning, match=r"2 of 2 points lie outside .*'v': 2.*check crs"):
        outside = sample_rasters(points_at(NORTH_UP, [(4.001, 2), (2, -0.001)]), path, crs=CRS)
    assert outside["v"].isna().all()


def test_bilinear_edges_use_the_cells_that_exist(tmp_path):
    """Half a cell from the border the outermost value holds; halfway between two cells the mean."""
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    X = points_at(NORTH_UP, [(0, 0), (0.5, 1.0), (1.0, 1.0), (4, 5)])
    found = sample_rasters(X, path, method="bilinear", crs=CRS)["v"]
    assert found.tolist() == [0.0, 0.5, 3.0, 19.0]


def test_rows_index_and_columns_are_kept(tmp_path):
    """Also of a repeated index and of points outside, in any order."""
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    X = points_at(NORTH_UP, [(3.5, 4.5), (9, 9), (0.5, 0.5)], site=["b", "a", "b"])
    X.index = [7, 3, 7]
    before = X.copy()
    with pytest.warns(UserWarning, match=r"1 of 3 points lie outside of the rasters \('v': 1\)"):
        found = sample_rasters(X, path, crs=CRS)
    pd.testing.assert_frame_equal(X, before)
    pd.testing.assert_frame_equal(found[X.columns], X)
    np.testing.assert_array_equal(found["v"], [19.0, np.nan, 0.0])


def test_each_raster_has_its_own_crs(tmp_path):
    """Points in degrees, rasters in two zones and in degrees."""
    to_degrees = pyproj.Transformer.from_crs(CRS, 4326, always_xy=True)
    X = points_at(NORTH_UP, [(r + 0.5, c + 0.5) for r in range(4) for c in range(5)])
    lon, lat = to_degrees.transform(X["x"], X["y"])
    degrees = pd.DataFrame({"lon": lon, "lat": lat})
    east, north = pyproj.Transformer.from_crs(CRS, 32635, always_xy=True).transform(X["x"], X["y"])
    rasters = {"own": write_raster(tmp_path / "own.tif", VALUES, transform=NORTH_UP)}
    other = affine(
        rasterio.Affine.translation(east.min() - 50, north.max() + 50), rasterio.Affine.scale(1, -1)
    )
    gradient = np.tile(np.arange(200.0), (150, 1))
    rasters["other"] = write_raster(
        tmp_path / "other.tif", gradient, transform=other, crs="EPSG:32635"
    )
    found = sample_rasters(degrees, rasters, method={"other": "bilinear"})
    np.testing.assert_array_equal(found["own"], VALUES.ravel())
    np.testing.assert_allclose(found["other"], east - east.min() + 50 - 0.5, atol=1e-5)


def test_longitudes_and_the_date_line():
    """0 to 360 in either, a raster across the date line, and one of the whole earth."""
    lon = np.arange(0.5, 360)
    globe = xr.DataArray(
        np.tile(lon, (4, 1)), coords={"lat": [1.5, 0.5, -0.5, -1.5], "lon": lon}, name="v"
    )
    west = pd.DataFrame({"lon": [-10.5, -179.5, 10.5, 0.0, 180.0], "lat": [0.5] * 5})
    assert sample_rasters(west, globe)["v"].tolist() == [349.5, 180.5, 10.5, 0.5, 180.5]
    near_zero = pd.DataFrame({"lon": [0.0, 359.75], "lat": [0.5, 0.5]})
    around = sample_rasters(near_zero, globe, method="bilinear")["v"]
    np.testing.assert_allclose(around, [180.0, 0.75 * 359.5 + 0.25 * 0.5])  # 359.5 and 0.5 meet
    across = globe.sel(lon=slice(170, 190))
    found = sample_rasters(west.iloc[[1, 4]], across)["v"]
    assert found.tolist() == [180.5, 180.5]
    half = globe.assign_coords(lon=lon - 180)
    east = pd.DataFrame({"lon": [190.5, 359.5], "lat": [0.5, 0.5]})
    np.testing.assert_array_equal(sample_rasters(east, half)["v"], [10.5, 179.5])


def test_nodata_scale_and_masks(tmp_path):
    """Declared and undeclared nodata values are missing; tags of scale are applied on request."""
    codes = np.arange(20, dtype="int16").reshape(4, 5)
    path = write_raster(tmp_path / "v.tif", codes, transform=NORTH_UP, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.1,), (5.0,)
    X = points_at(NORTH_UP, [(0.5, 0.5), (3.5, 4.5), (0.5, 1.5)])
    with pytest.warns(UserWarning) as caught:
        stored = sample_rasters(X, path, crs=CRS)["v"]
    assert len(caught) == 2
    assert "scale and offset tags" in str(caught[0].message)
    assert "1 of 3 points lie in cells without data ('v': 1)" in str(caught[1].message)
    np.testing.assert_array_equal(stored, [np.nan, 19.0, 1.0])
    with pytest.warns(UserWarning, match="without data"):
        scaled = sample_rasters(X, path, crs=CRS, mask_and_scale=True)["v"]
    np.testing.assert_allclose(scaled, [np.nan, 6.9, 5.1], rtol=1e-6)
    extreme = np.where(VALUES == 0, -3.4e38, VALUES).astype("float32")
    undeclared = write_raster(tmp_path / "u.tif", extreme, transform=NORTH_UP)
    with pytest.warns(UserWarning, match="without data"):
        around = sample_rasters(X, undeclared, method="mean", crs=CRS)["u"]
    np.testing.assert_array_equal(around, [np.nan, 16.0, np.mean([1, 2, 5, 6, 7])])


@pytest.mark.parametrize("kind", ["files", "dataset", "dask", "geo"])
def test_columns_are_those_that_predict_map_reads(tmp_path, table, kind):
    """A model fitted on sampled columns predicts the sampled cells as the map does."""
    bands = {name: values for name, values in bands_of(table).items() if name != "land_use"}
    source = as_dataset(bands)
    if kind == "files":
        source = {n: write_raster(tmp_path / f"{n}.tif", v) for n, v in bands.items()}
    elif kind == "dask":
        source = source.chunk({"y": 13, "x": 20})
    rows = np.random.default_rng(0).permutation(HEIGHT * WIDTH)[:50]
    X = table[["x", "y"]].iloc[rows]
    if kind == "geo":
        X = gpd.GeoDataFrame({"site": rows}, geometry=gpd.points_from_xy(X["x"], X["y"]), crs=CRS)
        filled = sample_rasters(X, source)
        assert isinstance(filled, gpd.GeoDataFrame)
        assert filled.crs == X.crs
        assert filled.geometry.equals(X.geometry)
    else:
        filled = sample_rasters(X, source, crs=CRS)
    names = [*bands]
    for name in names:
        np.testing.assert_array_equal(filled[name], bands[name].ravel()[rows])
        assert filled[name].dtype == bands[name].dtype
    linear = LinearRegression().fit(filled[names], np.arange(50.0))
    cells = flatten(predict_map(linear, source, verbose=0))["mean"]
    np.testing.assert_allclose(cells[rows], linear.predict(filled[names]), rtol=1e-5)


def test_names_of_bands(tmp_path):
    """Descriptions of bands, file stems, names of arrays, pairs and numbers."""
    X = points_at(NORTH_UP, [(0.5, 0.5)])
    two = np.stack([VALUES, VALUES + 100])
    described = write_raster(tmp_path / "s2.tif", two, names=["red", "nir"], transform=NORTH_UP)
    plain = write_raster(tmp_path / "dem.tif", VALUES, transform=NORTH_UP)
    array = xr.open_dataarray(plain, engine="rasterio").squeeze("band").rename("slope")
    found = sample_rasters(X, [described, plain, array], crs=CRS)
    assert found.columns.tolist() == ["x", "y", "red", "nir", "dem", "slope"]
    mapping = {"infra": (described, "nir"), "first": (described, 1), "year": 2020, "a": array}
    found = sample_rasters(X, mapping, crs=CRS)
    assert found.iloc[0, 2:].to_dict() == {"infra": 100.0, "first": 0.0, "year": 2020, "a": 0.0}
    with pytest.raises(ValueError, match=r"has the bands 1 to 2, named \['red', 'nir'\]"):
        sample_rasters(X, {"infra": described}, crs=CRS)
    with pytest.raises(ValueError, match=r"several bands named \['dem'\]"):
        sample_rasters(X, [plain, plain], crs=CRS)
    with pytest.raises(ValueError, match="DataArray without a name"):
        sample_rasters(X, array.rename(None), crs=CRS)


def test_existing_columns_are_kept(tmp_path):
    path = write_raster(tmp_path / "dem.tif", VALUES, transform=NORTH_UP)
    X = points_at(NORTH_UP, [(1.5, 1.5)], dem=-1.0)
    with pytest.raises(ValueError, match=r"points has the columns \['dem'\] already"):
        sample_rasters(X, path, crs=CRS)
    assert sample_rasters(X, path, crs=CRS, overwrite=True)["dem"].tolist() == [6.0]


def test_categories_are_not_averaged(tmp_path):
    """Color tables and text raise, few different integers warn, and `method` names the columns."""
    codes = np.tile([1, 2], (16, 8)).astype("uint8")
    plain = write_raster(tmp_path / "plain.tif", codes, transform=NORTH_UP)
    colored = write_raster(tmp_path / "colored.tif", codes, transform=NORTH_UP, tile=None)
    with rasterio.open(colored, "r+") as file:
        file.write_colormap(1, {1: (255, 0, 0, 255), 2: (0, 255, 0, 255)})
    X = points_at(NORTH_UP, [(r + 0.2, c + 0.2) for r in range(16) for c in range(16)])
    with pytest.raises(ValueError, match=r"'mean' .*'colored', because .* color table"):
        sample_rasters(X, colored, method="mean", crs=CRS)
    with pytest.warns(UserWarning, match=r"columns \['plain'\] hold few different integers"):
        sample_rasters(X, plain, method="bilinear", crs=CRS)
    text = xr.DataArray(codes.astype(str), dims=("y", "x"), name="soil")
    coords = xr.open_dataarray(plain, engine="rasterio").squeeze("band", drop=True).coords
    text = text.assign_coords(coords).rio.write_crs(CRS)
    with pytest.raises(ValueError, match="holds <U3"):
        sample_rasters(X, text, method={"soil": "mean"}, crs=CRS)
    both = sample_rasters(
        X, {"a": plain, "soil": text}, method={"soil": "nearest", "a": "nearest"}, crs=CRS
    )
    assert (both["soil"].astype(int) == both["a"]).all()
    elevation = write_raster(
        tmp_path / "dem.tif", np.arange(256, dtype="int16").reshape(16, 16), transform=NORTH_UP
    )
    sample_rasters(X, elevation, method="bilinear", crs=CRS)  # no warning


def test_unknown_crs_is_assumed_with_a_warning(tmp_path):
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    bare = write_raster(tmp_path / "w.tif", VALUES, transform=NORTH_UP, crs=None)
    other = write_raster(tmp_path / "o.tif", VALUES, transform=NORTH_UP, crs="EPSG:32635")
    X = points_at(NORTH_UP, [(1.5, 1.5)])
    with pytest.warns(UserWarning, match="CRS of the points is unknown.*EPSG:32636"):
        assert sample_rasters(X, path)["v"].tolist() == [6.0]
    with pytest.warns(UserWarning, match=r"columns \['w'\] have no CRS"):
        assert sample_rasters(X, bare, crs=CRS)["w"].tolist() == [6.0]
    with pytest.raises(ValueError, match=r"have different ones .*pass crs"):
        sample_rasters(X, [path, other])
    assert sample_rasters(X, bare)["w"].tolist() == [6.0]  # one unknown plane


def test_tables_of_other_libraries(tmp_path):
    """An array, and a frame with `to_pandas` such as those of polars."""
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    X = points_at(NORTH_UP, [(1.5, 1.5)])
    assert sample_rasters(X.to_numpy(), path, crs=CRS).columns.tolist() == [0, 1, "v"]

    class Frame:
        def to_pandas(self):
            return X

    assert sample_rasters(Frame(), path, crs=CRS)["v"].tolist() == [6.0]


def test_rasters_of_netcdf_with_the_crs_in_a_variable(table):
    """The grid mapping of a Dataset opened without decode_coords is no column."""
    dataset = as_dataset({"cov_0": bands_of(table)["cov_0"]}).reset_coords("spatial_ref")
    X = table[["x", "y"]].head(3)
    assert sample_rasters(X, dataset, crs=CRS).columns.tolist() == ["x", "y", "cov_0"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"method": "cubic"}, ValueError, r"method='cubic' .*'nearest'"),
        ({"method": {"w": "mean"}}, ValueError, r"method names the columns \['w'\]"),
        ({"window": 4}, ValueError, "window=4 must be an odd number"),
        ({"window": 3.0}, ValueError, "window=3.0"),
        ({"window_m": -1}, ValueError, "window_m=-1"),
        ({"rasters": []}, ValueError, "rasters is empty"),
        ({"rasters": 3}, TypeError, "found int"),
        ({"rasters": [3]}, TypeError, r"rasters\[0\] must be a path"),
        ({"rasters": {"v": "nowhere.tif"}}, ValueError, "nowhere.tif' cannot be opened"),
    ],
)
def test_arguments_are_checked(tmp_path, settings, error, message):
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    X = points_at(NORTH_UP, [(1.5, 1.5)])
    with pytest.raises(error, match=message):
        sample_rasters(X, **({"rasters": path, "crs": CRS} | settings))


def test_rasters_without_georeference_raise(tmp_path):
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = write_raster(
            tmp_path / "v.tif", VALUES, transform=rasterio.Affine.identity(), crs=None
        )
    with pytest.raises(ValueError, match=r"v.tif' is not georeferenced"):
        sample_rasters(points_at(NORTH_UP, [(1, 1)]), path, crs=CRS)


def test_progress_is_off_by_default(tmp_path, capsys):
    path = write_raster(tmp_path / "v.tif", VALUES, transform=NORTH_UP)
    X = points_at(NORTH_UP, [(1.5, 1.5)])
    sample_rasters(X, path, crs=CRS)
    assert capsys.readouterr().err == ""
    sample_rasters(X, path, crs=CRS, verbose=1)
    assert "rasters" in capsys.readouterr().err
