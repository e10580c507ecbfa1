"""Folder of finished blocks: one run at a time, and only files of this package are removed."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
import rasterio
from map_models import fit_counting, map_in_blocks, read_content

from sptgnn_sklearn.maps.parts_folder import PartsFolder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "soil.tif"


@pytest.fixture
def folder(path):
    return path.with_name("soil.tif.parts")


def try_to_hold(path, queue):
    try:
        with PartsFolder(path).hold():
            queue.put("held")
    except BlockingIOError as error:
        queue.put(str(error))


@pytest.mark.filterwarnings("ignore:This process .*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("spelling", ["same", "relative", "link"])
def test_second_run_on_a_path_raises_at_once(path, folder, spelling):
    """Another process and another thread get an error that names the path, and no file changes."""
    other = path
    if spelling == "relative":
        other = path.parent / "sub" / ".." / path.name
        (path.parent / "sub").mkdir()
    elif spelling == "link":
        (path.parent / "link").symlink_to(path.parent)
        other = path.parent / "link" / path.name
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with PartsFolder(path).hold():
        before = sorted(folder.iterdir())
        process = context.Process(target=try_to_hold, args=(other, queue))
        process.start()
        text = queue.get(timeout=60)
        process.join()
        assert "soil.tif" in text
        assert "another call of predict_map" in text
        thread = threading.Thread(target=try_to_hold, args=(other, queue))
        thread.start()
        thread.join()
        assert "another call" in queue.get(timeout=60)
        assert sorted(folder.iterdir()) == before
    assert not folder.exists()
    with PartsFolder(other).hold():
        assert folder.exists()


def test_second_map_on_a_path_raises_and_the_first_is_complete(rasters, columns, path):
    """A call while another predicts the same map does not disturb it."""
    errors = []

    class Nested:
        def write_another(self):
            try:
                map_in_blocks(fit_counting(columns), rasters, path)
            except BlockingIOError as error:
                errors.append(str(error))

    model = fit_counting(columns)
    predict = model.predict

    def predict_during_another(X):
        if not errors:
            Nested().write_another()
        return predict(X)

    model.predict = predict_during_another
    map_in_blocks(model, rasters, path)
    assert len(errors) == 1
    assert model.calls == 11
    whole = map_in_blocks(fit_counting(columns), rasters)
    with rasterio.open(path) as file:  # the digest in its tags is that of another regressor
        np.testing.assert_array_equal(file.read(1), whole["mean"])


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("names", [["thesis.docx"], ["x.part"], ["sub/a"], ["r0_c0.tif"]])
def test_folders_of_others_are_rejected(rasters, columns, path, folder, names, overwrite):
    """A folder without the mark is refused before any prediction, and nothing in it changes."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    before = read_content(folder)
    model = fit_counting(columns)
    with pytest.raises(ValueError, match=r"soil.tif.parts' was not made by predict_map"):
        map_in_blocks(model, rasters, path, overwrite=overwrite)
    assert model.calls == 0
    assert read_content(folder) == before


@pytest.mark.parametrize("kind", ["folder", "dangling", "file"])
def test_links_and_files_under_its_name_are_rejected(rasters, columns, path, folder, kind):
    """A symbolic link to a folder with files, to nothing, and a file."""
    home = path.parent / "home"
    if kind == "file":
        folder.write_text("mine")
    else:
        folder.symlink_to(home)
    if kind == "folder":
        home.mkdir()
        (home / "precious").write_text("mine")
    model = fit_counting(columns)
    match = "is a file" if kind == "file" else "symbolic link"
    with pytest.raises(ValueError, match=match):
        map_in_blocks(model, rasters, path)
    assert model.calls == 0
    assert not path.exists()
    assert kind != "folder" or (home / "precious").read_text() == "mine"


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_files_added_to_the_folder_are_kept(rasters, columns, tmp_path, suffix):
    """Files that are put beside the blocks of an interrupted run stay, with a warning."""
    path = tmp_path / f"soil.{suffix}"
    folder = tmp_path / f"soil.{suffix}.parts"
    with pytest.raises(RuntimeError):
        map_in_blocks(fit_counting(columns, fail_after=3, error=RuntimeError()), rasters, path)
    (folder / "notes.txt").write_text("mine")
    (folder / "sub").mkdir()
    (folder / "sub" / "r0_c0.tif").write_text("mine")
    (folder / "my.part").write_text("mine")
    with pytest.warns(UserWarning, match=r"my.part.*notes.txt.*sub"):
        map_in_blocks(fit_counting(columns, factor=2.0), rasters, path, overwrite=True)
    assert path.exists()
    kept = {name for name in read_content(folder) if not name.startswith(".sptgnn")}
    assert kept == {"notes.txt", "my.part", os.path.join("sub", "r0_c0.tif")}


def test_folder_without_blocks_is_removed(rasters, columns, path, folder):
    """A run that fails before its first block leaves nothing."""
    with pytest.raises(RuntimeError):
        map_in_blocks(
            fit_counting(columns, fail_after=0, error=RuntimeError()),
            {"a": rasters["b"], "b": rasters["b"]},
            path,
        )
    assert not folder.exists()


def test_half_written_files_of_a_killed_run_are_removed(rasters, columns, path, folder):
    """Also the folder of a Zarr store that was not finished."""
    with pytest.raises(RuntimeError):
        map_in_blocks(fit_counting(columns, fail_after=3, error=RuntimeError()), rasters, path)
    (folder / "map.zarr.part").mkdir()
    (folder / "map.zarr.part" / "zarr.json").write_text("{}")
    (folder / "r0_c16.tif.123-ab.part").write_text("half a block")
    (folder / "job.json.part").write_text("half a description")
    map_in_blocks(fit_counting(columns), rasters, path)
    assert not folder.exists()


def test_removed_folder_is_made_again(path, folder):
    """A lock that was taken on a removed folder is no lock; hold tries again."""
    parts = PartsFolder(path)
    with parts.hold():
        parts.remove()
        assert not folder.exists()
        with PartsFolder(path).hold():
            assert folder.exists()
