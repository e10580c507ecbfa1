"""Cards of the sections of the gallery, as reStructuredText."""

from __future__ import annotations

import ast
from pathlib import Path

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
