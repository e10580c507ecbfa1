"""What the graph is worth where the truth is known: simulated surveys with and without a field.

    python -m benchmarks.survey

On `make_soil_survey` the spatial field is carried by no covariate, so only neighbours and position
can tell it. With the field switched off there is nothing for the graph to find.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
from sklearn.model_selection import KFold

from sptgnn_sklearn.comparison import compare
from sptgnn_sklearn.datasets import make_soil_survey

from .skill import MODELS

WORLDS = {"field": {}, "no field": {"field_sd": 0.0}}


def main() -> None:
    """Score the models in each world and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "records")
    options = parser.parse_args()
    roles = {"time": "date", "elevation": "elevation", "random_state": options.seed}
    scores = []
    for world, settings in WORLDS.items():
        survey = make_soil_survey(options.rows, random_state=options.seed, **settings)
        models = {name: make(roles) for name, make in MODELS.items()}
        folds = {world: KFold(5, shuffle=True, random_state=options.seed)}
        result = compare(models, survey.data, survey.target, folds)
        print(result.to_markdown())
        scores.append(result.table)
    record = {
        "rows": options.rows,
        "seed": options.seed,
        "scores": json.loads(pd.concat(scores).to_json(orient="records")),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"survey-{options.rows}-seed{options.seed}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"record: {path}")


if __name__ == "__main__":
    main()
