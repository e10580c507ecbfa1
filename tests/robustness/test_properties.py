"""Whatever is odd about a table: finite predictions, or an error that says what is wrong."""

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
def test_odd_tables_are_answered_or_refused(case):
    """Dtypes, sizes, places, names, roles, targets, weights and queries, all at once."""
    outcome(case)


@pytest.mark.parametrize("first", range(0, len(GOOD), 8))
def test_good_covariates_are_answered(first):
    """Some of the kinds of columns of which the tables above are made."""
    rng = np.random.default_rng(0)
    columns = {kind: GOOD[kind](N, rng) for kind in list(GOOD)[first : first + 8]}
    X = pd.DataFrame({**PLACES, **columns})
    assert outcome(Case(X, Y, None, X)) == "answered"


@pytest.mark.parametrize("kind", BAD)
def test_bad_covariates_are_refused(kind):
    """In fit already, by name."""
    X = PLACES.assign(clay=BAD[kind](N, np.random.default_rng(0)))
    assert outcome(Case(X, Y, None, X)) == "refused in fit"


@pytest.mark.parametrize("kind", BAD)
def test_bad_queries_are_refused(kind):
    """A model of good covariates takes them no more than a fit does."""
    X = PLACES.assign(clay=GOOD["spread"](N, np.random.default_rng(0)))
    queries = PLACES.assign(clay=BAD[kind](N, np.random.default_rng(0)))
    assert outcome(Case(X, Y, None, queries)) == "refused in predict"


@pytest.mark.parametrize("kind", [*TARGETS, *WRONG_TARGETS])
def test_targets_are_answered_or_refused(kind):
    """Whatever holds numbers is a target."""
    y = (TARGETS if kind in TARGETS else WRONG_TARGETS)[kind](N)
    expected = "answered" if kind in TARGETS else "refused in fit"
    assert outcome(Case(PLACES, y, None, PLACES)) == expected


@pytest.mark.parametrize("kind", [*WEIGHTS, *WRONG_WEIGHTS])
def test_weights_are_answered_or_refused(kind):
    """Whatever holds numbers that are not negative is a weight."""
    weight = (WEIGHTS if kind in WEIGHTS else WRONG_WEIGHTS)[kind](N)
    expected = "answered" if kind in WEIGHTS else "refused in fit"
    assert outcome(Case(PLACES, Y, weight, PLACES)) == expected
