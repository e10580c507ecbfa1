"""Check the wheel and the source archive in a folder, and try the wheel in an empty environment.

The environment has the wheel, which pip installs, and links to the installed dependencies of the
current environment, without those of the extras. So nothing is downloaded, and an import that only
an extra provides fails as on a new machine. Run as ``.venv/bin/python .ci/check_dist.py dist``.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

from distributions import PROJECT, ROOT, needed_distributions, read_project

PACKAGE = "sptgnn_sklearn"
SDIST_NEEDS = (
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "PKG-INFO"),
    *("Makefile", "constraints.txt", "pyproject.toml", f"{PACKAGE}/py.typed"),
    *(
        "constraints-oldest.txt",
        "tests/conftest.py",
        "docs/conf.py",
        "docs/images/meuse.png",
        "examples/plot_meuse.py",
    ),
    *(".ci/check_dist.py", f"{PACKAGE}/__init__.pyi"),
)
SDIST_FOLDERS = {PACKAGE, "tests", "docs", "examples", ".ci"}
UNWANTED = (
    "__pycache__",
    ".pyc",
    ".nbi",
    ".nbc",
    ".pytest_cache",
    "_build/",
    "records/",
    "output/",
)

TRIAL = """
import numpy as np
import sptgnn_sklearn
from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

assert {folder!r} in sptgnn_sklearn.__file__, sptgnn_sklearn.__file__
survey = make_soil_survey(80, random_state=0)
model = SpTGNNRegressor(time="date", n_estimators=2, max_epochs=3, random_state=0)
model.fit(survey.data[:60], survey.target[:60])
predicted = model.predict_uncertainty(survey.data[60:])
assert np.isfinite(predicted.to_numpy()).all()
print("fit and prediction:", predicted.shape)
"""
METADATA = """
from importlib.metadata import distribution

installed = distribution({project!r})
assert [e.value for e in installed.entry_points if e.name == "sptgnn"] == [{entry_point!r}]
assert set(installed.metadata.get_all("Provides-Extra")) == {extras!r}
assert dict(
    line.split(", ") for line in installed.metadata.get_all("Project-URL")
) == {urls!r}
assert installed.metadata["License-Expression"] == {license!r}
print("metadata of version", installed.version)
"""


def wheel_problems(wheel: Path) -> list[str]:
    """Return what is missing from a wheel and what should not be in it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata)
    info = metadata.split("/")[0]
    source = ROOT / PACKAGE
    expected = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.pyi", "py.typed", "*.html", "*.js", "*.css", "LICENSE.txt")
        for path in source.rglob(pattern)
    } | {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    expected |= {f"{info}/licenses/{name}" for name in read_project()["license-files"]}
    problems = [f"{wheel.name} lacks {name}" for name in sorted(expected - names)]
    problems += [f"{wheel.name} has {name}" for name in sorted(names - expected)]
    if not message_from_bytes(text).get_payload():
        problems.append(f"{wheel.name} has no description")
    return problems


def sdist_problems(sdist: Path) -> list[str]:
    """Return what is missing from a source archive and what should not be in it."""
    with tarfile.open(sdist) as archive:
        paths = [PurePosixPath(member.name) for member in archive if member.isfile()]
    names = {PurePosixPath(*path.parts[1:]).as_posix() for path in paths}
    problems = [f"{sdist.name} lacks {name}" for name in SDIST_NEEDS if name not in names]
    for name in sorted(names):
        folder = name.split("/")[0] if "/" in name else None
        if (folder and folder not in SDIST_FOLDERS) or any(part in name for part in UNWANTED):
            problems.append(f"{sdist.name} has {name}")
    return problems


def make_environment(folder: Path, wheel: Path) -> Path:
    """Make an environment of the wheel and of links to its dependencies; return its Python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    site_packages = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    for needed in needed_distributions().values():
        base = Path(str(needed.locate_file("")))
        for name in {file.parts[0] for file in needed.files or []} - {"..", "__pycache__"}:
            link = site_packages / name
            if not link.exists():  # several distributions have parts of one namespace package
                link.symlink_to(base / name)
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    subprocess.run([*pip, "check"], check=True)
    return python


def try_wheel(wheel: Path) -> None:
    """Run the command line, a small fit and a check of the metadata with the wheel."""
    project = read_project()
    metadata = METADATA.format(
        project=PROJECT,
        entry_point=project["scripts"]["sptgnn"],
        extras=set(project["optional-dependencies"]),
        urls=project["urls"],
        license=project["license"],
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        python = make_environment(folder / "venv", wheel)
        command = folder / "venv" / "bin" / "sptgnn"
        for arguments in (
            [command, "--version"],
            [command, "--help"],
            [python, "-m", PACKAGE, "--help"],
            [python, "-c", metadata],
            [python, "-c", TRIAL.format(folder=str(folder))],
        ):
            done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
            label = " ".join([Path(arguments[0]).name, *arguments[1:]])
            if done.returncode:
                sys.exit(f"{label}\nfailed:\n{done.stderr or done.stdout}")
            print(done.stdout.splitlines()[0])


def main() -> None:
    """Check the only wheel and the only source archive of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    found = [sorted(folder.glob(pattern)) for pattern in ("*.whl", "*.tar.gz")]
    if [len(files) for files in found] != [1, 1]:
        sys.exit(f"{folder} must hold one wheel and one source archive; found {found}.")
    (wheel,), (sdist,) = found
    if problems := wheel_problems(wheel) + sdist_problems(sdist):
        sys.exit("\n".join(problems))
    try_wheel(wheel)
    print(f"{wheel.name} and {sdist.name} are complete, and the wheel works")


if __name__ == "__main__":
    main()
