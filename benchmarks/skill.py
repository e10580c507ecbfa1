"""Skill of the estimators on one table with fixed folds, as a JSON record.

A table is a Parquet file in which ``target_*`` columns are targets, ``meta_*`` columns never are
covariates, ``x, y`` or ``lon, lat`` are the coordinates, and every other column is a covariate. The
columns ``meta_fold_random`` and ``meta_fold_block`` hold the folds:

    python -m benchmarks.skill --table soil.parquet --target target_soc --log --elevation dem
"""

from __future__ import annotations

import argparse
import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline
from sptgnn_sklearn.comparison import compare

MODELS = {
    "SpTGNN": lambda roles: SpTGNNRegressor(**roles),
    "SpTGNN, base=None": lambda roles: SpTGNNRegressor(base=None, **roles),
    "SpTGNN, no graph": lambda roles: SpTGNNRegressor(relations=(), **roles),
    "XGBoost": lambda roles: XGBoostBaseline(**roles),
}
PACKAGES = ("torch", "scikit-learn", "xgboost", "skorch", "numpy", "pandas")


def read(options: argparse.Namespace) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Return X, the target on the modelling scale, and the whole table."""
    table = pd.read_parquet(options.table)
    table = table[table[options.target].notna()].reset_index(drop=True)
    kept = [name for name in table if not name.startswith(("target_", "meta_"))]
    if {"x", "y"} <= set(kept):
        kept = [name for name in kept if name not in ("lon", "lat")]
    X = table[kept + ([options.time] if options.time else [])].copy()
    for name in options.categorical:
        X[name] = X[name].astype("category")
    y = table[options.target].to_numpy(float)
    return X, np.log1p(y) if options.log else y, table


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Score the models on both kinds of folds and return the record."""
    X, y, table = read(options)
    roles = {"elevation": options.elevation, "time": options.time, "random_state": options.seed}
    models: dict[str, BaseEstimator] = {name: MODELS[name](roles) for name in options.models}
    folds = {kind: table[f"meta_fold_{kind}"].to_numpy() for kind in options.folds}
    result = compare(models, X, y, folds)
    print(result.to_markdown())
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    return {
        "table": options.table.stem,
        "target": options.target,
        "scale": "log1p" if options.log else "unit of the target",
        "seed": options.seed,
        "rows": len(X),
        "commit": commit.stdout.strip(),
        "versions": {name: version(name) for name in PACKAGES},
        "scores": json.loads(result.table.to_json(orient="records")),
    }


def main() -> None:
    """Read the options, score, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--log", action="store_true", help="model log1p of the target")
    parser.add_argument("--elevation", help="column of elevation")
    parser.add_argument("--time", help="column of dates or years")
    parser.add_argument("--categorical", nargs="*", default=[], help="columns of class codes")
    parser.add_argument("--folds", nargs="*", default=["random", "block"])
    parser.add_argument("--models", nargs="*", default=["SpTGNN", "XGBoost"], choices=MODELS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "records")
    options = parser.parse_args()
    record = run(options)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{record['table']}-{options.target}-seed{options.seed}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"record: {path}")


if __name__ == "__main__":
    main()
