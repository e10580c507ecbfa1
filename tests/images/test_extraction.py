"""Chips around points: the right pixels, in the right place, written once."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

rasterio = pytest.importorskip("rasterio")

from sptgnn_sklearn.images import extraction
from sptgnn_sklearn.images import raster as rasters
from sptgnn_sklearn.images.extraction import extract_chips
from sptgnn_sklearn.images.geotiff import import_rasterio, write_chip

GRID = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
UTM = "EPSG:32636"


def make_raster(path, values, crs=UTM, transform=GRID, **options):
    """Write a tiled raster whose blocks are smaller than it is."""
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "crs": crs} | options
    names = profile.pop("descriptions", ())
    mask = profile.pop("mask", None)
    bands, height, width = values.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=bands,
            height=height,
            width=width,
            dtype=values.dtype,
            transform=transform,
            **profile,
        ) as raster,
    ):
        raster.write(values)
        raster.descriptions = list(names) or [None] * bands
        if mask is not None:
            raster.write_mask(mask)
    return path


def numbered(bands=1, height=60, width=50, dtype="int32"):
    """Pixels that tell where they are: 10,000 band + 100 row + column."""
    band, row, column = np.indices((bands, height, width))
    return (10_000 * (band + 1) + 100 * row + column).astype(dtype)


def points(*pixels):
    """The middles of some pixels of `GRID`, given by row and column."""
    rows, columns = np.array(pixels, dtype=float).T
    return pd.DataFrame({"x": 500_005 + 10 * columns, "y": 4_999_995 - 10 * rows, "clay": 0.2})


def read(path):
    with rasterio.open(path) as chip:
        return chip.read()


def as_array(path, chunks=None):
    rioxarray = pytest.importorskip("rioxarray")
    with warnings.catch_warnings():
        # rioxarray multiplies transforms by a sign that affine means to give up.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return rioxarray.open_rasterio(path, chunks=chunks)


@pytest.fixture
def raster(tmp_path):
    return make_raster(tmp_path / "dem.tif", numbered(2), nodata=-1, descriptions=("B4", "B8"))


@pytest.fixture
def cut(tmp_path):
    """The function with a folder and a size of its own."""

    def call(raster, X, **options):
        settings = {"column": "path", "size": 4, "out_dir": tmp_path / "chips"} | options
        return extract_chips(raster, X, **settings)

    return call


@pytest.mark.parametrize("kind", ["path", "dataset", "array", "part of an array"])
def test_chips_hold_the_pixels_around_the_point(kind, raster, cut):
    """Pixels, transform, CRS, names and nodata are the raster's, whatever it is given as."""
    X = points((20, 30), (17, 8)).set_index(pd.Index([7, 7]))
    if kind == "path":
        table = cut(raster, X)
    elif kind == "dataset":
        with rasterio.open(raster) as dataset:
            table = cut(dataset, X)
    else:
        array = as_array(raster)
        table = cut(array if kind == "array" else array[:, 5:40, 3:], X)
    assert table.columns.tolist() == ["x", "y", "clay", "path"]
    assert table["path"].dtype == "str"
    pd.testing.assert_frame_equal(table[["x", "y", "clay"]], X)
    for path, (row, column) in zip(table["path"], [(20, 30), (17, 8)], strict=True):
        assert Path(path).is_absolute()
        with rasterio.open(path) as chip:
            expected = numbered(2)[:, row - 2 : row + 2, column - 2 : column + 2]
            np.testing.assert_array_equal(chip.read(), expected)
            left, top = 500_000 + 10 * (column - 2), 5_000_000 - 10 * (row - 2)
            assert tuple(chip.transform)[:6] == (10, 0, left, 0, -10, top)
            assert chip.crs == rasterio.CRS.from_epsg(32636)
            assert chip.descriptions == ("B4", "B8")
            assert chip.nodata == -1
            assert chip.compression.name == "deflate"


def test_points_are_brought_into_the_crs_of_the_raster(raster, cut):
    """Longitude and latitude in any order of columns find the same pixel as metres do."""
    import pyproj

    X = points((20, 30))
    lon, lat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(X.x, X.y)
    degrees = pd.DataFrame({"lat": lat, "lon": lon})
    assert cut(raster, degrees)["path"].tolist() == cut(raster, X)["path"].tolist()
    dutch = pyproj.Transformer.from_crs(UTM, "EPSG:32635", always_xy=True).transform(X.x, X.y)
    other = pd.DataFrame({"clay": [0.1], "e": dutch[0], "n": dutch[1]})
    found = cut(raster, other, coordinates=("e", "n"), crs="EPSG:32635")
    assert found["path"].tolist() == cut(raster, X)["path"].tolist()


def test_longitudes_to_360(tmp_path, cut):
    """West of Greenwich is found in a raster that counts longitudes from 0 to 360."""
    grid = rasterio.Affine(1, 0, 0, 0, -1, 90)
    world = make_raster(tmp_path / "w.tif", numbered(1, 180, 360), "EPSG:4326", grid)
    table = cut(world, pd.DataFrame({"lon": [-9.5, 9.5], "lat": [40.5, 40.5]}), size=1)
    assert [read(path).item() for path in table["path"]] == [10_000 + 4900 + 350, 14_909]


def test_rotated_raster(tmp_path, cut):
    """Rows that run north to south are no condition."""
    turned = rasterio.Affine(6, -8, 500_000, 8, 6, 5_000_000)
    path = make_raster(tmp_path / "turned.tif", numbered(), transform=turned)
    column, row = 20.5, 11.5
    X = pd.DataFrame(
        {"x": [500_000 + 6 * column - 8 * row], "y": [5_000_000 + 8 * column + 6 * row]}
    )
    (found,) = cut(path, X)["path"]
    np.testing.assert_array_equal(read(found), numbered()[:, 9:13, 18:22])
    with rasterio.open(found) as chip:
        corner = (500_000 + 6 * 18 - 8 * 9, 5_000_000 + 8 * 18 + 6 * 9)
        assert (chip.transform.c, chip.transform.f) == corner


@pytest.mark.parametrize("kind", ["nodata", "float", "integer"])
def test_beyond_the_border(kind, tmp_path, cut):
    """Pixels outside the raster are nodata, NaN, or repeated under a mask."""
    dtype = "float32" if kind == "float" else "int32"
    nodata = -1 if kind == "nodata" else None
    path = make_raster(tmp_path / "a.tif", numbered(dtype=dtype), nodata=nodata)
    (found,) = cut(path, points((0, 49)))["path"]
    fill = {"nodata": {"constant_values": -1}, "float": {"constant_values": np.nan}}
    expected = np.pad(
        numbered(dtype=dtype)[:, 0:2, 47:50],
        ((0, 0), (2, 0), (0, 1)),
        **fill.get(kind, {"mode": "edge"}),
    )
    np.testing.assert_array_equal(read(found), expected)
    with rasterio.open(found) as chip:
        valid = np.zeros((4, 4), bool)
        valid[2:, :3] = True
        np.testing.assert_array_equal(chip.dataset_mask() > 0, valid)
        assert tuple(chip.transform)[2:6:3] == (500_470, 5_000_020)


def test_chip_wider_than_the_raster(tmp_path, cut):
    """The whole raster may be smaller than one chip."""
    path = make_raster(tmp_path / "a.tif", numbered(1, 3, 3), nodata=0)
    (found,) = cut(path, points((1, 1)), size=9)["path"]
    np.testing.assert_array_equal(read(found), np.pad(numbered(1, 3, 3), ((0, 0), (3, 3), (3, 3))))


def test_mask_of_the_raster_is_carried_over(tmp_path, cut):
    """Pixels under a raster's own mask are under that of the chip, and may leave it empty."""
    mask = np.ones((60, 50), bool)
    mask[:, :25] = False
    path = make_raster(tmp_path / "a.tif", numbered(dtype="uint16"), mask=mask)
    with pytest.warns(UserWarning, match="1 of 2 rows .* 1 is where the raster a.tif holds no"):
        table = cut(path, points((20, 25), (20, 10)))
    assert table["path"].isna().tolist() == [False, True]
    with rasterio.open(table["path"][0]) as chip:
        np.testing.assert_array_equal(chip.dataset_mask() > 0, mask[18:22, 23:27])


def test_rows_without_a_chip(tmp_path, cut):
    """Outside, without data, or nowhere in the raster's CRS: NaN, and one warning with counts."""
    values = numbered(2, dtype="float32")
    values[:, :30, :30] = -9999
    path = make_raster(tmp_path / "a.tif", values, nodata=-9999)
    X = points((10, 10), (40, 40), (60, 3), (3, -1))
    with pytest.warns(UserWarning) as told:
        table = cut(path, X)
    assert [str(warning.message) for warning in told] == [
        "3 of 4 rows have no chip in 'path': 2 lie outside the raster a.tif and 1 is where the "
        "raster a.tif holds no data."
    ]
    assert table["path"].isna().tolist() == [True, False, True, True]
    with pytest.warns(UserWarning, match="1 lies outside"):
        table = cut(path, pd.DataFrame({"lon": [-147.0], "lat": [0.0]}))
    assert table["path"].isna().all()
    assert len(os.listdir(tmp_path / "chips")) == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [("UInt16", -9999), ("UInt16", 0.5), ("UInt16", float("nan")), ("Float32", -1.7e308)],
)
def test_impossible_nodata_marks_nothing(kind, value, tmp_path, cut):
    """A nodata value that the pixels cannot have is as none."""
    path = make_raster(tmp_path / "a.tif", numbered(dtype=kind.lower()))
    array = as_array(path).assign_attrs(_FillValue=value)
    view = tmp_path / "a.vrt"
    view.write_text(
        '<VRTDataset rasterXSize="50" rasterYSize="60"><SRS>EPSG:32636</SRS>'
        "<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1"><NoDataValue>{value}</NoDataValue>'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "<SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for source in (array, view):
        (found,) = cut(source, points((0, 0)))["path"]
        with rasterio.open(found) as chip:
            assert (chip.nodata is None) == (kind == "UInt16")
            assert (chip.dataset_mask() > 0).sum() == 4
            assert chip.read()[0, 2:, 2:].tolist() == [[10_000, 10_001], [10_100, 10_101]]


def test_every_second_pixel_of_an_array(raster, cut):
    """The coordinates of an array count, and not what it kept from the whole."""
    (found,) = cut(as_array(raster)[:, ::2, ::2], points((20, 30)))["path"]
    np.testing.assert_array_equal(read(found), numbered(2)[:, 16:24:2, 26:34:2])
    with rasterio.open(found) as chip:
        assert tuple(chip.transform)[:6] == (20, 0, 500_255, 0, -20, 4_999_845)


def test_second_call_writes_what_is_missing(raster, cut, monkeypatch):
    """Chips that exist are kept, those that are gone come back, and overwrite renews all."""
    X = points((20, 30), (17, 8), (40, 40))
    written = []
    real = extraction.write_chip

    def spy(path, *args, **options):
        written.append(str(path))
        real(path, *args, **options)

    monkeypatch.setattr(extraction, "write_chip", spy)
    table = cut(raster, X)
    paths = table["path"].tolist()
    assert sorted(written) == sorted(paths)
    Path(paths[1]).unlink()
    written.clear()
    pd.testing.assert_frame_equal(cut(raster, X), table)
    assert written == [paths[1]]
    written.clear()
    # No pixel is needed where the raster's file says which it is.
    monkeypatch.setattr(rasters, "_read_dataset", None)
    pd.testing.assert_frame_equal(cut(raster, X), table)
    with rasterio.open(raster) as dataset:
        pd.testing.assert_frame_equal(cut(dataset, X), table)
    assert not written
    monkeypatch.undo()
    monkeypatch.setattr(extraction, "write_chip", spy)
    cut(raster, X, overwrite=True)
    assert sorted(written) == sorted(paths)
    table = cut(as_array(raster), X)
    written.clear()
    pd.testing.assert_frame_equal(cut(as_array(raster), X), table)
    assert not written


def test_rows_in_one_pixel_share_a_file(raster, cut, tmp_path):
    """Two points 3 m apart in one pixel are one chip, beyond its border two."""
    X = points((20, 30), (20, 30), (20, 30))
    X["x"] += [0.0, 3.0, 6.0]
    paths = cut(raster, X)["path"].tolist()
    assert paths[0] == paths[1] != paths[2]
    assert len(os.listdir(tmp_path / "chips")) == 2


def test_no_two_chips_share_a_name(tmp_path, cut):
    """Another folder, another state of the file, other bands or another size: another file."""
    X, time = points((20, 30)), (1_700_000_000, 1_700_000_000)
    (tmp_path / "b").mkdir()
    first = make_raster(tmp_path / "dem.tif", numbered(2), nodata=0)
    second = make_raster(tmp_path / "b" / "dem.tif", numbered(2) + 1, nodata=0)
    for path in (first, second):
        os.utime(path, time)
    paths = [cut(path, X)["path"][0] for path in (first, second)]
    assert [read(path)[0, 2, 2] for path in paths] == [12_030, 12_031]
    make_raster(first, numbered(2) + 2, nodata=0)
    paths += [cut(first, X, **more)["path"][0] for more in ({}, {"bands": [2]}, {"size": 5})]
    assert [read(path)[0, 2, 2] for path in paths[2:]] == [12_032, 22_032, 12_032]
    array = as_array(first)
    paths += [cut(array + k, X)["path"][0] for k in (0, 5)]
    assert read(paths[-1])[0, 2, 2] == 12_037
    with rasterio.MemoryFile(Path(second).read_bytes()) as memory, memory.open() as dataset:
        paths.append(cut(dataset, X)["path"][0])
    assert len(set(paths)) == len(paths) == 8


def test_bands_by_name_and_number(raster, cut):
    """Bands come in the order asked for, with their names."""
    (found,) = cut(raster, points((20, 30)), bands=["b08", 1])["path"]
    with rasterio.open(found) as chip:
        assert chip.descriptions == ("B8", "B4")
        assert chip.read()[:, 2, 2].tolist() == [22_030, 12_030]
    (found,) = cut(as_array(raster), points((20, 30)), bands=["B8"])["path"]
    assert read(found)[:, 2, 2].tolist() == [22_030]


@pytest.mark.parametrize("give", ["path", "dataset", "array"])
def test_threads_change_nothing(give, tmp_path, raster, cut):
    """The same chips for the same rows from one thread and from four."""
    rng = np.random.default_rng(0)
    X = points(*rng.integers(0, 50, (300, 2)))
    with rasterio.open(raster) as dataset:
        source = {"path": raster, "dataset": dataset, "array": as_array(raster)}[give]
        one = cut(source, X, out_dir=tmp_path / "one")
        four = cut(source, X, out_dir=tmp_path / "four", n_jobs=4)
    assert [Path(path).name for path in one["path"]] == [Path(path).name for path in four["path"]]
    for first, second in zip(one["path"], four["path"], strict=True):
        assert Path(first).read_bytes() == Path(second).read_bytes()


def test_only_windows_are_read(tmp_path, cut):
    """A raster of 40 GB costs no more than its windows, also as a lazy array."""
    path = tmp_path / "huge.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=200_000,
        height=200_000,
        count=1,
        dtype="uint8",
        crs=UTM,
        transform=GRID,
        tiled=True,
        sparse_ok=True,
        bigtiff="yes",
    ) as raster:
        place = rasterio.windows.Window(150_000, 170_000, 4, 4)
        raster.write(np.full((1, 4, 4), 7, "uint8"), window=place)
    X = points((170_002, 150_002), (30, 30))
    for source in (path, as_array(path)):
        (first, second) = cut(source, X)["path"]
        assert read(first).tolist() == np.full((1, 4, 4), 7).tolist()
        assert not read(second).any()


def test_blocks_are_read_in_order(raster, cut, monkeypatch):
    """Windows of one block follow each other, whatever the order of rows."""
    seen = []
    real = rasters._read_dataset

    def spy(dataset, source, window):
        seen.append((window[0] // 16, window[2] // 16))
        return real(dataset, source, window)

    monkeypatch.setattr(rasters, "_read_dataset", spy)
    cut(raster, points(*np.random.default_rng(1).integers(4, 46, (200, 2))))
    assert seen == sorted(seen)
    assert len(set(seen)) == 9


def test_failed_write_leaves_nothing(raster, cut, tmp_path, monkeypatch):
    """A chip has its name only when it is complete."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        cut(raster, points((20, 30)))
    assert not os.listdir(tmp_path / "chips")


def test_damaged_raster_says_where(tmp_path, cut):
    """Blocks that cannot be read are an error with the window, not chips of zeros."""
    path = make_raster(tmp_path / "a.tif", numbered(1, 256, 256), compress="deflate")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\x55" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    X = points(*((row, row) for row in range(0, 256, 16)))
    for n_jobs in (None, 2):
        with pytest.raises(OSError, match=r"raster a.tif cannot be read in rows \d+ to \d+, col"):
            cut(path, X, n_jobs=n_jobs)


def test_array_as_x_and_empty_table(raster, cut):
    """Bare arrays go by position, and no rows are no chips."""
    table = cut(raster, points((20, 30))[["x", "y"]].to_numpy())
    assert table.columns.tolist() == [0, 1, "path"]
    assert table["path"].notna().all()
    assert cut(raster, points((20, 30)).iloc[:0])["path"].tolist() == []


def test_two_dimensional_and_boolean_array(tmp_path, raster, cut):
    """One band may come without its dimension, and flags become bytes."""
    array = as_array(raster)[0]
    (found,) = cut(array > 12_029, points((20, 30)))["path"]
    assert read(found).dtype == "uint8"
    np.testing.assert_array_equal(read(found)[0], numbered()[0, 18:22, 28:32] > 12_029)


def test_progress_bar(raster, cut, capsys):
    """A bar counts chips if it is asked for."""
    cut(raster, points((20, 30)))
    assert capsys.readouterr().err == ""
    cut(raster, points((20, 30)), verbose=1)
    assert "1/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size=0 must be"),
        ({"size": 32.0}, "size=32.0 must be"),
        ({"size": True}, "size=True must be"),
        ({"column": "clay"}, "column='clay' is a column of X already"),
        ({"column": ["path"]}, r"column=\['path'\] must be"),
        ({"out_dir": None}, "out_dir=None must be"),
        ({"bands": "B4"}, "bands='B4' must be a list"),
        ({"bands": []}, r"bands=\[\] must be a list"),
        ({"bands": [0]}, r"bands has 0; raster dem.tif has the bands 1 to 2, named \['B4', 'B8'\]"),
        ({"bands": ["B5"]}, "bands has 'B5'"),
        ({"bands": [1, "B4"]}, "names a band twice"),
        ({"coordinates": ("x", "north")}, "north"),
        ({"crs": "EPSG:0"}, "EPSG:0"),
    ],
)
def test_wrong_arguments(options, message, raster, cut):
    """Errors name the parameter and what was found."""
    with pytest.raises(ValueError, match=message):
        cut(raster, points((20, 30)), **options)


def test_wrong_folder(raster, cut):
    """A file is no folder for chips."""
    with pytest.raises(ValueError, match="is a file; give a directory"):
        cut(raster, points((20, 30)), out_dir=raster)


def test_wrong_rasters(tmp_path, cut):
    """What is no raster, or lies nowhere, is refused with what to do."""
    X = points((20, 30))
    degrees = pd.DataFrame({"lon": [33.0], "lat": [45.0]})
    nowhere = make_raster(tmp_path / "nowhere.tif", numbered(), crs=None, nodata=0)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ValueError, match=r"text.tif' cannot be opened"):
        cut(tmp_path / "text.tif", X)
    with pytest.raises(ValueError, match=r"none.tif' cannot be opened: .*No such file"):
        cut(tmp_path / "none.tif", X)
    with pytest.raises(ValueError, match=r"must be a path, .* found list"):
        cut([1, 2], X)
    with pytest.raises(ValueError, match=r"raster nowhere.tif has no CRS, and X is in EPSG:4326"):
        cut(nowhere, degrees)
    # A plane of which nothing is known is the raster's own.
    assert read(cut(nowhere, X)["path"][0])[0, 2, 2] == 12_030
    bare = tmp_path / "bare.npy.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        make_raster(bare, numbered(), crs=None, transform=None)
    with pytest.raises(ValueError, match=r"raster bare.npy.tif is not georeferenced"):
        cut(bare, X)
    with rasterio.open(nowhere) as dataset:
        pass
    with pytest.raises(ValueError, match="closed"):
        cut(dataset, X)
    many = make_raster(tmp_path / "many.tif", np.zeros((4097, 2, 2), "uint8"), nodata=0)
    with pytest.raises(ValueError, match=r"many.tif has 4097 bands, and 4096 are the most"):
        cut(many, X)


def test_transform_beyond_all_numbers(tmp_path, cut):
    """A damaged one can lead there; the row has no chip, and NumPy says nothing."""
    tiny = make_raster(
        tmp_path / "tiny.tif", numbered(), transform=rasterio.Affine(1e-3, 0, 0, 0, -1e-320, 0)
    )
    with pytest.warns(UserWarning, match="outside"):
        assert cut(tiny, points((20, 30)), n_jobs=1)["path"].isna().all()


def test_wrong_arrays(raster, cut):
    """Arrays of more dimensions, of uneven coordinates or without a place are refused."""
    xarray = pytest.importorskip("xarray")
    array = as_array(raster)
    with pytest.raises(ValueError, match="unevenly spaced"):
        cut(array.isel(x=[0, 1, 5]), points((20, 30)))
    with pytest.raises(ValueError, match="coordinates in 'x' that are NaN or infinite"):
        cut(array.assign_coords(x=np.full(array.sizes["x"], np.inf)), points((20, 30)))
    with pytest.raises(ValueError, match=r"found int32 in \('time', 'band', 'y', 'x'\)"):
        cut(array.expand_dims("time"), points((20, 30)))
    with pytest.raises(ValueError, match="no array that rioxarray can place"):
        cut(xarray.DataArray(np.zeros((2, 3)), dims=("a", "b")), points((20, 30)))


def test_lazy_array_of_dask(raster, cut):
    """An array in Dask's chunks gives the same pixels."""
    pytest.importorskip("dask")
    (found,) = cut(as_array(raster, chunks={"x": 16, "y": 16}), points((20, 30)))["path"]
    np.testing.assert_array_equal(read(found), numbered(2)[:, 18:22, 28:32])


def test_without_rasterio(raster, cut, monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(
        ImportError, match=r"^Images need rasterio and terratorch: pip install 'spt"
    ):
        cut(raster, points((20, 30)))
    with pytest.raises(ImportError, match=r"^Images need rasterio"):
        import_rasterio()


def test_write_chip(tmp_path):
    """Pixels, names and mask of a chip are read back as they were."""
    path, mask = tmp_path / "a.tif", np.eye(3, dtype=bool)
    write_chip(
        path, numbered(2, 3, 3), crs=UTM, transform=GRID, descriptions=(None, "B"), mask=mask
    )
    assert os.listdir(tmp_path) == ["a.tif"]
    with rasterio.open(path) as chip:
        np.testing.assert_array_equal(chip.read(), numbered(2, 3, 3))
        np.testing.assert_array_equal(chip.dataset_mask() > 0, mask)
        assert chip.descriptions == (None, "B")
        assert chip.transform == GRID
