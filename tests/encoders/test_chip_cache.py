"""Chip cache: chips decoded once equal those of the files, in memory bounded by the batch."""

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
    loader = ChipLoader.fit(images, columns, chip_size=SIDE, on_error="raise")
    return loader, images, tmp_path / "cache"


def test_chips_equal_those_of_the_files(survey):
    """Any rows in any order, grouped by available modalities."""
    loader, images, folder = survey
    cache = ChipCache(loader, images, folder)
    rows = np.array([5, 1, 4, 0, 3])
    expected = loader.chips(images, rows)
    result = cache.groups(rows)
    assert len(cache) == 6
    assert len(result) == len(expected) == 2
    by_names = {tuple(chips): (positions, chips) for positions, chips in expected}
    for positions, chips in result:
        same_positions, same_chips = by_names[tuple(chips)]
        np.testing.assert_array_equal(positions, same_positions)
        for name, values in chips.items():
            assert values.dtype == torch.float32
            np.testing.assert_array_equal(values, same_chips[name])


def test_unpickled_cache_reads_the_same_files(survey):
    """A copy maps the same files, which are deleted with the original."""
    loader, images, folder = survey
    cache = ChipCache(loader, images, folder)
    content = pickle.dumps(cache)
    assert len(content) < 10_000  # file names and positions, no chips
    sent = pickle.loads(content)
    (first, *_), (again, *_) = (one.groups(np.array([2])) for one in (cache, sent))
    assert torch.equal(first[1]["DEM"], again[1]["DEM"])
    del sent
    cache.groups(np.array([2]))
    del cache
    assert not list(folder.iterdir())


def test_too_little_disk_space_raises(survey, monkeypatch):
    """The error comes before decoding, with the space needed and a remedy."""
    loader, images, folder = survey
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match="set cache_dir to a folder with more space"):
        ChipCache(loader, images, folder)


def test_deleted_chip_raises_with_row_and_column(survey):
    """A chip deleted after it was checked raises with its row and column."""
    loader, images, folder = survey
    Path(images["DEM"][3]).unlink()
    with pytest.raises(ValueError, match="Row 3, column 'dem'"):
        ChipCache(loader, images, folder)


def test_truncated_cache_file_raises(survey):
    """Unpickling detects a file that has changed."""
    loader, images, folder = survey
    cache = ChipCache(loader, images, folder)
    sent = pickle.dumps(cache)
    (kept,) = Path(folder).glob("chips-*/0.chips")
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"0.chips' no longer holds \d+ chips of"):
        pickle.loads(sent)


def peak_memory(folder, n_rows):
    """Return the peak memory, in bytes, of caching the chips of n rows and reading a batch."""
    dem = np.array(write_chips(folder, n_rows), dtype=object)
    loader = ChipLoader.fit(
        {"DEM": dem}, {"DEM": ImageColumn("dem")}, chip_size=128, on_error="raise"
    )
    tracemalloc.start()
    ChipCache(loader, {"DEM": dem}, folder).groups(np.arange(40))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_is_proportional_to_the_batch(tmp_path, monkeypatch):
    """Four times the rows need no more memory; their chips would take 34 MB."""
    monkeypatch.setattr("small_encoder.SIDE", 128)
    few, many = (peak_memory(tmp_path, n) for n in (130, 520))
    assert many < 1.2 * few
