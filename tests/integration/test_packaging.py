"""Checks of releases, workflows of continuous integration, and the page on installation."""

import io
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / ".ci"))
sys.path.insert(0, str(DOCS))

from check_dist import SDIST_NEEDS, sdist_problems, wheel_problems
from check_release import release_problems
from distributions import installed_files, needed_distributions
from version_table import USER_EXTRAS, supported_versions, version_table

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(name):
    """Return the jobs of a workflow."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobs"]


def commands(job):
    """Return the shell commands of a job."""
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_commands_exist(path):
    """Targets of make and scripts that a workflow runs are in the repository."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = [line for job in jobs(path.stem).values() for line in commands(job)]
    assert found
    for line in found:
        program, first = line.split()[:2]
        if program == "make":
            assert re.search(rf"^{first}:", makefile, re.MULTILINE), line
        else:
            assert program == "python" and (ROOT / first).is_file(), line


def test_workflow_of_tests():
    """Tests run on all supported versions of Python, and nothing can write to the repository."""
    found = jobs("tests")
    assert set(found) == {"test", "test-oldest", "lint", "docs", "dist"}
    versions = found["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: "
    named = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if prefix in line]
    assert versions == [name for name in named if re.fullmatch(r"3\.\d+", name)]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


def test_workflow_of_releases():
    """Only a checked build is published, from its own environment, without a password."""
    found = jobs("release")
    assert commands(found["build"]) == [
        'python .ci/check_release.py "$GITHUB_REF_NAME"',
        "make dist",
    ]
    publish = found["publish"]
    assert (publish["needs"], publish["environment"]) == ("build", "pypi")
    assert publish["permissions"] == {"id-token": "write"}
    assert not commands(publish)


@pytest.fixture
def release(tmp_path):
    """Return a folder with a consistent release 1.2.0."""
    (tmp_path / "sptgnn_sklearn").mkdir()
    (tmp_path / "sptgnn_sklearn" / "__init__.py").write_text('"""Doc."""\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.0] - 2026-12-01\n\n- One.\n")
    (tmp_path / "CITATION.cff").write_text("title: X\nversion: 1.2.0\n")
    return tmp_path


def test_consistent_release(release):
    """A tag with the version of all files is accepted."""
    assert release_problems("v1.2.0", release) == []


@pytest.mark.parametrize(
    ("tag", "file", "old", "new", "found"),
    [
        ("v1.3.0", "CITATION.cff", "", "", "tag is v1.3.0"),
        ("1.2.0", "CITATION.cff", "", "", "tag is 1.2.0"),
        ("v1.2.0", "CHANGELOG.md", "[1.2.0] - 2026-12-01", "[Unreleased]", "Unreleased"),
        ("v1.2.0", "CHANGELOG.md", " - 2026-12-01", "", "YYYY-MM-DD"),
        ("v1.2.0", "CHANGELOG.md", "## [1.2.0]", "## [Unreleased]\n\n## [1.2.0]", "Unreleased"),
        ("v1.2.0", "CITATION.cff", "1.2.0", "1.1.0", "CITATION.cff is 1.1.0"),
    ],
)
def test_inconsistent_release(release, tag, file, old, new, found):
    """Each version that differs is named."""
    path = release / file
    path.write_text(path.read_text().replace(old, new))
    (problem,) = release_problems(tag, release)
    assert found in problem


def test_release_script_fails():
    """The script ends with an error if the tag differs."""
    script = ROOT / ".ci" / "check_release.py"
    done = subprocess.run([sys.executable, script, "v99"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "The tag is v99" in done.stderr


@pytest.fixture(scope="module")
def wheel_names():
    """Return the names of the files that belong into the wheel."""
    package = ROOT / "sptgnn_sklearn"
    patterns = ("*.py", "*.pyi", "*.html", "*.js", "*.css", "LICENSE.txt", "py.typed")
    paths = [path for pattern in patterns for path in package.rglob(pattern)]
    info = "sptgnn_sklearn-1.dist-info"
    return [
        *(path.relative_to(ROOT).as_posix() for path in paths),
        *(f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
        f"{info}/licenses/LICENSE",
        f"{info}/licenses/sptgnn_sklearn/plotting/maplibre/LICENSE.txt",
    ]


def write_wheel(path, names):
    """Write a wheel of files with the same text."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "Name: x\n\nDescription.\n")
    return path


def test_complete_wheel(tmp_path, wheel_names):
    """A wheel of modules, stubs, marker and metadata has no problem."""
    assert wheel_problems(write_wheel(tmp_path / "x.whl", wheel_names)) == []


@pytest.mark.parametrize(
    "missing",
    [
        "sptgnn_sklearn/py.typed",
        "sptgnn_sklearn/__init__.pyi",
        "sptgnn_sklearn/plotting/maplibre/maplibre-gl.js",
        "/licenses/LICENSE",
    ],
)
def test_incomplete_wheel(tmp_path, wheel_names, missing):
    """A file that is missing is named."""
    names = [name for name in wheel_names if not name.endswith(missing)]
    (problem,) = wheel_problems(write_wheel(tmp_path / "x.whl", names))
    assert "lacks" in problem
    assert problem.endswith(missing)


@pytest.mark.parametrize("unwanted", ["tests/test_x.py", "benchmarks/x.py", "sptgnn_sklearn/x.pyc"])
def test_wheel_with_other_files(tmp_path, wheel_names, unwanted):
    """A file that does not belong there is named."""
    (problem,) = wheel_problems(write_wheel(tmp_path / "x.whl", [*wheel_names, unwanted]))
    assert problem.endswith(f"has {unwanted}")


def write_sdist(path, names):
    """Write a source archive of empty files."""
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"sptgnn_sklearn-1/{name}"), io.BytesIO())
    return path


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (SDIST_NEEDS, None),
        (SDIST_NEEDS[1:], "lacks README.md"),
        ((*SDIST_NEEDS, "benchmarks/records/skill/x.json"), "has benchmarks/records"),
        ((*SDIST_NEEDS, "tests/__pycache__/x.pyc"), "has tests/__pycache__"),
        ((*SDIST_NEEDS, "examples/output/meuse.png"), "has examples/output"),
    ],
)
def test_source_archive(tmp_path, names, problem):
    """Missing files, records and caches are named."""
    found = sdist_problems(write_sdist(tmp_path / "x.tar.gz", names))
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]


def test_needed_distributions():
    """Extras add distributions; those that the package itself needs are found transitively."""
    core, plot = needed_distributions(), needed_distributions("plot")
    assert {"torch", "llvmlite", "scikit-learn"} <= set(core)
    assert "sptgnn-sklearn" not in core
    assert not {"matplotlib", "pytest", "terratorch"} & set(core)
    assert "matplotlib" in plot
    assert set(core) < set(plot)
    assert set(needed_distributions("demo")) > set(plot)
    assert any(path.name == "METADATA" for path in installed_files(core["numpy"]))


def test_page_on_installation_lists_all_extras():
    """The page lists the extras of users with their sizes."""
    page = (DOCS / "install.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   \* - ``(\w+)``\n     - .+\n     - (\d+ MB)$", page, re.MULTILINE)
    assert {name for name, _ in listed} == set(USER_EXTRAS)
    other = set(PROJECT["optional-dependencies"]) - set(USER_EXTRAS)
    assert other == {"test", "docs", "bench", "all"}


def test_table_of_supported_versions():
    """Every dependency has its bounds of pyproject.toml in the table."""
    bounds = supported_versions(PROJECT)
    assert len(bounds["required"]) == len(PROJECT["dependencies"])
    for name, bound in bounds["required"].items():
        assert f"{name}{bound}" in PROJECT["dependencies"]
    table = version_table(PROJECT)
    assert f"Python{PROJECT['requires-python']}" in table
    for extra in USER_EXTRAS:
        assert f"``[{extra}]``" in table


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("dask[array,distributed]>=2024.8", "dask>=2024.8"),
        ("torch>=2.4,<3", "torch>=2.4,<3"),
        ("torchvision", "torchvision"),
    ],
)
def test_rows_of_supported_versions(line, row):
    """Extras are dropped, all bounds are kept, and a package may have none."""
    optional = {extra: ["x[plot]"] for extra in USER_EXTRAS}
    project = {"name": "x", "requires-python": ">=3.11", "dependencies": [line]}
    table = version_table({**project, "optional-dependencies": optional})
    assert f"   * - required\n     - {row}\n" in table
    assert "x[plot]" not in table
