"""Chips decoded once: the same numbers as from their files, in memory that follows the batch."""

import pickle
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_encoder import SIDE, write_chips

from sptgnn_sklearn.encoders.chip_cache import ChipCache
from sptgnn_sklearn.encoders.embedding import ChipLoader
from sptgnn_sklearn.table.image_columns import ImageColumn


@pytest.fixture
def survey(tmp_path):
    """Two modalities; row 1 lacks one, row 4 both, and rows 0 and 5 share a file."""
    dem = np.array(write_chips(tmp_path, 6), dtype=object)
    layers = np.array(write_chips(tmp_path, 6, channels=3), dtype=object)
    dem[5], dem[[1, 4]], layers[4] = dem[0], None, None
    images = {"DEM": dem, "layers": layers}
    columns = {"DEM": ImageColumn("dem"), "layers": ImageColumn("layers")}
    imagery = ChipLoader.fit(images, columns, chip_size=SIDE, on_error="raise")
    return imagery, images, tmp_path / "cache"


def test_chips_are_those_of_the_files(survey):
    """Any rows in any order, grouped by what they have."""
    imagery, images, folder = survey
    archive = ChipCache(imagery, images, folder)
    rows = np.array([5, 1, 4, 0, 3])
    expected = imagery.chips(images, rows)
    found = archive.groups(rows)
    assert len(archive) == 6
    assert len(found) == len(expected) == 2
    by_names = {tuple(chips): (places, chips) for places, chips in expected}
    for places, chips in found:
        same_places, same_chips = by_names[tuple(chips)]
        np.testing.assert_array_equal(places, same_places)
        for name, values in chips.items():
            assert values.dtype == torch.float32
            np.testing.assert_array_equal(values, same_chips[name])


def test_a_sent_archive_reads_the_same_files(survey):
    """A worker process opens the files anew; they stay until the sender's archive ends."""
    imagery, images, folder = survey
    archive = ChipCache(imagery, images, folder)
    content = pickle.dumps(archive)
    assert len(content) < 10_000  # names of files and places, no chips
    sent = pickle.loads(content)
    (first, *_), (again, *_) = (one.groups(np.array([2])) for one in (archive, sent))
    assert torch.equal(first[1]["DEM"], again[1]["DEM"])
    del sent
    archive.groups(np.array([2]))
    del archive
    assert not list(folder.iterdir())


def test_too_little_space_is_told(survey, monkeypatch):
    """Before anything is decoded, with what is needed and what to do."""
    imagery, images, folder = survey
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match="pass a cache_dir with more space"):
        ChipCache(imagery, images, folder)


def test_files_that_vanish_are_named(survey):
    """A chip that is gone since it was checked is an error with its row and column."""
    imagery, images, folder = survey
    Path(images["DEM"][3]).unlink()
    with pytest.raises(ValueError, match="Row 3, column 'dem'"):
        ChipCache(imagery, images, folder)


def test_files_that_are_cut_short_are_named(survey):
    """A process that opens the archive anew is told that its file is not what it was."""
    imagery, images, folder = survey
    archive = ChipCache(imagery, images, folder)
    sent = pickle.dumps(archive)
    (kept,) = Path(folder).glob("chips-*/0.chips")
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"0.chips' holds no \d+ chips of .* any more"):
        pickle.loads(sent)


def peak_of_archive(folder, n_rows):
    """Bytes that decoding the chips of so many rows and reading a batch of them takes at most."""
    dem = np.array(write_chips(folder, n_rows), dtype=object)
    imagery = ChipLoader.fit(
        {"DEM": dem}, {"DEM": ImageColumn("dem")}, chip_size=128, on_error="raise"
    )
    tracemalloc.start()
    ChipCache(imagery, {"DEM": dem}, folder).groups(np.arange(40))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_follows_the_batch(tmp_path, monkeypatch):
    """Four times the rows take no more memory; their chips would take 34 MB."""
    monkeypatch.setattr("small_encoder.SIDE", 128)
    few, many = (peak_of_archive(tmp_path, n) for n in (130, 520))
    assert many < 1.2 * few
