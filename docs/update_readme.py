"""Write the table of the README and the tables of the demo and of images in the documentation.

Run after ``make demo`` and the benchmarks: ``.venv/bin/python docs/update_readme.py``. Without a
run of the demo, its table and figure stay unchanged.
"""

import json
import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import LABELS, Results, skill_table  # noqa: E402
from benchmarks.text_table import TextTable  # noqa: E402

DEMO = ROOT / "examples" / "output"
MEASURED = ROOT / "docs" / "measured"
README = ROOT / "README.md"
RECORDS = ROOT / "benchmarks" / "records"
N_COLORS = 255  # visually lossless at a third of the file size
README_MODELS = ("sptgnn", "mean_of_four_tree_models", "random_forest", "xgboost_tuned", "xgboost")


def readme_table() -> str:
    """Return the mean R2 of five models over all public tables, by kind of folds."""
    results = Results(RECORDS / "skill")
    means = {}
    for folds in ("random", "block"):
        table = skill_table(results, folds)
        column = table.columns.index("mean")
        means[folds] = {row[0]: row[column] for row in table.rows}
    rows = [
        [name, means["random"][name], means["block"][name]]
        for name in map(LABELS.get, README_MODELS)
    ]
    return TextTable(["model", "random folds", "block folds"], rows).to_markdown()


def image_table() -> TextTable:
    """Return the R2 of each record of images, kind of folds and model."""
    rows = []
    for path in sorted(RECORDS.glob("images-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for score in record.get("scores", []):  # the speed record has none
            rows.append([record["table"], score["folds"], score["model"], f"{score['R2']:.3f}"])
    return TextTable(["table", "folds", "model", "R²"], rows)


def demo_table(markdown: str) -> TextTable:
    """Return the table that the demo has written as Markdown."""
    lines = [line.strip("|").split("|") for line in markdown.strip().splitlines()]
    columns, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return TextTable(columns, rows)


def replace_table(text: str, name: str, table: str) -> str:
    """Replace the table between two comments in the README."""
    pattern = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", re.DOTALL)
    text, n_found = pattern.subn(lambda _: f"\n{table.strip()}\n\n", text)
    if n_found != 1:
        raise SystemExit(
            f'{README} has {n_found} tables between "<!-- {name} -->" and '
            f'"<!-- end of {name} -->"; it needs one.'
        )
    return text


def copy_figure() -> None:
    """Copy the demo's figure to the documentation, with fewer colors."""
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    with Image.open(DEMO / "meuse.png") as figure:
        reduced = figure.convert("RGB").quantize(N_COLORS, dither=Image.Dither.NONE)
    reduced.save(images / "meuse.png", optimize=True)


def main() -> None:
    text = README.read_text(encoding="utf-8")
    README.write_text(replace_table(text, "accuracy", readme_table()), encoding="utf-8")
    title = "R² with images"
    (MEASURED / "images.rst").write_text(image_table().to_rst(title), encoding="utf-8")
    if (DEMO / "meuse.png").is_file():
        table = demo_table((DEMO / "meuse.md").read_text(encoding="utf-8"))
        title = "Output of the demo: organic matter of the Meuse survey, RMSE in %"
        (MEASURED / "demo.rst").write_text(table.to_rst(title), encoding="utf-8")
        copy_figure()


if __name__ == "__main__":
    main()
