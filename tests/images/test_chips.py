"""Chips in physical units, standardized chips and spectral indices."""

import tracemalloc
import warnings

import numpy as np
import pytest
from chip_files import chip_error, counting, geotiff, modality, npy
from rasterio.io import MemoryFile

from sptgnn_sklearn.images.chips import band_indices, read_chip, standardize_chip
from sptgnn_sklearn.images.modalities import KNOWN, Modality


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "f8"])
def test_values_of_every_dtype(dtype):
    """Every numeric dtype gives the same float32 values, from GeoTIFF and from .npy."""
    values = (counting(3, 20, 24) % 251).astype(dtype)
    for content in (geotiff(values), npy(values)):
        chip = read_chip(content, "a", modality("X", 3), None)
        assert chip.dtype == np.float32
        np.testing.assert_array_equal(chip, values)


@pytest.mark.parametrize(
    ("length", "first"), [(32, 0), (33, 0), (34, 1), (35, 1), (36, 2), (101, 34)]
)
def test_large_chips_are_center_cropped(length, first):
    """With an odd difference, the extra row and column are dropped at the end."""
    values = counting(1, length, length + 1)
    content = geotiff(values, tiled=True, blockxsize=16, blockysize=16)
    column = (length + 1 - 32) // 2
    expected = values[:, first : first + 32, column : column + 32]
    np.testing.assert_array_equal(read_chip(content, "", modality(), 32), expected)
    np.testing.assert_array_equal(read_chip(npy(values), "", modality(), 32), expected)


def test_small_chips_are_padded_by_reflection():
    """Chips of at least half the size are padded by reflection; smaller ones raise."""
    values = counting(1, 5, 8)
    chip = read_chip(geotiff(values), "", modality(), 8)
    # One row above and two below.
    np.testing.assert_array_equal(chip[0], values[0][[0, 0, 1, 2, 3, 4, 4, 3]])
    # Cropped in one direction and mirrored in the other.
    chip = read_chip(geotiff(values), "", modality(), 7)
    np.testing.assert_array_equal(chip[0], values[0][[0, 0, 1, 2, 3, 4, 4]][:, :7])
    content = npy(counting(1, 5, 40))
    assert chip_error(content, chip_size=32) == (
        "is 5 x 40 pixels; chips of chip_size=32 need at least 16"
    )
    assert "need at least 6" in chip_error(content, chip_size=11)
    assert read_chip(content, "", modality(), 10).shape == (1, 10, 10)


def test_scale_and_offset():
    """Values are scale * (stored + offset), exact for large integers."""
    values = np.array([[[1000, 1500], [3000, 11000]]], dtype=np.uint16)
    chip = read_chip(npy(values), "", modality(scale=0.1, offset=-1000), None)
    np.testing.assert_allclose(chip, [[[0, 50], [200, 1000]]], rtol=1e-6)
    large = np.array([[16_777_217, 16_777_219]], dtype=np.int64)
    chip = read_chip(npy(large), "", modality(offset=-16_777_216), None)
    np.testing.assert_array_equal(chip, [[[1, 3]]])


def test_linear_power_is_converted_to_db():
    """Power 1 is 0 dB and 100 is 20 dB; zero and negative power are masked."""
    values = np.array([[[1, 100], [0, -1]], [[0.01, 0.1], [1, 10]]], dtype=np.float32)
    chip = read_chip(npy(values), "", modality("S1GRD", linear=True), None)
    expected = [[[0, 20], [np.nan, np.nan]], [[-20, -10], [0, 10]]]
    np.testing.assert_allclose(chip, expected, atol=1e-6)
    message = chip_error(npy(np.full((2, 4, 4), -12.0)), modality("S1GRD", linear=True))
    assert "remove linear=True" in message


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("int16", -9999),
        ("uint8", 0),
        ("uint16", 65535),
        ("float32", -9999),
        ("float32", -3.4028234663852886e38),
        ("float32", np.nan),
        ("float64", -1.7e308),
        ("int64", -9999),
    ],
)
def test_nodata_values_are_masked(dtype, nodata):
    """Pixels with the nodata value are NaN, in their own band only."""
    values = counting(2, 16, 16).astype("float64") % 99 + 1
    values[0, 3, 4] = values[1, 5, 6] = nodata
    chip = read_chip(geotiff(values.astype(dtype), nodata=nodata), "", modality("X", 2), None)
    expected = values.astype("float32" if abs(nodata) < 1e38 else "float64")
    expected[0, 3, 4] = expected[1, 5, 6] = np.nan
    np.testing.assert_array_equal(chip, expected)


def test_undeclared_nodata_is_kept_and_infinite_values_are_masked():
    """-9999 is a value unless declared as nodata; NaN and infinity are always masked."""
    values = counting(1, 4, 4).astype(np.float64)
    values[0, 0] = -9999, np.nan, np.inf, -1e300
    for content in (geotiff(values), npy(values)):
        chip = read_chip(content, "", modality(), None)
        np.testing.assert_array_equal(chip[0, 0], [-9999, np.nan, np.nan, np.nan])
        np.testing.assert_array_equal(chip[0, 1:], values[0, 1:])


def test_reflectance_in_place_of_digital_numbers_raises():
    """Sentinel-2 values up to 2 need a scale, unless the user passes mean and std."""
    values = np.full((12, 16, 16), 0.43, dtype=np.float32)
    values[0, 0] = -0.01, *[np.nan] * 15
    for name, content in (("S2L2A", npy(values)), ("S2L1C", npy(values[:1].repeat(13, 0)))):
        assert chip_error(content, modality(name)) == (
            "seems to hold reflectance between 0 and 1 (largest value 0.43); pass "
            "ImageColumn(..., scale=10000)"
        )
        chip = read_chip(content, "", modality(name, scale=10000), None)
        assert (np.nanmin(chip), np.nanmax(chip)) == (-100, 4300)
    user_statistics = modality("S2L2A", mean=[0.1] * 12, std=[0.2] * 12)
    np.testing.assert_array_equal(read_chip(npy(values), "", user_statistics, None), values)
    np.testing.assert_array_equal(read_chip(npy(values), "", modality("X", 12), None), values)
    values[3, 2, 1] = 2.1
    assert read_chip(npy(values), "", modality("S2L2A"), None)[3, 2, 1] == np.float32(2.1)


def test_linear_power_in_place_of_db_raises():
    """All-positive radar values need linear=True, unless the user passes mean and std."""
    power = np.full((2, 16, 16), 0.08, dtype=np.float32)
    for name in ("S1GRD", "S1RTC"):
        message = chip_error(npy(power), modality(name))
        assert message.startswith("seems to hold linear power (values from 0.08 to 0.08")
        assert message.endswith("; pass ImageColumn(..., linear=True)")
        chip = read_chip(npy(power), "", modality(name, linear=True), None)
        np.testing.assert_allclose(chip, -10.969, atol=1e-3)
    user_statistics = modality("S1GRD", mean=[0.1, 0.1], std=[1.0, 1.0])
    np.testing.assert_array_equal(read_chip(npy(power), "", user_statistics, None), power)
    power[0, 0, 0] = -0.1
    assert read_chip(npy(power), "", modality("S1GRD"), None)[0, 0, 0] < 0


def test_chips_without_data_raise():
    """Fully masked chips, and all-zero Sentinel chips, raise."""
    assert chip_error(npy(np.full((1, 9, 9), np.nan))).startswith(
        "has no data: all pixels are mask"
    )
    empty = geotiff(np.full((1, 9, 9), -1, np.int16), nodata=-1)
    assert chip_error(empty).startswith("has no data")
    # Only the center matters.
    border = np.ones((1, 36, 36))
    border[:, 2:34, 2:34] = np.nan
    assert chip_error(npy(border), chip_size=32).startswith("has no data")
    black = npy(np.zeros((12, 9, 9), np.uint16))
    assert chip_error(black, modality("S2L2A", offset=-1000)) == "has no data: all pixels are 0"
    assert not read_chip(npy(np.zeros((9, 9))), "", modality(), None).any()


def test_small_files_that_decode_to_large_arrays_raise():
    """Sparse and highly compressed rasters do not exceed the memory limit."""
    tile = {"tiled": True, "blockxsize": 16_384, "blockysize": 16_384, "compress": "deflate"}
    files = []
    for width, dtype, options in (
        (30_000, "uint8", {"tiled": True}),
        (30_000, "uint16", tile),
        (70_000, "uint8", {}),
    ):
        with warnings.catch_warnings(), MemoryFile() as file:
            warnings.simplefilter("ignore")
            size = {"width": width, "height": 30_000, "count": 1, "dtype": dtype}
            with file.open(driver="GTiff", sparse_ok=True, **size, **options):
                pass
            files.append(file.read())
    large, one_block, wide = files
    assert max(map(len, files)) < 1e6
    tracemalloc.start()
    assert chip_error(large).startswith(
        "takes 3.6 GB of memory to read, the size of a whole raster"
    )
    assert chip_error(one_block, chip_size=32).startswith("takes 537 MB of memory to read")
    assert chip_error(wide, chip_size=9).startswith("has 1 bands of 30000 x 70000 pixels")
    # A crop of a large raster takes the memory of the crop.
    assert read_chip(large, "", modality("X", 1), 32).shape == (1, 32, 32)
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_standardize_chip_matches_the_formula():
    """Valid pixels are (chip - mean) / std, clipped at 10; masked ones the mean of the others."""
    m = Modality("X", ("0", "1", "2"), mean=(10.0, 0.0, 5.0), std=(2.0, 4.0, 1.0))
    chip = np.array(
        [[[10, 14], [12, np.nan]], [[4, 1e30], [-1e30, np.inf]], [[np.nan] * 2] * 2], np.float32
    )
    before = chip.copy()
    scaled = standardize_chip(chip, m)
    np.testing.assert_array_equal(chip, before)
    assert scaled.dtype == np.float32 and scaled.flags.c_contiguous
    np.testing.assert_allclose(scaled[0], [[0, 2], [1, 1]])
    np.testing.assert_allclose(scaled[1], [[1, 10], [-10, 1 / 3]], rtol=1e-6)
    np.testing.assert_array_equal(scaled[2], 0)
    turned = standardize_chip(np.asfortranarray(chip.astype(np.float64)), m)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, scaled)


def test_standardize_chip_uses_the_statistics_of_the_modality():
    """A chip of TerraMind's means is 0 everywhere; without statistics it raises."""
    m = modality("S2L2A")
    mean, std = np.array(list(KNOWN["S2L2A"].values())).T[:, :, None, None]
    np.testing.assert_allclose(
        standardize_chip(mean + 2 * std + np.zeros((1, 4, 4)), m), 2, rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"modality X has 0 means and 0 standard deviations"):
        standardize_chip(np.ones((1, 4, 4)), modality("X", 1))


def test_band_indices_match_the_formulas():
    """NDVI, BSI and NDMI are the mean ratios over valid pixels."""
    rng = np.random.default_rng(0)
    m = modality("S2L2A")
    chip = rng.uniform(100, 4000, (12, 16, 16)).astype(np.float32)
    band = dict(zip(m.bands, chip.astype(np.float64), strict=True))
    blue, red, nir, swir = (band[name] for name in ("BLUE", "RED", "NIR_BROAD", "SWIR_1"))
    expected = np.array(
        [
            (nir - red) / (nir + red),
            ((swir + red) - (nir + blue)) / ((swir + red) + (nir + blue)),
            (nir - swir) / (nir + swir),
        ]
    )
    np.testing.assert_allclose(band_indices(chip, m), expected.mean(axis=(1, 2)), atol=1e-6)
    # A masked pixel of red is excluded from the indices with red.
    chip[m.bands.index("RED"), 3, 4] = np.nan
    assert np.isfinite(chip).sum() == chip.size - 1
    inside = np.ones((16, 16), dtype=bool)
    inside[3, 4] = False
    result = band_indices(chip, m)
    np.testing.assert_allclose(result[:2], expected[:2, inside].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(result[2], expected[2].mean(), atol=1e-6)


def test_band_indices_that_are_undefined():
    """Missing bands and dark pixels give NaN; ratios are clipped to [-1, 1]."""
    assert np.isnan(band_indices(np.ones((2, 4, 4)), modality("S1GRD"))).all()
    assert np.isnan(band_indices(np.ones((3, 4, 4)), modality("RGB"))).all()
    m = modality("S2L2A", bands=("B8", "B4"))
    for pixels in (0.0, np.nan, np.inf, -5.0):
        assert np.isnan(band_indices(np.full((2, 4, 4), pixels), m)).all()
    chip = np.array([[[200.0, 300.0]], [[-100.0, 100.0]]])  # ratios 3 and 0.5
    np.testing.assert_allclose(band_indices(chip, m), [0.75, np.nan, np.nan])
