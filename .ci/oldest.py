"""Print constraints that pin what this package needs to the oldest versions that it names.

Everything else is as in constraints.txt: these two files are the ends of what is supported.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXTRAS = ("plot", "images", "maps", "save")
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)")


def oldest() -> dict[str, str]:
    """Return the lower bounds of pyproject.toml, as whole versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"]]
    for extra in EXTRAS:
        needed += project["optional-dependencies"][extra]
    found = {}
    for line in needed:
        if match := _BOUND.match(line):
            name, version = match.groups()
            found[name.lower()] = version if version.count(".") > 1 else f"{version}.0"
    return found


def main() -> None:
    """Print one line for each package."""
    pins = oldest()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name = line.split("==")[0].strip().lower()
        if name not in pins:
            print(line)
    for name, version in sorted(pins.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
