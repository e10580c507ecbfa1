"""Tests of the HTML page: escaping, headings, tables and figures."""

import pytest
from html_pages import Page

from sptgnn_sklearn.cli.report_page import (
    ReportFigure,
    ReportSection,
    bullet_list,
    cell_table,
    figure_grid,
    link,
    paragraph,
    render_page,
)

HOSTILE = ["<script>alert(1)</script>", 'a" onerror="b', "</table><img src=x>", "${x} & $$ </p>"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_escaped(text):
    """Text of the data appears as it is, and adds no element or attribute."""

    def render(text):
        parts = (
            paragraph(text, text),
            bullet_list([text]),
            link(text, "https://example.org/?a=1&b=2", text, text),
            cell_table(text, (text, "n"), [(text, text)]),
            figure_grid([ReportFigure(b"png", text, text)]),
        )
        return Page(render_page(text, text, text, [ReportSection("key", text, parts)], text))

    hostile, plain = render(text), render("plain")
    names = [[(tag, [*attributes]) for tag, attributes in page.tags] for page in (hostile, plain)]
    assert names[0] == names[1]
    assert hostile.text == plain.text.replace("plain", text)
    assert hostile.attributes("img", "alt") == [text]


def test_structure():
    """A page has a language, a title, one h1, linked sections and scrollable tables."""
    sections = [ReportSection(f"s{i}", f"Section {i}", (paragraph("x"),)) for i in range(3)]
    page = Page(render_page("Title", "sub", "lead", sections, "foot"))
    assert page.attributes("html", "lang") == ["en"]
    assert [text for level, text in page.headings if level == "h1"] == ["Title"]
    assert page.attributes("a", "href") == ["#s0", "#s1", "#s2"]
    assert page.attributes("h2", "id") == ["s0", "s1", "s2"]
    table = Page(cell_table("Caption", ("a", "b"), [("x", "1")]))
    assert table.attributes("th", "scope") == ["col", "col", "row"]
    assert table.attributes("div", "aria-label") == ["Caption"]


def test_long_tables_are_folded():
    """Tables of more than forty rows open by a click; lists and grids may be empty."""
    rows = [(str(i), "1") for i in range(41)]
    assert cell_table("c", ("a", "b"), rows).startswith("<details>")
    assert "<details>" not in cell_table("c", ("a", "b"), rows[:40])
    assert bullet_list([]) == figure_grid([]) == ""
