"""Directive ``example-cards``: cards of a section of the gallery."""

from __future__ import annotations

from docutils.nodes import Node
from example_cards import EXAMPLES, section_rst
from sphinx.util.docutils import SphinxDirective


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
