"""What imagery is worth and what it costs.

    python -m benchmarks.images survey --weights random     known answer, with shuffled chips
    python -m benchmarks.images table --table T.parquet --chips C.npz --target COLUMN
    python -m benchmarks.images speed                       frozen path against the bare encoder

Each writes a JSON record. There is no connection to the hub in a closed network, so the encoder
starts from random weights unless `--weights` says otherwise.
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
from sklearn.model_selection import PredefinedSplit

from sptgnn_sklearn import SpTGNNRegressor, TerraMindEmbedder, XGBoostBaseline
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.metrics import model_efficiency, residual_morans_i
from sptgnn_sklearn.model_selection.comparison import compare_models

SURVEY = {"S2L2A": "s2_path", "S1GRD": "s1_path", "DEM": "dem_path"}


def survey(options: argparse.Namespace) -> dict[str, Any]:
    """Train on `--rows` rows and predict 400 others, with images, without, and with others'."""
    n_train, n_test = options.rows, 400
    with tempfile.TemporaryDirectory() as folder:
        made = make_soil_survey(n_train + n_test, image_dir=folder, random_state=options.seed)
        X, y = made.data, made.target
        shuffled = X.copy()
        order = np.random.RandomState(options.seed).permutation(len(X))
        for column in SURVEY.values():
            shuffled[column] = X[column].to_numpy()[order]
        roles = {"time": "date", "elevation": "elevation", "random_state": options.seed}
        images = {
            "images": SURVEY,
            "encoder_weights": options.weights,
            "cache_dir": Path(folder) / "cache",
        }
        tuned = SpTGNNRegressor(**roles, **images, fine_tune=True)
        models = {
            "XGBoost": (XGBoostBaseline(**roles, images=SURVEY), X),
            "SpTGNN, no images": (SpTGNNRegressor(**roles), X.drop(columns=list(SURVEY.values()))),
            "SpTGNN, frozen": (SpTGNNRegressor(**roles, **images), X),
            "SpTGNN, tuned": (tuned, X),
            "SpTGNN, tuned, shuffled chips": (tuned, shuffled),
        }
        scores = []
        for name, (model, inputs) in models.items():
            start = time.perf_counter()
            model.fit(inputs[:n_train], y[:n_train])
            line = {"model": name, "folds": "new rows", "fit_s": time.perf_counter() - start}
            line |= _score(model, inputs[n_train:], y[n_train:].to_numpy())
            print(line, flush=True)
            scores.append(line)
    return {"table": "simulated with images", "rows": n_train, "scores": scores}


def _score(model: Any, X: pd.DataFrame, y: np.ndarray) -> dict[str, Any]:
    mean = model.predict(X)
    xy = X[["lon", "lat"]].to_numpy()
    found = {"R2": model_efficiency(y, mean), "moran_i": residual_morans_i(y, mean, xy)}
    found["coverage"] = None
    if hasattr(model, "predict_quantiles"):
        low, high = model.predict_quantiles(X, (0.05, 0.95)).T
        found["coverage"] = float(((low <= y) & (y <= high)).mean())
    return found


def table(options: argparse.Namespace) -> dict[str, Any]:
    """Score a table with chips in an array, with and without them, on its own folds."""
    data = pd.read_parquet(options.table)
    held = np.load(options.chips, allow_pickle=False)
    chips = held["chips"].astype(np.float32)
    if len(chips) != len(data) or not np.array_equal(held["x"], data["x"].to_numpy().astype(int)):
        raise SystemExit("chips and table have different rows")
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
        images = {
            "images": {"layers": "chip"},
            "encoder_weights": options.weights,
            "cache_dir": Path(folder) / "cache",
        }
        models: dict[str, Any] = {"SpTGNN, no images": (SpTGNNRegressor(**roles), X)}
        with_chips = X.assign(chip=paths)
        models["SpTGNN, frozen"] = (SpTGNNRegressor(**roles, **images), with_chips)
        for depth in options.tune:
            tuned = SpTGNNRegressor(**roles, **images, fine_tune=depth)
            models[f"SpTGNN, fine_tune={depth}"] = (tuned, with_chips)
        for kind in options.folds:
            folds = {kind: PredefinedSplit(data[f"meta_fold_{kind}"].to_numpy())}
            for name, (model, inputs) in models.items():
                result = compare_models({name: model}, inputs, y, folds)
                print(result.to_markdown(), flush=True)
                tables.append(result.table)
    name = f"{options.table.stem} with chips"
    return {"table": name, "rows": len(X), "scores": as_json(tables)}


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Embed chips cold and warm, beside the encoder's own forward time on the same chips."""
    lines = []
    for size in options.sizes:
        n = max(64, int(options.rows * (32 / size) ** 2))
        with tempfile.TemporaryDirectory() as folder:
            X = make_soil_survey(n, image_dir=folder, chip_size=size, random_state=0).data
            embedder = TerraMindEmbedder(
                SURVEY,
                encoder_weights=options.weights,
                cache_dir=Path(folder) / "cache",
                n_jobs=options.workers,
            ).fit(X)
            own = _forward_time(embedder, n)
            cold, warm = _timed(embedder.transform, X), _timed(embedder.transform, X)
        line = {"chip_size": size, "rows": n, "encoder_s": own, "first_s": cold, "again_s": warm}
        line["first_to_encoder"], line["first_to_again"] = cold / own, cold / warm
        print({key: round(value, 3) for key, value in line.items()}, flush=True)
        lines.append(line)
    return {"threads": torch.get_num_threads(), "workers": options.workers, "speed": lines}


def _forward_time(embedder: TerraMindEmbedder, n: int) -> float:
    """Seconds that the encoder needs for n rows, given as arrays."""
    inner = embedder.embedder_
    paths = {name: np.array([None], dtype=object) for name in inner.imagery.modalities}
    side = inner.imagery.chip_size
    rng = np.random.default_rng(0)
    chips = {
        name: rng.normal(size=(64, len(inner.imagery.modalities[name].bands), side, side))
        for name in paths
    }
    chips = {name: values.astype(np.float32) for name, values in chips.items()}
    inner.encoder(chips)
    steps = -(-n // 64)
    return sum(_timed(inner.encoder, chips) for _ in range(steps)) * n / (64 * steps)


def _timed(work: Any, argument: Any) -> float:
    start = time.perf_counter()
    work(argument)
    return time.perf_counter() - start


def as_json(tables: list[pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of score tables as plain objects."""
    return json.loads(pd.concat(tables).to_json(orient="records"))


def main() -> None:
    """Run one of the three and write its record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["survey", "table", "speed"])
    parser.add_argument("--weights", default="random", help="random, pretrained or a path")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--chips", type=Path)
    parser.add_argument("--target")
    parser.add_argument("--elevation")
    parser.add_argument("--folds", nargs="*", default=["random", "block"])
    parser.add_argument("--tune", nargs="*", type=int, default=[], help="numbers of blocks")
    parser.add_argument("--sizes", nargs="*", type=int, default=[32, 64, 224])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "records")
    options = parser.parse_args()
    if options.weights == "random":
        options.weights = None
        warnings.filterwarnings("ignore", message="encoder_weights=None")
    record = {"survey": survey, "table": table, "speed": speed}[options.what](options)
    name = f"images-{options.what}-{options.table.stem if options.table else options.rows}"
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{name}-seed{options.seed}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"record: {path}")


if __name__ == "__main__":
    main()
