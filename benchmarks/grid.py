"""A table of text, for Markdown and reStructuredText."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Rows of text below a head, for Markdown or reStructuredText."""

    head: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """Return the grid as a Markdown table."""
        rule = ["---", *["--:"] * (len(self.head) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [self.head, rule, *self.rows])

    def to_rst(self, title: str) -> str:
        """Return the grid as a list-table of reStructuredText."""
        lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
        for row in [self.head, *self.rows]:
            lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
        return "\n".join(lines) + "\n"
