"""Distances to samples: known distances, folds, units, errors."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.applicability import sample_distance
from sptgnn_sklearn.model_selection import SpatialBlockKFold

LINE = pd.DataFrame({"x": [0.0, 1.0, 3.0, 7.0], "y": [0.0] * 4})


def test_distances_to_other_rows_and_to_training_rows():
    """Without folds the nearest other row; with folds the nearest row of another fold."""
    np.testing.assert_allclose(sample_distance(LINE), [1, 1, 2, 4])
    np.testing.assert_allclose(sample_distance(LINE, cv=["a", "a", "b", "b"]), [3, 2, 2, 6])


def test_buffers_and_untested_rows():
    """Rows that the buffer drops are no training rows; rows in no test set are NaN."""
    X = pd.DataFrame({"x": np.arange(20.0), "y": 0.0})
    near = sample_distance(X, cv=SpatialBlockKFold(2, n_blocks=2))
    far = sample_distance(X, cv=SpatialBlockKFold(2, n_blocks=2, buffer=3.5))
    np.testing.assert_allclose(near.min(), 1)
    np.testing.assert_allclose(far.min(), 4)
    part = sample_distance(LINE, cv=[(np.array([0]), np.array([3]))])
    np.testing.assert_array_equal(part, [np.nan, np.nan, np.nan, 7])


def test_geographic_distances_are_in_km():
    """One degree of latitude is 111.2 km; columns of the samples are found by name."""
    cells = pd.DataFrame({"lon": [5.0], "lat": [52.0]})
    samples = pd.DataFrame({"clay": [0.1, 0.2], "lat": [53.0, 60.0], "lon": [5.0, 5.0]})
    assert sample_distance(cells, samples)[0] == pytest.approx(111.2, abs=0.2)


def test_samples_and_folds_exclude_each_other():
    """The error names both parameters."""
    with pytest.raises(ValueError, match=r"cv .* samples"):
        sample_distance(LINE, LINE, cv=2)
