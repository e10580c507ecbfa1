"""One HTML page with headings, tables and embedded figures; all text is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

__all__ = [
    "ReportFigure",
    "ReportSection",
    "bullet_list",
    "cell_table",
    "figure_grid",
    "link",
    "paragraph",
    "render_page",
]

_LONG_TABLE = 40  # rows that are shown without a click

# No script, font or image is loaded: the page is readable without a network.
_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1f2328;
 font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 .6rem; padding-top: .8rem;
 border-top: 1px solid #d0d7de; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p, li { max-width: 46rem; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; }
.subtitle { color: #57606a; margin: 0 0 1rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; }
a { color: #0550ae; }
a:focus-visible, .scroll:focus-visible, summary:focus-visible { outline: 3px solid #0072b2; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .93rem; }
caption { text-align: left; color: #57606a; padding-bottom: .3rem; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d8dee4; text-align: left;
 vertical-align: top; }
td { overflow-wrap: break-word; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
thead th { border-bottom: 2px solid #8c959f; }
.figures { display: grid; gap: 1.2rem; align-items: start;
 grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #57606a; font-size: .93rem; overflow-wrap: anywhere; }
footer { color: #57606a; padding-bottom: 2rem; font-size: .93rem; }
@media print { nav { display: none; } figure, table { break-inside: avoid; } }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="subtitle">$subtitle</p>
<p class="lead">$lead</p>
<nav aria-label="Sections"><ul>$contents</ul></nav>
</header>
<main>
$sections
</main>
<footer><p>$footer</p></footer>
</body>
</html>
"""
)


@dataclass(frozen=True)
class ReportFigure:
    """A figure of a report.

    Attributes
    ----------
    png : bytes
    alt : str
        Description for readers who do not see the figure.
    caption : str
    """

    png: bytes
    alt: str
    caption: str


@dataclass(frozen=True)
class ReportSection:
    """A section of a report.

    Attributes
    ----------
    key : str
        Identifier of its heading.
    title : str
    parts : tuple of str
        HTML of the functions of this module.
    """

    key: str
    title: str
    parts: tuple[str, ...]


def paragraph(*texts: str) -> str:
    """Return a paragraph of sentences.

    Examples
    --------
    >>> from sptgnn_sklearn.cli.report_page import paragraph
    >>> paragraph("pH < 5.", "Acid.")
    '<p>pH &lt; 5. Acid.</p>'
    """
    return f"<p>{escape(' '.join(texts))}</p>"


def link(text: str, url: str, before: str = "", after: str = "") -> str:
    """Return a paragraph with a link between two texts."""
    anchor = f'<a href="{escape(url)}">{escape(text)}</a>'
    return f"<p>{escape(before)}{anchor}{escape(after)}</p>"


def bullet_list(items: Iterable[str]) -> str:
    """Return a list, or an empty text without items."""
    entries = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{entries}</ul>" if entries else ""


def cell_table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], n_text: int = 1
) -> str:
    """Return a table that scrolls sideways on narrow screens.

    Parameters
    ----------
    caption : str
    header : sequence of str
    rows : sequence of sequences of str
        The first cell is the heading of the row.
    n_text : int, default=1
        Number of left-aligned columns; numbers in the others are aligned to the right.
    """
    numbers = [' class="number"' if position >= n_text else "" for position in range(len(header))]
    head = "".join(
        f'<th scope="col"{align}>{escape(cell)}</th>'
        for cell, align in zip(header, numbers, strict=True)
    )
    body = []
    for row in rows:
        first, *others = row
        cells = "".join(
            f"<td{align}>{escape(cell)}</td>"
            for cell, align in zip(others, numbers[1:], strict=True)
        )
        body.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    table = (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
    if len(rows) <= _LONG_TABLE:
        return table
    return f"<details><summary>{escape(caption)}: {len(rows)} rows</summary>{table}</details>"


def figure_grid(figures: Sequence[ReportFigure]) -> str:
    """Return figures side by side where there is room."""
    parts = []
    for figure in figures:
        data = b64encode(figure.png).decode("ascii")
        parts.append(
            f'<figure><img src="data:image/png;base64,{data}" alt="{escape(figure.alt)}">'
            f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
        )
    return f'<div class="figures">{"".join(parts)}</div>' if parts else ""


def render_page(
    title: str, subtitle: str, lead: str, sections: Sequence[ReportSection], footer: str
) -> str:
    """Return the page.

    Parameters
    ----------
    title, subtitle, lead, footer : str
        Plain text.
    sections : sequence of ReportSection
    """
    contents = "".join(
        f'<li><a href="#{escape(section.key)}">{escape(section.title)}</a></li>'
        for section in sections
    )
    bodies = [
        f'<section aria-labelledby="{escape(section.key)}"><h2 id="{escape(section.key)}">'
        f"{escape(section.title)}</h2>\n{chr(10).join(filter(None, section.parts))}\n</section>"
        for section in sections
    ]
    return _PAGE.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        lead=escape(lead),
        contents=contents,
        sections="\n".join(bodies),
        footer=escape(footer),
    )
