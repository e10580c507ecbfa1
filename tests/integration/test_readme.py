"""The README: its code runs, and what it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_module_has_its_place_in_the_readme():
    """A reader finds each module in the table of the method, and none that is not there."""
    table = README.split("## The method")[1].split("## Limits")[0]
    steps = [line for line in table.splitlines() if line.startswith("|")][2:]
    named = {name for line in steps for name in re.findall(r"`([\w/]+)`", line.split("|")[2])}
    package = ROOT / "sptgnn_sklearn"
    modules = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert named == modules


def test_pictures_and_files_exist():
    """Every file that the README shows or names is in the repository."""
    shown = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert "docs/images/meuse.png" in shown
    for name in [*shown, "CITATION.cff", "LICENSE", "docs/update_readme.py"]:
        assert (ROOT / name).is_file(), name
    assert (ROOT / "docs" / "images" / "meuse.png").stat().st_size < 200_000


def test_table_of_the_demo_is_filled():
    """The table has a line for each model and kind of folds."""
    table = README.split("<!-- demo table -->")[1].split("<!-- end of demo table -->")[0]
    for folds in ("random", "block"):
        for model in ("SpTGNN", "XGBoost", "training mean"):
            assert re.search(rf"\| {folds} +\| {model} +\| +-?\d\.\d+", table)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:weights=None")
def test_code_of_the_readme_runs(capsys, tmp_path, monkeypatch):
    """All code blocks run one after the other, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPTGNN_CACHE", str(tmp_path / "cache"))
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    out = capsys.readouterr().out
    assert "epistemic" in out
    assert "| block  | XGBoost |" in out
