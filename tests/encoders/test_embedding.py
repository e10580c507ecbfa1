"""Chip loader: columns of chip paths to embeddings, each chip encoded once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sptgnn_sklearn
from sptgnn_sklearn.encoders import embedding as embedding_module
from sptgnn_sklearn.encoders.embedding import ChipLoader
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.images import parallel_reading
from sptgnn_sklearn.images.chips import read_chip, standardize_chip
from sptgnn_sklearn.table.column_parsing import read_paths
from sptgnn_sklearn.table.image_columns import ImageColumn

BANDS = {"S2L2A": 12, "S1GRD": 2, "DEM": 1, "CLIM": 3}


class Encoder:
    """Encoder that returns the mean of each modality in a column, and counts its rows."""

    fingerprint = "mean"
    width = 4

    def __init__(self):
        self.sizes = []

    def __call__(self, chips):
        size = len(next(iter(chips.values())))
        self.sizes.append(size)
        vectors = np.zeros((size, self.width))
        for column, name in enumerate(BANDS):
            if name in chips:
                assert chips[name].dtype == np.float32
                vectors[:, column] = 1 + chips[name].mean(axis=(1, 2, 3))
        return vectors

    @property
    def rows(self):
        return sum(self.sizes)


def write_chip(path, name, value=0.0, side=32, bands=None, seed=0):
    """Write a chip with values in the range of its modality."""
    rng = np.random.default_rng(seed)
    center = {"S2L2A": 2000.0, "S1GRD": -90.0, "DEM": 300.0, "CLIM": 10.0}[name]
    shape = (BANDS[name] if bands is None else bands, side, side)
    np.save(path, (center + value + rng.normal(size=shape)).astype(np.float32))
    return str(path)


def write_chips(folder, n, names=("S2L2A", "S1GRD", "DEM"), side=32):
    """Write different chips for n rows; return their paths by modality."""
    return {
        name: read_paths(
            [write_chip(folder / f"{name}_{i}.npy", name, i, side, seed=i) for i in range(n)]
        )
        for name in names
    }


def fit_loader(images, chip_size=16, on_error="raise", **columns):
    columns = {name: columns.get(name, ImageColumn(f"{name.lower()}_path")) for name in images}
    return ChipLoader.fit(images, columns, chip_size=chip_size, on_error=on_error)


def make_cache(loader, folder=None):
    return EmbeddingCache(folder, loader.namespace(Encoder()), Encoder.width)


def embed(loader, images, folder=None, **options):
    """Return embeddings, usable paths and the number of encoded rows."""
    encoder = Encoder()
    options = {"workers": 2, "batch_size": 4, **options}
    result = loader.embed(images, encoder, make_cache(loader, folder), **options)
    return *result, encoder.rows


def embed_row_by_row(loader, images):
    """Encode each row separately, without cache, threads or batches."""
    n = len(next(iter(images.values())))
    vectors = np.full((n, Encoder.width), np.nan, dtype=np.float32)
    for row in range(n):
        chips = {}
        for name, modality in loader.modalities.items():
            if images[name][row] is not None:
                content = Path(images[name][row]).read_bytes()
                chip = read_chip(content, "", modality, loader.chip_size)
                chips[name] = standardize_chip(chip, modality)[None]
        if chips:
            vectors[row] = Encoder()(chips)[0]
    return vectors


def write_chips_with_gaps(folder, n=23):
    """Write chips for rows that lack some or all images, and for duplicate rows."""
    images = write_chips(folder, n)
    images["S2L2A"][::3] = None
    images["S1GRD"][::4] = None
    images["DEM"][[0, 5, 12]] = None
    for column in images.values():
        column[n - 1] = column[2]
    return images


@pytest.mark.parametrize(
    ("sides", "size"), [((40, 70), 32), ((70, 48), 48), ((12, 40), 16), ((300, 250), 224)]
)
def test_default_chip_size(tmp_path, sides, size):
    """The largest multiple of 16, from 16 to 224, that fits in the smaller chips."""
    images = {
        name: read_paths([write_chip(tmp_path / f"{name}.npy", name, side=side)])
        for name, side in zip(("DEM", "S1GRD"), sides, strict=True)
    }
    assert fit_loader(images, chip_size=None).chip_size == size
    assert fit_loader(images, chip_size=16).chip_size == 16


def test_fit_does_not_depend_on_row_order_or_repetition(tmp_path):
    """Chips of several sizes, in any order and any number of times."""
    images = write_chips(tmp_path, 6, names=("CLIM",))
    write_chip(tmp_path / "CLIM_0.npy", "CLIM", side=48)
    images["CLIM"][3] = None
    loader = fit_loader(images, chip_size=None)
    assert loader.chip_size == 48
    for order in ([4, 5, 3, 2, 0, 1], [0, 0, 1, 2, 2, 4, 5, 5]):
        assert fit_loader({"CLIM": images["CLIM"][order]}, chip_size=None) == loader


@pytest.mark.parametrize("size", [0, 20, -16, 16.0, True, "16"])
def test_chip_size_that_is_not_a_multiple_of_16_raises(tmp_path, size):
    """Patches have 16 pixels."""
    with pytest.raises(ValueError, match=r"chip_size=.* must be a positive multiple of 16"):
        fit_loader(write_chips(tmp_path, 1, names=("DEM",)), chip_size=size)


def test_invalid_on_error_raises(tmp_path):
    """The message has the parameter and the value."""
    with pytest.raises(ValueError, match="on_error='skip' must be 'raise' or 'ignore'"):
        fit_loader(write_chips(tmp_path, 1, names=("DEM",)), on_error="skip")


def test_statistics_of_a_new_modality(tmp_path, monkeypatch):
    """Mean and std by band over the valid pixels of distinct chips equal those of NumPy."""
    monkeypatch.setattr(parallel_reading, "_FILES_PER_TASK", 2)
    rng = np.random.default_rng(0)
    arrays = rng.normal([[[[3.0]], [[1e4]], [[5.0]]]], 2.0, size=(7, 3, 16, 16)).astype("f4")
    arrays[:, 2] = 5.0
    arrays[3, 0, :4] = np.nan
    arrays[4, :2] = np.nan
    paths = []
    for i, array in enumerate(arrays):
        np.save(tmp_path / f"{i}.npy", array)
        paths.append(str(tmp_path / f"{i}.npy"))
    images = {"CLIM": read_paths([*paths, paths[0], paths[0], None])}
    modality = fit_loader(images).modalities["CLIM"]
    flat = np.moveaxis(arrays.astype(np.float64), 1, 0).reshape(3, -1)
    assert modality.bands == ("0", "1", "2")
    np.testing.assert_allclose(modality.mean, np.nanmean(flat, axis=1), rtol=1e-9)
    np.testing.assert_allclose(modality.std[:2], np.nanstd(flat, axis=1)[:2], rtol=1e-9)
    assert modality.std[2] == 1.0

    monkeypatch.setattr(embedding_module, "_MAX_CHIPS_FOR_STATISTICS", 2)
    few = fit_loader(images).modalities["CLIM"].mean[1]
    assert few == pytest.approx(np.mean(arrays[[0, 6], 1], dtype=np.float64))


def test_given_statistics_are_kept(tmp_path):
    """Mean and std of the user are not computed, for new and known modalities."""
    images = write_chips(tmp_path, 2, names=("CLIM", "DEM"))
    loader = fit_loader(
        images,
        CLIM=ImageColumn("c", mean=(1, 2, 3), std=(4, 5, 6)),
        DEM=ImageColumn("d", mean=(7,), std=(8,)),
    )
    assert loader.modalities["CLIM"].std == (4.0, 5.0, 6.0)
    assert loader.modalities["DEM"].mean == (7.0,)
    assert loader.columns == {"CLIM": "c", "DEM": "d"}


def test_modality_without_usable_chip_raises(tmp_path):
    """The error names the column and what is wrong with its files."""
    images = write_chips(tmp_path, 2, names=("DEM", "S1GRD"))
    images["DEM"][:] = None
    with pytest.raises(ValueError, match=r"'dem_path' has no usable image of DEM .*no row has a"):
        fit_loader(images)
    images["DEM"][:] = [str(tmp_path / "b.npy"), str(tmp_path / "a.npy")]
    with pytest.raises(ValueError, match=r"'dem_path' .*2 unusable files: .*a\.npy does not exist"):
        fit_loader(images, on_error="ignore")
    with pytest.raises(ValueError, match=r"Row 1, column 'dem_path': .*a\.npy does not exist\. Pa"):
        fit_loader(images)


def test_unusable_files_are_skipped_in_fit(tmp_path):
    """With "ignore", size and statistics are those of the usable chips."""
    images = write_chips(tmp_path, 4, names=("CLIM",))
    expected = fit_loader({"CLIM": images["CLIM"][1:]}, chip_size=None)
    (tmp_path / "CLIM_0.npy").write_bytes(b"")
    write_chip(tmp_path / "CLIM_x.npy", "CLIM", bands=2)
    broken = {"CLIM": read_paths([*images["CLIM"], str(tmp_path / "CLIM_x.npy")])}
    result = fit_loader(broken, chip_size=None, on_error="ignore")
    assert result == replace(expected, on_error="ignore")
    with pytest.raises(ValueError, match=r"Row 0, column 'clim_path': .*CLIM_0\.npy is empty"):
        fit_loader(broken)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_embeddings_equal_those_of_single_rows(tmp_path, batch_size, workers):
    """Batches, threads, gaps and duplicates have no effect; each chip set is encoded once."""
    images = write_chips_with_gaps(tmp_path)
    loader = fit_loader(images)
    vectors, usable, rows = embed(loader, images, batch_size=batch_size, workers=workers)
    expected = embed_row_by_row(loader, images)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    assert np.isnan(vectors).all(axis=1).tolist() == [i in (0, 12) for i in range(23)]
    assert rows == 23 - 2 - 1
    assert all(usable[name].tolist() == images[name].tolist() for name in images)


def test_embeddings_follow_row_order(tmp_path):
    """Permuted rows have permuted embeddings."""
    images = write_chips_with_gaps(tmp_path)
    loader = fit_loader(images)
    order = np.random.default_rng(0).permutation(23)
    shuffled = {name: paths[order] for name, paths in images.items()}
    vectors = embed(loader, images)[0]
    np.testing.assert_allclose(embed(loader, shuffled)[0], vectors[order], rtol=1e-6)


def test_cached_embeddings_are_not_computed_again(tmp_path):
    """The cache uses file contents: copies are found, replaced files are not."""
    (tmp_path / "chips").mkdir()
    images = write_chips(tmp_path / "chips", 6)
    loader = fit_loader(images)
    first, _, rows = embed(loader, images, tmp_path / "cache")
    assert rows == 6
    shutil.copytree(tmp_path / "chips", tmp_path / "moved")
    moved = {
        name: read_paths(tmp_path / "moved" / Path(path).name for path in paths)
        for name, paths in images.items()
    }
    again, _, rows = embed(loader, moved, tmp_path / "cache")
    assert rows == 0
    np.testing.assert_array_equal(again, first)

    turned = dict(reversed(images.items()))
    again, _, rows = embed(fit_loader(turned), turned, tmp_path / "cache")
    assert rows == 0

    write_chip(images["DEM"][2], "DEM", 500.0)
    changed, _, rows = embed(loader, images, tmp_path / "cache")
    assert rows == 1
    assert np.flatnonzero((changed != first).any(axis=1)).tolist() == [2]


def test_the_same_file_in_two_columns_is_two_images(tmp_path):
    """The modality is part of the cache key."""
    images = write_chips(tmp_path, 2, names=("DEM", "CLIM"))
    path = write_chip(tmp_path / "one.npy", "DEM")
    images = {"DEM": read_paths([path, None]), "CLIM": read_paths([None, path])}
    vectors, _, rows = embed(fit_loader(images), images)
    assert rows == 2
    assert (vectors != 0).tolist() == [[False, False, True, False], [False, False, False, True]]


def test_namespace_depends_on_all_that_changes_an_embedding(tmp_path):
    """Encoder, size, scale, bands and statistics change it; column labels do not."""
    images = write_chips(tmp_path, 2, names=("S1GRD", "DEM"))
    base = fit_loader(images)
    other = Encoder()
    other.fingerprint = "other"
    results = [
        base.namespace(Encoder()),
        base.namespace(other),
        fit_loader(images, chip_size=32).namespace(Encoder()),
        fit_loader({"DEM": images["DEM"]}).namespace(Encoder()),
        *(
            fit_loader(images, DEM=ImageColumn("d", **options)).namespace(Encoder())
            for options in ({"scale": 2}, {"offset": 1}, {"mean": (1,), "std": (2,)})
        ),
        fit_loader(images, S1GRD=ImageColumn("s", bands=("VH", "VV"))).namespace(Encoder()),
    ]
    assert len(set(results)) == len(results)
    turned = fit_loader(dict(reversed(images.items())), on_error="ignore", DEM=ImageColumn("other"))
    assert turned.namespace(Encoder()) == results[0]


def test_cache_of_another_namespace_raises(tmp_path):
    """Embeddings of different encoders are never mixed."""
    images = write_chips(tmp_path, 1, names=("DEM",))
    loader = fit_loader(images)
    with pytest.raises(ValueError, match="cache has the namespace 'x' and width 4"):
        loader.embed(images, Encoder(), EmbeddingCache(None, "x", 4), workers=1)


@pytest.mark.parametrize(
    ("vectors", "message"), [(np.zeros((1, 3)), "shape"), (np.full((1, 4), np.inf), "not finite")]
)
def test_invalid_embeddings_raise(tmp_path, vectors, message):
    """Wrong shapes and values that are not finite are never cached."""
    images = write_chips(tmp_path, 1, names=("DEM",))
    loader = fit_loader(images)
    cache = make_cache(loader, tmp_path / "cache")

    class Broken(Encoder):
        def __call__(self, chips):
            return vectors

    with pytest.raises(ValueError, match=message):
        loader.embed(images, Broken(), cache, workers=1)
    assert list((tmp_path / "cache").rglob("*.sqlite3")) == []


def test_progress_bar(tmp_path, capsys):
    """The bar counts the rows to encode, without cached ones."""
    images = write_chips(tmp_path, 5, names=("DEM",))
    loader = fit_loader(images)
    embed(loader, {"DEM": images["DEM"][:2]}, tmp_path / "cache")
    assert capsys.readouterr().err == ""
    embed(loader, images, tmp_path / "cache", verbose=1)
    assert "3/3" in capsys.readouterr().err


def test_memory_is_bounded_by_the_batch(tmp_path, monkeypatch):
    """At most two batches are read before the one that is encoded."""
    images = write_chips(tmp_path, 40, names=("DEM",))
    loader = fit_loader(images)
    started = []
    monkeypatch.setattr(
        embedding_module, "read_chip", lambda *args: started.append(1) or read_chip(*args)
    )

    class CountingReads(Encoder):
        def __call__(self, chips):
            time.sleep(0.01)
            assert len(started) <= 4 * (len(self.sizes) + 1 + 2)
            return super().__call__(chips)

    loader.embed(images, CountingReads(), make_cache(loader), workers=3, batch_size=4)
    assert len(started) == 40


def test_files_are_read_while_the_encoder_runs(tmp_path, monkeypatch):
    """Chips of the second batch are read during the first call of the encoder."""
    images = write_chips(tmp_path, 8, names=("DEM",))
    loader = fit_loader(images)
    read, second = [], threading.Event()

    def reading(*args):
        read.append(1)
        if len(read) == 8:
            second.set()
        return read_chip(*args)

    class Waiting(Encoder):
        def __call__(self, chips):
            assert second.wait(10)
            return super().__call__(chips)

    # The second batch is complete only after its eighth chip.
    monkeypatch.setattr(embedding_module, "read_chip", reading)
    loader.embed(images, Waiting(), make_cache(loader), workers=1, batch_size=4)


def test_unusable_file_raises_with_row_and_column(tmp_path):
    """The message has row, column, path, reason and remedy."""
    images = write_chips(tmp_path, 5, names=("DEM", "S1GRD"))
    loader = fit_loader(images)
    missing = images["S1GRD"][3] = str(tmp_path / "b.npy")
    with pytest.raises(ValueError) as caught:
        embed(loader, images)
    assert str(caught.value) == (
        f"Row 3, column 's1grd_path': {missing} does not exist. Pass on_error='ignore' to "
        "treat such images as missing."
    )
    images["S1GRD"][3] = "s3://bucket/b.tif"
    with pytest.raises(ValueError, match=r"s3://bucket/b\.tif does not exist .*download .*extract"):
        embed(loader, images)


def test_rows_encoded_before_an_error_are_cached(tmp_path):
    """A damaged file costs at most its own batch."""
    (tmp_path / "chips").mkdir()
    images = write_chips(tmp_path / "chips", 12, names=("DEM",))
    loader = fit_loader(images)
    damaged = Path(images["DEM"][9])
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"Row 9, column 'dem_path': .*is truncated"):
        embed(loader, images, tmp_path / "cache")
    damaged.write_bytes(whole)
    vectors, _, rows = embed(loader, images, tmp_path / "cache")
    assert rows == 4
    np.testing.assert_allclose(vectors, embed_row_by_row(loader, images), rtol=1e-6)


def test_ignored_files_are_missing_with_one_warning(tmp_path):
    """Rows keep their other images; the warning has the number and the first three cases."""
    images = write_chips(tmp_path, 12, names=("DEM", "S1GRD"))
    loader = fit_loader(images, on_error="ignore")
    clean = {name: paths.copy() for name, paths in images.items()}
    images["DEM"][4] = str(tmp_path / "nowhere.npy")
    Path(images["DEM"][7]).write_bytes(b"")
    Path(images["S1GRD"][1]).write_bytes(Path(images["S1GRD"][1]).read_bytes()[:-9])
    images["S1GRD"][4] = images["S1GRD"][5] = images["S1GRD"][1]
    clean["DEM"][[4, 7]] = None
    clean["S1GRD"][[1, 4, 5]] = None
    before = {name: paths.tolist() for name, paths in images.items()}
    with pytest.warns(UserWarning) as caught:
        vectors, usable, rows = embed(loader, images, tmp_path / "cache")
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith("5 images cannot be used, treated as missing: row 1, ")
    assert "row 1, column 's1grd_path'" in text and "row 4, column 'dem_path'" in text
    assert "nowhere.npy does not exist" in text and text.endswith("; and 2 more.")
    assert {name: paths.tolist() for name, paths in images.items()} == before
    assert {name: paths.tolist() for name, paths in usable.items()} == {
        name: paths.tolist() for name, paths in clean.items()
    }
    np.testing.assert_allclose(vectors, embed_row_by_row(loader, clean), rtol=1e-6)
    assert np.isnan(vectors[4]).all() and not np.isnan(vectors[[1, 5, 7]]).any()
    assert rows == 11
    again, _, rows = embed(loader, usable, tmp_path / "cache")
    assert rows == 0
    np.testing.assert_array_equal(again, vectors)


def test_copies_of_a_damaged_file_are_read_once(tmp_path, monkeypatch):
    """The error of one copy applies to all."""
    images = write_chips(tmp_path, 6, names=("DEM",))
    loader = fit_loader(images, on_error="ignore")
    content = Path(images["DEM"][0]).read_bytes()[:-9]
    for path in images["DEM"][:5]:
        Path(path).write_bytes(content)
    started = []
    monkeypatch.setattr(
        embedding_module, "read_chip", lambda *args: started.append(args[0]) or read_chip(*args)
    )
    with pytest.warns(UserWarning, match="5 images cannot be used"):
        vectors, _, rows = embed(loader, images)
    assert rows == 1
    assert np.isnan(vectors).all(axis=1).tolist() == [True] * 5 + [False]
    assert started.count(content) == 1


def test_file_that_changes_during_reading_raises(tmp_path, monkeypatch):
    """Its embedding is not cached under the digest of the earlier content."""
    images = write_chips(tmp_path, 2, names=("DEM",))
    loader = fit_loader(images)
    read_file, seen = embedding_module.read_chip_file, []

    def changing(path):
        if path in seen:
            write_chip(path, "DEM", 900.0, seed=9)
        seen.append(path)
        return read_file(path)

    monkeypatch.setattr(embedding_module, "read_chip_file", changing)
    with pytest.raises(ValueError, match=r"Row 0, .*DEM_0\.npy changed while it was being read"):
        embed(loader, images, tmp_path / "cache")


def test_chips_are_grouped_by_available_modalities(tmp_path):
    """Groups have positions and chips of their rows; rows without images are left out."""
    images = write_chips_with_gaps(tmp_path)
    loader = fit_loader(images)
    rows = np.array([7, 0, 2, 3, 22, 7, 12])
    groups = loader.chips(images, rows, workers=2)
    expected = embed_row_by_row(loader, images)
    seen = []
    for positions, chips in groups:
        np.testing.assert_allclose(Encoder()(chips), expected[rows[positions]], rtol=1e-6)
        assert all(chip.shape[2:] == (16, 16) for chip in chips.values())
        seen += positions.tolist()
    assert sorted(seen) == [0, 2, 3, 4, 5]
    assert sorted(tuple(chips) for _, chips in groups) == [
        ("S1GRD", "DEM"),
        ("S2L2A", "S1GRD", "DEM"),
    ]
    assert loader.chips(images, np.array([], dtype=int)) == []


def test_chips_that_cannot_be_read(tmp_path):
    """They raise with the table's row, or are left out with a warning."""
    images = write_chips(tmp_path, 4, names=("DEM", "S1GRD"))
    loader = fit_loader(images)
    Path(images["DEM"][2]).write_bytes(b"")
    rows = np.array([3, 2])
    with pytest.raises(ValueError, match=r"Row 2, column 'dem_path': .*DEM_2\.npy is empty\. Pass"):
        loader.chips(images, rows)
    with pytest.warns(UserWarning, match=r"1 image cannot .*row 2, .* is empty\.$"):
        groups = replace(loader, on_error="ignore").chips(images, rows)
    results = [(positions.tolist(), list(chips)) for positions, chips in groups]
    assert results == [([0], ["DEM", "S1GRD"]), ([1], ["S1GRD"])]


def test_indices_of_the_first_sentinel_2_modality(tmp_path):
    """NDVI, BSI and NDMI of each row, NaN without such a chip."""
    chip = np.full((12, 16, 16), 1000.0)
    chip[7], chip[10] = 3000.0, 2000.0  # near infrared and short-wave infrared
    np.save(tmp_path / "a.npy", chip)
    np.save(tmp_path / "b.npy", np.full_like(chip, 500.0))
    a, b = str(tmp_path / "a.npy"), str(tmp_path / "b.npy")
    images = write_chips(tmp_path, 4, names=("DEM",)) | {"S2L2A": read_paths([a, None, b, a])}
    result = fit_loader(images).indices(images, 2)
    np.testing.assert_allclose(result[[0, 3]], [[0.5, -1 / 7, 0.2]] * 2, rtol=1e-6)
    assert np.isnan(result[1]).all()
    np.testing.assert_allclose(result[2], 0.0)
    heights = {"DEM": images["DEM"]}
    assert np.isnan(fit_loader(heights).indices(heights)).all()

    loader = fit_loader(images)
    images["S2L2A"][2] = str(tmp_path / "c.npy")
    with pytest.raises(ValueError, match=r"Row 2, column 's2l2a_path': .*c\.npy does not exist"):
        loader.indices(images)
    with pytest.warns(UserWarning, match="1 image cannot be used"):
        result = replace(loader, on_error="ignore").indices(images)
    assert np.isnan(result).all(axis=1).tolist() == [False, True, True, False]


# The package root takes seconds to import and is not needed here.
WORKER = """
import json, os, sys, time, types

root = types.ModuleType("sptgnn_sklearn")
root.__path__ = [sys.argv[1]]
sys.modules["sptgnn_sklearn"] = root

import numpy as np
from sptgnn_sklearn.encoders import embedding
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.table.image_columns import ImageColumn
from sptgnn_sklearn.table.column_parsing import read_paths

paths, folder, log, ready, others = json.loads(sys.argv[2])
embedding._CHUNK_ROWS = 4


class SlowEncoder:
    fingerprint, width = "mean", 4

    def __call__(self, chips):
        time.sleep(0.02)
        mean = 1 + chips["DEM"].mean(axis=(1, 2, 3))
        with open(log, "a") as file:
            file.write("row\\n" * len(mean))
        return mean[:, None] * np.array([0, 0, 1, 0])


images = {"DEM": read_paths(paths)}
columns = {"DEM": ImageColumn("dem_path")}
loader = embedding.ChipLoader.fit(images, columns, chip_size=16, on_error="raise")
cache = EmbeddingCache(folder, loader.namespace(SlowEncoder()), 4)
open(ready, "w").close()
while not all(os.path.exists(path) for path in others):
    time.sleep(0.005)
found, _ = loader.embed(images, SlowEncoder(), cache, workers=1, batch_size=2)
np.save(ready + ".npy", found)
"""


def start_worker(folder, images, name, others=()):
    """Start a process that embeds the images, after the processes `others` are ready."""
    arguments = [
        images["DEM"].tolist(),
        str(folder / "cache"),
        str(folder / f"{name}.log"),
        str(folder / name),
        [str(folder / other) for other in others],
    ]
    package = os.path.dirname(sptgnn_sklearn.__file__)
    return subprocess.Popen([sys.executable, "-c", WORKER, package, json.dumps(arguments)])


def count_encoded(folder, name):
    """Return the number of rows that a worker has encoded."""
    log = folder / f"{name}.log"
    return log.read_text().count("row") if log.exists() else 0


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_killed_run_is_resumed(tmp_path):
    """After SIGKILL, the next run encodes only rows that are not cached."""
    images = write_chips(tmp_path, 60, names=("DEM",), side=16)
    process = start_worker(tmp_path, images, "killed")
    end = time.monotonic() + 60
    while count_encoded(tmp_path, "killed") < 20:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = count_encoded(tmp_path, "killed")
    assert 16 <= before < 60
    loader = fit_loader(images)
    vectors, _, rows = embed(loader, images, tmp_path / "cache")
    # At most one chunk was lost.
    assert 60 - before <= rows <= 60 - before + 4
    np.testing.assert_allclose(vectors, embed_row_by_row(loader, images), rtol=1e-6)


def test_two_processes_share_the_work(tmp_path):
    """Processes started together on one table encode each chip once in total."""
    images = write_chips(tmp_path, 40, names=("DEM",), side=16)
    names = ["first", "second"]
    processes = [start_worker(tmp_path, images, name, names) for name in names]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sum(count_encoded(tmp_path, name) for name in names) == 40
    expected = embed_row_by_row(fit_loader(images), images)
    for name in names:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=1e-6)


def test_rows_cached_meanwhile_by_another_process_are_not_encoded(tmp_path, monkeypatch):
    """Rows that are read but not yet encoded are looked up again."""
    images = write_chips(tmp_path, 12, names=("DEM",))
    loader = fit_loader(images)
    cache = make_cache(loader, tmp_path / "cache")
    lock, held = cache.lock, []

    def locking():
        held.append(1)
        if len(held) == 2:
            embed(loader, {"DEM": images["DEM"][4:8]}, tmp_path / "cache")
        return lock()

    monkeypatch.setattr(embedding_module, "_CHUNK_ROWS", 4)
    monkeypatch.setattr(cache, "lock", locking)
    encoder = Encoder()
    vectors, _ = loader.embed(images, encoder, cache, workers=2, batch_size=4)
    assert encoder.rows == 8
    np.testing.assert_allclose(vectors, embed_row_by_row(loader, images), rtol=1e-6)


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damaged_cache_entries_are_encoded_again(tmp_path, damage):
    """Embeddings lost to damage are computed again, with one warning."""
    images = write_chips(tmp_path, 10, names=("DEM",))
    loader = fit_loader(images)
    embed(loader, {"DEM": images["DEM"][:4]}, tmp_path / "cache")
    (database,) = (tmp_path / "cache").rglob("*.sqlite3")
    first = embed(loader, images, tmp_path / "cache")[0]
    if damage == "flip":
        vector = first[2].tobytes()
        content = database.read_bytes()
        assert content.count(vector) == 1
        database.write_bytes(content.replace(vector, vector[:-1] + bytes([vector[-1] ^ 64])))
    else:
        database.write_bytes(database.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="damaged") as caught:
        vectors, _, rows = embed(loader, images, tmp_path / "cache")
    assert len(caught) == 1
    assert rows == (1 if damage == "flip" else 10)
    np.testing.assert_array_equal(vectors, first)
    assert embed(loader, images, tmp_path / "cache")[2] == 0
