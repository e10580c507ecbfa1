"""Table of the supported versions, from pyproject.toml."""

import re

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?\s*(.*)")
USER_EXTRAS = ("plot", "images", "maps", "files", "save", "demo")


def supported_versions(project: dict) -> dict[str, dict[str, str]]:
    """Return the version bounds of each dependency, ``required`` and for each extra of users."""
    optional = project["optional-dependencies"]
    groups = {"required": project["dependencies"], **{name: optional[name] for name in USER_EXTRAS}}
    return {
        group: dict(
            _REQUIREMENT.fullmatch(line).groups()
            for line in lines
            if not line.startswith(f"{project['name']}[")
        )
        for group, lines in groups.items()
    }


def version_table(project: dict) -> str:
    """Return a reStructuredText table of Python and all dependencies."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 15 85", ""]
    lines += ["   * - for", "     - versions"]
    lines += ["   * - all", f"     - Python{project['requires-python']}"]
    for group, bounds in supported_versions(project).items():
        label = group if group == "required" else f"``[{group}]``"
        packages = ", ".join(f"{name}{bound}" for name, bound in bounds.items())
        lines += [f"   * - {label}", f"     - {packages}"]
    return "\n".join(lines) + "\n"
