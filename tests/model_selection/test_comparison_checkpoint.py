"""Checkpoint of comparisons: file names and files."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sptgnn_sklearn.model_selection.comparison_checkpoint import ComparisonCheckpoint

TABLE = pd.DataFrame({"x": np.arange(8.0), "y": 1.0, "soil": list("ababcabc")})
SPLIT = (np.arange(4), np.arange(4, 8))

SCRIPT = """
import sys, numpy as np, pandas as pd
from sklearn.dummy import DummyRegressor
from sptgnn_sklearn.model_selection.comparison_checkpoint import ComparisonCheckpoint
table = pd.DataFrame({"x": np.arange(8.0), "y": 1.0, "soil": list("ababcabc")})
checkpoint = ComparisonCheckpoint.open(sys.argv[1], table, np.arange(8.0))
print(checkpoint.path(DummyRegressor(), (np.arange(4), np.arange(4, 8)), 0.9).name)
"""


def file_name(tmp_path, table=TABLE, model=None, y=None):
    y = np.arange(8.0) if y is None else y
    checkpoint = ComparisonCheckpoint.open(tmp_path, table, y)
    return checkpoint.path(DummyRegressor() if model is None else model, SPLIT, 0.9).name


def test_names_are_equal_in_another_process(tmp_path):
    """A later session finds the files of this one."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == file_name(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(soil=t["soil"].astype("category")),
        lambda t: t.assign(soil=t["soil"].replace("c", "d")),
        lambda t: t.assign(x=t["x"].astype("float32")),
        lambda t: t[["y", "x", "soil"]],
        lambda t: t.rename(columns={"soil": "Soil"}),
        lambda t: t.assign(x=t["x"].where(t["x"] != 3)),
    ],
)
def test_names_depend_on_the_table(tmp_path, change):
    """Values, types, names and order of the columns count."""
    assert file_name(tmp_path, change(TABLE.copy())) != file_name(tmp_path)
    assert file_name(tmp_path, TABLE.copy()) == file_name(tmp_path)


def test_names_depend_on_nested_parameters(tmp_path):
    """A step of a pipeline is a parameter."""
    one, other = (
        make_pipeline(StandardScaler(with_mean=center), DummyRegressor())
        for center in (True, False)
    )
    assert file_name(tmp_path, model=one) != file_name(tmp_path, model=other)
    fitted = make_pipeline(StandardScaler(), DummyRegressor()).fit(TABLE[["x"]], np.arange(8.0))
    assert file_name(tmp_path, model=one) == file_name(tmp_path, model=fitted)


def test_models_that_cannot_be_pickled_raise(tmp_path):
    """The error gives the reason and what to do."""
    model = make_pipeline(FunctionTransformer(lambda X: X), DummyRegressor())
    with pytest.raises(ValueError, match=r"can be pickled; Pipeline .*in a module"):
        file_name(tmp_path, model=model)


def test_the_folder_is_created(tmp_path):
    """Parents too; a file in its place raises."""
    ComparisonCheckpoint.open(tmp_path / "a" / "b", TABLE, np.arange(8.0))
    assert (tmp_path / "a" / "b").is_dir()
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ValueError, match="checkpoint must be a folder"):
        ComparisonCheckpoint.open(path, TABLE, np.arange(8.0))
    with pytest.raises(ValueError, match="cannot be created"):
        ComparisonCheckpoint.open(path / "folder", TABLE, np.arange(8.0))
