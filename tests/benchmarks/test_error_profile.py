"""Error profiles on simulated errors with a known profile."""

import sys

import pytest

from benchmarks import error_profile
from benchmarks.error_profile import FORMS, make_table, score_forms


@pytest.mark.parametrize("shape", ["linear", "saturating"])
def test_profile_of_rows_is_more_accurate_than_that_of_small_windows(shape):
    """The RMSE of windows of five rows is too small on average; that of the profile is not."""
    scores = score_forms(1000, shape, "normal", n_repeats=5)
    assert set(scores) == set(FORMS)
    ours, _, cast, _ = scores.values()
    assert ours[0] < 0.08
    assert abs(ours[1]) < 0.03
    assert cast[1] < -0.03


def test_table_has_a_row_per_form(monkeypatch, tmp_path):
    """The command writes the table with all shapes and sizes."""
    monkeypatch.setattr(error_profile, "SIZES", (60,))
    table = make_table(1)
    assert [row[0] for row in table.rows] == list(FORMS)
    assert len(table.columns) == len(table.rows[0]) == 8
    path = tmp_path / "table.rst"
    monkeypatch.setattr(sys, "argv", ["error_profile", "--repeats", "1", "--write", str(path)])
    error_profile.main()
    assert "ErrorProfile" in path.read_text(encoding="utf-8")
