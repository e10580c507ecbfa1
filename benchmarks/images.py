"""Accuracy gain and cost of satellite images.

    python -m benchmarks.images survey    simulated survey, with shuffled chips as control
    python -m benchmarks.images table --table T.parquet --chips C.npz --target COLUMN
    python -m benchmarks.images speed     embedding with and without cache

Each writes a JSON record. The encoder starts from random weights by default, because pretrained
weights are downloaded from the Hugging Face hub; see `--weights`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit

from sptgnn_sklearn import (
    SpTGNNRegressor,
    TerraMindEmbedder,
    TerraMindImages,
    XGBoostBaseline,
    compare_models,
)
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import residual_morans_i

from .experiments import RECORDS_DIR

CHIP_COLUMNS = {"S2L2A": "s2_path", "S1GRD": "s1_path", "DEM": "dem_path"}
_BATCH_ROWS = 64


def simulated_survey(options: argparse.Namespace) -> dict[str, Any]:
    """Score models on 400 new rows of a simulated survey: without, with and with shuffled chips."""
    n_train, n_test = options.rows, 400
    with tempfile.TemporaryDirectory() as folder:
        survey = make_soil_survey(n_train + n_test, image_dir=folder, random_state=options.seed)
        X, y = survey.data, survey.target
        shuffled = X.copy()
        order = np.random.RandomState(options.seed).permutation(len(X))
        for column in CHIP_COLUMNS.values():
            shuffled[column] = X[column].to_numpy()[order]
        roles = {"time": "date", "elevation": "elevation", "random_state": options.seed}
        cache = Path(folder) / "cache"
        frozen = TerraMindImages(CHIP_COLUMNS, weights=options.weights, cache_dir=cache)
        tuned = TerraMindImages(
            CHIP_COLUMNS, weights=options.weights, cache_dir=cache, fine_tune=True
        )
        fine_tuned = SpTGNNRegressor(**roles, images=tuned)
        models = {
            "XGBoost": (XGBoostBaseline(**roles, images=CHIP_COLUMNS), X),
            "SpTGNN, no images": (
                SpTGNNRegressor(**roles),
                X.drop(columns=list(CHIP_COLUMNS.values())),
            ),
            "SpTGNN, frozen encoder": (SpTGNNRegressor(**roles, images=frozen), X),
            "SpTGNN, fine-tuned encoder": (fine_tuned, X),
            "SpTGNN, fine-tuned encoder, shuffled chips": (fine_tuned, shuffled),
        }
        scores = []
        for name, (model, inputs) in models.items():
            start = time.perf_counter()
            model.fit(inputs[:n_train], y[:n_train])
            entry = {"model": name, "folds": "new rows", "fit_s": time.perf_counter() - start}
            entry |= _scores(model, inputs[n_train:], y[n_train:].to_numpy())
            print(entry, flush=True)
            scores.append(entry)
    return {"table": "simulated with images", "rows": n_train, "scores": scores}


def _scores(model: Any, X: pd.DataFrame, y: np.ndarray) -> dict[str, Any]:
    mean = model.predict(X)
    lonlat = X[["lon", "lat"]].to_numpy()
    scores = {"R2": r2_score(y, mean), "moran_i": residual_morans_i(y, mean, lonlat)}
    scores["coverage"] = None
    if hasattr(model, "predict_quantiles"):
        low, high = model.predict_quantiles(X, (0.05, 0.95)).T
        scores["coverage"] = float(((low <= y) & (y <= high)).mean())
    return scores


def public_table(options: argparse.Namespace) -> dict[str, Any]:
    """Score a table on its own folds, with and without its array of chips."""
    data = pd.read_parquet(options.table)
    archive = np.load(options.chips, allow_pickle=False)
    chips = archive["chips"].astype(np.float32)
    same_length = len(chips) == len(data)
    if not same_length or not np.array_equal(archive["x"], data["x"].to_numpy().astype(int)):
        raise SystemExit(f"{options.chips} and {options.table} have different rows.")
    X = data[[c for c in data if not c.startswith(("target_", "meta_"))]]
    if {"x", "y", "lon", "lat"} <= set(X.columns):
        X = X.drop(columns=["lon", "lat"])
    y = data[options.target]
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{row}.npy") for row in range(len(chips))]
        for path, chip in zip(paths, chips, strict=True):
            np.save(path, chip)
        roles = {"elevation": options.elevation, "random_state": options.seed}
        models: dict[str, Any] = {"SpTGNN, no images": (SpTGNNRegressor(**roles), X)}
        X_chips = X.assign(chip=paths)
        for n_blocks in (False, *options.fine_tune):
            name = f"fine_tune={n_blocks}" if n_blocks else "frozen encoder"
            images = TerraMindImages(
                {"layers": "chip"},
                weights=options.weights,
                cache_dir=Path(folder) / "cache",
                fine_tune=n_blocks,
            )
            models[f"SpTGNN, {name}"] = (SpTGNNRegressor(**roles, images=images), X_chips)
        for kind in options.folds:
            folds = {kind: PredefinedSplit(data[f"meta_fold_{kind}"].to_numpy())}
            for name, (model, inputs) in models.items():
                result = compare_models({name: model}, inputs, y, folds)
                print(result.to_markdown(), flush=True)
                tables.append(result.table)
    name = f"{options.table.stem} with chips"
    scores = json.loads(pd.concat(tables).to_json(orient="records"))
    return {"table": name, "rows": len(X), "scores": scores}


def embedding_speed(options: argparse.Namespace) -> dict[str, Any]:
    """Time embedding chips without and with cache, and the forward pass of the encoder alone."""
    timings = []
    for size in options.sizes:
        n = max(_BATCH_ROWS, int(options.rows * (32 / size) ** 2))
        with tempfile.TemporaryDirectory() as folder:
            X = make_soil_survey(n, image_dir=folder, chip_size=size, random_state=0).data
            embedder = TerraMindEmbedder(
                CHIP_COLUMNS,
                weights=options.weights,
                cache_dir=Path(folder) / "cache",
                n_jobs=options.workers,
            ).fit(X)
            encoder = _forward_seconds(embedder, n)
            cold, warm = _seconds(embedder.transform, X), _seconds(embedder.transform, X)
        timing = {
            "chip_size": size,
            "rows": n,
            "encoder_s": encoder,
            "cold_s": cold,
            "warm_s": warm,
            "cold_over_encoder": cold / encoder,
            "cold_over_warm": cold / warm,
        }
        print({key: round(value, 3) for key, value in timing.items()}, flush=True)
        timings.append(timing)
    return {"threads": torch.get_num_threads(), "workers": options.workers, "speed": timings}


def _forward_seconds(embedder: TerraMindEmbedder, n: int) -> float:
    """Return the seconds of the encoder's forward pass on n rows in memory."""
    fitted = embedder.embedder_
    size = fitted.chip_loader.chip_size
    rng = np.random.default_rng(0)
    chips = {
        name: rng.normal(size=(_BATCH_ROWS, len(modality.bands), size, size)).astype(np.float32)
        for name, modality in fitted.chip_loader.modalities.items()
    }
    fitted.encoder(chips)
    n_batches = -(-n // _BATCH_ROWS)
    seconds = sum(_seconds(fitted.encoder, chips) for _ in range(n_batches))
    return seconds * n / (_BATCH_ROWS * n_batches)


def _seconds(function: Any, argument: Any) -> float:
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


BENCHMARKS = {"survey": simulated_survey, "table": public_table, "speed": embedding_speed}


def main() -> None:
    """Run one benchmark and write its record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", choices=list(BENCHMARKS))
    parser.add_argument("--weights", default="random", help='"random", "pretrained" or a path')
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--chips", type=Path)
    parser.add_argument("--target")
    parser.add_argument("--elevation")
    parser.add_argument("--folds", nargs="*", default=["random", "block"])
    parser.add_argument(
        "--fine-tune", nargs="*", type=int, default=[], help="numbers of tuned encoder blocks"
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=[32, 64, 224])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR)
    options = parser.parse_args()
    if options.weights == "random":
        options.weights = None
        warnings.filterwarnings("ignore", message="weights=None")
    record = BENCHMARKS[options.benchmark](options)
    name = f"images-{options.benchmark}-{options.table.stem if options.table else options.rows}"
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{name}-seed{options.seed}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"record: {path}")


if __name__ == "__main__":
    main()
