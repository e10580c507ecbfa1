"""The image benchmark."""

import argparse

import numpy as np
import pandas as pd
import pytest

from benchmarks import images


def test_scores_without_intervals():
    """A model without quantiles has no coverage."""

    class Mean:
        def predict(self, X):
            return np.full(len(X), 1.5)

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(size=(20, 2)), columns=["lon", "lat"])
    scores = images._scores(Mean(), X, np.tile([1.0, 2.0], 10))
    assert scores["R2"] == pytest.approx(0.0)
    assert scores["coverage"] is None


def test_chips_of_another_table_are_an_error(tmp_path):
    """Chips and table must have the same rows."""
    pd.DataFrame({"x": [0.0, 1.0], "target_clay": [1.0, 2.0]}).to_parquet(tmp_path / "t.parquet")
    np.savez(tmp_path / "c.npz", chips=np.zeros((2, 1, 16, 16)), x=np.array([0, 2]))
    options = argparse.Namespace(table=tmp_path / "t.parquet", chips=tmp_path / "c.npz")
    with pytest.raises(SystemExit, match="different rows"):
        images.public_table(options)
