"""Property tests of unusual tables: finite predictions, or a documented error."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from odd_tables import (
    INVALID_COLUMNS,
    INVALID_TARGETS,
    INVALID_WEIGHTS,
    TARGETS,
    VALID_COLUMNS,
    WEIGHTS,
    Case,
    cases,
    outcome,
)

N = 12
COORDINATES = pd.DataFrame({"lon": 5 + np.linspace(0, 1, N), "lat": 50 + np.arange(N) % 4 / 4})
Y = np.arange(N) % 5 / 2


@settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases())
def test_unusual_tables(case):
    """Unusual dtypes, sizes, locations, names, roles, targets, weights and queries together."""
    outcome(case)


@pytest.mark.parametrize("first", range(0, len(VALID_COLUMNS), 8))
def test_valid_covariates(first):
    """Valid kinds of columns give predictions."""
    rng = np.random.default_rng(0)
    columns = {kind: VALID_COLUMNS[kind](N, rng) for kind in list(VALID_COLUMNS)[first : first + 8]}
    X = pd.DataFrame({**COORDINATES, **columns})
    assert outcome(Case(X, Y, None, X)) == "predicted"


@pytest.mark.parametrize("kind", INVALID_COLUMNS)
def test_invalid_covariates_raise(kind):
    """The error is raised in fit and names the column."""
    X = COORDINATES.assign(clay=INVALID_COLUMNS[kind](N, np.random.default_rng(0)))
    assert outcome(Case(X, Y, None, X)) == "error in fit"


@pytest.mark.parametrize("kind", INVALID_COLUMNS)
def test_invalid_queries_raise(kind):
    """Columns that are invalid in fit are invalid in predict."""
    X = COORDINATES.assign(clay=VALID_COLUMNS["spread"](N, np.random.default_rng(0)))
    queries = COORDINATES.assign(clay=INVALID_COLUMNS[kind](N, np.random.default_rng(0)))
    assert outcome(Case(X, Y, None, queries)) == "error in predict"


@pytest.mark.parametrize("kind", [*TARGETS, *INVALID_TARGETS])
def test_unusual_targets(kind):
    """Anything numeric is a valid target."""
    y = (TARGETS if kind in TARGETS else INVALID_TARGETS)[kind](N)
    expected = "predicted" if kind in TARGETS else "error in fit"
    assert outcome(Case(COORDINATES, y, None, COORDINATES)) == expected


@pytest.mark.parametrize("kind", [*WEIGHTS, *INVALID_WEIGHTS])
def test_unusual_weights(kind):
    """Any non-negative numbers are valid weights."""
    weight = (WEIGHTS if kind in WEIGHTS else INVALID_WEIGHTS)[kind](N)
    expected = "predicted" if kind in WEIGHTS else "error in fit"
    assert outcome(Case(COORDINATES, Y, weight, COORDINATES)) == expected
