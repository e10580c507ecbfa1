"""Code, links, files and tables of the README."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "docs"))

from update_readme import demo_table, image_table, readme_table


def test_links_are_absolute():
    """Links also work on the package index, and pages of the site that they name exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = project["urls"]["Documentation"]
    linked = re.findall(r"\]\(([^)]+)\)", README)
    pages = [link.removeprefix(site) for link in linked if link.startswith(site)]
    assert all(link.startswith("https://") for link in linked)
    assert {"_images/meuse.png", "install.html", "skill.html"} <= set(pages)
    for page in pages:
        name = page.partition("#")[0].replace("_images/", "images/")
        if name.startswith("auto_examples/"):
            example = ROOT / "examples" / Path(name).with_suffix(".py").name
            assert example.exists() or name == "auto_examples/index.html", page
        else:
            assert (ROOT / "docs" / name.replace(".html", ".rst")).exists(), page
    assert (ROOT / "docs" / "images" / "meuse.png").stat().st_size < 200_000


def test_named_files_exist():
    """Files that the README names are in the repository."""
    for name in ("CITATION.cff", "LICENSE", "docs/update_readme.py"):
        assert name in README
        assert (ROOT / name).is_file(), name


def test_commands_exist():
    """Every ``make`` target and ``python -m`` module in the README exists."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+(?:-[a-z]+)*)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in re.findall(r"python -m ((?:benchmarks|sptgnn_sklearn)[\w.]*)", README):
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_tables_are_those_of_the_records():
    """The table of the README and that of images equal what the records give."""
    written = README.split("<!-- accuracy -->")[1].split("<!-- end of accuracy -->")[0]
    assert written.strip() == readme_table()
    images = (ROOT / "docs" / "measured" / "images.rst").read_text(encoding="utf-8")
    assert images == image_table().to_rst("R² with images")


def test_demo_table_has_all_models():
    """The table of the demo has a row for each model and kind of folds."""
    table = (ROOT / "docs" / "measured" / "demo.rst").read_text(encoding="utf-8")
    for folds in ("random", "block"):
        for model in ("SpTGNN", "XGBoost", "training mean"):
            assert re.search(rf"\* - {folds}\n +- {model}\n +- -?\d\.\d+", table)


def test_demo_table_is_converted():
    """The Markdown of the demo becomes columns and rows."""
    table = demo_table("| folds | R²    |\n| ----- | ----: |\n| block | 0.587 |\n")
    assert (table.columns, table.rows) == (["folds", "R²"], [["block", "0.587"]])


def test_readme_is_short():
    """Tables and guides are on the site."""
    assert len(README.splitlines()) <= 100


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
