"""Simulated image chips: georeferencing, formats, reproducibility and the signal in bare soil."""

import os
from pathlib import Path

import numpy as np
import pyproj
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import KFold, cross_val_predict

rasterio = pytest.importorskip("rasterio")

from sptgnn_sklearn.datasets.chips import CHIP_COLUMNS, write_survey_chips
from sptgnn_sklearn.images.modalities import KNOWN, band_name

RED, NIR = 3, 7


def read(path):
    with rasterio.open(path) as chip:
        return chip.read()


def ndvi(optical):
    return (optical[NIR] - optical[RED]) / (optical[NIR] + optical[RED])


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Signal and image chips of 280 locations."""
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(280)
    coordinates = np.column_stack([rng.uniform(29, 31, 280), rng.uniform(-1, 1, 280)])
    folder = tmp_path_factory.mktemp("chips")
    paths = write_survey_chips(folder, signal, coordinates, elevation=rng.uniform(0, 900, 280))
    return signal, {name: np.stack([read(path) for path in paths[name]]) for name in paths}


@pytest.mark.parametrize(
    ("name", "dtype", "nodata"),
    [("S2L2A", "uint16", 0), ("S1GRD", "float32", None), ("DEM", "float32", None)],
)
def test_files_have_bands_and_units_of_modality(name, dtype, nodata, tmp_path):
    """Number, names, data types and ranges of bands are those of the modality."""
    (path,) = write_survey_chips(tmp_path, [0.0], [[30.0, 0.0]], chip_size=48)[name]
    assert list(CHIP_COLUMNS) == ["S2L2A", "S1GRD", "DEM"]
    with rasterio.open(path) as chip:
        assert [band_name(text) for text in chip.descriptions] == list(KNOWN[name])
        assert chip.shape == (48, 48)
        assert set(chip.dtypes) == {dtype}
        assert chip.nodata == nodata
        values = chip.read()
        limits = {"S2L2A": (100, 8000), "S1GRD": (-40, 5), "DEM": (0, 9000)}[name]
        assert (limits[0] < values.min()) & (values.max() < limits[1])


@pytest.mark.parametrize(
    ("crs", "location", "expected"),
    [
        ("EPSG:4326", (30.5, 0.7), "EPSG:32636"),
        ("EPSG:4326", (29.9, -0.7), "EPSG:32735"),
        ("EPSG:4326", (180.0, 10.0), "EPSG:32601"),
        ("EPSG:4326", (10.0, 87.0), "EPSG:32661"),
        ("EPSG:4326", (10.0, -87.0), "EPSG:32761"),
        (None, (30.5, 0.7), "EPSG:32636"),
        ("EPSG:28992", (181_072.0, 333_611.0), "EPSG:28992"),
    ],
)
@pytest.mark.parametrize("size", [32, 33])
def test_location_is_in_middle_pixel(crs, location, expected, size, tmp_path):
    """Pixels are on the 10 m grid of the expected CRS, around the location."""
    paths = write_survey_chips(tmp_path, [0.0], [location], crs=crs, chip_size=size)
    for (path,) in paths.values():
        with rasterio.open(path) as chip:
            assert chip.crs == rasterio.CRS.from_user_input(expected)
            to_chip = pyproj.Transformer.from_crs(crs or "EPSG:4326", expected, always_xy=True)
            x, y = to_chip.transform(*location)
            grid = chip.transform
            assert (grid.a, grid.b, grid.d, grid.e) == (10, 0, 0, -10)
            assert grid.c % 10 == grid.f % 10 == 0
            assert (x - grid.c) // 10 == (grid.f - y) // 10 == size // 2


def test_elevation_of_middle_pixel(tmp_path):
    """The middle pixel has the given elevation, and the relief around it is below 100 m."""
    paths = write_survey_chips(tmp_path, [0.0, 0.0], [[30, 0], [30, 1]], elevation=[123.0, 45.5])
    results = [read(path)[0] for path in paths["DEM"]]
    assert [heights[16, 16] for heights in results] == [123.0, 45.5]
    assert all(1 < np.ptp(heights) < 100 for heights in results)


def test_signal_darkens_bare_soil_only(survey):
    """A standard deviation of the signal lowers red reflectance of soil by a sixth, not of crop."""
    signal, chips = survey
    index = np.array([ndvi(optical.astype(float)) for optical in chips["S2L2A"]])
    slopes = {}
    for name, rank in (("bare", 0.1), ("crop", 0.9)):
        cut = np.quantile(index, rank, axis=(1, 2), keepdims=True)
        mask = index <= cut if name == "bare" else index >= cut
        pairs = zip(chips["S2L2A"], mask, strict=True)
        red = [np.log(chip[RED][pixels]).mean() for chip, pixels in pairs]
        slopes[name] = np.polyfit(signal, red, 1)[0]
    assert slopes["bare"] == pytest.approx(-0.165, abs=0.025)
    assert abs(slopes["crop"]) < 0.04


def test_fields_have_bare_and_green_patches(survey):
    """All chips contain soil and crop in smooth patches, and radar with speckle."""
    _, chips = survey
    index = np.array([ndvi(optical.astype(float)) for optical in chips["S2L2A"]])
    assert np.quantile(index, 0.05, axis=(1, 2)).max() < 0.45
    assert np.quantile(index, 0.95, axis=(1, 2)).min() > 0.5

    def autocorrelation(images):
        return np.mean([np.corrcoef(a[:, 1:].ravel(), a[:, :-1].ravel())[0, 1] for a in images])

    assert autocorrelation(index) > 0.8
    assert autocorrelation(chips["S1GRD"][:, 0]) < 0.6


def test_signal_is_predictable_from_pixel_statistics(survey):
    """Quantiles of bands explain about two thirds of the signal, mean brightness far less."""
    signal, chips = survey
    bands = np.concatenate([chips["S2L2A"], chips["S1GRD"]], axis=1).astype(float)
    statistics = [bands.mean(axis=(2, 3)), *np.quantile(bands, [0.1, 0.5, 0.9], axis=(2, 3))]
    brightness = bands[:, :12].mean(axis=(1, 2, 3))[:, None]

    def explained(features):
        forest = RandomForestRegressor(60, max_features=0.33, random_state=0)
        result = cross_val_predict(forest, features, signal, cv=KFold(5))
        return 1 - np.mean((result - signal) ** 2) / signal.var()

    assert 0.5 < explained(np.hstack(statistics)) < 0.8
    assert explained(brightness) < 0.35


def test_files_are_reproducible(tmp_path):
    """Equal arguments give equal bytes; another seed, size or elevation has other names."""
    coordinates, signal = [[30.0, 0.0], [30.1, 0.1]], [0.4, -1.0]
    runs = {
        "a": {},
        "b": {},
        "c": {"seed": [1]},
        "d": {"chip_size": 16},
        "e": {"elevation": [5.0, 6.0]},
    }
    names = {}
    for folder, options in runs.items():
        paths = write_survey_chips(tmp_path / folder, signal, coordinates, **options)
        names[folder] = {Path(path).name for files in paths.values() for path in files}
        assert names[folder] == set(os.listdir(tmp_path / folder))
        assert len(names[folder]) == 6
    assert names["a"] == names["b"]
    assert len(set().union(*names.values())) == 4 * 6
    for name in names["a"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_fields_differ_by_seed_and_row(tmp_path):
    """Equal signals at one location have different fields for other seeds or rows."""
    signal, coordinates = [0.5, 0.5], [[30.0, 0.0]] * 2
    paths = [
        path
        for seed in ([0], [1])
        for path in write_survey_chips(tmp_path, signal, coordinates, seed=seed)["S2L2A"]
    ]
    fields = [ndvi(read(path).astype(float)).ravel() for path in paths]
    assert np.abs(np.corrcoef(fields) - np.eye(4)).max() < 0.9


def test_rows_are_independent_of_others(tmp_path):
    """The first rows of a larger survey have the same files."""
    coordinates, signal = [[30.0, 0.0], [30.1, 0.1], [30.2, 0.1]], [0.4, -1.0, 2.0]
    long = write_survey_chips(tmp_path, signal, coordinates)
    short = write_survey_chips(tmp_path, signal[:2], coordinates[:2])
    assert {name: paths[:2] for name, paths in long.items()} == short


def test_existing_files_are_kept(tmp_path):
    """A second call writes missing files only."""
    paths = write_survey_chips(tmp_path, [0.4, -1.0], [[30.0, 0.0], [30.1, 0.1]])
    kept, removed = paths["DEM"]
    before, content = os.stat(kept).st_mtime_ns, Path(removed).read_bytes()
    os.remove(removed)
    assert write_survey_chips(tmp_path, [0.4, -1.0], [[30.0, 0.0], [30.1, 0.1]]) == paths
    assert os.stat(kept).st_mtime_ns == before
    assert Path(removed).read_bytes() == content


def test_invalid_arguments_raise(tmp_path):
    """The directory is not a file, and each row has a location."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"directory=.*is a file"):
        write_survey_chips(tmp_path / "file", [0.0], [[30.0, 0.0]])
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(1, 2\) and \(2,\)"):
        write_survey_chips(tmp_path, [0.0, 1.0], [[30.0, 0.0]])
