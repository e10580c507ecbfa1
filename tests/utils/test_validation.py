"""Checks of scalar parameters and random states."""

import numpy as np
import pytest

from sptgnn_sklearn.utils.validation import (
    as_random_state,
    require_count,
    require_positive_pair,
)


def test_random_states_of_all_kinds():
    """Seeds and RandomStates are those of scikit-learn; a Generator gives a new state each time."""
    assert as_random_state(3).uniform() == np.random.RandomState(3).uniform()
    state = np.random.RandomState(0)
    assert as_random_state(state) is state
    rng = np.random.default_rng(0)
    draws = [as_random_state(rng).uniform() for _ in range(2)]
    rng = np.random.default_rng(0)
    assert [as_random_state(rng).uniform() for _ in range(2)] == draws
    assert draws[0] != draws[1]
    with pytest.raises(ValueError, match="odd"):
        as_random_state("odd")


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True])
def test_counts_are_integers(value):
    with pytest.raises(ValueError, match=f"n_splits must be .* found {value!r}"):
        require_count("n_splits", value)


def test_counts_have_a_minimum():
    require_count("n_splits", np.int64(2), least=2)
    with pytest.raises(ValueError, match="at least 3; found 2"):
        require_count("n_splits", 2, least=3)


def test_positive_pairs():
    """One number stands for both, unless they must be integers."""
    np.testing.assert_array_equal(require_positive_pair("size", (1, 2.5)), [1, 2.5])
    assert require_positive_pair("size", 3).shape == ()
    np.testing.assert_array_equal(require_positive_pair("shape", (2, 3), whole=True), [2, 3])


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan, "a", (1, 2, 3), (1, 0), None])
def test_other_pairs_raise(value):
    with pytest.raises(ValueError, match="size must be one positive number or two"):
        require_positive_pair("size", value)


@pytest.mark.parametrize("value", [3, (1.5, 2), (0, 1)])
def test_pairs_of_integers(value):
    with pytest.raises(ValueError, match="shape must be two positive integers"):
        require_positive_pair("shape", value, whole=True)
