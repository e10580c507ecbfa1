"""Text tables in Markdown and reStructuredText."""

from benchmarks.text_table import TextTable

TABLE = TextTable(["model", "R2"], [["SpTGNN", "0.7"], ["XGBoost", "0.6"]])


def test_markdown():
    """The first column is aligned left, the others right."""
    assert TABLE.to_markdown().splitlines() == [
        "| model | R2 |",
        "| --- | --: |",
        "| SpTGNN | 0.7 |",
        "| XGBoost | 0.6 |",
    ]


def test_restructuredtext():
    """A list-table with one header row."""
    assert TABLE.to_rst("Scores").splitlines() == [
        ".. list-table:: Scores",
        "   :header-rows: 1",
        "   :class: results",
        "",
        "   * - model",
        "     - R2",
        "   * - SpTGNN",
        "     - 0.7",
        "   * - XGBoost",
        "     - 0.6",
    ]
