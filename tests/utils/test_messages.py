"""Parts of messages."""

import numpy as np

from sptgnn_sklearn.utils.messages import format_rows


def test_rows_are_listed_up_to_five():
    """At most five positions are listed, and a single one is in the singular."""
    assert format_rows(np.arange(9) > 1) == "7 of 9 rows (row positions 2, 3, 4, 5, 6, ...)"
    assert format_rows(np.arange(3) == 2, "x") == "1 of 3 rows (row position 2, value x)"
