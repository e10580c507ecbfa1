"""Code, links, files and tables of the README."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_are_absolute():
    """Links also work on the package index, and pages of the site that they name exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = project["urls"]["Documentation"]
    linked = re.findall(r"\]\(([^)]+)\)", README)
    pages = [link.removeprefix(site) for link in linked if link.startswith(site)]
    assert all(link.startswith("https://") for link in linked)
    assert {"_images/meuse.png", "install.html", "skill.html"} <= set(pages)
    for page in pages:
        name = page.replace("_images/", "images/").replace(".html", ".rst")
        assert (ROOT / "docs" / name).exists(), page
    assert (ROOT / "docs" / "images" / "meuse.png").stat().st_size < 200_000


def test_named_files_exist():
    """Files that the README names are in the repository."""
    named = re.findall(r"`(?:python )?((?:benchmarks|\.ci)/[\w./]+)`", README)
    assert {"benchmarks/LOG.md", "benchmarks/tables.py", ".ci/extra_sizes.py"} <= set(named)
    for name in [*named, "CITATION.cff", "LICENSE", "docs/update_readme.py"]:
        assert name in README
        assert (ROOT / name).is_file(), name


def test_commands_exist():
    """Every ``make`` target and ``python -m`` module in the README exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+(?:-[a-z]+)*)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    modules = re.findall(r"python -m ((?:benchmarks|sptgnn_sklearn)[\w.]*)", README)
    assert modules
    for name in modules:
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_demo_table_has_all_models():
    """The table has a row for each model and kind of folds."""
    table = README.split("<!-- demo table -->")[1].split("<!-- end of demo table -->")[0]
    for folds in ("random", "block"):
        for model in ("SpTGNN", "XGBoost", "training mean"):
            assert re.search(rf"\| {folds} +\| {model} +\| +-?\d\.\d+", table)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:weights=None")
def test_code_blocks_run(capsys, tmp_path, monkeypatch):
    """All Python blocks run in order."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "cache"))
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    out = capsys.readouterr().out
    assert "epistemic" in out
    assert "| block  | XGBoost |" in out
