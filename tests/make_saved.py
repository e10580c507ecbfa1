"""Write a saved model for the tests of versions to come: python tests/make_saved.py SCHEMA.

Files that are there are never written again: they must load for ever.
"""

import sys
from pathlib import Path

import numpy as np
from xgboost import XGBRegressor

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

FOLDER = Path(__file__).parent / "saved"
SURVEY = make_soil_survey(n_samples=40, random_state=5)


def rows():
    """The rows that the kept predictions are of."""
    return SURVEY.data.head(10)


def main(schema: str) -> None:
    """Fit a small model with a base, save it and its predictions."""
    path = FOLDER / f"schema-{schema}.safetensors"
    if path.exists():
        raise SystemExit(f"{path} is there, and is kept as it is.")
    FOLDER.mkdir(exist_ok=True)
    settings = {"n_members": 2, "hidden_size": 4, "n_heads": 2, "n_experts": 2, "max_epochs": 2}
    roles = {"time": "date", "elevation": "elevation"}
    base = XGBRegressor(n_estimators=3, max_depth=2)  # of few trees, for a small file
    model = SpTGNNRegressor(**roles, **settings, n_neighbors=3, random_state=0, base=base)
    model.fit(SURVEY.data, SURVEY.target).save(path)
    np.savetxt(path.with_suffix(".csv"), model.predict_uncertainty(rows()).to_numpy(), fmt="%.7g")


if __name__ == "__main__":
    main(sys.argv[1])
