"""Path of a map: errors before the first block, and inputs that are never replaced."""

import os
import shutil
from importlib import import_module

import numpy as np
import pytest
import rasterio
import xarray as xr
from map_models import fit_counting, map_in_blocks, read_content
from small_rasters import as_dataset

from sptgnn_sklearn.maps import map_path as map_path_module


def check_refused(columns, rasters, path, error, message, **settings):
    model = fit_counting(columns)
    with pytest.raises(error, match=message):
        map_in_blocks(model, rasters, path, **settings)
    assert model.calls == 0
    assert not path.with_name(f"{path.name}.parts").exists()


def make_spelling(path, kind):
    """Another path of the same file, or of a link to it."""
    if kind == "same":
        return path
    if kind == "dots":
        return path.parent / "x" / ".." / path.name
    other = path.with_name(f"other-{kind}.tif")
    if kind == "symlink":
        other.symlink_to(path)
    elif kind == "relative link":
        other.symlink_to(path.name)
    elif kind == "hard link":
        other.hardlink_to(path)
    elif kind == "folder link":
        (path.parent / "link").symlink_to(path.parent)
        other = path.parent / "link" / path.name
    return other


@pytest.mark.parametrize(
    "kind", ["same", "dots", "symlink", "relative link", "hard link", "folder link"]
)
def test_input_is_never_replaced(rasters, columns, kind):
    """Whatever the spelling, with and without overwrite."""
    before = rasters["a"].read_bytes()
    path = make_spelling(rasters["a"], kind)
    check_refused(columns, rasters, path, ValueError, "a.tif', an input", overwrite=True)
    check_refused(columns, rasters, path, FileExistsError, "exists")
    assert rasters["a"].read_bytes() == before


def test_inputs_of_all_kinds_are_recognized(rasters, columns, tmp_path):
    """An unused raster, the file of a Dataset, and the source of a virtual raster."""
    spare = tmp_path / "spare.tif"
    shutil.copy(rasters["a"], spare)
    check_refused(columns, rasters | {"c": spare}, spare, ValueError, "spare", overwrite=True)
    with (
        xr.open_dataset(rasters["a"], engine="rasterio") as a,
        xr.open_dataset(rasters["b"], engine="rasterio") as b,
    ):
        source = xr.Dataset({"a": a["band_data"], "b": b["band_data"]})
        check_refused(columns, source, rasters["b"], ValueError, "b.tif", overwrite=True)
    virtual = tmp_path / "a.vrt"
    rasterio.shutil.copy(rasters["a"], virtual, driver="VRT")
    source = {"a": virtual, "b": rasters["b"]}
    check_refused(columns, source, rasters["a"], ValueError, "a.tif", overwrite=True)


def test_store_with_inputs_is_never_replaced(columns, tmp_path):
    """A Zarr store that is opened, or that holds a raster of the map."""
    values = np.ones((40, 56))
    store = tmp_path / "in.zarr"
    as_dataset({"a": values, "b": values}).to_zarr(store, consolidated=False)
    with xr.open_zarr(store, consolidated=False, decode_coords="all", chunks=None) as source:
        before = read_content(store)
        check_refused(columns, source, store, ValueError, "in.zarr", overwrite=True)
        assert read_content(store) == before


def test_image_raster_is_never_replaced(rasters, tmp_path):
    from sptgnn_sklearn.maps.open_rasters import open_covariates

    with pytest.raises(ValueError, match=r"b\.tif"):
        map_path_module.check_path_is_no_input(
            rasters["b"], open_covariates({"a": rasters["a"]}), {"chip": rasters["b"]}
        )


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["folder", "full folder", "fifo"])
def test_geotiff_replaces_files_only(rasters, columns, tmp_path, kind, overwrite):
    path = tmp_path / "soil.tif"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    if kind == "full folder":
        (path / "mine").write_text("mine")
    check_refused(columns, rasters, path, FileExistsError, "soil.tif", overwrite=overwrite)
    assert path.exists()
    assert kind != "full folder" or (path / "mine").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_store_replaces_stores_only(rasters, columns, tmp_path, kind):
    path = tmp_path / "soil.zarr"
    if kind == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "thesis.docx").write_text("mine")
    check_refused(columns, rasters, path, FileExistsError, "no Zarr store", overwrite=True)
    assert path.exists()


@pytest.mark.parametrize("suffix", ["tif", "zarr"])
def test_link_is_replaced_and_its_target_kept(rasters, columns, tmp_path, suffix):
    """A link to another map, or to nothing, needs overwrite=True like a map."""
    old, link = tmp_path / f"old.{suffix}", tmp_path / f"soil.{suffix}"
    map_in_blocks(fit_counting(columns), rasters, old)
    before = read_content(old)
    link.symlink_to(old)
    map_in_blocks(fit_counting(columns, factor=2.0), rasters, link, overwrite=True)
    assert not link.is_symlink()
    assert read_content(old) == before
    dangling = tmp_path / f"nothing.{suffix}"
    dangling.symlink_to(tmp_path / "nowhere")
    check_refused(columns, rasters, dangling, FileExistsError, "exists")
    map_in_blocks(fit_counting(columns), rasters, dangling, overwrite=True)
    assert read_content(dangling) == before


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("soil.png", ValueError),
        ("soil", ValueError),
        ("nowhere/soil.tif", FileNotFoundError),
        ("a.tif/soil.tif", NotADirectoryError),
    ],
)
def test_paths_that_cannot_be_written_raise_early(rasters, columns, tmp_path, name, error):
    model = fit_counting(columns)
    with pytest.raises(error, match="path="):
        map_in_blocks(model, rasters, tmp_path / name)
    assert model.calls == 0


def test_folders_without_permission_raise_early(rasters, columns, tmp_path, monkeypatch):
    monkeypatch.setattr(map_path_module.os, "access", lambda *_: False)
    check_refused(columns, rasters, tmp_path / "soil.tif", PermissionError, "not writable")


def test_missing_driver_raises_early(rasters, columns, tmp_path, monkeypatch):
    monkeypatch.setattr(map_path_module, "_has_cog_driver", lambda: False)
    check_refused(columns, rasters, tmp_path / "soil.tif", ImportError, "COG.*zarr")


def test_map_written_meanwhile_is_not_replaced(rasters, columns, tmp_path, monkeypatch):
    """The path is checked again when no other call holds it."""
    module = import_module("sptgnn_sklearn.maps.predict_map")
    path, checks = tmp_path / "soil.tif", []
    check = module.check_map_path

    def write_after_the_first_check(target, overwrite):
        result = check(target, overwrite)
        if not checks:
            path.write_text("the map of another process")
        checks.append(target)
        return result

    monkeypatch.setattr(module, "check_map_path", write_after_the_first_check)
    check_refused(columns, rasters, path, FileExistsError, "exists")
    assert path.read_text() == "the map of another process"
