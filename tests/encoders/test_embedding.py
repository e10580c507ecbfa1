"""Columns of chip paths to embeddings: each chip encoded once, whatever happens in between."""

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
from sptgnn_sklearn.encoders import embedding as imagery_module
from sptgnn_sklearn.encoders.embedding import ChipLoader
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.images.chips import read_chip, standardize_chip
from sptgnn_sklearn.table.image_columns import ImageColumn
from sptgnn_sklearn.table.parsing import read_paths

BANDS = {"S2L2A": 12, "S1GRD": 2, "DEM": 1, "CLIM": 3}


class Encoder:
    """Mean of each modality in a place of its own, and the number of rows it has seen."""

    fingerprint = "mean"
    width = 4

    def __init__(self):
        self.sizes = []

    def __call__(self, chips):
        size = len(next(iter(chips.values())))
        self.sizes.append(size)
        vectors = np.zeros((size, self.width))
        for place, name in enumerate(BANDS):
            if name in chips:
                assert chips[name].dtype == np.float32
                vectors[:, place] = 1 + chips[name].mean(axis=(1, 2, 3))
        return vectors

    @property
    def rows(self):
        return sum(self.sizes)


def write(path, name, value=0.0, side=32, bands=None, seed=0):
    """Write a chip around a value that is fit for its modality."""
    rng = np.random.default_rng(seed)
    base = {"S2L2A": 2000.0, "S1GRD": -90.0, "DEM": 300.0, "CLIM": 10.0}[name]
    shape = (BANDS[name] if bands is None else bands, side, side)
    np.save(path, (base + value + rng.normal(size=shape)).astype(np.float32))
    return str(path)


def table(folder, n, names=("S2L2A", "S1GRD", "DEM"), side=32):
    """Images of n rows, all different."""
    return {
        name: read_paths(
            [write(folder / f"{name}_{i}.npy", name, i, side, seed=i) for i in range(n)]
        )
        for name in names
    }


def fit_loader(images, chip_size=16, on_error="raise", **columns):
    columns = {name: columns.get(name, ImageColumn(f"{name.lower()}_path")) for name in images}
    return ChipLoader.fit(images, columns, chip_size=chip_size, on_error=on_error)


def memory(imagery, folder=None):
    return EmbeddingCache(folder, imagery.namespace(Encoder()), Encoder.width)


def embed(imagery, images, folder=None, **options):
    """Vectors, usable images and the number of rows that the encoder saw."""
    encoder = Encoder()
    options = {"workers": 2, "batch_size": 4, **options}
    found = imagery.embed(images, encoder, memory(imagery, folder), **options)
    return *found, encoder.rows


def slowly(imagery, images):
    """Each row on its own, without store, threads or batches."""
    n = len(next(iter(images.values())))
    vectors = np.full((n, Encoder.width), np.nan, dtype=np.float32)
    for row in range(n):
        chips = {}
        for name, modality in imagery.modalities.items():
            if images[name][row] is not None:
                content = Path(images[name][row]).read_bytes()
                chip = read_chip(content, "", modality, imagery.chip_size)
                chips[name] = standardize_chip(chip, modality)[None]
        if chips:
            vectors[row] = Encoder()(chips)[0]
    return vectors


def with_gaps(folder, n=23):
    """Rows that lack some images or all, and rows with the same chips."""
    images = table(folder, n)
    images["S2L2A"][::3] = None
    images["S1GRD"][::4] = None
    images["DEM"][[0, 5, 12]] = None
    for column in images.values():
        column[n - 1] = column[2]
    return images


# What is learned


@pytest.mark.parametrize(
    ("sides", "size"), [((40, 70), 32), ((70, 48), 48), ((12, 40), 16), ((300, 250), 224)]
)
def test_chip_size_is_what_all_chips_fill(tmp_path, sides, size):
    """The largest multiple of 16 within the smaller chips, from 16 to 224."""
    images = {
        name: read_paths([write(tmp_path / f"{name}.npy", name, side=side)])
        for name, side in zip(("DEM", "S1GRD"), sides, strict=True)
    }
    assert fit_loader(images, chip_size=None).chip_size == size
    assert fit_loader(images, chip_size=16).chip_size == 16


def test_what_is_learned_does_not_depend_on_the_order_of_rows(tmp_path):
    """Chips of several sizes in any order, and each path once or more often."""
    images = table(tmp_path, 6, names=("CLIM",))
    write(tmp_path / "CLIM_0.npy", "CLIM", side=48)
    images["CLIM"][3] = None
    imagery = fit_loader(images, chip_size=None)
    assert imagery.chip_size == 48
    for order in ([4, 5, 3, 2, 0, 1], [0, 0, 1, 2, 2, 4, 5, 5]):
        assert fit_loader({"CLIM": images["CLIM"][order]}, chip_size=None) == imagery


@pytest.mark.parametrize("size", [0, 20, -16, 16.0, True, "16"])
def test_chip_size_that_the_encoder_cannot_take(tmp_path, size):
    """Patches are of 16 pixels."""
    with pytest.raises(ValueError, match=r"chip_size=.* must be a positive multiple of 16"):
        fit_loader(table(tmp_path, 1, names=("DEM",)), chip_size=size)


def test_on_error_that_is_no_choice(tmp_path):
    """The message has the name of the estimators' parameter."""
    with pytest.raises(ValueError, match="on_image_error='skip' must be 'raise' or 'ignore'"):
        fit_loader(table(tmp_path, 1, names=("DEM",)), on_error="skip")


def test_statistics_of_a_new_modality(tmp_path, monkeypatch):
    """Mean and std by band over the valid pixels of the distinct chips, as numpy has them."""
    monkeypatch.setattr(imagery_module, "_SLICE", 2)
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

    monkeypatch.setattr(imagery_module, "_MOST_CHIPS", 2)
    few = fit_loader(images).modalities["CLIM"].mean[1]
    assert few == pytest.approx(np.mean(arrays[[0, 6], 1], dtype=np.float64))


def test_statistics_that_are_given_are_kept(tmp_path):
    """Own figures, of a new modality or a known one, are not computed."""
    images = table(tmp_path, 2, names=("CLIM", "DEM"))
    imagery = fit_loader(
        images,
        CLIM=ImageColumn("c", mean=(1, 2, 3), std=(4, 5, 6)),
        DEM=ImageColumn("d", mean=(7,), std=(8,)),
    )
    assert imagery.modalities["CLIM"].std == (4.0, 5.0, 6.0)
    assert imagery.modalities["DEM"].mean == (7.0,)
    assert imagery.columns == {"CLIM": "c", "DEM": "d"}


def test_a_modality_without_any_chip(tmp_path):
    """The error names the column and what is wrong with its files."""
    images = table(tmp_path, 2, names=("DEM", "S1GRD"))
    images["DEM"][:] = None
    with pytest.raises(ValueError, match=r"'dem_path' has no usable image of DEM .*no row has a"):
        fit_loader(images)
    images["DEM"][:] = [str(tmp_path / "b.npy"), str(tmp_path / "a.npy")]
    with pytest.raises(ValueError, match=r"'dem_path' has .*2 files fail: .*a\.npy does not exist"):
        fit_loader(images, on_error="ignore")
    with pytest.raises(ValueError, match=r"Row 1, column 'dem_path': .*a\.npy does not exist\. Pa"):
        fit_loader(images)


def test_files_that_fail_are_skipped_in_learning(tmp_path):
    """With "ignore", size and statistics come from the chips that can be used."""
    images = table(tmp_path, 4, names=("CLIM",))
    expected = fit_loader({"CLIM": images["CLIM"][1:]}, chip_size=None)
    (tmp_path / "CLIM_0.npy").write_bytes(b"")
    write(tmp_path / "CLIM_x.npy", "CLIM", bands=2)
    broken = {"CLIM": read_paths([*images["CLIM"], str(tmp_path / "CLIM_x.npy")])}
    found = fit_loader(broken, chip_size=None, on_error="ignore")
    assert found == replace(expected, on_error="ignore")
    with pytest.raises(ValueError, match=r"Row 0, column 'clim_path': .*CLIM_0\.npy is empty"):
        fit_loader(broken)


# Embeddings


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_embeddings_are_those_of_each_row_alone(tmp_path, batch_size, workers):
    """Whatever the batches and threads, with gaps and repeated rows; each chip set once."""
    images = with_gaps(tmp_path)
    imagery = fit_loader(images)
    vectors, usable, rows = embed(imagery, images, batch_size=batch_size, workers=workers)
    expected = slowly(imagery, images)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    assert np.isnan(vectors).all(axis=1).tolist() == [i in (0, 12) for i in range(23)]
    assert rows == 23 - 2 - 1
    assert all(usable[name].tolist() == images[name].tolist() for name in images)


def test_embeddings_follow_the_order_of_rows(tmp_path):
    """Rows in another order have the same embeddings in that order."""
    images = with_gaps(tmp_path)
    imagery = fit_loader(images)
    order = np.random.default_rng(0).permutation(23)
    shuffled = {name: paths[order] for name, paths in images.items()}
    vectors = embed(imagery, images)[0]
    np.testing.assert_allclose(embed(imagery, shuffled)[0], vectors[order], rtol=1e-6)


def test_stored_embeddings_are_not_computed_again(tmp_path):
    """By content: a copy under another name is known, and new content under the old name is not."""
    (tmp_path / "chips").mkdir()
    images = table(tmp_path / "chips", 6)
    imagery = fit_loader(images)
    first, _, rows = embed(imagery, images, tmp_path / "store")
    assert rows == 6
    shutil.copytree(tmp_path / "chips", tmp_path / "moved")
    moved = {
        name: read_paths(tmp_path / "moved" / Path(path).name for path in paths)
        for name, paths in images.items()
    }
    again, _, rows = embed(imagery, moved, tmp_path / "store")
    assert rows == 0
    np.testing.assert_array_equal(again, first)

    turned = dict(reversed(images.items()))
    again, _, rows = embed(fit_loader(turned), turned, tmp_path / "store")
    assert rows == 0

    write(images["DEM"][2], "DEM", 500.0)
    changed, _, rows = embed(imagery, images, tmp_path / "store")
    assert rows == 1
    assert np.flatnonzero((changed != first).any(axis=1)).tolist() == [2]


def test_the_same_file_in_two_columns_is_two_images(tmp_path):
    """The modality is part of what is encoded."""
    images = table(tmp_path, 2, names=("DEM", "CLIM"))
    path = write(tmp_path / "one.npy", "DEM")
    images = {"DEM": read_paths([path, None]), "CLIM": read_paths([None, path])}
    vectors, _, rows = embed(fit_loader(images), images)
    assert rows == 2
    assert (vectors != 0).tolist() == [[False, False, True, False], [False, False, False, True]]


def test_namespace_stands_for_all_that_changes_an_embedding(tmp_path):
    """Another encoder, size, scale, bands or figures: another namespace. Labels do not matter."""
    images = table(tmp_path, 2, names=("S1GRD", "DEM"))
    base = fit_loader(images)
    other = Encoder()
    other.fingerprint = "other"
    found = [
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
    assert len(set(found)) == len(found)
    turned = fit_loader(dict(reversed(images.items())), on_error="ignore", DEM=ImageColumn("other"))
    assert turned.namespace(Encoder()) == found[0]


def test_a_store_of_something_else_is_refused(tmp_path):
    """It would mix embeddings that have nothing to do with each other."""
    images = table(tmp_path, 1, names=("DEM",))
    imagery = fit_loader(images)
    with pytest.raises(ValueError, match="The store has the namespace 'x' and width 4"):
        imagery.embed(images, Encoder(), EmbeddingCache(None, "x", 4), workers=1)


@pytest.mark.parametrize(
    ("vectors", "message"), [(np.zeros((1, 3)), "shape"), (np.full((1, 4), np.inf), "not finite")]
)
def test_an_encoder_that_fails_is_told(tmp_path, vectors, message):
    """Wrong shapes and values that are not finite are never stored."""
    images = table(tmp_path, 1, names=("DEM",))
    imagery = fit_loader(images)
    store = memory(imagery, tmp_path / "store")

    class Broken(Encoder):
        def __call__(self, chips):
            return vectors

    with pytest.raises(ValueError, match=message):
        imagery.embed(images, Broken(), store, workers=1)
    assert list((tmp_path / "store").rglob("*.safetensors")) == []


def test_progress_is_shown_if_asked_for(tmp_path, capsys):
    """The bar counts the rows to encode, not those that are stored."""
    images = table(tmp_path, 5, names=("DEM",))
    imagery = fit_loader(images)
    embed(imagery, {"DEM": images["DEM"][:2]}, tmp_path / "store")
    assert capsys.readouterr().err == ""
    embed(imagery, images, tmp_path / "store", verbose=1)
    assert "3/3" in capsys.readouterr().err


def test_memory_is_bounded_by_the_batch(tmp_path, monkeypatch):
    """Never are more than two batches read before the one that is encoded."""
    images = table(tmp_path, 40, names=("DEM",))
    imagery = fit_loader(images)
    begun = []
    monkeypatch.setattr(
        imagery_module, "read_chip", lambda *args: begun.append(1) or read_chip(*args)
    )

    class Watching(Encoder):
        def __call__(self, chips):
            time.sleep(0.01)
            assert len(begun) <= 4 * (len(self.sizes) + 1 + 2)
            return super().__call__(chips)

    imagery.embed(images, Watching(), memory(imagery), workers=3, batch_size=4)
    assert len(begun) == 40


def test_files_are_read_while_the_encoder_runs(tmp_path, monkeypatch):
    """The encoder, at its first batch, sees chips of the second arrive."""
    images = table(tmp_path, 8, names=("DEM",))
    imagery = fit_loader(images)
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

    # The second batch is not read before the encoder has begun.
    monkeypatch.setattr(imagery_module, "read_chip", reading)
    imagery.embed(images, Waiting(), memory(imagery), workers=1, batch_size=4)


# Files that cannot be used


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    """Row, column, path, what is wrong, and what to do."""
    images = table(tmp_path, 5, names=("DEM", "S1GRD"))
    imagery = fit_loader(images)
    missing = images["S1GRD"][3] = str(tmp_path / "b.npy")
    with pytest.raises(ValueError) as caught:
        embed(imagery, images)
    assert str(caught.value) == (
        f"Row 3, column 's1grd_path': {missing} does not exist. Pass on_image_error='ignore' to "
        "treat such rows as without that image."
    )
    images["S1GRD"][3] = "s3://bucket/b.tif"
    with pytest.raises(ValueError, match=r"s3://bucket/b\.tif does not exist .*download .*extract"):
        embed(imagery, images)


def test_what_was_encoded_before_an_error_is_stored(tmp_path):
    """A file that turns out to be damaged costs no more than its batch."""
    (tmp_path / "chips").mkdir()
    images = table(tmp_path / "chips", 12, names=("DEM",))
    imagery = fit_loader(images)
    damaged = Path(images["DEM"][9])
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"Row 9, column 'dem_path': .*is cut short"):
        embed(imagery, images, tmp_path / "store")
    damaged.write_bytes(whole)
    vectors, _, rows = embed(imagery, images, tmp_path / "store")
    assert rows == 4
    np.testing.assert_allclose(vectors, slowly(imagery, images), rtol=1e-6)


def test_files_that_cannot_be_used_are_left_out_with_one_warning(tmp_path):
    """Rows keep their other images; the warning has the number and the first three cases."""
    images = table(tmp_path, 12, names=("DEM", "S1GRD"))
    imagery = fit_loader(images, on_error="ignore")
    clean = {name: paths.copy() for name, paths in images.items()}
    images["DEM"][4] = str(tmp_path / "nowhere.npy")
    Path(images["DEM"][7]).write_bytes(b"")
    Path(images["S1GRD"][1]).write_bytes(Path(images["S1GRD"][1]).read_bytes()[:-9])
    images["S1GRD"][4] = images["S1GRD"][5] = images["S1GRD"][1]
    clean["DEM"][[4, 7]] = None
    clean["S1GRD"][[1, 4, 5]] = None
    before = {name: paths.tolist() for name, paths in images.items()}
    with pytest.warns(UserWarning) as caught:
        vectors, usable, rows = embed(imagery, images, tmp_path / "store")
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith("5 images cannot be used, and the rows are treated as without: row 1, ")
    assert "row 1, column 's1grd_path'" in text and "row 4, column 'dem_path'" in text
    assert "nowhere.npy does not exist" in text and text.endswith("; and 2 more.")
    assert {name: paths.tolist() for name, paths in images.items()} == before
    assert {name: paths.tolist() for name, paths in usable.items()} == {
        name: paths.tolist() for name, paths in clean.items()
    }
    np.testing.assert_allclose(vectors, slowly(imagery, clean), rtol=1e-6)
    assert np.isnan(vectors[4]).all() and not np.isnan(vectors[[1, 5, 7]]).any()
    assert rows == 11
    again, _, rows = embed(imagery, usable, tmp_path / "store")
    assert rows == 0
    np.testing.assert_array_equal(again, vectors)


def test_copies_of_a_damaged_file_are_read_once(tmp_path, monkeypatch):
    """What one of them shows holds for all."""
    images = table(tmp_path, 6, names=("DEM",))
    imagery = fit_loader(images, on_error="ignore")
    content = Path(images["DEM"][0]).read_bytes()[:-9]
    for path in images["DEM"][:5]:
        Path(path).write_bytes(content)
    begun = []
    monkeypatch.setattr(
        imagery_module, "read_chip", lambda *args: begun.append(args[0]) or read_chip(*args)
    )
    with pytest.warns(UserWarning, match="5 images cannot be used"):
        vectors, _, rows = embed(imagery, images)
    assert rows == 1
    assert np.isnan(vectors).all(axis=1).tolist() == [True] * 5 + [False]
    assert begun.count(content) == 1


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    """Its vector is not kept under the content that it had before."""
    images = table(tmp_path, 2, names=("DEM",))
    imagery = fit_loader(images)
    fetch, seen = imagery_module.fetch, []

    def changing(path):
        if path in seen:
            write(path, "DEM", 900.0, seed=9)
        seen.append(path)
        return fetch(path)

    monkeypatch.setattr(imagery_module, "fetch", changing)
    with pytest.raises(ValueError, match=r"Row 0, .*DEM_0\.npy changed while it was being read"):
        embed(imagery, images, tmp_path / "store")


# Chips and indices


def test_chips_are_grouped_by_what_rows_have(tmp_path):
    """Rows come back as positions, with their own chips, and those without any are left out."""
    images = with_gaps(tmp_path)
    imagery = fit_loader(images)
    rows = np.array([7, 0, 2, 3, 22, 7, 12])
    groups = imagery.chips(images, rows, workers=2)
    expected = slowly(imagery, images)
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
    assert imagery.chips(images, np.array([], dtype=int)) == []


def test_chips_that_cannot_be_read(tmp_path):
    """They are an error with the row of the table, or left out with a warning."""
    images = table(tmp_path, 4, names=("DEM", "S1GRD"))
    imagery = fit_loader(images)
    Path(images["DEM"][2]).write_bytes(b"")
    rows = np.array([3, 2])
    with pytest.raises(ValueError, match=r"Row 2, column 'dem_path': .*DEM_2\.npy is empty\. Pass"):
        imagery.chips(images, rows)
    with pytest.warns(UserWarning, match=r"1 image cannot .*row 2, .* is empty\.$"):
        groups = replace(imagery, on_error="ignore").chips(images, rows)
    found = [(positions.tolist(), list(chips)) for positions, chips in groups]
    assert found == [([0], ["DEM", "S1GRD"]), ([1], ["S1GRD"])]


def test_indices_of_the_first_sentinel_2_modality(tmp_path):
    """NDVI, BSI and NDMI of each row, and NaN where there is no such chip."""
    chip = np.full((12, 16, 16), 1000.0)
    chip[7], chip[10] = 3000.0, 2000.0  # near infrared and short-wave infrared
    np.save(tmp_path / "a.npy", chip)
    np.save(tmp_path / "b.npy", np.full_like(chip, 500.0))
    a, b = str(tmp_path / "a.npy"), str(tmp_path / "b.npy")
    images = table(tmp_path, 4, names=("DEM",)) | {"S2L2A": read_paths([a, None, b, a])}
    found = fit_loader(images).indices(images, 2)
    np.testing.assert_allclose(found[[0, 3]], [[0.5, -1 / 7, 0.2]] * 2, rtol=1e-6)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2], 0.0)
    heights = {"DEM": images["DEM"]}
    assert np.isnan(fit_loader(heights).indices(heights)).all()

    imagery = fit_loader(images)
    images["S2L2A"][2] = str(tmp_path / "c.npy")
    with pytest.raises(ValueError, match=r"Row 2, column 's2l2a_path': .*c\.npy does not exist"):
        imagery.indices(images)
    with pytest.warns(UserWarning, match="1 image cannot be used"):
        found = replace(imagery, on_error="ignore").indices(images)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, False]


# Several processes

# The package itself takes seconds to import, and no process here needs more of it than this part.
WORKER = """
import json, os, sys, time, types

for name, folder in (("sptgnn_sklearn", ""), ("sptgnn_sklearn.encoders", "encoders")):
    package = types.ModuleType(name)
    package.__path__ = [os.path.join(sys.argv[1], folder)]
    sys.modules[name] = package

import numpy as np
from sptgnn_sklearn.encoders import embedding as imagery
from sptgnn_sklearn.table.image_columns import ImageColumn
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingStore
from sptgnn_sklearn.table.parsing import read_paths

paths, store, log, ready, others = json.loads(sys.argv[2])
imagery._CHUNK_ROWS = 4


class Slow:
    fingerprint, width = "mean", 4

    def __call__(self, chips):
        time.sleep(0.02)
        mean = 1 + chips["DEM"].mean(axis=(1, 2, 3))
        with open(log, "a") as file:
            file.write("row\\n" * len(mean))
        return mean[:, None] * np.array([0, 0, 1, 0])


images = {"DEM": read_paths(paths)}
columns = {"DEM": ImageColumn("dem_path")}
learned = imagery.Imagery.learn(images, columns, chip_size=16, on_error="raise")
vectors = EmbeddingStore(store, learned.namespace(Slow()), 4)
open(ready, "w").close()
while not all(os.path.exists(path) for path in others):
    time.sleep(0.005)
found, _ = learned.embed(images, Slow(), vectors, workers=1, batch_size=2)
np.save(ready + ".npy", found)
"""


def start(folder, images, name, others=()):
    arguments = [
        images["DEM"].tolist(),
        str(folder / "store"),
        str(folder / f"{name}.log"),
        str(folder / name),
        [str(folder / other) for other in others],
    ]
    package = os.path.dirname(sptgnn_sklearn.__file__)
    return subprocess.Popen([sys.executable, "-c", WORKER, package, json.dumps(arguments)])


def encoded(folder, name):
    log = folder / f"{name}.log"
    return log.read_text().count("row") if log.exists() else 0


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path):
    """After kill -9, the next run encodes what the store has not, and no more."""
    images = table(tmp_path, 60, names=("DEM",), side=16)
    process = start(tmp_path, images, "killed")
    end = time.monotonic() + 60
    while len(list((tmp_path / "store").rglob("*.safetensors"))) < 4:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = encoded(tmp_path, "killed")
    assert 16 <= before < 60
    imagery = fit_loader(images)
    vectors, _, rows = embed(imagery, images, tmp_path / "store")
    # All but the rows of one chunk were kept.
    assert 60 - before <= rows <= 60 - before + 4
    np.testing.assert_allclose(vectors, slowly(imagery, images), rtol=1e-6)


def test_two_processes_share_the_work(tmp_path):
    """Started together on one table, they encode each chip once between them."""
    images = table(tmp_path, 40, names=("DEM",), side=16)
    names = ["first", "second"]
    processes = [start(tmp_path, images, name, names) for name in names]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sum(encoded(tmp_path, name) for name in names) == 40
    expected = slowly(fit_loader(images), images)
    for name in names:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=1e-6)


def test_what_another_process_wrote_meanwhile_is_taken(tmp_path, monkeypatch):
    """Rows that are already read, but not yet encoded, are looked up once more."""
    images = table(tmp_path, 12, names=("DEM",))
    imagery = fit_loader(images)
    store = memory(imagery, tmp_path / "store")
    lock, held = store.lock, []

    def locking():
        held.append(1)
        if len(held) == 2:
            embed(imagery, {"DEM": images["DEM"][4:8]}, tmp_path / "store")
        return lock()

    monkeypatch.setattr(imagery_module, "_CHUNK_ROWS", 4)
    monkeypatch.setattr(store, "lock", locking)
    encoder = Encoder()
    vectors, _ = imagery.embed(images, encoder, store, workers=2, batch_size=4)
    assert encoder.rows == 8
    np.testing.assert_allclose(vectors, slowly(imagery, images), rtol=1e-6)


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_shard_is_encoded_again(tmp_path, damage):
    """The rows of the shard, and only these, are computed anew, with one warning."""
    images = table(tmp_path, 10, names=("DEM",))
    imagery = fit_loader(images)
    embed(imagery, {"DEM": images["DEM"][:4]}, tmp_path / "store")
    (shard,) = (tmp_path / "store").rglob("*.safetensors")
    first = embed(imagery, images, tmp_path / "store")[0]
    content = bytearray(shard.read_bytes())
    content[-5] ^= 64
    shard.write_bytes(content if damage == "flip" else content[:-5])
    with pytest.warns(UserWarning, match="damaged or foreign") as caught:
        vectors, _, rows = embed(imagery, images, tmp_path / "store")
    assert len(caught) == 1
    assert rows == 4
    np.testing.assert_array_equal(vectors, first)
