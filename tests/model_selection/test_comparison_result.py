"""Tables of a comparison."""

import pandas as pd
import pytest

from sptgnn_sklearn.model_selection.comparison_result import (
    FAILURE_COLUMNS,
    SCORE_COLUMNS,
    ComparisonResult,
)
from sptgnn_sklearn.spatial.crs import resolve_crs


def result_of(scores, model="line"):
    values = dict.fromkeys(SCORE_COLUMNS, 0.5) | scores
    row = {"folds": "random", "model": model} | values | {"fit_seconds": 1.0}
    rows = {"folds": "random", "model": model, "fold": [0, 1], "row": [7, 7], "observed": 1.0}
    return ComparisonResult(
        pd.DataFrame([row]),
        pd.DataFrame(rows),
        0.8,
        resolve_crs(None, ["x", "y"]),
        ("x", "y"),
        2,
        2,
        0,
        pd.DataFrame(columns=list(FAILURE_COLUMNS)),
    )


@pytest.mark.parametrize(("me", "shown"), [(-1e-9, "0.0000"), (-0.25, "-0.2500"), (0.0, "0.0000")])
def test_rounded_zero_has_no_sign(me, shown):
    """The mean error of an unbiased model is shown as 0."""
    line = result_of({"ME": me}).to_markdown().splitlines()[2]
    assert [cell.strip() for cell in line.split("|")][6] == shown


def test_titles_are_those_of_the_table():
    """The coverage has one name; missing scores are dashes."""
    text = result_of({"coverage": float("nan")}).to_markdown()
    assert "coverage (80 %)" in text and "–" in text


def test_rows_with_equal_labels_are_counted():
    """The labels of rows may repeat."""
    assert "2 rows" in repr(result_of({}))


def test_similar_names_are_offered():
    """The message lists the names."""
    with pytest.raises(ValueError, match=r"one of \['line'\]; did you mean 'line'\?"):
        result_of({}).select("random", "lin")
    with pytest.raises(ValueError, match=r"one of \['random'\]\.$"):
        result_of({}).select("block", "line")
