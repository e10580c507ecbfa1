"""Draw the tables of docs/cheat_sheet.rst as a PDF of one A4 page.

Run after a change of the page: ``.venv/bin/python docs/draw_cheat_sheet.py``.
"""

import hashlib
import re
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

DOCS = Path(__file__).resolve().parent
SOURCE = DOCS / "cheat_sheet.rst"
RESULT = DOCS / "_static" / "cheat_sheet.pdf"

A4 = (210.0, 297.0)  # mm
MARGIN, GAP, LINE, HEADING = 9.0, 5.0, 3.75, 6.6  # mm
FONT_SIZE = 7.1  # points
# Widths in characters and start of the second column as a share of the width of a table.
CODE_CHARACTERS, TEXT_CHARACTERS, TEXT_START = 36, 27, 0.585
ACCENT = "#0072B2"


def read_tables(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return the rows of the table of each section, as (code, meaning)."""
    tables = {}
    parts = re.split(r"^(.+)\n-{3,}\n", text, flags=re.MULTILINE)
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        tables[title] = re.findall(r"^   \* - (.+)\n     - (.+)$", body, flags=re.MULTILINE)
    return tables


def digest(text: str) -> str:
    """Return a digest of the tables, which is stored in the PDF."""
    return hashlib.sha256(repr(read_tables(text)).encode()).hexdigest()


def wrap_row(code: str, meaning: str) -> tuple[list[str], list[str]]:
    """Break the two cells of a row into lines, without the marks of literals."""
    code, meaning = (cell.replace("``", "") for cell in (code, meaning))
    return (
        textwrap.wrap(code, CODE_CHARACTERS, subsequent_indent="  ", break_long_words=False),
        textwrap.wrap(meaning, TEXT_CHARACTERS),
    )


def table_height(rows: list[tuple[str, str]]) -> float:
    """Return the height of a section in mm."""
    n_lines = sum(max(map(len, wrap_row(*row))) for row in rows)
    return HEADING + LINE * n_lines + GAP / 2


def draw(text: str, path: Path) -> None:
    """Write the tables in two columns of one page."""
    tables = read_tables(text)
    with plt.rc_context({"pdf.fonttype": 42, "font.size": FONT_SIZE}):
        figure = plt.figure(figsize=(A4[0] / 25.4, A4[1] / 25.4))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, A4[0]), ylim=(A4[1], 0))
        ax.axis("off")
        ax.text(MARGIN, MARGIN + 4, "sptgnn-sklearn", fontsize=15, weight="bold", color=ACCENT)
        ax.text(A4[0] - MARGIN, MARGIN + 4, "cheat sheet", fontsize=12, ha="right", color="0.35")
        width = (A4[0] - 2 * MARGIN - GAP) / 2
        top = MARGIN + 9
        half = sum(map(table_height, tables.values())) / 2
        x, y, lowest = MARGIN, top, top
        for title, rows in tables.items():
            if x == MARGIN and y - top + table_height(rows) / 2 > half:
                x, y = MARGIN + width + GAP, top
            y = draw_table(ax, title, rows, x, y, width)
            lowest = max(lowest, y)
        if lowest > A4[1] - MARGIN / 2:
            raise SystemExit(f"{SOURCE.name} does not fit on one page: {lowest:.0f} mm")
        info = {
            "Title": "sptgnn-sklearn cheat sheet",
            "Keywords": digest(text),
            "CreationDate": None,
            "Creator": None,
            "Producer": None,
        }
        figure.savefig(path, metadata=info)
        plt.close(figure)


def draw_table(ax, title, rows, x, y, width) -> float:
    """Draw one section at (x, y) in mm and return the position below it."""
    height = table_height(rows)
    ax.add_patch(Rectangle((x, y), width, HEADING - 1, color=ACCENT))
    ax.text(x + 1.5, y + 4.0, title, color="white", weight="bold", fontsize=FONT_SIZE + 1.7)
    line = y + HEADING + 1.8
    for number, row in enumerate(rows):
        code, meaning = wrap_row(*row)
        n_lines = max(len(code), len(meaning))
        if number % 2 == 0:
            ax.add_patch(
                Rectangle((x, line - 2.8), width, LINE * n_lines, color="#eef3f7", linewidth=0)
            )
        mono = {"family": "DejaVu Sans Mono"} if "``" in row[0] else {}
        size = FONT_SIZE - 0.5 if mono else FONT_SIZE
        for i, part in enumerate(code):
            ax.text(x + 1, line + i * LINE, part, fontsize=size, **mono)
        for i, part in enumerate(meaning):
            ax.text(x + TEXT_START * width, line + i * LINE, part)
        line += LINE * n_lines
    return y + height


if __name__ == "__main__":
    draw(SOURCE.read_text(encoding="utf-8"), RESULT)
