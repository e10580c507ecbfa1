"""Directive ``example-cards``: cards of a section of the gallery."""

from __future__ import annotations

import ast
from pathlib import Path

from docutils.nodes import Node
from sphinx.util.docutils import SphinxDirective

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def title_and_summary(source: str) -> tuple[str, str]:
    """Return the title and the first paragraph of an example's docstring."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    heading, _, text = docstring.partition("\n\n")
    return heading.splitlines()[0], " ".join(text.split("\n\n")[0].split())


def section_rst(caption: str, names: list[str]) -> list[str]:
    """Return cards of the named examples, and a toctree with a caption, as reStructuredText."""
    lines = [".. container:: cards", ""]
    for name in names:
        title, summary = title_and_summary((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
        lines += ["   .. container:: card", ""]
        for block in (
            [f".. image:: /auto_examples/images/thumb/sphx_glr_{name}_thumb.png", "   :alt:"],
            [f":doc:`{title} </auto_examples/{name}>`"],
            [summary],
        ):
            lines += [f"      {line}" for line in block] + [""]
    lines += [".. toctree::", "   :hidden:", f"   :caption: {caption}", ""]
    return lines + [f"   /auto_examples/{name}" for name in names]


class ExampleCards(SphinxDirective):
    """Cards with thumbnail, title and summary of the examples that the content lists.

    The argument is the caption of the examples in the sidebar.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[Node]:
        names = [line.strip() for line in self.content if line.strip()]
        for name in names:
            self.env.note_dependency(str(EXAMPLES / f"{name}.py"))
        return self.parse_text_to_nodes("\n".join(section_rst(self.arguments[0], names)))
