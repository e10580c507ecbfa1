"""Property tests of odd tables: finite predictions, or a documented error."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from odd_tables import (
    BAD,
    GOOD,
    TARGETS,
    WEIGHTS,
    WRONG_TARGETS,
    WRONG_WEIGHTS,
    Case,
    cases,
    outcome,
)

N = 12
PLACES = pd.DataFrame({"lon": 5 + np.linspace(0, 1, N), "lat": 50 + np.arange(N) % 4 / 4})
Y = np.arange(N) % 5 / 2


@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_odd_tables(case):
    """Odd dtypes, sizes, locations, names, roles, targets, weights and queries together."""
    outcome(case)


@pytest.mark.parametrize("first", range(0, len(GOOD), 8))
def test_valid_covariates(first):
    """Valid kinds of columns give predictions."""
    rng = np.random.default_rng(0)
    columns = {kind: GOOD[kind](N, rng) for kind in list(GOOD)[first : first + 8]}
    X = pd.DataFrame({**PLACES, **columns})
    assert outcome(Case(X, Y, None, X)) == "answered"


@pytest.mark.parametrize("kind", BAD)
def test_invalid_covariates_raise(kind):
    """The error is raised in fit and names the column."""
    X = PLACES.assign(clay=BAD[kind](N, np.random.default_rng(0)))
    assert outcome(Case(X, Y, None, X)) == "refused in fit"


@pytest.mark.parametrize("kind", BAD)
def test_invalid_queries_raise(kind):
    """Columns that are invalid in fit are invalid in predict."""
    X = PLACES.assign(clay=GOOD["spread"](N, np.random.default_rng(0)))
    queries = PLACES.assign(clay=BAD[kind](N, np.random.default_rng(0)))
    assert outcome(Case(X, Y, None, queries)) == "refused in predict"


@pytest.mark.parametrize("kind", [*TARGETS, *WRONG_TARGETS])
def test_odd_targets(kind):
    """Anything numeric is a valid target."""
    y = (TARGETS if kind in TARGETS else WRONG_TARGETS)[kind](N)
    expected = "answered" if kind in TARGETS else "refused in fit"
    assert outcome(Case(PLACES, y, None, PLACES)) == expected


@pytest.mark.parametrize("kind", [*WEIGHTS, *WRONG_WEIGHTS])
def test_odd_weights(kind):
    """Any non-negative numbers are valid weights."""
    weight = (WEIGHTS if kind in WEIGHTS else WRONG_WEIGHTS)[kind](N)
    expected = "answered" if kind in WEIGHTS else "refused in fit"
    assert outcome(Case(PLACES, Y, weight, PLACES)) == expected
