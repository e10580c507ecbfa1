"""The documentation site: its tools, API list, examples and code snippets."""

import ast
import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.model_selection import BaseCrossValidator
from torch import nn

import sptgnn_sklearn
from sptgnn_sklearn.datasets import make_soil_survey
from sptgnn_sklearn.encoders.terramind import PatchEmbedding, Pool
from sptgnn_sklearn.model_selection.locations import read_locations
from sptgnn_sklearn.spatial.blocks import assign_folds

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from check_links import broken_links
from check_pages import console_errors, report_lines, site_pages
from draw_architecture import import_graph, layers, reachable, transitive_reduction
from draw_cheat_sheet import RESULT, digest, draw, read_tables
from example_cards import section_rst, title_and_summary
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


def test_to_rst_converts_markdown():
    """Headings, code, links and tables are converted; code is unchanged."""
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
    ("link", "message"),
    [
        ('<a href="other.html#here">', None),
        ('<a href="#top">', None),
        ('<a href="https://example.org/x">', None),
        ('<img src="data:image/png;base64,AA">', None),
        ('<a href="gone.html">', "does not exist"),
        ('<a href="other.html#gone">', "no such anchor"),
        ('<img src="gone.png">', "does not exist"),
        ('<script src="https://example.org/x.js"></script>', "from another site"),
        ('<link rel="stylesheet" href="https://example.org/x.css">', "from another site"),
    ],
)
def test_broken_links(tmp_path, link, message):
    """Missing files and anchors, and resources of other sites, are reported."""
    (tmp_path / "index.html").write_text(f'<p id="top">{link}</p>')
    (tmp_path / "other.html").write_text('<p id="here"></p>')
    broken = broken_links(tmp_path)
    assert len(broken) == (message is not None)
    assert message is None or message in broken[0]


def setting(name):
    """Return a literal value of docs/conf.py."""
    tree = ast.parse((DOCS / "conf.py").read_text(encoding="utf-8"))
    (value,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    )
    return ast.literal_eval(value)


def test_gallery_lists_all_examples():
    """examples/index.rst lists every example once, and each has a drawn thumbnail."""
    listed = re.findall(
        r"^   (plot_\w+)$", (ROOT / "examples/index.rst").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "examples").glob("plot_*.py"))
    assert set(listed) <= {path.stem for path in (DOCS / "images/thumbnails").glob("*.png")}


def test_thumbnails_have_a_function():
    """Every thumbnail is drawn by docs/draw_thumbnails.py."""
    tree = ast.parse((DOCS / "draw_thumbnails.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {path.stem for path in (DOCS / "images/thumbnails").glob("*.png")} <= functions


def test_cards_have_title_summary_and_link():
    """A section of the gallery has a card of each example and a toctree with a caption."""
    title, summary = title_and_summary('"""\nA title\n=======\n\nOne\nparagraph.\n\nMore.\n"""\n')
    assert (title, summary) == ("A title", "One paragraph.")
    text = "\n".join(section_rst("Start", ["plot_map"]))
    assert ":doc:`From rasters to a map with its area of applicability </auto_examples" in text
    assert text.endswith(":caption: Start\n\n   /auto_examples/plot_map")


def test_parameter_groups_are_in_order():
    """Headings stand before existing parameters, in the order of the signature."""
    groups = list(setting("PARAMETER_GROUPS"))
    parameters = list(inspect.signature(sptgnn_sklearn.SpTGNNRegressor).parameters)
    assert groups[0] == parameters[0]
    assert groups == sorted(groups, key=parameters.index)


def test_table_of_methods_is_complete():
    """The page of SpTGNNRegressor lists all methods that this package defines."""
    template = (DOCS / "_templates/autosummary/class.rst").read_text(encoding="utf-8")
    lists = re.findall(r'^  "[^"]+": (\[.*\]),$', template, re.MULTILINE)
    listed = [name for text in lists for name in ast.literal_eval(text)]
    cls = sptgnn_sklearn.SpTGNNRegressor
    own = {
        name
        for name, value in inspect.getmembers(cls, callable)
        if not name.startswith(("_", "set_fit", "set_score", "set_predict"))
        and value.__module__.startswith("sptgnn_sklearn")
    }
    assert sorted(listed) == sorted(own)


def test_no_repository_is_invented():
    """Links to a repository need a setting, which is empty."""
    assert setting("REPOSITORY") == ""


def test_versions_of_the_site():
    """The version switcher has this version, and the first page cites it."""
    versions = json.loads((DOCS / "_static/switcher.json").read_text(encoding="utf-8"))
    assert sptgnn_sklearn.__version__ in [entry["version"] for entry in versions]
    first_page = (DOCS / "index.rst").read_text(encoding="utf-8")
    assert f"version = {{{sptgnn_sklearn.__version__}}}" in first_page


def test_site_pages_leave_out_templates(tmp_path):
    """Pages are found in all folders but that of the theme's templates."""
    for name in ("index.html", "generated/a.html", "_static/template.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert site_pages(tmp_path) == ["generated/a.html", "index.html"]
    assert site_pages(tmp_path, "*.html") == ["index.html"]


def test_console_errors():
    """Errors, failed requests and uncaught exceptions count; messages and warnings do not."""
    thrown = {"text": "Uncaught", "exception": {"description": "TypeError: x"}}
    events = [
        {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": thrown}},
        {"method": "Runtime.consoleAPICalled", "params": {"type": "log", "args": []}},
        {
            "method": "Runtime.consoleAPICalled",
            "params": {"type": "error", "args": [{"value": "no"}, {"value": 1}]},
        },
        {
            "method": "Log.entryAdded",
            "params": {"entry": {"level": "error", "text": "404", "url": "/a.js"}},
        },
        {"method": "Log.entryAdded", "params": {"entry": {"level": "warning", "text": "old"}}},
    ]
    assert console_errors(events) == ["TypeError: x", "no 1", "404 /a.js"]


def test_report_has_a_line_for_each_problem():
    """Pages with the same problem are counted."""
    found = {"axe: x": ["a.html, 420 px", "b.html, 420 px"], "console: y": ["a.html, 420 px"]}
    assert report_lines(found) == [
        "a.html, 420 px and 1 more: axe: x",
        "a.html, 420 px: console: y",
    ]


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.rst")), ids=lambda path: path.stem)
def test_linked_pages_exist(path):
    """Pages and gallery examples that a page links to exist."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r":doc:`(?:[^`<]*<)?([^`>]+)>?`", text):
        folder, _, name = target.rpartition("/")
        result = {
            "": DOCS / f"{name}.rst",
            "auto_examples": ROOT / "examples" / f"{name}.py",
        }[folder]
        assert result.is_file() or target == "auto_examples/index", target


def listed_names():
    """Return (module, name) of all entries of docs/api.rst."""
    module, in_list, names = "", False, []
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(" "):
            in_list = line == ".. autosummary::"
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif in_list and re.fullmatch(r"   \w+", line):
            names.append((module, line.strip()))
    return names


# Classes without a public constructor, and the function that returns them.
RETURNED_BY = {
    "ComparisonResult": "compare_models",
    "CoverageTable": "coverage_table",
    "DesignEstimate": "design_estimate",
    "ModelAssistedEstimate": "model_assisted_estimate",
}


@pytest.fixture(scope="module")
def used_in_gallery():
    """Return (module, name) of all names that examples import and use."""
    result = set()
    for path in (ROOT / "examples").glob("plot_*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        result |= {
            (node.module, alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.name in used
        }
    return result


def test_listed_names():
    """Names of the first and of a later list are found, without duplicates."""
    names = listed_names()
    assert ("sptgnn_sklearn", "SpTGNNRegressor") in names
    assert ("sptgnn_sklearn.plotting", "ReliabilityDisplay") in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("module", "name"), listed_names())
def test_public_names_have_examples(module, name, used_in_gallery):
    """Every public name has an example in its docstring and in the gallery."""
    documented = getattr(importlib.import_module(module), name)
    assert ">>>" in (inspect.getdoc(documented) or ""), "no example in the docstring"
    assert (module, RETURNED_BY.get(name, name)) in used_in_gallery, "no example in the gallery"


def test_citations_are_in_the_bibliography():
    """Citation keys of all pages are in references.bib."""
    keys = set(re.findall(r"@\w+\{(\w+),", (DOCS / "references.bib").read_text(encoding="utf-8")))
    cited = set()
    for page in DOCS.glob("*.rst"):
        for names in re.findall(r":cite:[tp]:`([^`]+)`", page.read_text(encoding="utf-8")):
            cited |= set(names.split(","))
    assert cited <= keys


def test_citation_file_has_this_version():
    """CITATION.cff has the installed version and the required fields."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sptgnn_sklearn.__version__}\n" in text
    for key in ("cff-version", "message", "title", "authors", "license"):
        assert re.search(rf"^{key}:", text, re.MULTILINE), key


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "page",
    [
        "quickstart",
        "estimation",
        "decisions",
        "coming_from_xgboost",
        "coming_from_r",
        "coming_from_pykrige",
        "satellite_images",
    ],
)
def test_page_code_runs(page, tmp_path, monkeypatch):
    """Python blocks of a page run in order, except those that need files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "cache"))
    needed = {"coming_from_pykrige": "pykrige", "satellite_images": "terratorch"}
    # Not imported: a torchvision of another build than torch raises, which the package handles.
    if page in needed and importlib.util.find_spec(needed[page]) is None:
        pytest.skip(f"needs {needed[page]}")
    survey = make_soil_survey(480, random_state=0)
    names = {"X": survey.data, "y": survey.target, "cells": survey.data[:50]}
    text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)\.\. code-block:: python\n\n((?:\1   .*\n|\n)+)", text, re.MULTILINE)
    assert blocks
    for indent, block in blocks:
        exec(re.sub(rf"^{indent}   ", "", block, flags=re.MULTILINE), names)


def architecture_blocks(language):
    """Return the code blocks of docs/architecture.rst in one language."""
    text = (DOCS / "architecture.rst").read_text(encoding="utf-8")
    blocks = re.findall(rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in blocks]


def test_architecture_diffs_match_the_code():
    """Context and removed lines of the diffs occur in the files that they name."""
    blocks = architecture_blocks("diff")
    assert len(blocks) == 2
    for line in "\n".join(blocks).splitlines():
        if line.startswith("--- "):
            source = (ROOT / line[4:]).read_text(encoding="utf-8")
        elif line.startswith("@@ "):
            assert f"{line[3:]}(" in source
        elif line.startswith((" ", "-")):
            assert line[1:].strip() in source


def test_architecture_splitter_works():
    """The example splitter gives complete, disjoint folds of whole locations."""
    source = architecture_blocks("python")[1]
    names = {
        "np": np,
        "BaseCrossValidator": BaseCrossValidator,
        "read_locations": read_locations,
        "assign_folds": assign_folds,
    }
    exec(source, names)
    X = make_soil_survey(90, random_state=0).data
    folds = list(names["BandKFold"](3).split(X))
    assert len(folds) == 3
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(90))
    for train, test in folds:
        assert not set(train) & set(test)
    south, _, north = (X["lat"].iloc[test] for _, test in folds)
    assert south.max() < north.min()


def test_architecture_encoder_works():
    """The example encoder maps chips to one embedding per row and changes with their color."""
    names = {"nn": nn, "torch": torch, "PatchEmbedding": PatchEmbedding, "Pool": Pool}
    exec(architecture_blocks("python")[0], names)
    stages = names["mean_color_stages"]({"RGB": SimpleNamespace(bands=("R", "G", "B"))}, width=8)
    chips = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    embedding = stages({"RGB": chips})
    assert embedding.shape == (4, 8)
    assert not torch.allclose(embedding[0], embedding[1])


def test_architecture_figure_is_current():
    """The committed figure has a box for every package of the code."""
    figure = (DOCS / "images" / "architecture.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r"<text[^>]*>([a-z_]+)</text>", figure))
    assert drawn == set(import_graph())


def test_cheat_sheet_is_current(tmp_path):
    """The committed PDF has the tables of the page, on one page."""
    text = (DOCS / "cheat_sheet.rst").read_text(encoding="utf-8")
    assert digest(text).encode() in RESULT.read_bytes()
    draw(text, tmp_path / "new.pdf")
    assert (tmp_path / "new.pdf").read_bytes().count(b"/Type /Page ") == 1


def test_cheat_sheet_names_exist():
    """Functions and classes on the page are public, or those of scikit-learn."""
    public = {"GridSearchCV", *(name for _, name in listed_names())}
    for documented in (
        sptgnn_sklearn.SpTGNNRegressor,
        sptgnn_sklearn.model_selection.ComparisonResult,
    ):
        public |= {name for name in dir(documented) if not name.startswith("_")}
    tables = read_tables((DOCS / "cheat_sheet.rst").read_text(encoding="utf-8"))
    cells = [code for rows in tables.values() for code, _ in rows]
    called = {
        name for code in cells for name in re.findall(r"^``(?:model\.|result\.)?(\w+)[.(]", code)
    }
    assert len(called) > 20
    assert called <= public


def test_long_cheat_sheet_raises(tmp_path):
    """Tables that need a second page are an error."""
    row = "\n   * - ``code``\n     - meaning"
    with pytest.raises(SystemExit, match="one page"):
        draw(f"Rules\n-----\n{row * 200}\n", tmp_path / "long.pdf")


def test_glossary_is_complete():
    """The glossary has some fifty terms, each with an explanation."""
    text = (DOCS / "glossary.rst").read_text(encoding="utf-8")
    terms = re.findall(r"^   (\S.*)\n      \S", text, re.MULTILINE)
    assert len(terms) >= 50
    assert len({term.lower() for term in terms}) == len(terms)


def test_transitive_reduction():
    """Implied arrows are dropped; reachability and layers are unchanged."""
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    reduced = transitive_reduction(graph)
    assert reduced == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert reachable(reduced, "a") == {"b", "c"}
    assert layers(reduced) == layers(graph) == {"a": 2, "b": 1, "c": 0}
