"""Benchmark tables read from Parquet files."""

from dataclasses import replace

import numpy as np
import pytest
from benchmark_helpers import TASK

from benchmarks.tables import Task, read_table


def test_targets_and_metadata_are_no_covariates(data):
    """Targets, other metadata and the second pair of coordinates are dropped from X."""
    assert len(data.X) == len(data.y) == 200
    assert not [name for name in data.X if name.startswith("target_") or name in ("lon", "lat")]
    assert {"x", "y", "elevation", "meta_date", "soil_code"} <= set(data.X)
    np.testing.assert_allclose(np.expm1(data.y), data.observed)
    assert sorted(data.folds) == ["block", "random"]
    assert data.crs is None


def test_numeric_class_codes_become_categorical(parquet):
    """Columns listed as categorical get the category dtype."""
    data = read_table(parquet, replace(TASK, categorical=("soil_code",), log=False))
    assert data.X["soil_code"].dtype == "category"
    np.testing.assert_array_equal(data.y, data.observed)


def test_shuffled_targets_are_a_permutation(parquet, data):
    """Shuffling keeps the distribution of the target and changes the file name."""
    task = replace(TASK, shuffled=True)
    shuffled = read_table(parquet, task)
    assert (shuffled.y != data.y).mean() > 0.9
    np.testing.assert_allclose(np.sort(shuffled.y), np.sort(data.y))
    assert task.name != TASK.name


def test_missing_columns_are_named(parquet):
    """The error names the missing column and those that exist."""
    with pytest.raises(SystemExit, match=r"\['hight'\].*'elevation'"):
        read_table(parquet, replace(TASK, elevation="hight"))


def test_file_names_have_no_spaces():
    """Names of simulated surveys have spaces, file names do not."""
    assert Task("no spatial field", "soc").name == "no_spatial_field-soc"
