"""Everything that reads a file, with valid files to damage; and the damage.

A reader is a function of a path that reads the file with all that is done to it before a fit, and
files that it reads without complaint. To add one, write both functions and put them in `READERS`.
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
from small_rasters import CRS, Counting, write_raster

from sptgnn_sklearn import SpTGNNRegressor, predict_map
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

SECONDS = 5.0  # of work for one file
_RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Reader:
    """A function that reads files.

    Attributes
    ----------
    read : callable
        Reads the file at a path.
    seeds : callable
        Writes valid files to a folder, and returns their paths.
    errors : tuple of exception classes
        What it may raise over a damaged file.
    """

    read: Callable[[Path], None]
    seeds: Callable[[Path], list[Path]]
    errors: tuple[type[Exception], ...] = (ValueError,)


def outcome(reader: Reader, path: Path) -> str:
    """Read a file: "read" or "refused"; anything else is raised.

    Raises
    ------
    AssertionError
        For an error or a warning that is not documented, or one without a message.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            reader.read(path)
            found = "read"
        except reader.errors as error:
            allowed = type(error).__module__.startswith("sptgnn_sklearn") or _ours(error)
            assert allowed, f"{type(error).__name__} of another library: {error}"
            assert str(error).strip(), f"{type(error).__name__} without a message"
            found = "refused"
    odd = [warning for warning in said if warning.category is not UserWarning]
    assert not odd, f"{odd[0].category.__name__}: {odd[0].message}"
    return found


def _ours(error: BaseException) -> bool:
    """Tell whether an error was raised by the package itself."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return (
        step is not None and f"{os.sep}sptgnn_sklearn{os.sep}" in step.tb_frame.f_code.co_filename
    )


# Damage ------------------------------------------------------------------------------------------

_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 2**32 - 1)
_WORDS = (
    b"inf", b"nan", b"1e999", b"-1e300", b'"', b"'", b"\0", b"\r", b",", b"\n", b";", b"\xff\xfe",
    b"[]", b"{}", b"null", b"9" * 400, b"(" * 300, b"[" * 5000, b"True", b"|O", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def damage(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return a file with one to four faults; some are parts of other files."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        content = rng.choice(_FAULTS)(bytearray(content), others, rng)
    return content


def _place(content: bytearray, rng: random.Random) -> int:
    """A position: at the front, at the back or anywhere."""
    if not content:
        return 0
    ends = min(len(content), rng.choice((16, 64, 256)))
    place = rng.randrange(ends) if rng.random() < 0.7 else rng.randrange(len(content))
    return len(content) - 1 - place if rng.random() < 0.25 else place


def _bits(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if content:
            content[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(content)


def _truncated(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    return bytes(content[: rng.randrange(len(content) + 1)])


def _spliced(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(others)
    start, at = rng.randrange(len(other) + 1), _place(content, rng)
    piece = other[start : start + rng.choice((4, 64, 1024, len(other)))]
    after = at + len(piece) if rng.random() < 0.7 else at
    return bytes(content[:at]) + piece + bytes(content[after:])


def _zeros(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    at, length = _place(content, rng), rng.choice((1, 4, 16, 256, 4096))
    length = min(length, len(content) - at)
    content[at : at + length] = rng.choice((b"\0", b"\xff")) * length
    return bytes(content)


def _cut_out(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    at = _place(content, rng)
    del content[at : at + rng.choice((1, 2, 4, 64, 1024))]
    return bytes(content)


def _twice(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    at, length = _place(content, rng), rng.choice((1, 8, 64, 1024))
    return bytes(content[: at + length]) + bytes(content[at:])


def _number(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Write an extreme number over a field."""
    kind = rng.choice("BHIQ")
    at = _place(content, rng) & ~(struct.calcsize(kind) - 1 if rng.random() < 0.7 else 0)
    value = rng.choice(_NUMBERS) if rng.random() < 0.7 else rng.getrandbits(64)
    packed = struct.pack(rng.choice("<>") + kind, value % 256 ** struct.calcsize(kind))
    content[at : at + len(packed)] = packed
    return bytes(content)


def _word(content: bytearray, others: list[bytes], rng: random.Random) -> bytes:
    """Write a text that means something over or between others."""
    word, at = rng.choice(_WORDS), _place(content, rng)
    content[at : at + (len(word) if rng.random() < 0.5 else 0)] = word
    return bytes(content)


_FAULTS = (_bits, _bits, _truncated, _spliced, _zeros, _cut_out, _twice, _number, _number, _word)


# Chips -------------------------------------------------------------------------------------------


def _geotiff(values: np.ndarray, *, mask: bool = False, names: Any = None, **options: Any) -> bytes:
    bands, height, width = values.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    place = {"transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), "crs": CRS}
    within = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True) if mask else contextlib.nullcontext()
    with within, MemoryFile() as file:
        with file.open(driver="GTiff", **shape, **place, **options) as made:
            made.write(values)
            made.descriptions = names or [None] * bands
            if mask:
                made.write_mask(values[0] > values[0].mean())
        return bytes(file.read())


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _write(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def _chips(folder: Path) -> list[Path]:
    heights = _RNG.normal(300, 50, (1, 24, 24)).astype("float32")
    bands = _RNG.integers(1, 9000, (12, 16, 16)).astype("uint16")
    wide = _RNG.integers(1, 9000, (1, 64, 64)).astype("int16")
    names = [f"B{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8)] + ["B8A", "B9", "B11", "B12"]
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    rgba = _RNG.integers(0, 255, (4, 16, 16)).astype("uint8")
    made = {
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
        made["picture.png"] = bytes(file.read())
    return _write(folder, made)


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

_PLACES = pd.DataFrame({"x": [500100.0, 500200.0], "y": [4999900.0, 4999800.0]})


def _rasters(folder: Path) -> list[Path]:
    values = _RNG.normal(size=(1, 40, 40)).astype("float32")
    stepped = _RNG.integers(1, 9, (1, 40, 40)).astype("uint8")
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    return _write(
        folder,
        {
            "plain.tif": _geotiff(values),
            "tiles.tif": _geotiff(values, compress="deflate", nodata=-1, **tiles),
            "codes.tif": _geotiff(stepped, compress="lzw", nodata=0),
            "masked.tif": _geotiff(values, mask=True),
            "named.tif": _geotiff(np.concatenate([values, values]), names=["a", "b"]),
        },
    )


def _read_raster(path: Path) -> None:
    """Cut chips from a raster."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"column": "path", "size": 16, "out_dir": folder, "crs": CRS}
        extract_chips(path, _PLACES, **settings, n_jobs=1, verbose=0)


def _read_area(path: Path) -> None:
    """Take the places of a map from a raster."""
    survey = SampleLocations(
        _PLACES.to_numpy(), resolve_crs(CRS, ["x", "y"]), np.arange(2), ("x", "y")
    )
    found = prediction_locations(path, survey, 50)
    assert np.isfinite(found).all()


def _summing(columns: list[str]) -> Counting:
    return Counting().fit(pd.DataFrame({name: [1.0] for name in columns}))


def _read_map(path: Path) -> None:
    """Predict a map from a raster."""
    model = _summing(["x", "y", "a", "b"])
    block_size: int | None = 16
    quiet = warnings.catch_warnings(action="ignore")
    with contextlib.suppress(Exception), quiet, rasterio.open(path) as file:
        # One that claims to be large is read, but not in a thousand small pieces.
        block_size = 16 if file.width * file.height <= 40_000 else None
    predict_map(model, {"a": (path, 1), "b": 1.0}, crs=CRS, block_size=block_size, verbose=0)


def _map_parts(folder: Path) -> list[Path]:
    """Make what a stopped run leaves: a description, and a block that is finished."""
    values = np.random.default_rng(0).normal(size=(16, 32)).astype("float32")
    write_raster(folder / "a.tif", values)
    model = Counting(fail_after=1, error=KeyboardInterrupt())
    model.fit(pd.DataFrame({name: [1.0] for name in ("x", "y", "a", "b")}))
    with contextlib.suppress(KeyboardInterrupt):
        _map_to(folder / "stopped.tif", folder, model)
    left = sorted((folder / "stopped.tif.parts").iterdir())
    return [Path(shutil.copy(path, folder)) for path in left]


def _map_to(path: Path | None, folder: Path, model: Counting) -> Any:
    source = {"a": folder / "a.tif", "b": 1.0}
    return predict_map(model, source, path=path, crs=CRS, block_size=16, verbose=0)


def _read_map_parts(path: Path) -> None:
    """Go on with a stopped run one file of which is damaged."""
    folder, work = path.parent, path.parent / "again"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(folder / "stopped.tif.parts", work / "stopped.tif.parts")
    name = path.name.replace("_damaged", "")
    shutil.copy(path, work / "stopped.tif.parts" / name)
    _map_to(work / "stopped.tif", folder, _summing(["x", "y", "a", "b"]))
    with rasterio.open(work / "stopped.tif") as found:
        assert np.allclose(found.read(1), _whole_map(folder)), "the map is not what it should be"


@functools.cache
def _whole_map(folder: Path) -> np.ndarray:
    return _map_to(None, folder, _summing(["x", "y", "a", "b"]))["mean"].to_numpy()


# Tables ------------------------------------------------------------------------------------------


def _survey() -> pd.DataFrame:
    made = make_soil_survey(30, random_state=0)
    return made.data.assign(soc=made.target.round(2), depth=[10, 20, 30] * 10, remark="a, b")


def _tables(folder: Path) -> list[Path]:
    frame = _survey()
    frame.to_csv(folder / "comma.csv", index=False)
    frame.to_csv(folder / "semicolon.csv", index=False, sep=";", decimal=",")
    frame.to_csv(folder / "tab.csv", index=False, sep="\t", encoding="utf-8-sig")
    frame.to_csv(folder / "packed.csv.gz", index=False)
    names = ["comma.csv", "semicolon.csv", "tab.csv", "packed.csv.gz"]
    return [folder / name for name in names]


def _parquet(folder: Path) -> list[Path]:
    frame = _survey()
    frame.to_parquet(folder / "snappy.parquet")
    frame.astype({"land_use": "category"}).to_parquet(folder / "zstd.parquet", compression="zstd")
    return [folder / "snappy.parquet", folder / "zstd.parquet"]


class _TableRead(Exception):
    """The table was read; the models need not be fitted."""


def _read_table(path: Path) -> None:
    """Read a table as the command line does, up to where models are fitted."""
    from unittest import mock

    said = io.StringIO()
    out = str(path.parent / "out")
    with (
        mock.patch("sptgnn_sklearn.cli.compare", side_effect=_TableRead),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(_TableRead),
    ):
        assert main([str(path), "--target", "soc", "--out", out]) == 2
        (line,) = said.getvalue().strip().split("\n")[:1]
        assert "error: " in line
        raise _Refused(line)


class _Refused(ValueError):
    """What was not raised but said."""


_Refused.__module__ = "sptgnn_sklearn"


# Caches ------------------------------------------------------------------------------------------

_KEYS = [b"key-%d" % i for i in range(5)]
_VECTORS = np.arange(20, dtype=np.float32).reshape(5, 4)


def _shards(folder: Path) -> list[Path]:
    EmbeddingCache(folder, "space", 4).put(_KEYS, _VECTORS)
    EmbeddingCache(folder, "space", 4).put(_KEYS[:1], _VECTORS[:1])
    return sorted((folder / "space").glob("*.safetensors"))


def _read_shard(path: Path) -> None:
    """Read a shard under its old name, then under that of its new content."""
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    for name in (path.stem.split("_")[0], digest):
        with tempfile.TemporaryDirectory() as folder:
            space = Path(folder, "space")
            space.mkdir()
            (space / f"{name}.safetensors").write_bytes(content)
            found = EmbeddingCache(folder, "space", 4).get(_KEYS)
            for key, vector in found.items():
                assert vector.shape == (4,) and vector.dtype == np.float32
                if name != digest:
                    raise AssertionError(f"{key!r} was read from a file that is not what it was")
    if not found:
        raise _Refused("nothing was read")


def _archive(folder: Path) -> ChipCache:
    chip = folder / "chip.npy"
    np.save(chip, np.full((16, 16), 500.0))
    images = {"DEM": np.array([str(chip)], dtype=object)}
    imagery = ChipLoader.fit(images, {"DEM": ImageColumn("path")}, chip_size=16, on_error="raise")
    return ChipCache(imagery, images, folder)


@functools.cache
def _kept_archive() -> ChipCache:
    return _archive(Path(tempfile.mkdtemp()))


def _archives(folder: Path) -> list[Path]:
    archive = _archive(folder)
    (made,) = archive._folder.iterdir()
    return [Path(shutil.copy(made, folder / "archive.chips"))]


def _read_archive(path: Path) -> None:
    """Open the files of an archive anew, as a process does that is sent it."""
    archive = _kept_archive()
    state = archive.__getstate__()
    shutil.copy(path, archive._folder / "0.chips")
    again = object.__new__(ChipCache)
    again.__setstate__(state)
    ((_, chips),) = again.groups(np.array([0]))
    assert tuple(chips["DEM"].shape) == (1, 1, 16, 16)


# Saved models ------------------------------------------------------------------------------------


def _models(folder: Path) -> list[Path]:
    """The kept model of each schema, whole and without its rows."""
    paths = []
    for kept in sorted((Path(__file__).parent / "saved").glob("*.safetensors")):
        paths += [folder / kept.name, folder / f"shared-{kept.name}"]
        shutil.copy(kept, paths[-2])
        SpTGNNRegressor.load(kept).save(paths[-1], training_data=False)
    return paths


def _read_model(path: Path) -> None:
    SpTGNNRegressor.load(path)


def _read_sealed_model(path: Path) -> None:
    """Read a model whose checksum is made to fit again, as a hostile hand would."""
    content = path.read_bytes()
    with contextlib.suppress(ValueError):
        place = content.index(b'"sha256":"') + len(b'"sha256":"')
        blank = content[:place] + b"0" * 64 + content[place + 64 :]
        digest = hashlib.sha256(blank).hexdigest().encode()
        path.write_bytes(content[:place] + digest + content[place + 64 :])
    model = SpTGNNRegressor.load(path)
    # What it says no longer matters; that nothing is read beyond its end does.
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.predict(make_soil_survey(n_samples=5, random_state=0).data)


READERS: dict[str, Reader] = {
    "chip": Reader(_read_chip, _chips, (ChipError,)),
    "raster to cut": Reader(_read_raster, _rasters, (ValueError, OSError)),
    "area of a raster": Reader(_read_area, _rasters),
    "raster to map": Reader(_read_map, _rasters, (ValueError, OSError)),
    "stopped map": Reader(_read_map_parts, _map_parts, (ValueError, OSError)),
    "CSV": Reader(_read_table, _tables),
    "Parquet": Reader(_read_table, _parquet),
    "embeddings": Reader(_read_shard, _shards),
    "archive of chips": Reader(_read_archive, _archives),
    "saved model": Reader(_read_model, _models),
    "saved model, sealed": Reader(_read_sealed_model, _models),
}


class Damaged:
    """Damaged files of one reader, each by its number.

    Parameters
    ----------
    name : str
        Of a reader.
    folder : Path
        For valid files and the damaged one.
    """

    def __init__(self, name: str, folder: Path):
        self.folder = folder
        self.paths = READERS[name].seeds(folder)
        self.contents = [path.read_bytes() for path in self.paths]
        self.name = name

    def write(self, number: str) -> Path:
        """Write the damaged file of a number, over the last one."""
        rng = random.Random(f"{self.name} {number}")
        which = rng.randrange(len(self.paths))
        content = damage(self.contents[which], self.contents, rng)
        path = (
            self.folder / f"{self.paths[which].stem}_damaged{''.join(self.paths[which].suffixes)}"
        )
        path.write_bytes(content)
        return path
