"""Parts of messages."""

import numpy as np

from sptgnn_sklearn.utils.messages import did_you_mean, format_rows


def test_rows_are_listed_up_to_five():
    """At most five positions are listed, and a single one is in the singular."""
    assert format_rows(np.arange(9) > 1) == "7 of 9 rows (row positions 2, 3, 4, 5, 6, ...)"
    assert format_rows(np.arange(3) == 2, "x") == "1 of 3 rows (row position 2, value x)"


def test_similar_names_are_offered():
    """Case and surrounding spaces do not count; names of other libraries have synonyms."""
    names = ["Easting", "Northing", "clay", 3]
    assert did_you_mean("easting", names) == "; did you mean 'Easting'?"
    assert did_you_mean(" Nothing", names) == "; did you mean 'Northing'?"
    assert did_you_mean("n_member", ["n_estimators"], {"n_members": "n_estimators"}) == (
        "; did you mean 'n_estimators'?"
    )
    for unknown in ("pH", 3, None, ("x", "y")):
        assert did_you_mean(unknown, names) == "."
    assert did_you_mean("clay", []) == "."
