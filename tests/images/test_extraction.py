"""Extraction of chips: pixels, locations, file names and reuse of existing files."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

rasterio = pytest.importorskip("rasterio")
from numbered_rasters import GRID, UTM, as_array, make_raster, numbered, points, read_raster

from sptgnn_sklearn.images import extraction
from sptgnn_sklearn.images import raster as raster_module


@pytest.mark.parametrize("kind", ["path", "dataset", "array", "part of an array"])
def test_chips_have_the_pixels_around_the_point(kind, raster, cut):
    """Pixels, transform, CRS, names and nodata equal the raster's, for every kind of input."""
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
    assert table["path"].dtype == pd.Series(["a"]).dtype
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


def test_points_are_transformed_to_the_crs_of_the_raster(raster, cut):
    """Longitude and latitude, and another UTM zone, find the same pixel."""
    import pyproj

    X = points((20, 30))
    lon, lat = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(X.x, X.y)
    degrees = pd.DataFrame({"lat": lat, "lon": lon})
    assert cut(raster, degrees)["path"].tolist() == cut(raster, X)["path"].tolist()
    other_zone = pyproj.Transformer.from_crs(UTM, "EPSG:32635", always_xy=True).transform(X.x, X.y)
    other = pd.DataFrame({"clay": [0.1], "e": other_zone[0], "n": other_zone[1]})
    result = cut(raster, other, coordinates=("e", "n"), crs="EPSG:32635")
    assert result["path"].tolist() == cut(raster, X)["path"].tolist()


def test_longitudes_from_0_to_360(tmp_path, cut):
    """Western longitudes are found in a raster with longitudes from 0 to 360."""
    grid = rasterio.Affine(1, 0, 0, 0, -1, 90)
    world = make_raster(tmp_path / "w.tif", numbered(1, 180, 360), "EPSG:4326", grid)
    table = cut(world, pd.DataFrame({"lon": [-9.5, 9.5], "lat": [40.5, 40.5]}), size=1)
    assert [read_raster(path).item() for path in table["path"]] == [10_000 + 4900 + 350, 14_909]


def test_rotated_raster(tmp_path, cut):
    """The transform may be rotated."""
    turned = rasterio.Affine(6, -8, 500_000, 8, 6, 5_000_000)
    path = make_raster(tmp_path / "turned.tif", numbered(), transform=turned)
    column, row = 20.5, 11.5
    X = pd.DataFrame(
        {"x": [500_000 + 6 * column - 8 * row], "y": [5_000_000 + 8 * column + 6 * row]}
    )
    (result,) = cut(path, X)["path"]
    np.testing.assert_array_equal(read_raster(result), numbered()[:, 9:13, 18:22])
    with rasterio.open(result) as chip:
        corner = (500_000 + 6 * 18 - 8 * 9, 5_000_000 + 8 * 18 + 6 * 9)
        assert (chip.transform.c, chip.transform.f) == corner


@pytest.mark.parametrize("kind", ["nodata", "float", "integer"])
def test_pixels_beyond_the_border(kind, tmp_path, cut):
    """Pixels outside the raster are nodata, NaN, or repeated under a mask."""
    dtype = "float32" if kind == "float" else "int32"
    nodata = -1 if kind == "nodata" else None
    path = make_raster(tmp_path / "a.tif", numbered(dtype=dtype), nodata=nodata)
    (result,) = cut(path, points((0, 49)))["path"]
    fill = {"nodata": {"constant_values": -1}, "float": {"constant_values": np.nan}}
    expected = np.pad(
        numbered(dtype=dtype)[:, 0:2, 47:50],
        ((0, 0), (2, 0), (0, 1)),
        **fill.get(kind, {"mode": "edge"}),
    )
    np.testing.assert_array_equal(read_raster(result), expected)
    with rasterio.open(result) as chip:
        valid = np.zeros((4, 4), bool)
        valid[2:, :3] = True
        np.testing.assert_array_equal(chip.dataset_mask() > 0, valid)
        assert tuple(chip.transform)[2:6:3] == (500_470, 5_000_020)


def test_chip_larger_than_the_raster(tmp_path, cut):
    """A raster smaller than a chip is padded on all sides."""
    path = make_raster(tmp_path / "a.tif", numbered(1, 3, 3), nodata=0)
    (result,) = cut(path, points((1, 1)), size=9)["path"]
    np.testing.assert_array_equal(
        read_raster(result), np.pad(numbered(1, 3, 3), ((0, 0), (3, 3), (3, 3)))
    )


def test_mask_of_the_raster_is_carried_over(tmp_path, cut):
    """Pixels masked in the raster are masked in the chip; fully masked chips are missing."""
    mask = np.ones((60, 50), bool)
    mask[:, :25] = False
    path = make_raster(tmp_path / "a.tif", numbered(dtype="uint16"), mask=mask)
    with pytest.warns(UserWarning, match="1 of 2 rows .* 1 lies where the raster a.tif has no"):
        table = cut(path, points((20, 25), (20, 10)))
    assert table["path"].isna().tolist() == [False, True]
    with rasterio.open(table["path"][0]) as chip:
        np.testing.assert_array_equal(chip.dataset_mask() > 0, mask[18:22, 23:27])


def test_rows_without_a_chip(tmp_path, cut):
    """Points outside, without data or without coordinates give NaN and one warning."""
    values = numbered(2, dtype="float32")
    values[:, :30, :30] = -9999
    path = make_raster(tmp_path / "a.tif", values, nodata=-9999)
    X = points((10, 10), (40, 40), (60, 3), (3, -1))
    with pytest.warns(UserWarning) as caught:
        table = cut(path, X)
    assert [str(warning.message) for warning in caught] == [
        "3 of 4 rows have no chip in 'path': 2 lie outside the raster a.tif and 1 lies where the "
        "raster a.tif has no data."
    ]
    assert table["path"].isna().tolist() == [True, False, True, True]
    with pytest.warns(UserWarning, match="1 lies outside"):
        table = cut(path, pd.DataFrame({"lon": [-147.0], "lat": [0.0]}))
    assert table["path"].isna().all()
    assert len(os.listdir(tmp_path / "chips")) == 1


def test_second_call_writes_missing_chips_only(raster, cut, monkeypatch):
    """Existing chips are kept, deleted ones are written again, and overwrite=True writes all."""
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
    # A plain file is identified without reading pixels.
    monkeypatch.setattr(raster_module, "_read_dataset", None)
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
    """Points in the same pixel share a chip; a point in the next pixel has another."""
    X = points((20, 30), (20, 30), (20, 30))
    X["x"] += [0.0, 3.0, 6.0]
    paths = cut(raster, X)["path"].tolist()
    assert paths[0] == paths[1] != paths[2]
    assert len(os.listdir(tmp_path / "chips")) == 2


def test_different_chips_have_different_names(tmp_path, cut):
    """Another folder, file state, band selection or size gives another file."""
    X, time = points((20, 30)), (1_700_000_000, 1_700_000_000)
    (tmp_path / "b").mkdir()
    first = make_raster(tmp_path / "dem.tif", numbered(2), nodata=0)
    second = make_raster(tmp_path / "b" / "dem.tif", numbered(2) + 1, nodata=0)
    for path in (first, second):
        os.utime(path, time)
    paths = [cut(path, X)["path"][0] for path in (first, second)]
    assert [read_raster(path)[0, 2, 2] for path in paths] == [12_030, 12_031]
    make_raster(first, numbered(2) + 2, nodata=0)
    paths += [cut(first, X, **more)["path"][0] for more in ({}, {"bands": [2]}, {"size": 5})]
    assert [read_raster(path)[0, 2, 2] for path in paths[2:]] == [12_032, 22_032, 12_032]
    array = as_array(first)
    paths += [cut(array + k, X)["path"][0] for k in (0, 5)]
    assert read_raster(paths[-1])[0, 2, 2] == 12_037
    with rasterio.MemoryFile(Path(second).read_bytes()) as memory, memory.open() as dataset:
        paths.append(cut(dataset, X)["path"][0])
    assert len(set(paths)) == len(paths) == 8


@pytest.mark.parametrize("give", ["path", "dataset", "array"])
def test_threads_give_the_same_files(give, tmp_path, raster, cut):
    """One thread and four write the same bytes."""
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
    """A raster of 40 GB is read by window, also as a lazy array."""
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
        window = rasterio.windows.Window(150_000, 170_000, 4, 4)
        raster.write(np.full((1, 4, 4), 7, "uint8"), window=window)
    X = points((170_002, 150_002), (30, 30))
    for source in (path, as_array(path)):
        (first, second) = cut(source, X)["path"]
        assert read_raster(first).tolist() == np.full((1, 4, 4), 7).tolist()
        assert not read_raster(second).any()


def test_blocks_are_read_in_order(raster, cut, monkeypatch):
    """Windows of one block follow each other for any order of rows."""
    seen = []
    real = raster_module._read_dataset

    def spy(dataset, source, window):
        seen.append((window[0] // 16, window[2] // 16))
        return real(dataset, source, window)

    monkeypatch.setattr(raster_module, "_read_dataset", spy)
    cut(raster, points(*np.random.default_rng(1).integers(4, 46, (200, 2))))
    assert seen == sorted(seen)
    assert len(set(seen)) == 9


def test_x_as_array_and_empty_table(raster, cut):
    """Columns of an array are found by position; an empty table gives no chips."""
    table = cut(raster, points((20, 30))[["x", "y"]].to_numpy())
    assert table.columns.tolist() == [0, 1, "path"]
    assert table["path"].notna().all()
    assert cut(raster, points((20, 30)).iloc[:0])["path"].tolist() == []


def test_progress_bar(raster, cut, capsys):
    """verbose=1 shows a bar that counts chips."""
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
        ({"column": "clay"}, "column='clay' is already a column of X"),
        ({"column": ["path"]}, r"column=\['path'\] must be"),
        ({"out_dir": None}, "out_dir=None must be"),
        ({"bands": "B4"}, "bands='B4' must be a list"),
        ({"bands": []}, r"bands=\[\] must be a list"),
        ({"bands": [0]}, r"bands has 0; raster dem.tif has the bands 1 to 2, named \['B4', 'B8'\]"),
        ({"bands": ["B5"]}, "bands has 'B5'"),
        ({"bands": [1, "B4"]}, "has a duplicate band"),
        ({"coordinates": ("x", "north")}, "north"),
        ({"crs": "EPSG:0"}, "EPSG:0"),
    ],
)
def test_invalid_parameters_raise(options, message, raster, cut):
    """Errors name the parameter and the value found."""
    with pytest.raises(ValueError, match=message):
        cut(raster, points((20, 30)), **options)


def test_out_dir_that_is_a_file_raises(raster, cut):
    """out_dir must be a directory."""
    with pytest.raises(ValueError, match="is a file; pass a directory"):
        cut(raster, points((20, 30)), out_dir=raster)


def test_overflowing_transform_gives_no_chip(tmp_path, cut):
    """With a damaged transform points lie outside, without a NumPy warning."""
    damaged = make_raster(
        tmp_path / "tiny.tif", numbered(), transform=rasterio.Affine(1e-3, 0, 0, 0, -1e-320, 0)
    )
    with pytest.warns(UserWarning, match="outside"):
        assert cut(damaged, points((20, 30)), n_jobs=1)["path"].isna().all()
