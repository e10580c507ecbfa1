"""Stored states of RandomState: valid, or rejected before numpy reads them."""

from typing import Any

import numpy as np
import pytest

from sptgnn_sklearn.utils.random_states import check_mersenne_twister
from sptgnn_sklearn.utils.safe_file import FileError

STATE: Any = np.random.RandomState(0).get_state(legacy=True)


def test_states_of_numpy_are_valid():
    for n_draws in (0, 1, 311, 1000):
        rng = np.random.RandomState(1)
        rng.normal(size=n_draws)
        check_mersenne_twister(rng.get_state(legacy=True))
        check_mersenne_twister(list(rng.get_state(legacy=True)))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, "PCG64"),
        (1, STATE[1][:623]),
        (1, STATE[1].astype(np.int64)),
        (1, list(STATE[1])),
        (2, -1),
        (2, 625),
        (2, 1e9),
        (3, 2),
        (4, np.nan),
        (4, "0"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_invalid_states_raise(index, value):
    changed = list(STATE)
    changed[index] = value
    with pytest.raises(FileError, match="random state"):
        check_mersenne_twister(changed)
    with pytest.raises(FileError, match="five values"):
        check_mersenne_twister(STATE[:index])
