"""Time and memory of a large map, and differences at its block edges.

    python -m benchmarks.maps                      4,000 x 4,000 cells, eight covariates
    python -m benchmarks.maps --cells 1000         a smaller map

A model is fitted on a simulated survey, and its mean and standard deviation are mapped from
GeoTIFFs of the same covariates to a GeoTIFF. The map is computed in its own process, so that the
memory peak is that of the map. A part of it is computed again with another block size. Writes a
JSON record.
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

from .experiments import RECORDS_DIR

CRS = "EPSG:32636"
BANDS = ["elevation", *(f"cov_{i}" for i in range(7))]
SURVEY = {"n_covariates": 7, "crs": CRS, "random_state": 0}
CENTER, EXTENT = (500_000.0, 5_000_000.0), 500_000.0
N_KNOTS = 200  # simulated points per side, between which the rasters are interpolated
DATE = 2015.5
TILE = 512
LAYERS = ("mean", "std")


def fit_model(rows: int) -> SpTGNNRegressor:
    """Fit the default model on a simulated survey."""
    survey = make_soil_survey(rows, **SURVEY)
    X = survey.data[["x", "y", "date", *BANDS]]
    model = SpTGNNRegressor(time="date", elevation="elevation", crs=CRS, random_state=0)
    return model.fit(X, survey.target)


def write_rasters(folder: Path, cells: int) -> dict[str, Path]:
    """Write a tiled raster of each covariate."""
    step = EXTENT / N_KNOTS
    axis = (np.arange(N_KNOTS) + 0.5) * step - EXTENT / 2
    x, y = np.meshgrid(CENTER[0] + axis, CENTER[1] - axis)
    coordinates = np.column_stack([x.ravel(), y.ravel()])
    covariates = make_soil_survey(coordinates=coordinates, **SURVEY).data
    cell = EXTENT / cells
    transform = rasterio.Affine(cell, 0, CENTER[0] - EXTENT / 2, 0, -cell, CENTER[1] + EXTENT / 2)
    paths = {}
    for name in BANDS:
        coarse = covariates[name].to_numpy(np.float32).reshape(N_KNOTS, N_KNOTS)
        values = zoom(coarse, cells / N_KNOTS, order=1)
        values[: cells // 8, : cells // 8] = np.nan  # a corner without data
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
            transform=transform,
            nodata=np.nan,
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
        ) as file:
            file.write(values, 1)
    return paths


def process_memory(name: str) -> float:
    """Return the memory of this process in MiB: "VmRSS" is the current value, "VmHWM" the peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def compute_map(folder: Path) -> dict[str, Any]:
    """Compute the map in this process, which has run nothing but imports, and measure it."""
    imports = process_memory("VmRSS")
    model = pickle.loads((folder / "model.pickle").read_bytes())
    paths = {name: folder / f"{name}.tif" for name in BANDS}
    start = time.perf_counter()
    predict_map(model, paths, date=DATE, path=folder / "map.tif")
    seconds = time.perf_counter() - start
    return {
        "map_s": seconds,
        "peak_mb_above_imports": process_memory("VmHWM") - imports,
        "imports_mb": imports,
        "threads": torch.get_num_threads(),
    }


def compare_block_sizes(model: SpTGNNRegressor, folder: Path, part: int) -> dict[str, Any]:
    """Compute a part of the map with another block size, and compare steps at block edges."""
    import rioxarray
    import xarray

    window = slice(TILE, TILE + part)
    covariates = xarray.Dataset(
        {
            name: rioxarray.open_rasterio(folder / f"{name}.tif", masked=True)
            .isel(band=0, drop=True)
            .isel(y=window, x=window)
            .load()
            for name in BANDS
        }
    )
    other = predict_map(model, covariates, date=DATE, block_size=193)
    with rasterio.open(folder / "map.tif") as file:
        original = file.read(window=rasterio.windows.Window(TILE, TILE, *other["mean"].shape[::-1]))
    result: dict[str, Any] = {"part": list(other["mean"].shape)}
    for i, name in enumerate(LAYERS):
        values = other[name].to_numpy()
        result[f"{name}_largest_difference"] = float(np.nanmax(np.abs(values - original[i])))
        result[f"{name}_spread"] = float(np.nanstd(original[i]))
        steps = np.abs(np.diff(original[i], axis=1))
        edges = np.arange(1, steps.shape[1] + 1) % TILE == 0
        result[f"{name}_step_ratio_at_block_edges"] = (
            float(np.nanmean(steps[:, edges]) / np.nanmean(steps[:, ~edges]))
            if edges.any()
            else None
        )
    return result


def main() -> None:
    """Fit, compute the map in another process, compare block sizes, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=4000, help="cells per side")
    parser.add_argument("--rows", type=int, default=5000, help="rows of the survey")
    parser.add_argument(
        "--part", type=int, default=600, help="cells per side that are computed again"
    )
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    parser.add_argument("--compute-map", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compute_map is not None:
        result = compute_map(options.compute_map)
        (options.compute_map / "result.json").write_text(json.dumps(result), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rasters(folder, options.cells)
        start = time.perf_counter()
        model = fit_model(options.rows)
        record: dict[str, Any] = {
            "cells": options.cells**2,
            "covariates": len(BANDS),
            "layers": list(LAYERS),
            "rows": options.rows,
            "n_estimators": model.n_estimators,
            "base_estimator": model.base_estimator,
            "fit_s": time.perf_counter() - start,
        }
        (folder / "model.pickle").write_bytes(pickle.dumps(model))
        command = [sys.executable, "-m", "benchmarks.maps", "--compute-map", name]
        subprocess.run(command, check=True)
        record |= json.loads((folder / "result.json").read_text(encoding="utf-8"))
        record["cells_per_s"] = record["cells"] / record["map_s"]
        record["file_mb"] = (folder / "map.tif").stat().st_size / 2**20
        record["other_block_size"] = compare_block_sizes(model, folder, options.part)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"maps-{options.cells}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    print(f"record: {path}")


if __name__ == "__main__":
    main()
