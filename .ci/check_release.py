"""Check that a tag, the package and the changelog have the same version: ``v0.1.0`` and 0.1.0."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def release_problems(tag: str, root: Path = ROOT) -> list[str]:
    """Return a sentence for each version that differs from the tag."""
    version = re.search(
        r'^__version__ = "(.+)"$',
        (root / "sptgnn_sklearn" / "__init__.py").read_text(encoding="utf-8"),
        re.MULTILINE,
    )[1]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    top = re.search(r"^## \[(.+?)\]( - \d{4}-\d\d-\d\d)?$", changelog, re.MULTILINE)
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.search(r"^version: (.+)$", citation, re.MULTILINE)[1]
    problems = []
    if tag != f"v{version}":
        problems.append(f"The tag is {tag}, but the version of the package is {version}.")
    if top is None or top[1] != version or top[2] is None:
        found = "nothing" if top is None else top[0]
        problems.append(
            f'The first entry of CHANGELOG.md must be "## [{version}] - YYYY-MM-DD"; '
            f'found "{found}".'
        )
    if cited != version:
        problems.append(f"The version in CITATION.cff is {cited}, not {version}.")
    return problems


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: check_release.py TAG")
    sys.exit("\n".join(release_problems(sys.argv[1])) or None)
