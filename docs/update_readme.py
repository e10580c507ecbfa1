"""Put into the README what was measured: the demo's table and figure, and the benchmark records.

Run after ``make demo`` and the benchmarks: ``.venv/bin/python docs/update_readme.py``. Where the
demo did not run, its table and figure stay as they are.
"""

import json
import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import Results, honesty_in_short, skill  # noqa: E402

DEMO = ROOT / "examples" / "output"
README = ROOT / "README.md"
RECORDS = ROOT / "benchmarks" / "records"
COLORS = 255  # with so many nobody sees the difference, at a third of the bytes


def measured() -> dict[str, str]:
    """Return the Markdown tables of the README by their names."""
    results = Results(RECORDS / "skill")
    stated = Results(RECORDS / "uncertainty")
    return {
        "skill random": skill(results, "random").to_markdown(),
        "skill block": skill(results, "block").to_markdown(),
        "honesty random": honesty_in_short(stated, "random").to_markdown(),
        "honesty block": honesty_in_short(stated, "block").to_markdown(),
        "images": images(),
    }


def images() -> str:
    """Return one Markdown line for each record of images, kind of folds and model."""
    lines = ["| table | folds | model | R² |", "|---|---|---|--:|"]
    for path in sorted(RECORDS.glob("images-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "scores" not in record:  # of speed
            continue
        for score in record["scores"]:
            cells = [record["table"], score["folds"], score["model"], f"{score['R2']:.3f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def replaced(text: str, name: str, table: str) -> str:
    """Put a table between its two marks in the README."""
    marks = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", re.DOTALL)
    text, n_found = marks.subn(lambda _: f"\n{table.strip()}\n\n", text)
    if n_found != 1:
        raise SystemExit(f"{README} has {n_found} places for {name}; one is needed.")
    return text


def demo() -> dict[str, str]:
    """Copy the demo's figure to the docs and return its table, where it has run."""
    if not (DEMO / "meuse.png").is_file():
        return {}
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    with Image.open(DEMO / "meuse.png") as figure:
        few = figure.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    few.save(images / "meuse.png", optimize=True)
    return {"demo table": (DEMO / "meuse.md").read_text(encoding="utf-8")}


def main() -> None:
    text = README.read_text(encoding="utf-8")
    for name, table in {**demo(), **measured()}.items():
        text = replaced(text, name, table)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
