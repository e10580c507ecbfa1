"""Fixtures of the benchmark tests."""

import numpy as np
import pandas as pd
import pytest
from benchmark_helpers import TASK

from benchmarks.tables import read_table
from sptgnn_sklearn.datasets import make_soil_survey


@pytest.fixture(scope="session")
def parquet(tmp_path_factory):
    """Parquet file with planar and geographic coordinates and rows without target."""
    survey = make_soil_survey(205, random_state=0, distribution="lognormal", missing=0.05)
    table = survey.data.rename(columns={"date": "meta_date"})
    rng = np.random.RandomState(0)
    table["x"], table["y"] = 100 * table["lon"], 100 * table["lat"]
    table["soil_code"] = rng.randint(3, size=len(table))
    table["target_soc"], table["target_ph"] = survey.target, 7.0
    table.loc[:4, "target_soc"] = np.nan
    table["meta_fold_random"] = rng.randint(3, size=len(table))
    table["meta_fold_block"] = pd.qcut(table["x"], 3, labels=False)
    path = tmp_path_factory.mktemp("data") / "soil.parquet"
    table.to_parquet(path)
    return path


@pytest.fixture(scope="session")
def data(parquet):
    """The table of `parquet`."""
    return read_table(parquet, TASK)
