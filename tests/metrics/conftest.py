"""Fixtures shared by the tests of metrics."""

import numpy as np
import pytest


@pytest.fixture
def weight():
    """Sample weights 0 to 3 of 25 rows; with a sum of 4 k + 1, quartiles need no interpolation."""
    weight = np.resize([2, 1, 3, 0, 2], 25)
    weight[-1] += 1
    assert weight.sum() == 41
    return weight
