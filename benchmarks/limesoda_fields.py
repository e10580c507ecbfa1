"""LimeSoDa's fields with coordinates and its own ten folds, beside the published accuracies.

    python -m benchmarks.skill --limesoda --models sptgnn catboost
    python -m benchmarks.limesoda_fields --published FILE.csv    # table of the records

Schmidinger et al. (2025), LimeSoDa; the tables are in the PyPI package ``limesoda`` (CC BY-SA 4.0).
FILE.csv has the columns Dataset, Property, learning_algorithm and R2 of
JonasSchmidinger/LimeSoDa_benchmarking.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from sptgnn_sklearn.model_selection import SpatialBlockKFold

from .experiments import RECORDS_DIR
from .report import LABELS, Results
from .tables import TableData, Task
from .tabular_networks import import_extra
from .text_table import TextTable

OWN_FOLDS = "own"
FIELD_FOLDS = (OWN_FOLDS, "random", "block")
_N_SPLITS = 5  # of the random and block folds
_GEOGRAPHIC = "4326"
_MISSING = "–"
# Samples are in the name. SL.125 and UL.120 were moved to other places as a whole.
FIELDS = (
    *("B.204", "BB.250", "BB.30_1", "BB.30_2", "BB.51", "BB.72", "G.104", "G.150", "H.138"),
    *("MG.112", "MG.44", "MGS.101", "MWP.36", "NSW.52", "SC.50", "SC.93", "SL.125", "SM.40"),
    *("SP.231", "UL.120"),
)
_ORGANIC_MATTER = ("SL.125", "SP.231", "UL.120")  # the others have organic carbon
SPECTRA = ("H.138", "MG.44", "SC.93", "SL.125", "SP.231", "UL.120")  # hundreds of covariates
PROPERTIES = ("SOC", "pH", "Clay")


def field_task(field: str, soil_property: str) -> Task:
    """Return the task of a field and one of `PROPERTIES`.

    Organic matter takes the place of organic carbon in fields that have no other.
    """
    if soil_property == "SOC" and field in _ORGANIC_MATTER:
        soil_property = "SOM"
    elevation = None if field in SPECTRA else "Altitude"
    return Task(f"{field} {soil_property}", f"{soil_property}_target", elevation=elevation)


def read_field(task: Task) -> TableData:
    """Return a field from the package ``limesoda``, with its own folds as kind "own".

    Random and block folds are added, as the other tables have them.
    """
    found = import_extra("LimeSoDa").load_dataset(task.table.split()[0])
    table, places = found["Dataset"], found["Coordinates"]
    geographic = places.columns[0].endswith(_GEOGRAPHIC)
    names = ["lon", "lat"] if geographic else ["x", "y"]
    coordinates = places.to_numpy(float)
    covariates = table[[name for name in table if not str(name).endswith("_target")]]
    X = pd.DataFrame(coordinates, columns=names).join(covariates.reset_index(drop=True))
    y = table[task.target].to_numpy(float)
    crs = "EPSG:4326" if geographic else None
    blocks = SpatialBlockKFold(_N_SPLITS)
    folds = {
        OWN_FOLDS: found["Folds"],
        "random": _fold_labels(KFold(_N_SPLITS, shuffle=True, random_state=0), X),
        "block": _fold_labels(blocks, X),
    }
    return TableData(X, y, y, folds, coordinates, crs)


def _fold_labels(splitter: Any, X: pd.DataFrame) -> np.ndarray:
    labels = np.empty(len(X), dtype=int)
    for fold, (_, test) in enumerate(splitter.split(X)):
        labels[test] = fold
    return labels


def published_table(results: Results, published: Path | None = None) -> TextTable:
    """R2 of the models on record, beside published ones, by field and property."""
    found = pd.DataFrame(columns=["Dataset", "Property", "learning_algorithm", "R2"])
    if published is not None:
        found = pd.read_csv(published)
    scores = found.pivot_table("R2", ["Dataset", "Property"], "learning_algorithm", sort=False)
    models = results.models(list(LABELS))
    rows = []
    for table in sorted(results.tables):
        own = [results.score(table, OWN_FOLDS, model) for model in models]
        key = tuple(table.split())
        others = list(scores.loc[key]) if key in scores.index else [float("nan")] * scores.shape[1]
        cells = [_MISSING if pd.isna(value) else f"{value:.3f}" for value in (*others, *own)]
        rows.append([table, *cells])
    names = [f"{name}, published" for name in scores.columns]
    return TextTable(["field", *names, *(LABELS.get(model, model) for model in models)], rows)


def main() -> None:
    """Print the table of the records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, default=RECORDS_DIR / "limesoda")
    parser.add_argument("--published", type=Path, help="CSV of published accuracies")
    options = parser.parse_args()
    if options.published is not None and not options.published.is_file():
        raise SystemExit(f"--published: file {options.published} does not exist.")
    print(published_table(Results(options.records), options.published).to_markdown())


if __name__ == "__main__":
    main()
