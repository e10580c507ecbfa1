"""Finished blocks of a map: interrupted runs resume, and only if nothing else changed."""

import errno
import multiprocessing
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from map_models import fit_counting, map_in_blocks, read_content
from small_rasters import CRS, HEIGHT, WIDTH, CountingRegressor, write_raster

from sptgnn_sklearn.maps import block_files as block_files_module

N_BLOCKS = 12  # of at most 16 x 16 cells


@pytest.fixture
def path(tmp_path):
    return tmp_path / "soil.tif"


@pytest.fixture
def folder(path):
    return path.with_name("soil.tif.parts")


@pytest.fixture
def whole(rasters, columns, tmp_path):
    """Content of the map of a run without interruption."""
    map_in_blocks(fit_counting(columns), rasters, tmp_path / "whole.tif")
    return read_content(tmp_path / "whole.tif")


@pytest.fixture
def interrupted(rasters, columns, path):
    """A run that stopped after the prediction of five blocks; a sixth has no data."""
    interrupt(rasters, columns, path)


def interrupt(rasters, columns, path):
    model = fit_counting(columns, fail_after=5, error=RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        map_in_blocks(model, rasters, path)


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_interrupted_run_resumes(rasters, columns, tmp_path, suffix):
    """The same call predicts unfinished blocks only, and the file is the same byte by byte."""
    path = tmp_path / f"soil.{suffix}"
    interrupt(rasters, columns, path)
    assert not path.exists()
    again = fit_counting(columns)
    map_in_blocks(again, rasters, path)
    assert again.calls == 11 - 5  # 11 blocks have data, 5 of which were finished
    map_in_blocks(fit_counting(columns), rasters, tmp_path / f"whole.{suffix}")
    assert read_content(path) == read_content(tmp_path / f"whole.{suffix}")


def test_ctrl_c_reports_the_progress(rasters, columns, path, whole):
    """The message has the number of blocks, their folder and how to resume."""
    stopped = fit_counting(columns, fail_after=3, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as error:
        map_in_blocks(stopped, rasters, path)
    text = str(error.value)
    assert "4 of 12 blocks are finished" in text
    assert "soil.tif.parts" in text
    assert "same arguments to resume" in text
    assert error.value.__cause__ is None
    map_in_blocks(fit_counting(columns), rasters, path)
    assert read_content(path) == whole


def test_finished_blocks_are_geotiffs(rasters, columns, path, folder):
    """Any program that reads GeoTIFFs can open what an interrupted run leaves."""
    with pytest.raises(RuntimeError):
        map_in_blocks(fit_counting(columns, fail_after=3, error=RuntimeError()), rasters, path)
    blocks = sorted(folder.glob("*.tif"))
    assert len(blocks) == 4
    check_blocks(blocks, map_in_blocks(fit_counting(columns), rasters)["mean"])


def check_blocks(blocks, expected):
    for block in blocks:
        with xr.open_dataset(block, engine="rasterio") as part:
            same_cells = expected.sel(x=part["x"], y=part["y"])
            np.testing.assert_array_equal(part["band_data"][0], same_cells)
            assert part.rio.crs == CRS


class Slow(CountingRegressor):
    """A regressor slow enough to be killed during prediction."""

    def predict(self, X):
        time.sleep(0.1)
        return super().predict(X)


def test_killed_run_resumes(rasters, columns, path, folder, tmp_path):
    """Kill -9 loses at most the current block."""
    work = multiprocessing.get_context("fork").Process(
        target=map_in_blocks, args=(Slow().fit(columns), rasters, path)
    )
    work.start()
    deadline = time.monotonic() + 120
    while len(list(folder.glob("r*.tif"))) < 3 and time.monotonic() < deadline:
        assert work.is_alive(), "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(work.pid, signal.SIGKILL)
    work.join()
    done = len(list(folder.glob("r*.tif")))
    assert 3 <= done < N_BLOCKS
    (folder / "r0_c0.tif.1-ab.part").write_bytes(b"half a block")
    again = Slow().fit(columns)
    map_in_blocks(again, rasters, path)
    assert again.calls <= N_BLOCKS - done
    map_in_blocks(Slow().fit(columns), rasters, tmp_path / "whole.tif")
    assert read_content(path) == read_content(tmp_path / "whole.tif")


def test_run_starts_in_an_empty_folder(rasters, columns, path, folder):
    """A run that was killed before its first block leaves an empty folder."""
    folder.mkdir()
    map_in_blocks(fit_counting(columns), rasters, path)
    assert path.exists()


def test_full_disk_keeps_finished_blocks(rasters, columns, path, whole, monkeypatch):
    """The error has the system's message and the progress; with space the run resumes."""
    write, count = block_files_module.write_chip, [0]

    def fill_up(*args, **kwargs):
        count[0] += 1
        if count[0] > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*args, **kwargs)

    monkeypatch.setattr(block_files_module, "write_chip", fill_up)
    with pytest.raises(OSError, match="No space left on device: 5 of 12 blocks") as error:
        map_in_blocks(fit_counting(columns), rasters, path)
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    again = fit_counting(columns)
    map_in_blocks(again, rasters, path)
    assert again.calls == 7
    assert read_content(path) == whole


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs mount")
def test_full_file_system_keeps_valid_blocks(rasters, columns, tmp_path):
    """On a file system of 32 kB, blocks are written until it is full, and none is damaged."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mount is not permitted here")
    try:
        with pytest.raises(OSError, match=r"No space left on device: [1-9]"):
            map_in_blocks(fit_counting(columns), rasters, disk / "soil.tif")
        blocks = list((disk / "soil.tif.parts").glob("*.tif"))
        assert 0 < len(blocks) < N_BLOCKS
        check_blocks(blocks, map_in_blocks(fit_counting(columns), rasters)["mean"])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --------------------------------------------------------------- other arguments, model or data


@pytest.mark.usefixtures("interrupted")
def test_other_model_does_not_resume(rasters, columns, path):
    """Parameters and fitted attributes of the model are compared by a digest."""
    other = fit_counting(columns, factor=1.01)
    with pytest.raises(ValueError, match="the model differs"):
        map_in_blocks(other, rasters, path)
    map_in_blocks(other, rasters, path, overwrite=True)
    expected = map_in_blocks(other, rasters)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), expected["mean"])


@pytest.mark.usefixtures("interrupted")
def test_other_files_do_not_resume(rasters, columns, path):
    """A raster that was written again is detected, whichever cell changed."""
    with rasterio.open(rasters["b"], "r+") as file:
        values = file.read(1)
        values[-1, -1] += 1
        file.write(values, 1)
    os.utime(rasters["b"], ns=(1, 1))
    with pytest.raises(ValueError, match=r"source differs: 'b' was"):
        map_in_blocks(fit_counting(columns), rasters, path)


def test_other_arrays_do_not_resume(columns, path):
    """Arrays in memory are compared by content."""
    values = np.arange(float(HEIGHT * WIDTH)).reshape(HEIGHT, WIDTH)
    axes = {"y": np.arange(HEIGHT, 0, -1.0), "x": np.arange(1.0, WIDTH + 1)}
    both = {name: (("y", "x"), values * step) for name, step in (("a", 1.0), ("b", 1e-3))}
    source = xr.Dataset(both, coords=axes).rio.write_crs(CRS)
    interrupt(source, columns, path)
    changed = source.copy(deep=True)
    changed["a"][-1, -1] += 1
    with pytest.raises(ValueError, match=r"source differs: 'a' was"):
        map_in_blocks(fit_counting(columns), changed, path)
    map_in_blocks(fit_counting(columns), source, path)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nodata_output": -1}, "nodata_output differs: nan, now -1.0"),
        ({"skip_nodata": False}, "skip_nodata differs: True, now False"),
        ({"block_size": 32}, "blocks differs"),
    ],
    ids=str,
)
def test_other_arguments_do_not_resume(rasters, columns, path, settings, message):
    """The difference is named, and overwrite=True starts again."""
    with pytest.raises(ValueError, match=message):
        map_in_blocks(fit_counting(columns), rasters, path, **settings)
    again = fit_counting(columns)
    map_in_blocks(again, rasters, path, nodata_output=-1, overwrite=True)
    assert again.calls == 11


def test_other_folders_are_left_alone(rasters, columns, path, folder):
    """GeoTIFFs in a folder without the mark of this package are not used as blocks."""
    folder.mkdir()
    (folder / "r0_c0.tif").write_bytes(b"mine")
    with pytest.raises(ValueError, match="was not made by predict_map"):
        map_in_blocks(fit_counting(columns), rasters, path)
    assert (folder / "r0_c0.tif").read_bytes() == b"mine"


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"job.json cannot be read \(Expecting property name"),
        ("[" * 100_000, r"job.json cannot be read"),
        ("[]", r"job.json does not describe a run"),
        ("{}", r"no job.json"),
        ('{"layers": ["std"]}', r"layers differs: \['std'\], now \['mean'\]"),
    ],
    ids=["torn", "deep", "list", "empty", "other"],
)
def test_damaged_descriptions_do_not_resume(rasters, columns, path, folder, text, message):
    """The error has the defect of the file; overwrite=True starts again."""
    (folder / "job.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        map_in_blocks(fit_counting(columns), rasters, path)
    map_in_blocks(fit_counting(columns), rasters, path, overwrite=True)


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_damaged_blocks_are_named(rasters, columns, path, folder, whole, damage):
    """The error names the file; without the file the run resumes."""
    block = sorted(folder.glob("*.tif"))[-1]
    if damage == "cut":
        block.write_bytes(block.read_bytes()[:300])
    else:
        write_raster(block, np.zeros((1, 3, 3), dtype="float32"))
    with pytest.raises(OSError, match=rf"{block.name}' cannot be read .*delete the file"):
        map_in_blocks(fit_counting(columns), rasters, path)
    block.unlink()
    map_in_blocks(fit_counting(columns), rasters, path)
    assert read_content(path) == whole


@pytest.mark.usefixtures("interrupted")
def test_blocks_without_georeference_resume(rasters, columns, path, folder, whole):
    """The file name gives the location of a block; only its pixels are read, without a warning."""
    block = sorted(folder.glob("*.tif"))[-1]
    with rasterio.open(block) as file:
        values = file.read()
    with warnings.catch_warnings(action="ignore"):
        write_raster(block, values, crs=None, transform=rasterio.Affine.identity())
    map_in_blocks(fit_counting(columns), rasters, path)
    assert read_content(path) == whole


def test_unreadable_raster_keeps_finished_blocks(rasters, columns, path):
    """The error of a truncated raster has its location and the progress."""
    content = rasters["b"].read_bytes()
    rasters["b"].write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"cannot be read in rows \d+ to \d+.* of 12 blocks"):
        map_in_blocks(fit_counting(columns), rasters, path)


@pytest.mark.usefixtures("interrupted")
def test_progress_bar_counts_finished_blocks(rasters, columns, path, capsys):
    """One bar over all blocks, including those of an earlier run."""
    capsys.readouterr()
    map_in_blocks(fit_counting(columns), rasters, path, verbose=1)
    shown = capsys.readouterr().err
    assert "6/12" in shown
    assert "12/12" in shown
    assert shown.count("\n") == 1
