"""Reader threads: batches by modality, bounded prefetching and results in order."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sptgnn_sklearn.images.chip_formats import ChipError
from sptgnn_sklearn.images.parallel_reading import (
    ReadJob,
    chip_batches,
    distinct_paths,
    job_key,
    map_paths,
    prefetch_batches,
    read_chip_file,
    reading_pool,
    row_files,
)


def jobs(*modalities):
    """Return one job per set of modalities."""
    return [
        ReadJob(bytes([i]), tuple((name, f"{name}_{i}", b"") for name in names))
        for i, names in enumerate(modalities)
    ]


def test_urls_raise():
    """A URL is not a local file, and the message names the alternatives."""
    with pytest.raises(ChipError, match=r"download it first, .*extract_chips"):
        read_chip_file("s3://bucket/a.tif")


def test_distinct_paths_and_files_of_rows():
    """Missing images are left out, and repeated paths occur once."""
    paths = {
        "DEM": np.array(["b", None, "a"], dtype=object),
        "RGB": np.array(["c", None, None], dtype=object),
    }
    assert distinct_paths(np.array(["b", None, "a", "b"], dtype=object)) == ["b", "a"]
    digests = {"a": b"1", "b": b"2", "c": b"3"}
    first, second, third = row_files(paths, digests)
    assert first == (("DEM", "b", b"2"), ("RGB", "c", b"3"))
    assert second == ()
    assert third == (("DEM", "a", b"1"),)


def test_job_key_depends_on_modalities_and_contents_only():
    """Order and paths have no effect; another modality or content does."""
    key = job_key([("DEM", "a", b"1"), ("RGB", "b", b"2")])
    assert key == job_key([("RGB", "x", b"2"), ("DEM", "y", b"1")])
    others = [
        job_key([("DEM", "a", b"2"), ("RGB", "b", b"1")]),
        job_key([("DEM", "a", b"1")]),
        job_key([("S2L2A", "a", b"1"), ("RGB", "b", b"2")]),
    ]
    assert len({key, *others}) == 4


def test_batches_have_one_set_of_modalities():
    """Rows with the same modalities are batched together, in order."""
    both, dem = ("DEM", "RGB"), ("DEM",)
    batches = chip_batches(jobs(both, dem, both, both, dem), batch_size=2)
    assert [[job.key[0] for job in batch] for batch in batches] == [[0, 2], [3], [1, 4]]


def test_prefetching_is_bounded():
    """At most two batches are started before the one that is used."""
    started = []
    batches = [[job] for job in jobs(*[("DEM",)] * 6)]

    def start(batch):
        started.append(batch[0].key[0])
        return [(job, None) for job in batch]

    for i, batch in enumerate(prefetch_batches(start, batches)):
        assert batch[0][0].key[0] == i
        assert len(started) == min(i + 3, 6)


def test_map_paths_returns_errors_in_order():
    """Results are in the order of the paths, and a ChipError is a result; others are raised."""

    def read(path):
        if path == "p3":
            raise ChipError("is empty")
        return path.upper()

    paths = [f"p{i}" for i in range(100)]
    with reading_pool(3) as pool:
        results = list(map_paths(read, paths, pool))
        assert [path for path, _ in results] == paths
        assert isinstance(results[3][1], ChipError)
        assert results[4] == ("p4", "P4")
        with pytest.raises(ZeroDivisionError):
            list(map_paths(lambda path: 1 // 0, paths, pool))


def test_waiting_tasks_are_cancelled_on_error():
    """An error inside the context does not wait for tasks that have not started."""
    done = []
    with pytest.raises(KeyError), reading_pool(1) as pool:
        assert isinstance(pool, ThreadPoolExecutor)
        gate = pool.submit(lambda: None)
        gate.result()
        waiting = [pool.submit(lambda: done.append(1)) for _ in range(1000)]
        raise KeyError
    assert len(done) + sum(task.cancelled() for task in waiting) == 1000
