"""Maps on disk: what is written, and how a stopped run goes on."""

import errno
import multiprocessing
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from small_rasters import CRS, HEIGHT, WIDTH, Counting, grid_transform, write_raster

from sptgnn_sklearn import predict_map
from sptgnn_sklearn.maps import block_files as parts
from sptgnn_sklearn.maps import writers as files

SETTINGS = {"crs": CRS, "verbose": 0}
N_BLOCKS = 12  # of 16 cells on a side


@pytest.fixture
def rasters(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, HEIGHT, WIDTH)).astype("float32")
    a[:16, :16] = np.nan  # a block without any data
    a[20, 20] = np.nan
    return {
        "a": write_raster(tmp_path / "a.tif", a),
        "b": write_raster(tmp_path / "b.tif", b),
    }


@pytest.fixture
def columns():
    return pd.DataFrame({"x": [1.0], "y": [1.0], "a": [1.0], "b": [2.0]})


def fitted(columns, **settings):
    return Counting(**settings).fit(columns)


def map_of(model, rasters, path=None, **settings):
    return predict_map(model, rasters, path=path, block_size=16, **(SETTINGS | settings))


def unbroken(rasters, columns, folder, name="whole.tif"):
    path = folder / name
    map_of(fitted(columns), rasters, path)
    return path


def test_file_is_cloud_optimised_and_holds_the_layers(rasters, columns, tmp_path):
    """Tiles, overviews, names, place and missing value; the result reads from it."""
    path = tmp_path / "soil.tif"
    rng = np.random.default_rng(0)
    big = rng.normal(size=(2, 600, 700)).astype("float32")
    sources = {
        name: write_raster(tmp_path / f"big-{name}.tif", big[i], tile=256)
        for i, name in enumerate("ab")
    }
    found = predict_map(fitted(columns), sources, path=path, nodata_output=-5, **SETTINGS)
    in_memory = predict_map(fitted(columns), sources, nodata_output=-5, **SETTINGS)
    with rasterio.open(path) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.descriptions == ("mean",)
        assert (file.crs, file.transform, file.nodata) == (CRS, grid_transform(), -5)
        assert file.block_shapes == [(512, 512)]
        assert file.overviews(1)
        np.testing.assert_array_equal(file.read(1), in_memory["mean"])
    assert list(found) == ["mean"]
    np.testing.assert_array_equal(found["mean"], in_memory["mean"])
    assert not path.with_name("soil.tif.parts").exists()


def test_zarr_holds_the_same(rasters, columns, tmp_path):
    """A Zarr store has the values and the place of the GeoTIFF."""
    whole = map_of(fitted(columns), rasters, nodata_output=-5)
    found = map_of(fitted(columns), rasters, tmp_path / "soil.zarr", nodata_output=-5)
    assert found["mean"].rio.nodata == -5
    np.testing.assert_array_equal(found["mean"], whole["mean"])
    with xr.open_zarr(tmp_path / "soil.zarr", consolidated=False, decode_coords="all") as store:
        assert store.rio.crs == CRS
        assert store.rio.transform() == grid_transform()
        np.testing.assert_array_equal(np.isnan(store["mean"]), whole["mean"] == -5)
    assert not (tmp_path / "soil.zarr.parts").exists()


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_stopped_run_goes_on(rasters, columns, tmp_path, suffix):
    """After an error the same call computes the missing blocks only, and the bytes are the same."""
    path = tmp_path / f"soil.{suffix}"
    broken = fitted(columns, fail_after=5, error=RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        map_of(broken, rasters, path)
    assert not path.exists()
    again = fitted(columns)
    map_of(again, rasters, path)
    # 11 blocks have data, 5 of which were finished; three of these are probed.
    probed = min(parts._PROBED_BLOCKS, 6) - 1
    assert again.calls == 11 - 5 + probed
    whole = unbroken(rasters, columns, tmp_path, f"whole.{suffix}")
    assert content(path) == content(whole)


def content(path):
    """Bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.read_bytes()
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def test_ctrl_c_says_how_to_go_on(rasters, columns, tmp_path):
    """How far the run is, where the blocks are, and that the same call takes them up."""
    path = tmp_path / "soil.tif"
    stopped = fitted(columns, fail_after=3, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as found:
        map_of(stopped, rasters, path)
    text = str(found.value)
    assert "4 of 12 blocks are finished" in text
    assert "soil.tif.parts" in text
    assert "same arguments to go on" in text
    assert found.value.__cause__ is None
    map_of(fitted(columns), rasters, path)
    assert content(path) == content(unbroken(rasters, columns, tmp_path))


def test_finished_blocks_are_rasters(rasters, columns, tmp_path):
    """What a stopped run leaves can be opened by anything that reads GeoTIFFs."""
    path = tmp_path / "soil.tif"
    with pytest.raises(RuntimeError):
        map_of(fitted(columns, fail_after=3, error=RuntimeError()), rasters, path)
    whole = map_of(fitted(columns), rasters)["mean"]
    blocks = sorted(path.with_name("soil.tif.parts").glob("*.tif"))
    assert len(blocks) == 4
    for block in blocks:
        with xr.open_dataset(block, engine="rasterio") as part:
            there = whole.sel(x=part["x"], y=part["y"])
            np.testing.assert_array_equal(part["band_data"][0], there)
            assert part.rio.crs == CRS


class Slow(Counting):
    """Takes its time, so that it can be stopped on the way."""

    def predict(self, X):
        time.sleep(0.1)
        return super().predict(X)


def test_killed_run_goes_on(rasters, columns, tmp_path):
    """kill -9 in the middle loses at most the block at work."""
    path = tmp_path / "soil.tif"
    work = multiprocessing.get_context("fork").Process(
        target=map_of, args=(Slow().fit(columns), rasters, path)
    )
    work.start()
    folder = path.with_name("soil.tif.parts")
    deadline = time.monotonic() + 120
    while len(list(folder.glob("r*.tif"))) < 3 and time.monotonic() < deadline:
        assert work.is_alive(), "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(work.pid, signal.SIGKILL)
    work.join()
    done = len(list(folder.glob("r*.tif")))
    assert 3 <= done < N_BLOCKS
    (folder / "r0_c0.tif.1-ab.part").write_bytes(b"half a block")
    again = fitted(columns)
    map_of(again, rasters, path)
    assert again.calls <= N_BLOCKS - done + parts._PROBED_BLOCKS
    assert content(path) == content(unbroken(rasters, columns, tmp_path))


def test_run_that_was_killed_before_its_first_block_begins_anew(rasters, columns, tmp_path):
    """An empty folder is no obstacle."""
    (tmp_path / "soil.tif.parts").mkdir()
    map_of(fitted(columns), rasters, tmp_path / "soil.tif")
    assert (tmp_path / "soil.tif").exists()


def test_full_disk_keeps_what_is_finished(rasters, columns, tmp_path, monkeypatch):
    """The error says that the disk is full and how far the run is; with space it goes on."""
    path = tmp_path / "soil.tif"
    write, count = parts.write_chip, [0]

    def fills_up(*args, **kwargs):
        count[0] += 1
        if count[0] > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(*args, **kwargs)

    monkeypatch.setattr(parts, "write_chip", fills_up)
    with pytest.raises(OSError, match="No space left on device: 5 of 12 blocks") as found:
        map_of(fitted(columns), rasters, path)
    assert found.value.errno == errno.ENOSPC
    monkeypatch.undo()
    again = fitted(columns)
    map_of(again, rasters, path)
    assert again.calls == 7 + min(parts._PROBED_BLOCKS, 5) - 1
    assert content(path) == content(unbroken(rasters, columns, tmp_path))


def test_file_that_was_not_written_whole_is_noticed(rasters, columns, tmp_path, monkeypatch):
    """A map that lost a part while it was put together is not given its name."""
    path = tmp_path / "soil.tif"
    described = files._mosaic

    def loses_a_block(some):
        lines = described(some).splitlines()
        lost = next(i for i, line in enumerate(lines) if "r16_c16.tif" in line)
        return "\n".join(lines[:lost] + lines[lost + 1 :])

    monkeypatch.setattr(files, "_mosaic", loses_a_block)
    with pytest.raises(OSError, match=r"rows 16 to 31 were not written.*12 of 12 blocks"):
        map_of(fitted(columns), rasters, path)
    assert not path.exists()
    monkeypatch.undo()
    again = fitted(columns)
    map_of(again, rasters, path)
    assert again.calls == parts._PROBED_BLOCKS - 1
    assert content(path) == content(unbroken(rasters, columns, tmp_path))


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs mount")
def test_disk_that_is_really_full(rasters, columns, tmp_path):
    """On a file system of 16 kB blocks fit until it is full; none of them is broken."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        with pytest.raises(OSError, match=r"No space left on device: [1-9]"):
            map_of(fitted(columns), rasters, disk / "soil.tif")
        whole = map_of(fitted(columns), rasters)["mean"]
        blocks = list((disk / "soil.tif.parts").glob("*.tif"))
        assert 0 < len(blocks) < N_BLOCKS
        for block in blocks:
            with xr.open_dataset(block, engine="rasterio") as part:
                there = whole.sel(x=part["x"], y=part["y"])
                np.testing.assert_array_equal(part["band_data"][0], there)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# --------------------------------------------------------------- other arguments, model or data


def begun(rasters, columns, path, **settings):
    with pytest.raises(RuntimeError):
        map_of(fitted(columns, fail_after=5, error=RuntimeError()), rasters, path, **settings)


def test_another_model_does_not_go_on(rasters, columns, tmp_path):
    """Some finished cells are predicted again: a model that says otherwise is noticed."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    other = fitted(columns, factor=1.01)
    with pytest.raises(ValueError, match="the model or the covariates now give other values"):
        map_of(other, rasters, path)
    map_of(other, rasters, path, overwrite=True)
    whole = map_of(other, rasters)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), whole["mean"])


def test_other_files_do_not_go_on(rasters, columns, tmp_path):
    """A raster that was written anew is noticed, wherever it changed."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    with rasterio.open(rasters["b"], "r+") as file:
        values = file.read(1)
        values[-1, -1] += 1
        file.write(values, 1)
    os.utime(rasters["b"], ns=(1, 1))
    with pytest.raises(ValueError, match=r"source differs: of 'b' .*b.tif"):
        map_of(fitted(columns), rasters, path)


def test_other_arrays_do_not_go_on(columns, tmp_path):
    """Of arrays that are held in memory the content counts."""
    values = np.arange(float(HEIGHT * WIDTH)).reshape(HEIGHT, WIDTH)
    axes = {"y": np.arange(HEIGHT, 0, -1.0), "x": np.arange(1.0, WIDTH + 1)}
    both = {name: (("y", "x"), values * step) for name, step in (("a", 1.0), ("b", 1e-3))}
    source = xr.Dataset(both, coords=axes).rio.write_crs(CRS)
    path = tmp_path / "soil.tif"
    begun(source, columns, path)
    changed = source.copy(deep=True)
    changed["a"][-1, -1] += 1
    with pytest.raises(ValueError, match=r"source differs: of 'a'"):
        map_of(fitted(columns), changed, path)
    map_of(fitted(columns), source, path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nodata_output": -1}, "nodata_output differs: nan, now -1.0"),
        ({"skip_nodata": False}, "skip_nodata differs: True, now False"),
        ({"block_size": 32}, "blocks differs"),
    ],
)
def test_other_arguments_do_not_go_on(rasters, columns, tmp_path, settings, message):
    """What differs is named, and overwrite=True begins anew."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    with pytest.raises(ValueError, match=message):
        predict_map(
            fitted(columns), rasters, path=path, **(SETTINGS | {"block_size": 16} | settings)
        )
    again = fitted(columns)
    map_of(again, rasters, path, nodata_output=-1, overwrite=True)
    assert again.calls == 11


def test_folders_of_others_are_left_alone(rasters, columns, tmp_path):
    """A folder of GeoTIFFs that is not ours is not taken for finished blocks."""
    folder = tmp_path / "soil.tif.parts"
    folder.mkdir()
    (folder / "r0_c0.tif").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"no job.json says what they are"):
        map_of(fitted(columns), rasters, tmp_path / "soil.tif")
    assert (folder / "r0_c0.tif").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"its job.json cannot be read \(Expecting property name"),
        ("[" * 100_000, r"its job.json cannot be read"),
        ("[]", r"its job.json says nothing of a run"),
        ("{}", r"no job.json says what they are"),
    ],
    ids=["torn", "deep", "list", "empty"],
)
def test_damaged_descriptions_do_not_go_on(rasters, columns, tmp_path, text, message):
    """The error says what is the matter with the file; overwrite=True begins anew."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    (tmp_path / "soil.tif.parts" / "job.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        map_of(fitted(columns), rasters, path)
    map_of(fitted(columns), rasters, path, overwrite=True)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_damaged_blocks_are_named(rasters, columns, tmp_path, damage):
    """The error names the file; without it the run goes on."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    block = sorted((tmp_path / "soil.tif.parts").glob("*.tif"))[-1]
    if damage == "cut":
        block.write_bytes(block.read_bytes()[:300])
    else:
        write_raster(block, np.zeros((1, 3, 3), dtype="float32"))
    with pytest.raises(OSError, match=rf"{block.name}' cannot be read .*delete it and call"):
        map_of(fitted(columns), rasters, path)
    block.unlink()
    map_of(fitted(columns), rasters, path)
    assert content(path) == content(unbroken(rasters, columns, tmp_path))


def test_blocks_without_a_place_go_on_in_silence(rasters, columns, tmp_path):
    """What counts are the pixels: where they belong is in the name of the file."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    block = sorted((tmp_path / "soil.tif.parts").glob("*.tif"))[-1]
    with rasterio.open(block) as file:
        values = file.read()
    with warnings.catch_warnings(action="ignore"):
        write_raster(block, values, crs=None, transform=rasterio.Affine.identity())
    map_of(fitted(columns), rasters, path)
    assert content(path) == content(unbroken(rasters, columns, tmp_path))


def test_values_beyond_single_precision_are_refused(rasters, columns):
    """They would be infinite in the map."""
    write_raster(rasters["a"], np.full((HEIGHT, WIDTH), 1e20))
    with pytest.raises(ValueError, match=r"layer 'mean' holds 1e\+40 in 256 cells, .* maps can"):
        map_of(fitted(columns, factor=1e20), rasters)


def test_maps_are_not_overwritten_unasked(rasters, columns, tmp_path):
    """A map stays until another one is whole."""
    path = unbroken(rasters, columns, tmp_path)
    before = content(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        map_of(fitted(columns), rasters, path)
    with pytest.raises(RuntimeError):
        map_of(fitted(columns, fail_after=2, error=RuntimeError()), rasters, path, overwrite=True)
    assert content(path) == before
    map_of(fitted(columns, factor=2.0), rasters, path, overwrite=True)
    assert content(path) != before


def test_paths_are_checked_first(rasters, columns, tmp_path):
    """An ending that is not known, and a folder that is not there, before anything is computed."""
    model = fitted(columns)
    with pytest.raises(ValueError, match=r"must end in one of \['.tif', '.tiff', '.zarr'\]"):
        map_of(model, rasters, tmp_path / "soil.png")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        map_of(model, rasters, tmp_path / "nowhere" / "soil.tif")
    assert model.calls == 0


def test_raster_that_breaks_on_the_way(rasters, columns, tmp_path):
    """A file that ends too early names the place; what was finished stays."""
    path = tmp_path / "soil.tif"
    whole = rasters["b"].read_bytes()
    rasters["b"].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OSError, match=r"cannot be read in rows \d+ to \d+.* of 12 blocks"):
        map_of(fitted(columns), rasters, path)


def test_progress_is_one_bar(rasters, columns, tmp_path, capsys):
    """A bar over all blocks, those of an earlier run counted."""
    path = tmp_path / "soil.tif"
    begun(rasters, columns, path)
    capsys.readouterr()
    map_of(fitted(columns), rasters, path, verbose=1)
    shown = capsys.readouterr().err
    assert "6/12" in shown
    assert "12/12" in shown
    assert shown.count("\n") == 1
