"""Text tables in Markdown and reStructuredText."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """Column names and rows of text."""

    columns: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        alignment = ["---", *["--:"] * (len(self.columns) - 1)]
        lines = [self.columns, alignment, *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_rst(self, title: str) -> str:
        """Return a list-table of reStructuredText with the class "results"."""
        lines = [f".. list-table:: {title}", "   :header-rows: 1", "   :class: results", ""]
        for row in [self.columns, *self.rows]:
            lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
        return "\n".join(lines) + "\n"
