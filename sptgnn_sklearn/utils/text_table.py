"""Formatted columns as a table in Markdown or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

__all__ = ["MISSING_CELL", "TextColumn", "four_digits", "html_table", "markdown_table"]

MISSING_CELL = "–"


class TextColumn(NamedTuple):
    """A title with the formatted values below it; numbers are aligned to the right."""

    cells: Sequence[str]
    is_text: bool


def markdown_table(columns: Iterable[TextColumn]) -> str:
    """Return a Markdown table with aligned columns.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.text_table import TextColumn, markdown_table
    >>> columns = [TextColumn(["soil", "peat"], True), TextColumn(["n", "12"], False)]
    >>> print(markdown_table(columns))
    | soil |  n |
    | ---- | -: |
    | peat | 12 |
    """
    aligned = []
    for cells, is_text in columns:
        cells = [cell.replace("|", r"\|") for cell in cells]
        width = max(map(len, cells))
        rule = "-" * width if is_text else "-" * (width - 1) + ":"
        first, *rest = (cell.ljust(width) if is_text else cell.rjust(width) for cell in cells)
        aligned.append([first, rule, *rest])
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*aligned, strict=True))


def html_table(columns: Iterable[TextColumn], caption: str, css_class: str) -> str:
    """Return an HTML table, without colors, so that light and dark pages can show it.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.text_table import TextColumn, html_table
    >>> html_table([TextColumn(["n", "1"], False)], "Rows", "rows").count("<td")
    1
    """
    columns = list(columns)
    header, *rows = zip(*(cells for cells, _ in columns), strict=True)

    def line(cells: Sequence[str], tag: str) -> str:
        aligned = [
            f'<{tag} style="text-align: {"left" if is_text else "right"}">{escape(cell)}</{tag}>'
            for cell, (_, is_text) in zip(cells, columns, strict=True)
        ]
        return f"<tr>{''.join(aligned)}</tr>"

    return (
        f'<table class="{css_class}"><caption style="text-align: left">{escape(caption)}</caption>'
        f"<thead>{line(header, 'th')}</thead>"
        f"<tbody>{''.join(line(cells, 'td') for cells in rows)}</tbody></table>"
    )


def four_digits(values: Iterable[float]) -> str:
    """Return the format that shows the smallest positive value with four digits.

    Examples
    --------
    >>> from sptgnn_sklearn.utils.text_table import four_digits
    >>> four_digits([0.0, 3.14159, 27.5]), four_digits([12_345.6])
    ('{:.3f}', '{:.0f}')
    """
    known = np.asarray(list(values), dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    decimals = max(0, 3 - int(np.floor(np.log10(known.min())))) if len(known) else 0
    return f"{{:.{decimals}f}}"
