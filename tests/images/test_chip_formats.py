"""Reading of chip files: formats, limits and errors, for any content."""

import io
import logging
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from chip_files import LAYOUTS, chip_error, counting, geotiff, modality, npy
from numpy.lib import format as npy_format

from sptgnn_sklearn.images import chip_formats
from sptgnn_sklearn.images.chip_formats import ChipError, chip_shape, read_bytes
from sptgnn_sklearn.images.chips import read_chip, standardize_chip

rasterio = pytest.importorskip("rasterio")


@pytest.mark.parametrize("options", [*LAYOUTS, {"endianness": "BIG"}, {"bigtiff": "YES"}])
def test_layouts_give_the_same_values(options):
    """Compression, interleaving, tiles and byte order do not change values, cropped or not."""
    values = counting(3, 40, 50)
    content = geotiff(values, **options)
    assert chip_shape(content, "a.tif") == (3, 40, 50)
    x = modality("X", 3)
    np.testing.assert_array_equal(read_chip(content, "a.tif", x, None), values)
    np.testing.assert_array_equal(read_chip(content, "a.tif", x, 32), values[:, 4:36, 9:41])


def test_npy_dimensions_orders_and_dtypes():
    """Arrays may be 2-D, in Fortran order, big-endian or boolean."""
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


def test_internal_mask_is_applied():
    """An internal mask masks all bands, also in a cropped window."""
    values, mask = counting(3, 36, 36), counting(36, 36) % 3 != 0
    chip = read_chip(geotiff(values, mask=mask), "", modality("X", 3), 32)
    window = (slice(2, 34), slice(2, 34))
    np.testing.assert_array_equal(
        chip, np.where(mask[window], values[:, *window].astype(np.float32), np.nan)
    )


def test_alpha_band_is_a_mask_unless_it_is_a_band_of_the_modality():
    """The alpha band of RGBA masks; the fourth band of a 4-band modality is a band."""
    values = counting(4, 16, 16, dtype=np.int64).astype(np.uint8)
    values[3] = 255
    values[3, 2, 2:5] = 0
    content = geotiff(values)  # GDAL interprets the fourth band as alpha
    assert chip_shape(content, "a.tif") == (4, 16, 16)
    chip = read_chip(content, "", modality("RGB"), None)
    np.testing.assert_array_equal(np.isnan(chip), np.broadcast_to(values[3] == 0, (3, 16, 16)))
    np.testing.assert_array_equal(read_chip(content, "", modality("X", 4), None), values)
    # Likewise for 16-bit values, and an alpha band that masks nothing.
    grey = geotiff(np.stack([counting(16, 16), np.ones((16, 16), np.int16)]), alpha="yes")
    np.testing.assert_array_equal(read_chip(grey, "", modality(), None)[0], counting(16, 16))


def test_bands_are_found_by_description_and_by_number():
    """Descriptions reorder bands, 13 bands lose cirrus, and other numbers raise."""
    values = counting(2, 16, 16) * np.int16(-1)
    radar = modality("S1GRD")
    swapped = geotiff(values, descriptions=("VH", "VV"))
    np.testing.assert_array_equal(read_chip(swapped, "", radar, None), values[::-1])
    np.testing.assert_array_equal(read_chip(geotiff(values), "", radar, None), values)
    thirteen = counting(13, 16, 16)
    for content in (geotiff(thirteen), npy(thirteen)):
        chip = read_chip(content, "", modality("S2L2A"), None)
        np.testing.assert_array_equal(chip, np.delete(thirteen, 10, axis=0))
    message = chip_error(geotiff(counting(3, 16, 16)), modality("S2L2A"))
    assert message.startswith("has 3 bands where S2L2A has 12 (COASTAL_AEROSOL, BLUE")
    assert "(bands, height, width)" in chip_error(npy(counting(16, 16, 12)), modality("S2L2A"))


@pytest.mark.parametrize("options", [{}, {"endianness": "BIG"}, {"bigtiff": "YES"}])
def test_undecodable_metadata_is_ignored(options, capfd):
    """Descriptions that are not UTF-8 are ignored, and damaged XML prints nothing."""
    values = counting(1, 16, 16)
    content = geotiff(values, descriptions=("heightXX",), **options)
    for old, new in ((b"heightXX", b"h\xf6\xff\x80ghtX"), (b"<Item name", b"<Item \xff\x80me")):
        assert content.count(old) == 1
        chip = read_chip(content.replace(old, new), "", modality(), None)
        np.testing.assert_array_equal(chip, values)
    assert capfd.readouterr() == ("", "")
    # Decodable descriptions are used.
    named = geotiff(np.concatenate([values, values + 1]), descriptions=("hö", "dem"), **options)
    np.testing.assert_array_equal(read_chip(named, "", modality(), None), values + 1)


def test_values_that_are_not_real_numbers_raise():
    """Complex numbers, records, text, time differences and objects raise."""
    assert "complex64" in chip_error(geotiff(np.ones((1, 9, 9), np.complex64)))
    assert "complex" in chip_error(geotiff(np.ones((1, 9, 9), np.complex64), dtype="complex_int16"))
    assert "complex128" in chip_error(npy(np.ones((1, 9, 9), complex)))
    assert "objects or records" in chip_error(npy(np.zeros((9, 9), dtype=[("a", "f4")])))
    assert "chips hold real numbers" in chip_error(npy(np.full((9, 9), "text")))
    assert "chips hold real numbers" in chip_error(npy(np.zeros((9, 9), "m8[s]")))
    pickled = io.BytesIO()
    np.save(pickled, np.full((9, 9), None), allow_pickle=True)
    assert "chips hold real numbers" in chip_error(pickled.getvalue())


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (b"\x89PNG\r\n\x1a\n", "is a PNG image; chips are GeoTIFF or .npy files"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (b"PK\x03\x04", "is a ZIP or .npz archive"),
        (b"\x89HDF\r\n", "is an HDF5 or netCDF file"),
        (b"<VRTDataset rasterXSize='9'>", "is of unknown format"),
        (b"", "is of unknown format"),
        (b"II*\0", "cannot be read ("),
        (b"\x93NUMPY", "has a damaged .npy header"),
    ],
)
def test_other_formats_raise_by_their_first_bytes(start, text):
    """The file name is irrelevant, and no driver but GeoTIFF is tried."""
    content = start + b"\0" * 64 * bool(start)
    assert chip_error(content).startswith(text)
    with pytest.raises(ChipError):
        chip_shape(content, "a.tif")


def test_npy_shapes_that_are_not_chips_raise():
    """Other dimensions, empty or too wide arrays, and truncated files raise."""
    assert chip_error(npy(np.ones(9))).startswith("has 1 dimensions")
    assert chip_error(npy(np.ones((1, 1, 9, 9)))).startswith("has 4 dimensions")
    assert chip_error(npy(np.float64(1))).startswith("has 0 dimensions")
    assert chip_error(npy(np.ones((0, 9, 9)))).startswith("has no pixels")
    assert chip_error(npy(np.ones((1, 70_000), bool))).startswith("has 1 bands of 1 x 70000 pixels")
    assert chip_error(npy(np.ones((9, 9)))[:-1]).startswith(
        "is truncated: it has 647 bytes of values where"
    )


def test_read_bytes_opens_regular_files_only(tmp_path, monkeypatch):
    """Pipes, sockets, devices, folders and unreadable files raise at once."""
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
            "pipe.tif": "is not a regular file but a pipe, socket or device",
            "link.tif": "is not a regular file but a pipe, socket or device",
            "socket.tif": "is not a regular file but a pipe, socket or device",
            "/dev/zero": "is not a regular file but a pipe, socket or device",
            "large.tif": "is 2.1 GB, the size of a whole raster; cut chips from it with "
            "extract_chips",
            "loop.tif": "cannot be read (Too many levels of symbolic links)",
            "a" * 300: "cannot be read (File name too long)",
            "a\0b": "cannot be read (embedded null byte)",
        }.items():
            with pytest.raises(ChipError) as error:
                read_bytes(name)
            assert str(error.value) == text
    with pytest.raises(ChipError, match=r"cannot be read \('utf-8' codec can't encode"):
        read_bytes("\udfff")


def test_read_bytes_reports_missing_permission(tmp_path, monkeypatch):
    """The message has the system's reason."""
    path = tmp_path / "a.tif"
    path.write_bytes(b"content")

    def deny(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", deny)
    with pytest.raises(ChipError, match=r"^cannot be read \(Permission denied\)$"):
        read_bytes(str(path))


def mutants(content, rng, n):
    """Yield files with typical damage: truncated, changed bytes, extreme numbers."""
    for i in range(n):
        broken = bytearray(content)
        if i % 3 == 0:
            broken = broken[: rng.integers(len(content))]
        else:
            for at in rng.integers(4, len(content) if i % 3 == 1 else 400, size=rng.integers(1, 6)):
                broken[at] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        yield bytes(broken)


def test_damaged_files_give_an_array_or_a_chip_error(capfd, caplog):
    """Any content gives a finite array or a ChipError, and prints nothing."""
    caplog.set_level(logging.CRITICAL, "rasterio")  # GDAL logs many messages
    rng = np.random.default_rng(0)
    values = counting(3, 40, 36)
    names = ("one", "two", "three")
    originals = [npy(values), npy(np.asfortranarray(values).astype("f8"))]
    originals += [geotiff(values, descriptions=names, nodata=7, **options) for options in LAYOUTS]
    originals += [geotiff(values, mask=values[0] > 99), geotiff(values[[0, 1, 2, 0]].astype("u1"))]
    m = modality("X", 3, mean=[0.0] * 3, std=[1.0] * 3)
    outcomes = {"read": 0, "error": 0}
    for content in originals:
        for broken in mutants(content, rng, 24):
            for chip_size in (None, 32):
                try:
                    chip_shape(broken, "a.tif")
                    chip = read_chip(broken, "a.tif", m, chip_size)
                except ChipError as error:
                    message = str(error)
                    assert message and "\n" not in message and "chip.tif" not in message
                    outcomes["error"] += 1
                else:
                    assert chip.dtype == np.float32 and not np.isinf(chip).any()
                    assert np.isfinite(standardize_chip(chip, m)).all()
                    outcomes["read"] += 1
    assert min(outcomes.values()) > 100
    assert capfd.readouterr() == ("", "")


def test_errors_in_gdal_become_chip_errors(monkeypatch):
    """Memory and overflow errors inside GDAL or rasterio become ChipErrors."""
    content = geotiff(counting(1, 16, 16))
    for error in (MemoryError(), OverflowError("too large\nfor C"), SystemError("x")):

        def fail(*args, _error=error, **kwargs):
            raise _error

        monkeypatch.setattr(chip_formats._rasterio()[1], "read", fail)
        assert chip_error(content).startswith("cannot be read (")


def test_threads_give_the_same_result():
    """Threads give the results of one thread, without warnings, inside one Env or none."""
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
            for values, expected_values in zip(pool.map(job, jobs), expected, strict=True):
                np.testing.assert_array_equal(values, expected_values)


def test_geotiff_without_rasterio_names_the_extra(monkeypatch):
    """GeoTIFF needs the extra; arrays do not."""
    content = geotiff(counting(1, 16, 16))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    chip_formats._rasterio.cache_clear()
    assert chip_shape(npy(np.ones((2, 3))), "a.npy") == (1, 2, 3)
    message = r"^Images need rasterio and terratorch: pip install 'sptgnn-sklearn\[images\]'\.$"
    with pytest.raises(ImportError, match=message):
        chip_shape(content, "a.tif")
    monkeypatch.undo()
    assert chip_shape(content, "a.tif") == (1, 16, 16)


def npy_with_header(header, version=1):
    """Return a .npy file of 16 x 16 float32 zeros with the given header."""
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(4 * 16 * 16)


@pytest.mark.parametrize("version", [1, 2])
def test_npy_headers_of_both_versions(version):
    """Version 2 has a longer length field and the same content."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (16, 16), }\n"
    assert chip_shape(npy_with_header(header, version), "a.npy") == (1, 16, 16)
    file = io.BytesIO()
    npy_format.write_array(file, np.ones((2, 16, 18)), version=(version, 0))
    np.testing.assert_array_equal(read_chip(file.getvalue(), "", modality("X", 2), None), 1)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"{'descr': '<f4'}",
        b"{'descr': '<f4', 'fortran_order': 0, 'shape': (16, 16)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': 16}",
        b"{'descr': '<f\\d4', 'fortran_order': False, 'shape': (16, 16)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (16or 16, 16)}",
        b"{'descr': '|a5', 'fortran_order': False, 'shape': (16, 16)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').getcwd()}",
        b"(" * 4000,
        b"-" * 4000,
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (16, 16), }" + b" " * 5000,
        b"\xff" * 64,
    ],
)
def test_damaged_npy_headers_raise_without_warning(header, recwarn):
    """Headers are literals of limited length, and Python's parser does not warn about them."""
    assert chip_error(npy_with_header(header)) == "has a damaged .npy header"
    assert len(recwarn) == 0


def test_npy_header_length_does_not_allocate():
    """A header length beyond the file or the limit raises before the header is read."""
    content = npy(np.ones((16, 16)))
    for length in (60_000, 4 * 2**30 - 1):
        version, n_bytes = (1, 2) if length < 2**16 else (2, 4)
        damaged = b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(n_bytes, "little")
        assert chip_error(damaged + content[10:]) == "has a damaged .npy header"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4096, 65536, 65536), }\n"
    assert "is truncated" in chip_error(npy_with_header(header))
    header = header.replace(b"4096", b"-409")
    assert chip_error(npy_with_header(header)).startswith("has no pixels: -409 bands")


def test_tiffs_are_opened_in_prepared_threads():
    """Worker threads with an initialized GDAL read the same shapes."""
    content = geotiff(counting(2, 16, 24))
    with ThreadPoolExecutor(2, initializer=chip_formats.prepare_thread) as pool:
        assert set(pool.map(lambda _: chip_shape(content, "a.tif"), range(4))) == {(2, 16, 24)}


def test_format_size():
    """Three digits and a unit."""
    sizes = [chip_formats.format_size(n) for n in (999, 1500, 2_340_000, 5.4e9)]
    assert sizes == ["999 bytes", "1.5 kB", "2.34 MB", "5.4 GB"]
