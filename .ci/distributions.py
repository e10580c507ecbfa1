"""Installed distributions that this package and its extras need."""

import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "sptgnn-sklearn"


def read_project() -> dict:
    """Return the table ``[project]`` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def needed_distributions(*extras: str) -> dict[str, Distribution]:
    """Return the installed distributions that the package with some extras needs, by name.

    The package itself is not among them, nor what is not installed.
    """
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, str]] = set()
    waiting = [(PROJECT, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in visited:
            continue
        visited.add((name, extra))
        if name != PROJECT:
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                continue
        for requirement in _requirements(name, extra, found):
            dependency = canonicalize_name(requirement.name)
            waiting += [(dependency, wanted) for wanted in ("", *requirement.extras)]
    return found


def _requirements(name: str, extra: str, found: dict[str, Distribution]) -> list[Requirement]:
    """Return the requirements of a distribution or of one of its extras on this platform."""
    if name == PROJECT:  # metadata of an editable install may be older than pyproject.toml
        project = read_project()
        lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    else:
        lines = found[name].requires or []
    requirements = map(Requirement, lines)
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


def installed_files(distribution: Distribution) -> list[Path]:
    """Return the paths of the files that a distribution has installed."""
    paths = (Path(str(distribution.locate_file(file))) for file in distribution.files or [])
    return [path for path in paths if path.is_file()]
