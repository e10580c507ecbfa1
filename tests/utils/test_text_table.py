"""Tables as text."""

import pytest

from sptgnn_sklearn.utils.text_table import TextColumn, four_digits, html_table, markdown_table

COLUMNS = [TextColumn(["soil", "a|b", "<peat>"], True), TextColumn(["n", "7", "123"], False)]


def test_markdown_is_aligned_and_escaped():
    """A bar in a cell does not end it."""
    assert markdown_table(COLUMNS).splitlines() == [
        "| soil   |   n |",
        "| ------ | --: |",
        r"| a\|b   |   7 |",
        "| <peat> | 123 |",
    ]


def test_html_is_escaped():
    """Text and numbers are aligned differently."""
    page = html_table(iter(COLUMNS), "rows & groups", "some-class")
    assert '<table class="some-class">' in page and "rows &amp; groups" in page
    assert '<td style="text-align: left">&lt;peat&gt;</td>' in page
    assert '<td style="text-align: right">123</td>' in page
    assert page.count("<tr>") == 3


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0.01234, 5], "0.01234"), ([0.0, 25.0], "0.00"), ([], "0"), ([float("inf"), 2], "0.000")],
)
def test_four_digits_of_the_smallest_value(values, shown):
    """Zero and infinite values do not determine the decimals."""
    text = four_digits(values)
    assert text.format(0.01234 if values[:1] == [0.01234] else 0) == shown
