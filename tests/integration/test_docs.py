"""The site: what its pages are written by, and that its lists are complete."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import sptgnn_sklearn
from sptgnn_sklearn.datasets import make_soil_survey

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from check_links import broken_links
from markdown_to_rst import to_rst

MARKDOWN = """\
# Title

Call `fit(X, y)`, see [a page](a.rst) and `[not](a link)`; a name_ is no link.

| to | run |
|---|---|
| set up | `make venv` |

## [1.0]

```python
x = "| no | table |"
```
"""


def test_markdown_becomes_restructured_text():
    """Headings, code, links, tables: each in its other form, and code untouched."""
    assert to_rst(MARKDOWN).splitlines() == [
        "Title",
        "=====",
        "",
        r"Call ``fit(X, y)``, see `a page <a.rst>`__ and ``[not](a link)``; a name\_ is no link.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - to",
        "     - run",
        "   * - set up",
        "     - ``make venv``",
        "",
        "",
        "1.0",
        "---",
        "",
        "",
        ".. code-block:: python",
        "",
        '   x = "| no | table |"',
        "",
    ]


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ('<a href="other.html#here">', None),
        ('<a href="#top">', None),
        ('<a href="https://example.org/x">', None),
        ('<img src="data:image/png;base64,AA">', None),
        ('<a href="gone.html">', "is not there"),
        ('<a href="other.html#gone">', "no such place"),
        ('<img src="gone.png">', "is not there"),
        ('<script src="https://example.org/x.js"></script>', "from another site"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "from another site"),
    ],
)
def test_broken_links_are_found(tmp_path, link, complaint):
    """Files, places in files, and whatever a page would fetch."""
    (tmp_path / "index.html").write_text(f'<p id="top">{link}</p>')
    (tmp_path / "other.html").write_text('<p id="here"></p>')
    found = broken_links(tmp_path)
    assert len(found) == (complaint is not None)
    assert complaint is None or complaint in found[0]


def test_examples_are_in_reading_order():
    """The gallery names examples that exist, each a question or a heading with a picture."""
    tree = ast.parse((DOCS / "conf.py").read_text(encoding="utf-8"))
    (order,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "READING_ORDER"
    )
    assert len(order) == len(set(order))
    for name in order:
        assert (ROOT / "examples" / f"{name}.py").is_file(), name


def listed_names():
    """Return (module, name) of all that docs/api.rst gives a page of its own."""
    module, in_list, names = "", False, []
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(" "):
            in_list = line == ".. autosummary::"
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif in_list and re.fullmatch(r"   \w+", line):
            names.append((module, line.strip()))
    return names


# Objects that nobody makes by name: an example of the function that returns one is theirs.
RETURNED_BY = {"ComparisonResult": "compare"}


@pytest.fixture(scope="module")
def used_in_gallery():
    """Return (module, name) of all that examples import and then use in their code.

    Texts and comments do not count, nor does a method with the name of a function.
    """
    found = set()
    for path in (ROOT / "examples").glob("plot_*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        found |= {
            (node.module, alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.name in used
        }
    return found


def test_lists_of_names_are_read():
    """The first and the last list, and a name in each module."""
    names = listed_names()
    assert ("sptgnn_sklearn", "SpTGNNRegressor") in names
    assert ("sptgnn_sklearn.plotting", "ReliabilityDisplay") in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("module", "name"), listed_names())
def test_every_public_name_is_shown(module, name, used_in_gallery):
    """Its docstring has an example that can be run, and its page a picture of the gallery."""
    documented = getattr(importlib.import_module(module), name)
    assert ">>>" in (inspect.getdoc(documented) or ""), "no example in the docstring"
    assert (module, RETURNED_BY.get(name, name)) in used_in_gallery, "no example in the gallery"


def test_every_reference_is_well_formed():
    """Keys that pages cite are in the bibliography."""
    keys = set(re.findall(r"@\w+\{(\w+),", (DOCS / "references.bib").read_text(encoding="utf-8")))
    cited = set()
    for page in DOCS.glob("*.rst"):
        for names in re.findall(r":cite:[tp]:`([^`]+)`", page.read_text(encoding="utf-8")):
            cited |= set(names.split(","))
    assert cited <= keys


def test_citation_names_this_version():
    """Who cites the software cites the version that is installed."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sptgnn_sklearn.__version__}\n" in text
    for key in ("cff-version", "message", "title", "authors", "license"):
        assert re.search(rf"^{key}:", text, re.MULTILINE), key


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "page", ["quickstart", "coming_from_xgboost", "coming_from_r", "coming_from_pykrige"]
)
def test_code_of_pages_runs(page):
    """Python blocks run one after the other, given a survey and cells; those with files do not."""
    if page == "coming_from_pykrige":
        pytest.importorskip("pykrige")
    survey = make_soil_survey(480, random_state=0)
    names = {"X": survey.data, "y": survey.target, "cells": survey.data[:50]}
    text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)\.\. code-block:: python\n\n((?:\1   .*\n|\n)+)", text, re.MULTILINE)
    assert blocks
    for indent, block in blocks:
        exec(re.sub(rf"^{indent}   ", "", block, flags=re.MULTILINE), names)
