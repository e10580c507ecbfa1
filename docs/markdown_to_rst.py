"""Conversion of the Markdown used in this repository to reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["to_rst"]

_UNDERLINES = {1: "=", 2: "-", 3: "~"}
_FENCE = "```"


def to_rst(text: str) -> str:
    """Convert headings, lists, tables, code, links and bold text to reStructuredText."""
    return "\n".join(_blocks(text.splitlines())) + "\n"


def _blocks(lines: list[str]) -> Iterator[str]:
    i = 0
    while i < len(lines):
        line = lines[i]
        if line.startswith(_FENCE):
            end = lines.index(_FENCE, i + 1)
            yield from ("", f".. code-block:: {line[len(_FENCE) :] or 'text'}", "")
            yield from (f"   {code}" for code in lines[i + 1 : end])
            yield ""
            i = end + 1
        elif line.startswith("|"):
            end = next(
                (j for j in range(i, len(lines)) if not lines[j].startswith("|")), len(lines)
            )
            yield from _table(lines[i:end])
            i = end
        elif heading := re.match(r"(#{1,3}) (.*)", line):
            title = _inline(heading[2].strip("[]"))
            yield from (title, _UNDERLINES[len(heading[1])] * len(title))
            i += 1
        else:
            yield _inline(line)
            i += 1


def _table(lines: list[str]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", "")
    for line in (lines[0], *lines[2:]):  # the second line is the rule
        cells = [_inline(cell.strip()) for cell in line.strip("|").split(" | ")]
        yield from (f"   {'* -' if j == 0 else '  -'} {cell}" for j, cell in enumerate(cells))
    yield ""


def _inline(line: str) -> str:
    """Convert links and escape trailing underscores, except in code."""
    parts = re.split(r"(`[^`]+`)", line)
    parts[1::2] = [f"`{code}`" for code in parts[1::2]]
    parts[::2] = [
        re.sub(r"\[([^]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", re.sub(r"(\w)_(?!\w)", r"\1\\_", part))
        for part in parts[::2]
    ]
    return "".join(parts)
