"""Readers of every file format of the package, with valid files and ways to damage them.

To add a reader, write a function that reads a file at a path as the package does before a fit, and
a function that writes valid files; then put both in `READERS`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import random
import shutil
import struct
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from rasterio.io import MemoryFile
from small_rasters import CRS, CountingRegressor, write_raster
from xgboost import XGBRegressor

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor, predict_map
from sptgnn_sklearn.cli import main
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.encoders.chip_cache import ChipCache
from sptgnn_sklearn.encoders.embedding import ChipLoader
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.images.chip_formats import ChipError, chip_shape, read_bytes
from sptgnn_sklearn.images.chips import read_chip, standardize_chip
from sptgnn_sklearn.images.extraction import extract_chips
from sptgnn_sklearn.images.modalities import make_modality
from sptgnn_sklearn.model_selection.locations import SampleLocations
from sptgnn_sklearn.model_selection.prediction_area import prediction_locations
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.table.image_columns import ImageColumn

SECONDS = 5.0  # processor time allowed for one file
_RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Reader:
    """A function that reads files, with valid files.

    Attributes
    ----------
    read : callable
        Reads the file at a path.
    write_valid : callable
        Writes valid files to a folder and returns their paths.
    errors : tuple of exception classes
        Documented errors for a damaged file.
    """

    read: Callable[[Path], None]
    write_valid: Callable[[Path], list[Path]]
    errors: tuple[type[Exception], ...] = (ValueError,)


def outcome(reader: Reader, path: Path) -> str:
    """Read a file and return "read" or, after a documented error, "rejected".

    Raises
    ------
    AssertionError
        For an error of another library, one without a message, or a warning that is not a
        UserWarning.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reader.read(path)
            result = "read"
        except reader.errors as error:
            own_class = type(error).__module__.startswith("sptgnn_sklearn")
            allowed = own_class or _raised_by_package(error)
            assert allowed, f"{type(error).__name__} of another library: {error}"
            assert str(error).strip(), f"{type(error).__name__} without a message"
            result = "rejected"
    other = [warning for warning in caught if warning.category is not UserWarning]
    assert not other, f"{other[0].category.__name__}: {other[0].message}"
    return result


def _raised_by_package(error: BaseException) -> bool:
    """Return whether the innermost frame of the traceback is in the package."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    folder = f"{os.sep}sptgnn_sklearn{os.sep}"
    return step is not None and folder in step.tb_frame.f_code.co_filename


# Damage ------------------------------------------------------------------------------------------

_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 2**32 - 1)
_WORDS = (
    b"inf", b"nan", b"1e999", b"-1e300", b'"', b"'", b"\0", b"\r", b",", b"\n", b";", b"\xff\xfe",
    b"[]", b"{}", b"null", b"9" * 400, b"(" * 300, b"[" * 5000, b"True", b"|O", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def damage(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return the content of a file with one to four faults; some use parts of other files."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        content = rng.choice(_FAULTS)(bytearray(content), others, rng)
    return content


def _position(content: bytearray, rng: random.Random) -> int:
    """Draw a position near the start, near the end or anywhere."""
    if not content:
        return 0
    ends = min(len(content), rng.choice((16, 64, 256)))
    position = rng.randrange(ends) if rng.random() < 0.7 else rng.randrange(len(content))
    return len(content) - 1 - position if rng.random() < 0.25 else position


def _flip_bits(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if content:
            content[_position(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(content)


def _truncate_file(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    return bytes(content[: rng.randrange(len(content) + 1)])


def _splice(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    start, at = rng.randrange(len(other) + 1), _position(content, rng)
    piece = other[start : start + rng.choice((4, 64, 1024, len(other)))]
    after = at + len(piece) if rng.random() < 0.7 else at
    return bytes(content[:at]) + piece + bytes(content[after:])


def _fill(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    at, length = _position(content, rng), rng.choice((1, 4, 16, 256, 4096))
    length = min(length, len(content) - at)
    content[at : at + length] = rng.choice((b"\0", b"\xff")) * length
    return bytes(content)


def _delete(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    at = _position(content, rng)
    del content[at : at + rng.choice((1, 2, 4, 64, 1024))]
    return bytes(content)


def _repeat(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    at, length = _position(content, rng), rng.choice((1, 8, 64, 1024))
    return bytes(content[: at + length]) + bytes(content[at:])


def _insert_number(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Overwrite a field with an extreme number."""
    kind = rng.choice("BHIQ")
    at = _position(content, rng) & ~(struct.calcsize(kind) - 1 if rng.random() < 0.7 else 0)
    value = rng.choice(_NUMBERS) if rng.random() < 0.7 else rng.getrandbits(64)
    packed = struct.pack(rng.choice("<>") + kind, value % 256 ** struct.calcsize(kind))
    content[at : at + len(packed)] = packed
    return bytes(content)


def _insert_word(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Overwrite or insert a text with a meaning in some format."""
    word, at = rng.choice(_WORDS), _position(content, rng)
    content[at : at + (len(word) if rng.random() < 0.5 else 0)] = word
    return bytes(content)


_FAULTS = (
    *(_flip_bits, _flip_bits, _truncate_file, _splice, _fill, _delete, _repeat),
    *(_insert_number, _insert_number, _insert_word),
)


# Chips -------------------------------------------------------------------------------------------


def _geotiff(values: np.ndarray, *, mask: bool = False, names: Any = None, **options: Any) -> bytes:
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    grid = {"transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), "crs": CRS}
    settings = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True) if mask else contextlib.nullcontext()
    with settings, MemoryFile() as file:
        with file.open(driver="GTiff", **shape, **grid, **options) as raster:
            raster.write(values)
            raster.descriptions = names or [None] * bands
            if mask:
                raster.write_mask(values[0] > values[0].mean())
        return bytes(file.read())


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _write(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def _write_chips(folder: Path) -> list[Path]:
    heights = _RNG.normal(300, 50, (1, 24, 24)).astype("float32")
    bands = _RNG.integers(1, 9000, (12, 16, 16)).astype("uint16")
    wide = _RNG.integers(1, 9000, (1, 64, 64)).astype("int16")
    names = [f"B{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8)] + ["B8A", "B9", "B11", "B12"]
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    rgba = _RNG.integers(0, 255, (4, 16, 16)).astype("uint8")
    contents = {
        "plain.tif": _geotiff(heights),
        "deflate.tif": _geotiff(heights, compress="deflate", predictor=3, nodata=-9999),
        "lzw.tif": _geotiff(wide, compress="lzw", predictor=2, **tiles),
        "packbits.tif": _geotiff(wide, compress="packbits"),
        "lerc.tif": _geotiff(heights, compress="lerc"),
        "zstd.tif": _geotiff(wide, compress="zstd", **tiles),
        "jpeg.tif": _geotiff(rgba[:1], compress="jpeg"),
        "bands.tif": _geotiff(bands, names=names, interleave="pixel", compress="deflate"),
        "planes.tif": _geotiff(bands, interleave="band"),
        "masked.tif": _geotiff(heights, mask=True, compress="deflate"),
        "alpha.tif": _geotiff(rgba, photometric="rgb", alpha="yes"),
        "big.tif": _geotiff(heights, bigtiff="yes"),
        "motorola.tif": _geotiff(wide, endianness="big"),
        "plain.npy": _npy(heights),
        "flat.npy": _npy(heights[0].astype("float64")),
        "fortran.npy": _npy(np.asfortranarray(bands)),
        "big-endian.npy": _npy(wide.astype(">i2")),
        "flags.npy": _npy(wide > 4000),
    }
    with MemoryFile() as file:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with file.open(driver="PNG", count=3, height=16, width=16, dtype="uint8") as png:
                png.write(rgba[:3])
        contents["picture.png"] = bytes(file.read())
    return _write(folder, contents)


def _read_chip(path: Path) -> None:
    content = read_bytes(str(path))
    bands, _, _ = chip_shape(content, str(path))
    name = "S2L2A" if bands == 12 else "DEM" if bands == 1 else "OTHER"
    modality = make_modality(name, ImageColumn("path"), bands)
    chip = read_chip(content, str(path), modality, 16)
    assert chip.shape == (len(modality.bands), 16, 16) and chip.dtype == np.float32
    assert np.isfinite(chip).any()
    if modality.mean:
        assert np.isfinite(standardize_chip(chip, modality)).all()


# Rasters -----------------------------------------------------------------------------------------

_LOCATIONS = pd.DataFrame({"x": [500100.0, 500200.0], "y": [4999900.0, 4999800.0]})


def _write_rasters(folder: Path) -> list[Path]:
    values = _RNG.normal(size=(1, 40, 40)).astype("float32")
    codes = _RNG.integers(1, 9, (1, 40, 40)).astype("uint8")
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    return _write(
        folder,
        {
            "plain.tif": _geotiff(values),
            "tiles.tif": _geotiff(values, compress="deflate", nodata=-1, **tiles),
            "codes.tif": _geotiff(codes, compress="lzw", nodata=0),
            "masked.tif": _geotiff(values, mask=True),
            "named.tif": _geotiff(np.concatenate([values, values]), names=["a", "b"]),
        },
    )


def _read_raster(path: Path) -> None:
    """Extract chips from a raster."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"column": "path", "size": 16, "out_dir": folder, "crs": CRS}
        extract_chips(path, _LOCATIONS, **settings, n_jobs=1, verbose=0)


def _read_area(path: Path) -> None:
    """Draw prediction locations from the cells of a raster."""
    samples = SampleLocations(
        _LOCATIONS.to_numpy(), resolve_crs(CRS, ["x", "y"]), np.arange(2), ("x", "y")
    )
    result = prediction_locations(path, samples, 50)
    assert np.isfinite(result).all()


def _fit_counting(**settings: Any) -> CountingRegressor:
    return CountingRegressor(**settings).fit(
        pd.DataFrame({name: [1.0] for name in ("x", "y", "a", "b")})
    )


def _read_map(path: Path) -> None:
    """Predict a map from a raster."""
    model = _fit_counting()
    block_size: int | None = 16
    quiet = warnings.catch_warnings(action="ignore")
    with contextlib.suppress(Exception), quiet, rasterio.open(path) as file:
        # Headers of damaged files may declare large rasters, which small blocks would slow down.
        block_size = 16 if file.width * file.height <= 40_000 else None
    predict_map(model, {"a": (path, 1), "b": 1.0}, crs=CRS, block_size=block_size, verbose=0)


def _write_interrupted_map(folder: Path) -> list[Path]:
    """Interrupt a map after its first block, which leaves job.json and a GeoTIFF."""
    values = np.random.default_rng(0).normal(size=(16, 32)).astype("float32")
    write_raster(folder / "a.tif", values)
    model = _fit_counting(fail_after=1, error=KeyboardInterrupt())
    with contextlib.suppress(KeyboardInterrupt):
        _predict_map_of(folder, folder / "stopped.tif", model)
    left = sorted((folder / "stopped.tif.parts").iterdir())
    return [Path(shutil.copy(path, folder)) for path in left]


def _predict_map_of(folder: Path, path: Path | None, model: CountingRegressor) -> Any:
    source = {"a": folder / "a.tif", "b": 1.0}
    return predict_map(model, source, path=path, crs=CRS, block_size=16, verbose=0)


def _resume_map(path: Path) -> None:
    """Resume an interrupted map one file of which is damaged."""
    folder, work = path.parent, path.parent / "again"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(folder / "stopped.tif.parts", work / "stopped.tif.parts")
    name = path.name.replace("_damaged", "")
    shutil.copy(path, work / "stopped.tif.parts" / name)
    _predict_map_of(folder, work / "stopped.tif", _fit_counting())
    with rasterio.open(work / "stopped.tif") as result:
        assert np.allclose(result.read(1), _whole_map(folder)), "the resumed map differs"


@functools.cache
def _whole_map(folder: Path) -> np.ndarray:
    return _predict_map_of(folder, None, _fit_counting())["mean"].to_numpy()


# Tables ------------------------------------------------------------------------------------------


def _soil_table() -> pd.DataFrame:
    survey = make_soil_survey(30, random_state=0)
    return survey.data.assign(soc=survey.target.round(2), depth=[10, 20, 30] * 10, remark="a, b")


def _write_csv(folder: Path) -> list[Path]:
    frame = _soil_table()
    frame.to_csv(folder / "comma.csv", index=False)
    frame.to_csv(folder / "semicolon.csv", index=False, sep=";", decimal=",")
    frame.to_csv(folder / "tab.csv", index=False, sep="\t", encoding="utf-8-sig")
    frame.to_csv(folder / "packed.csv.gz", index=False)
    names = ["comma.csv", "semicolon.csv", "tab.csv", "packed.csv.gz"]
    return [folder / name for name in names]


def _write_parquet(folder: Path) -> list[Path]:
    frame = _soil_table()
    frame.to_parquet(folder / "snappy.parquet")
    frame.astype({"land_use": "category"}).to_parquet(folder / "zstd.parquet", compression="zstd")
    return [folder / "snappy.parquet", folder / "zstd.parquet"]


def _read_table(path: Path) -> None:
    """Read a table as the command line does before it fits models."""
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        code = main(["check", str(path), "--target", "soc"])
    if code:
        (line,) = stderr.getvalue().strip().split("\n")[:1]
        assert code == 2 and "error: " in line
        raise _Refused(line)


class _Refused(ValueError):
    """An error that the package prints, or a file that it ignores."""


_Refused.__module__ = "sptgnn_sklearn"


# Caches ------------------------------------------------------------------------------------------

_KEYS = [b"key-%d" % i for i in range(5)]
_VECTORS = np.arange(20, dtype=np.float32).reshape(5, 4)


def _write_embeddings(folder: Path) -> list[Path]:
    EmbeddingCache(folder, "space", 4).put(_KEYS, _VECTORS)
    return list((folder / "space").glob("*.sqlite3"))


def _read_embeddings(path: Path) -> None:
    """Look up all keys in a database; a damaged vector must count as missing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "space").mkdir()
        name = path.name.replace("_damaged", "")
        shutil.copy(path, Path(folder, "space", name))
        result = EmbeddingCache(folder, "space", 4).get(_KEYS)
    for key, vector in result.items():
        np.testing.assert_array_equal(vector, _VECTORS[_KEYS.index(key)])
        assert vector.dtype == np.float32
    if len(result) < len(_KEYS):
        raise _Refused("some vectors are missing")


def _make_chip_cache(folder: Path) -> ChipCache:
    chip = folder / "chip.npy"
    np.save(chip, np.full((16, 16), 500.0))
    paths = {"DEM": np.array([str(chip)], dtype=object)}
    loader = ChipLoader.fit(paths, {"DEM": ImageColumn("path")}, chip_size=16, on_error="raise")
    return ChipCache(loader, paths, folder)


@functools.cache
def _shared_chip_cache() -> ChipCache:
    return _make_chip_cache(Path(tempfile.mkdtemp()))


def _write_chip_cache(folder: Path) -> list[Path]:
    cache = _make_chip_cache(folder)
    (file,) = cache._folder.iterdir()
    return [Path(shutil.copy(file, folder / "cache.chips"))]


def _read_chip_cache(path: Path) -> None:
    """Open the files of a cache again, like a process that unpickles it."""
    cache = _shared_chip_cache()
    state = cache.__getstate__()
    shutil.copy(path, cache._folder / "0.chips")
    again = object.__new__(ChipCache)
    again.__setstate__(state)
    ((_, chips),) = again.groups(np.array([0]))
    assert tuple(chips["DEM"].shape) == (1, 1, 16, 16)


# Saved models ------------------------------------------------------------------------------------


@functools.cache
def _small_model() -> SpTGNNRegressor:
    survey = make_soil_survey(n_samples=40, random_state=5)
    model = SpTGNNRegressor(
        time="date",
        elevation="elevation",
        n_neighbors=3,
        base_estimator=XGBRegressor(n_estimators=3, max_depth=2),
        n_estimators=2,
        network=NetworkConfig(hidden_size=4, n_heads=2, n_experts=2),
        max_epochs=2,
        random_state=0,
    )
    return model.fit(survey.data, survey.target)


def _write_models(folder: Path) -> list[Path]:
    """Save a small model with and without its training data."""
    paths = [folder / "whole.safetensors", folder / "shared.safetensors"]
    for path, training_data in zip(paths, (True, False), strict=True):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Without training data")  # of a tiny survey
            _small_model().save(path, training_data=training_data)
    return paths


def _read_model(path: Path) -> None:
    SpTGNNRegressor.load(path)


def _read_sealed_model(path: Path) -> None:
    """Read a model with a valid checksum for its damaged content, as an attacker could write."""
    content = path.read_bytes()
    with contextlib.suppress(ValueError):
        start = content.index(b'"sha256":"') + len(b'"sha256":"')
        blank = content[:start] + b"0" * 64 + content[start + 64 :]
        digest = hashlib.sha256(blank).hexdigest().encode()
        path.write_bytes(content[:start] + digest + content[start + 64 :])
    model = SpTGNNRegressor.load(path)
    # Wrong predictions and errors are allowed; reading beyond the end of an array is not.
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.predict(make_soil_survey(n_samples=5, random_state=0).data)


READERS: dict[str, Reader] = {
    "chip": Reader(_read_chip, _write_chips, (ChipError,)),
    "raster for chips": Reader(_read_raster, _write_rasters, (ValueError, OSError)),
    "raster as area": Reader(_read_area, _write_rasters),
    "raster for a map": Reader(_read_map, _write_rasters, (ValueError, OSError)),
    "interrupted map": Reader(_resume_map, _write_interrupted_map, (ValueError, OSError)),
    "CSV": Reader(_read_table, _write_csv),
    "Parquet": Reader(_read_table, _write_parquet),
    "embedding cache": Reader(_read_embeddings, _write_embeddings),
    "chip cache": Reader(_read_chip_cache, _write_chip_cache),
    "saved model": Reader(_read_model, _write_models),
    "saved model, sealed": Reader(_read_sealed_model, _write_models),
}


class Damaged:
    """Damaged files of one reader, each determined by a seed.

    Parameters
    ----------
    name : str
        Name of a reader.
    folder : Path
        For valid files and the damaged one.
    """

    def __init__(self, name: str, folder: Path):
        self.folder = folder
        self.paths = READERS[name].write_valid(folder)
        self.contents = [path.read_bytes() for path in self.paths]
        self.name = name

    def write(self, seed: str) -> Path:
        """Write the damaged file of a seed, over the previous one."""
        rng = random.Random(f"{self.name} {seed}")
        i = rng.randrange(len(self.paths))
        content = damage(self.contents[i], self.contents, rng)
        suffix = "".join(self.paths[i].suffixes)
        path = self.folder / f"{self.paths[i].stem}_damaged{suffix}"
        path.write_bytes(content)
        return path
