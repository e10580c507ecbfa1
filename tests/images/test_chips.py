"""Files of chips to arrays: what is read, what is refused, whatever the bytes are."""

import io
import logging
import os
import socket
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sptgnn_sklearn.images import chips
from sptgnn_sklearn.images.chip_formats import ChipError, chip_shape, read_bytes
from sptgnn_sklearn.images.chips import band_indices, read_chip, standardize_chip
from sptgnn_sklearn.images.modalities import KNOWN, Modality, make_modality
from sptgnn_sklearn.table.image_columns import ImageColumn

rasterio = pytest.importorskip("rasterio")
from rasterio.io import MemoryFile


def geotiff(values, *, descriptions=None, mask=None, **options):
    """The bytes of a GeoTIFF of the given values (bands, height, width)."""
    count, height, width = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MemoryFile() as file, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            options = {"dtype": values.dtype, "count": count, **options}
            with file.open(driver="GTiff", width=width, height=height, **options) as dataset:
                dataset.write(values)
                if descriptions:
                    dataset.descriptions = descriptions
                if mask is not None:
                    dataset.write_mask(mask)
            return file.read()


def npy(values):
    """The bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def modality(name="DEM", n_bands=1, **column):
    """A modality whose file needs no more than the given to be read."""
    return make_modality(name, ImageColumn("path", **column), n_bands)


def counting(*shape, dtype=np.int16):
    """Values that are all different and none 0."""
    return np.arange(1, np.prod(shape) + 1, dtype=dtype).reshape(shape)


def refusal(content, what=None, chip_size=None):
    """The message with which a chip is refused."""
    with pytest.raises(ChipError) as error:
        read_chip(content, "a.tif", what or modality(), chip_size)
    message = str(error.value)
    assert "\n" not in message and "vsimem" not in message and "chip.tif" not in message
    return message


# Every layout in which a chip is likely to be written.
LAYOUTS = [
    {"compress": compress, "interleave": interleave, **tiles}
    for compress in (None, "deflate", "lzw")
    for interleave in ("pixel", "band")
    for tiles in ({}, {"tiled": True, "blockxsize": 16, "blockysize": 16})
]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "f8"])
def test_values_come_back(dtype):
    """Every type of number gives the same float32, from GeoTIFF and from .npy."""
    values = (counting(3, 20, 24) % 251).astype(dtype)
    for content in (geotiff(values), npy(values)):
        chip = read_chip(content, "a", modality("X", 3), None)
        assert chip.dtype == np.float32
        np.testing.assert_array_equal(chip, values)


@pytest.mark.parametrize("options", [*LAYOUTS, {"endianness": "BIG"}, {"bigtiff": "YES"}])
def test_layouts_do_not_matter(options):
    """Compression, interleaving, tiles and byte order change nothing, with and without crop."""
    values = counting(3, 40, 50)
    content = geotiff(values, **options)
    assert chip_shape(content, "a.tif") == (3, 40, 50)
    x = modality("X", 3)
    np.testing.assert_array_equal(read_chip(content, "a.tif", x, None), values)
    np.testing.assert_array_equal(read_chip(content, "a.tif", x, 32), values[:, 4:36, 9:41])


def test_arrays_of_two_dimensions_orders_and_kinds():
    """One band needs no axis; Fortran order, big-endian and boolean arrays are read right."""
    values = counting(16, 18)
    assert chip_shape(npy(values), "a.npy") == (1, 16, 18)
    expected = values[None].astype(np.float32)
    for array in (values, np.asfortranarray(values), values.astype(">f4"), values[None]):
        np.testing.assert_array_equal(read_chip(npy(array), "", modality(), None), expected)
    three = counting(2, 16, 18)
    chip = read_chip(npy(np.asfortranarray(three)), "", modality("X", 2), None)
    np.testing.assert_array_equal(chip, three)
    chip = read_chip(npy(values % 2 == 0), "", modality(), None)
    np.testing.assert_array_equal(chip[0], values % 2 == 0)


@pytest.mark.parametrize(
    ("length", "first"), [(32, 0), (33, 0), (34, 1), (35, 1), (36, 2), (101, 34)]
)
def test_the_centre_is_kept(length, first):
    """Of an odd difference the odd row and column are left out at the end."""
    values = counting(1, length, length + 1)
    content = geotiff(values, tiled=True, blockxsize=16, blockysize=16)
    column = (length + 1 - 32) // 2
    expected = values[:, first : first + 32, column : column + 32]
    np.testing.assert_array_equal(read_chip(content, "", modality(), 32), expected)
    np.testing.assert_array_equal(read_chip(npy(values), "", modality(), 32), expected)


def test_small_chips_are_mirrored():
    """A chip of at least half the size is padded by its mirror image, a smaller one refused."""
    values = counting(1, 5, 8)
    chip = read_chip(geotiff(values), "", modality(), 8)
    # One row above and two below.
    np.testing.assert_array_equal(chip[0], values[0][[0, 0, 1, 2, 3, 4, 4, 3]])
    # Cropped in one direction and mirrored in the other.
    chip = read_chip(geotiff(values), "", modality(), 7)
    np.testing.assert_array_equal(chip[0], values[0][[0, 0, 1, 2, 3, 4, 4]][:, :7])
    content = npy(counting(1, 5, 40))
    assert refusal(content, chip_size=32) == (
        "is 5 x 40 pixels; chips of chip_size=32 need at least 16"
    )
    assert "need at least 6" in refusal(content, chip_size=11)
    assert read_chip(content, "", modality(), 10).shape == (1, 10, 10)


def test_scale_and_offset():
    """Values are scale times the sum of stored and offset, in precision enough for large ones."""
    values = np.array([[[1000, 1500], [3000, 11000]]], dtype=np.uint16)
    chip = read_chip(npy(values), "", modality(scale=0.1, offset=-1000), None)
    np.testing.assert_allclose(chip, [[[0, 50], [200, 1000]]], rtol=1e-6)
    large = np.array([[16_777_217, 16_777_219]], dtype=np.int64)
    chip = read_chip(npy(large), "", modality(offset=-16_777_216), None)
    np.testing.assert_array_equal(chip, [[[1, 3]]])


def test_linear_power_becomes_db():
    """1 is 0 dB and 100 is 20 dB; 0 and negative power are masked."""
    values = np.array([[[1, 100], [0, -1]], [[0.01, 0.1], [1, 10]]], dtype=np.float32)
    chip = read_chip(npy(values), "", modality("S1GRD", linear=True), None)
    expected = [[[0, 20], [np.nan, np.nan]], [[-20, -10], [0, 10]]]
    np.testing.assert_allclose(chip, expected, atol=1e-6)
    message = refusal(npy(np.full((2, 4, 4), -12.0)), modality("S1GRD", linear=True))
    assert "leave out linear=True" in message


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
def test_nodata_is_masked(dtype, nodata):
    """Pixels that hold the declared value are NaN, in their band only."""
    values = counting(2, 16, 16).astype("float64") % 99 + 1
    values[0, 3, 4] = values[1, 5, 6] = nodata
    chip = read_chip(geotiff(values.astype(dtype), nodata=nodata), "", modality("X", 2), None)
    expected = values.astype("float32" if abs(nodata) < 1e38 else "float64")
    expected[0, 3, 4] = expected[1, 5, 6] = np.nan
    np.testing.assert_array_equal(chip, expected)


def test_undeclared_values_are_kept_and_infinite_ones_masked():
    """Without a declaration -9999 is a value; NaN and infinity never are."""
    values = counting(1, 4, 4).astype(np.float64)
    values[0, 0] = -9999, np.nan, np.inf, -1e300
    for content in (geotiff(values), npy(values)):
        chip = read_chip(content, "", modality(), None)
        np.testing.assert_array_equal(chip[0, 0], [-9999, np.nan, np.nan, np.nan])
        np.testing.assert_array_equal(chip[0, 1:], values[0, 1:])


def test_masks_inside_the_file():
    """An internal mask masks all bands, also in the window of a crop."""
    values, mask = counting(3, 36, 36), counting(36, 36) % 3 != 0
    chip = read_chip(geotiff(values, mask=mask), "", modality("X", 3), 32)
    window = (slice(2, 34), slice(2, 34))
    np.testing.assert_array_equal(
        chip, np.where(mask[window], values[:, *window].astype(np.float32), np.nan)
    )


def test_alpha_is_a_mask_unless_it_is_a_band():
    """The fourth band of RGBA masks; that of a modality of four bands of bytes is a band."""
    values = counting(4, 16, 16, dtype=np.int64).astype(np.uint8)
    values[3] = 255
    values[3, 2, 2:5] = 0
    content = geotiff(values)  # GDAL itself calls the fourth band alpha
    assert chip_shape(content, "a.tif") == (4, 16, 16)
    chip = read_chip(content, "", modality("RGB"), None)
    np.testing.assert_array_equal(np.isnan(chip), np.broadcast_to(values[3] == 0, (3, 16, 16)))
    np.testing.assert_array_equal(read_chip(content, "", modality("X", 4), None), values)
    # Likewise beside values of 16 bits, and one that nothing is masked by.
    grey = geotiff(np.stack([counting(16, 16), np.ones((16, 16), np.int16)]), alpha="yes")
    np.testing.assert_array_equal(read_chip(grey, "", modality(), None)[0], counting(16, 16))


def test_bands_are_found_by_description_and_by_number():
    """Descriptions reorder the bands, thirteen bands lose cirrus, and others are refused."""
    values = counting(2, 16, 16) * np.int16(-1)
    radar = modality("S1GRD")
    swapped = geotiff(values, descriptions=("VH", "VV"))
    np.testing.assert_array_equal(read_chip(swapped, "", radar, None), values[::-1])
    np.testing.assert_array_equal(read_chip(geotiff(values), "", radar, None), values)
    thirteen = counting(13, 16, 16)
    for content in (geotiff(thirteen), npy(thirteen)):
        chip = read_chip(content, "", modality("S2L2A"), None)
        np.testing.assert_array_equal(chip, np.delete(thirteen, 10, axis=0))
    message = refusal(geotiff(counting(3, 16, 16)), modality("S2L2A"))
    assert message.startswith("has 3 bands where S2L2A has 12 (COASTAL_AEROSOL, BLUE")
    assert "(bands, height, width)" in refusal(npy(counting(16, 16, 12)), modality("S2L2A"))


@pytest.mark.parametrize("options", [{}, {"endianness": "BIG"}, {"bigtiff": "YES"}])
def test_metadata_that_cannot_be_decoded_does_no_harm(options, capfd):
    """A description that is not UTF-8 is no name, and damaged markup prints no complaint."""
    values = counting(1, 16, 16)
    content = geotiff(values, descriptions=("heightXX",), **options)
    for old, new in ((b"heightXX", b"h\xf6\xff\x80ghtX"), (b"<Item name", b"<Item \xff\x80me")):
        assert content.count(old) == 1
        chip = read_chip(content.replace(old, new), "", modality(), None)
        np.testing.assert_array_equal(chip, values)
    assert capfd.readouterr() == ("", "")
    # One that can be decoded stays.
    named = geotiff(np.concatenate([values, values + 1]), descriptions=("hö", "dem"), **options)
    np.testing.assert_array_equal(read_chip(named, "", modality(), None), values + 1)


def test_reflectance_is_told_from_digital_numbers():
    """Sentinel-2 values up to 2 need a scale, unless the user gave the figures for them."""
    values = np.full((12, 16, 16), 0.43, dtype=np.float32)
    values[0, 0] = -0.01, *[np.nan] * 15
    for name, content in (("S2L2A", npy(values)), ("S2L1C", npy(values[:1].repeat(13, 0)))):
        assert refusal(content, modality(name)) == (
            "looks like reflectance between 0 and 1 (largest value 0.43): pass "
            "ImageColumn(..., scale=10000)"
        )
        chip = read_chip(content, "", modality(name, scale=10000), None)
        assert (np.nanmin(chip), np.nanmax(chip)) == (-100, 4300)
    own = modality("S2L2A", mean=[0.1] * 12, std=[0.2] * 12)
    np.testing.assert_array_equal(read_chip(npy(values), "", own, None), values)
    np.testing.assert_array_equal(read_chip(npy(values), "", modality("X", 12), None), values)
    values[3, 2, 1] = 2.1
    assert read_chip(npy(values), "", modality("S2L2A"), None)[3, 2, 1] == np.float32(2.1)


def test_linear_power_is_told_from_db():
    """Radar values that all are above 0 need linear=True, unless the user gave the figures."""
    power = np.full((2, 16, 16), 0.08, dtype=np.float32)
    for name in ("S1GRD", "S1RTC"):
        message = refusal(npy(power), modality(name))
        assert message.startswith("looks like linear power (values from 0.08 to 0.08")
        assert message.endswith("pass ImageColumn(..., linear=True)")
        chip = read_chip(npy(power), "", modality(name, linear=True), None)
        np.testing.assert_allclose(chip, -10.969, atol=1e-3)
    own = modality("S1GRD", mean=[0.1, 0.1], std=[1.0, 1.0])
    np.testing.assert_array_equal(read_chip(npy(power), "", own, None), power)
    power[0, 0, 0] = -0.1
    assert read_chip(npy(power), "", modality("S1GRD"), None)[0, 0, 0] < 0


def test_no_data_at_all_is_refused():
    """Chips that are masked all over, or black for Sentinel, hold nothing."""
    assert refusal(npy(np.full((1, 9, 9), np.nan))).startswith("holds no data: all pixels are mask")
    empty = geotiff(np.full((1, 9, 9), -1, np.int16), nodata=-1)
    assert refusal(empty).startswith("holds no data")
    # Only the centre counts.
    frame = np.ones((1, 36, 36))
    frame[:, 2:34, 2:34] = np.nan
    assert refusal(npy(frame), chip_size=32).startswith("holds no data")
    black = npy(np.zeros((12, 9, 9), np.uint16))
    assert refusal(black, modality("S2L2A", offset=-1000)) == "holds no data: all pixels are 0"
    assert not read_chip(npy(np.zeros((9, 9))), "", modality(), None).any()


def test_complex_and_other_types_are_refused():
    """Only real numbers are values of a chip."""
    assert "complex64" in refusal(geotiff(np.ones((1, 9, 9), np.complex64)))
    assert "complex" in refusal(geotiff(np.ones((1, 9, 9), np.complex64), dtype="complex_int16"))
    assert "complex128" in refusal(npy(np.ones((1, 9, 9), complex)))
    assert "objects or records" in refusal(npy(np.zeros((9, 9), dtype=[("a", "f4")])))
    assert "chips hold real numbers" in refusal(npy(np.full((9, 9), "text")))
    assert "chips hold real numbers" in refusal(npy(np.zeros((9, 9), "m8[s]")))
    pickled = io.BytesIO()
    np.save(pickled, np.full((9, 9), None), allow_pickle=True)
    assert "chips hold real numbers" in refusal(pickled.getvalue())


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (b"\x89PNG\r\n\x1a\n", "is a PNG image; chips are GeoTIFF or .npy files"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (b"PK\x03\x04", "is a ZIP or .npz archive"),
        (b"\x89HDF\r\n", "is an HDF5 or netCDF file"),
        (b"<VRTDataset rasterXSize='9'>", "is of no known format"),
        (b"", "is of no known format"),
        (b"II*\0", "cannot be read ("),
        (b"\x93NUMPY", "has a damaged .npy header"),
    ],
)
def test_other_formats_are_refused_by_their_bytes(start, text):
    """What a file is called does not matter, and no driver but GeoTIFF is tried."""
    content = start + b"\0" * 64 * bool(start)
    assert refusal(content).startswith(text)
    with pytest.raises(ChipError):
        chip_shape(content, "a.tif")


def test_arrays_of_other_shapes_are_refused():
    """One, four or no dimensions, no pixels, more of them than a chip has, and cut arrays."""
    assert refusal(npy(np.ones(9))).startswith("has 1 dimensions")
    assert refusal(npy(np.ones((1, 1, 9, 9)))).startswith("has 4 dimensions")
    assert refusal(npy(np.float64(1))).startswith("has 0 dimensions")
    assert refusal(npy(np.ones((0, 9, 9)))).startswith("has no pixels")
    assert refusal(npy(np.ones((1, 70_000), bool))).startswith("has 1 bands of 1 x 70000 pixels")
    assert refusal(npy(np.ones((9, 9)))[:-1]).startswith("is cut short: 647 bytes of values where")


def test_small_files_that_declare_much_are_refused():
    """Neither a sparse raster nor a well packed one takes more memory than the limit."""
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
    assert refusal(large).startswith("takes 3.6 GB of memory to read: that is a whole raster")
    assert refusal(one_block, chip_size=32).startswith("takes 537 MB of memory to read")
    assert refusal(wide, chip_size=9).startswith("has 1 bands of 30000 x 70000 pixels")
    # A crop of a large raster is read, at the price of the crop.
    assert read_chip(large, "", modality("X", 1), 32).shape == (1, 32, 32)
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_fetch_reads_regular_files_only(tmp_path, monkeypatch):
    """Pipes, sockets, devices and folders are refused at once, as is what cannot be read."""
    (tmp_path / "a.tif").write_bytes(b"content")
    assert read_bytes(str(tmp_path / "a.tif")) == b"content"
    (tmp_path / "empty.tif").touch()
    os.mkfifo(tmp_path / "pipe.tif")
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(2_100_000_000)
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "link.tif").symlink_to(tmp_path / "pipe.tif")
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.tif")
        for name, text in {
            "none.tif": "does not exist",
            "a.tif/b.tif": "does not exist",
            "s3://bucket/a.tif": "does not exist",
            "": "does not exist",
            ".": "is a directory",
            "empty.tif": "is empty",
            "pipe.tif": "is no regular file but a pipe, socket or device",
            "link.tif": "is no regular file but a pipe, socket or device",
            "socket.tif": "is no regular file but a pipe, socket or device",
            "/dev/zero": "is no regular file but a pipe, socket or device",
            "large.tif": "is 2.1 GB: that is a whole raster; cut chips from it with extract_chips",
            "loop.tif": "cannot be read (Too many levels of symbolic links)",
            "a" * 300: "cannot be read (File name too long)",
            "a\0b": "cannot be read (embedded null byte)",
        }.items():
            with pytest.raises(ChipError) as error:
                read_bytes(name)
            assert str(error.value) == text
    with pytest.raises(ChipError, match=r"cannot be read \('utf-8' codec can't encode"):
        read_bytes("\udfff")


def test_fetch_says_when_reading_is_not_allowed(tmp_path, monkeypatch):
    """The system's own word for it is in the message."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"content")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(ChipError, match=r"^cannot be read \(Permission denied\)$"):
        read_bytes(str(path))


def test_standardise_against_the_formula():
    """Valid pixels are (chip - mean) / std within 10; masked ones the mean of the others."""
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


def test_standardise_uses_the_figures_of_the_modality():
    """A chip of TerraMind's means is 0 everywhere; without figures nothing can be done."""
    m = modality("S2L2A")
    mean, std = np.array(list(KNOWN["S2L2A"].values())).T[:, :, None, None]
    np.testing.assert_allclose(
        standardize_chip(mean + 2 * std + np.zeros((1, 4, 4)), m), 2, rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"modality X has 0 means and 0 standard deviations"):
        standardize_chip(np.ones((1, 4, 4)), modality("X", 1))


def test_indices_against_the_formulas():
    """NDVI, BSI and NDMI are the mean of the ratios over the pixels that count."""
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
    # One masked pixel of red counts for none of the indices that need it.
    chip[m.bands.index("RED"), 3, 4] = np.nan
    assert np.isfinite(chip).sum() == chip.size - 1
    inside = np.ones((16, 16), dtype=bool)
    inside[3, 4] = False
    found = band_indices(chip, m)
    np.testing.assert_allclose(found[:2], expected[:2, inside].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(found[2], expected[2].mean(), atol=1e-6)


def test_indices_that_have_no_meaning():
    """Bands that are not there and pixels without light give NaN; negative values stay within 1."""
    assert np.isnan(band_indices(np.ones((2, 4, 4)), modality("S1GRD"))).all()
    assert np.isnan(band_indices(np.ones((3, 4, 4)), modality("RGB"))).all()
    m = modality("S2L2A", bands=("B8", "B4"))
    for pixels in (0.0, np.nan, np.inf, -5.0):
        assert np.isnan(band_indices(np.full((2, 4, 4), pixels), m)).all()
    chip = np.array([[[200.0, 300.0]], [[-100.0, 100.0]]])  # ratios 3 and 0.5
    np.testing.assert_allclose(band_indices(chip, m), [0.75, np.nan, np.nan])


def mutants(content, rng, n):
    """Files as they come from broken disks: cut, with bytes changed, or numbers made extreme."""
    for i in range(n):
        broken = bytearray(content)
        if i % 3 == 0:
            broken = broken[: rng.integers(len(content))]
        else:
            for at in rng.integers(4, len(content) if i % 3 == 1 else 400, size=rng.integers(1, 6)):
                broken[at] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        yield bytes(broken)


def test_damaged_files_are_read_or_refused(capfd, caplog):
    """Whatever happened to a file, there is a finite array or a ChipError, and no other output."""
    caplog.set_level(logging.CRITICAL, "rasterio")  # what GDAL says goes there, and is much
    rng = np.random.default_rng(0)
    values = counting(3, 40, 36)
    names = ("one", "two", "three")
    originals = [npy(values), npy(np.asfortranarray(values).astype("f8"))]
    originals += [geotiff(values, descriptions=names, nodata=7, **options) for options in LAYOUTS]
    originals += [geotiff(values, mask=values[0] > 99), geotiff(values[[0, 1, 2, 0]].astype("u1"))]
    m = modality("X", 3, mean=[0.0] * 3, std=[1.0] * 3)
    outcomes = {"read": 0, "refused": 0}
    for content in originals:
        for broken in mutants(content, rng, 24):
            for chip_size in (None, 32):
                try:
                    chip_shape(broken, "a.tif")
                    chip = read_chip(broken, "a.tif", m, chip_size)
                except ChipError as error:
                    message = str(error)
                    assert message and "\n" not in message and "chip.tif" not in message
                    outcomes["refused"] += 1
                else:
                    assert chip.dtype == np.float32 and not np.isinf(chip).any()
                    assert np.isfinite(standardize_chip(chip, m)).all()
                    outcomes["read"] += 1
    assert min(outcomes.values()) > 100
    assert capfd.readouterr() == ("", "")


def test_errors_of_other_kinds_become_chip_errors(monkeypatch):
    """Running out of memory inside GDAL or rasterio is an error of the file, too."""
    content = geotiff(counting(1, 16, 16))
    for error in (MemoryError(), OverflowError("too large\nfor C"), SystemError("x")):

        def fail(*args, _error=error, **kwargs):
            raise _error

        monkeypatch.setattr(chips._rasterio()[1], "read", fail)
        assert refusal(content).startswith("cannot be read (")


def test_threads_read_the_same():
    """Many threads at once give what one gives, without warnings, inside one Env or none."""
    files = [geotiff(counting(2, 40, 40) + np.int16(i), compress="deflate") for i in range(40)]
    broken = [content[: len(content) // 2] for content in files]
    m = modality("X", 2)

    def job(content):
        try:
            return read_chip(content, "a.tif", m, 32)
        except ChipError as error:
            return str(error)

    jobs = files + broken
    expected = [job(content) for content in jobs]
    assert all(isinstance(result, str) for result in expected[40:])
    for workers in (8, 3):
        with ThreadPoolExecutor(workers) as pool, rasterio.Env():
            for found, wanted in zip(pool.map(job, jobs), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_without_rasterio_the_message_says_what_to_install(monkeypatch):
    """GeoTIFF needs the extra; reading arrays does not."""
    content = geotiff(counting(1, 16, 16))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    chips._rasterio.cache_clear()
    assert chip_shape(npy(np.ones((2, 3))), "a.npy") == (1, 2, 3)
    message = r"^Images need rasterio and terratorch: pip install 'sptgnn-sklearn\[images\]'\.$"
    with pytest.raises(ImportError, match=message):
        chip_shape(content, "a.tif")
    monkeypatch.undo()
    assert chip_shape(content, "a.tif") == (1, 16, 16)
