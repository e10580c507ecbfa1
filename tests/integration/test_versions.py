"""Lower bounds, and the lists of versions that the tests run with."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
USED = ("plot", "images", "maps", "save", "files", "demo")  # extras of users
LISTS = ("constraints.txt", "constraints-oldest.txt")


def pins(name):
    """Return the version of each package in a list."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", package).lower(): Version(found) for package, found in pairs}


def requirements(*extras):
    texts = [*PROJECT["dependencies"]]
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    found = [Requirement(text) for text in texts]
    return [each for each in found if each.name != PROJECT["name"]]


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_versions_satisfy_all_bounds(name):
    extras = [extra for extra in PROJECT["optional-dependencies"] if extra in (*USED, "test")]
    for requirement in requirements(*extras):
        version = pins(name)[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(version), f"{requirement} and {version}"


@pytest.mark.parametrize("requirement", requirements(*USED), ids=str)
def test_lower_bounds_are_tested(requirement):
    """The oldest versions of the tests are the lower bounds; there are no upper bounds."""
    bounds = {each.operator: Version(each.version) for each in requirement.specifier}
    assert set(bounds) <= {">="}
    tested = pins("constraints-oldest.txt")[requirement.name.lower()]
    if requirement.name not in ("torch", "torchvision"):
        n = len(bounds[">="].release)
        assert tested.release[:n] == bounds[">="].release
