"""What a map costs, and whether its blocks can be seen.

    python -m benchmarks.maps                      4,000 x 4,000 cells, eight covariates
    python -m benchmarks.maps --cells 1000         a smaller one

A model is fitted on a made-up survey, and its mean and standard deviation are mapped from GeoTIFFs
of the same world into a GeoTIFF. The map is made in a process of its own, so that the peak of its
memory is that of the map. A part of it is made again with other blocks. Writes a JSON record.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from scipy.ndimage import zoom

from sptgnn_sklearn import SpTGNNRegressor, predict_map
from sptgnn_sklearn.datasets import make_soil_survey

CRS = "EPSG:32636"
BANDS = ["elevation", *(f"cov_{i}" for i in range(7))]
SURVEY = {"n_covariates": 7, "crs": CRS, "random_state": 0}
MIDDLE, EXTENT = (500_000.0, 5_000_000.0), 500_000.0
KNOTS = 200  # of the world on a side, between which rasters are smooth
DATE = 2015.5
TILE = 512


def fit(rows: int) -> SpTGNNRegressor:
    """Fit the default model on a survey."""
    survey = make_soil_survey(rows, **SURVEY)
    X = survey.data[["x", "y", "date", *BANDS]]
    model = SpTGNNRegressor(time="date", elevation="elevation", crs=CRS, random_state=0)
    return model.fit(X, survey.target)


def write_rasters(folder: Path, cells: int) -> dict[str, Path]:
    """Write a raster of each covariate, in tiles."""
    step = EXTENT / KNOTS
    axis = (np.arange(KNOTS) + 0.5) * step - EXTENT / 2
    x, y = np.meshgrid(MIDDLE[0] + axis, MIDDLE[1] - axis)
    world = make_soil_survey(coordinates=np.column_stack([x.ravel(), y.ravel()]), **SURVEY).data
    cell = EXTENT / cells
    corner = rasterio.Affine(cell, 0, MIDDLE[0] - EXTENT / 2, 0, -cell, MIDDLE[1] + EXTENT / 2)
    paths = {}
    for name in BANDS:
        coarse = world[name].to_numpy(np.float32).reshape(KNOTS, KNOTS)
        values = zoom(coarse, cells / KNOTS, order=1)
        values[: cells // 8, : cells // 8] = np.nan  # a corner of sea
        paths[name] = folder / f"{name}.tif"
        with rasterio.open(
            paths[name],
            "w",
            driver="GTiff",
            count=1,
            height=cells,
            width=cells,
            dtype="float32",
            crs=CRS,
            transform=corner,
            nodata=np.nan,
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
        ) as file:
            file.write(values, 1)
    return paths


def memory(kind: str) -> float:
    """Memory of this process in MB: "VmRSS" now, "VmHWM" at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def map_alone(folder: Path) -> dict[str, Any]:
    """Make the map in this process, which has done nothing yet but imports."""
    imports = memory("VmRSS")
    model = pickle.loads((folder / "model.pickle").read_bytes())
    paths = {name: folder / f"{name}.tif" for name in BANDS}
    start = time.perf_counter()
    predict_map(model, paths, date=DATE, path=folder / "map.tif")
    seconds = time.perf_counter() - start
    return {
        "map_s": seconds,
        "peak_mb_above_imports": memory("VmHWM") - imports,
        "imports_mb": imports,
        "threads": torch.get_num_threads(),
    }


def compare_blocks(model: SpTGNNRegressor, folder: Path, part: int) -> dict[str, Any]:
    """Make a part of the map again with blocks that cut elsewhere, and look for seams."""
    import rioxarray
    import xarray

    middle = slice(TILE, TILE + part)
    covariates = xarray.Dataset(
        {
            name: rioxarray.open_rasterio(folder / f"{name}.tif", masked=True)
            .isel(band=0, drop=True)
            .isel(y=middle, x=middle)
            .load()
            for name in BANDS
        }
    )
    again = predict_map(model, covariates, date=DATE, block_size=193)
    with rasterio.open(folder / "map.tif") as file:
        whole = file.read(window=rasterio.windows.Window(TILE, TILE, *again["mean"].shape[::-1]))
    found: dict[str, Any] = {"part": list(again["mean"].shape)}
    for i, name in enumerate(("mean", "std")):
        values = again[name].to_numpy()
        found[f"{name}_largest_difference"] = float(np.nanmax(np.abs(values - whole[i])))
        found[f"{name}_spread"] = float(np.nanstd(whole[i]))
        steps = np.abs(np.diff(whole[i], axis=1))
        edges = np.arange(1, steps.shape[1] + 1) % TILE == 0
        found[f"{name}_step_at_edges_to_elsewhere"] = (
            float(np.nanmean(steps[:, edges]) / np.nanmean(steps[:, ~edges]))
            if edges.any()
            else None
        )
    return found


def main() -> None:
    """Fit, make the map in another process, compare, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=4000, help="on a side")
    parser.add_argument("--rows", type=int, default=5000, help="of the survey")
    parser.add_argument("--part", type=int, default=600, help="cells on a side that are made again")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "records")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone is not None:
        found = map_alone(options.alone)
        (options.alone / "found.json").write_text(json.dumps(found), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rasters(folder, options.cells)
        start = time.perf_counter()
        model = fit(options.rows)
        record: dict[str, Any] = {
            "cells": options.cells**2,
            "bands": len(BANDS),
            "layers": ["mean", "std"],
            "rows": options.rows,
            "members": model.n_members,
            "base": model.base,
            "fit_s": time.perf_counter() - start,
        }
        (folder / "model.pickle").write_bytes(pickle.dumps(model))
        command = [sys.executable, "-m", "benchmarks.maps", "--alone", name]
        subprocess.run(command, check=True)
        record |= json.loads((folder / "found.json").read_text(encoding="utf-8"))
        record["cells_per_s"] = record["cells"] / record["map_s"]
        record["file_mb"] = (folder / "map.tif").stat().st_size / 2**20
        record["other_blocks"] = compare_blocks(model, folder, options.part)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"maps-{options.cells}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    print(f"record: {path}")


if __name__ == "__main__":
    main()
