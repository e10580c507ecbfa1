"""Write the demo's table and figure and the benchmark tables into the README.

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

from benchmarks.report import Results, skill_table  # noqa: E402

DEMO = ROOT / "examples" / "output"
README = ROOT / "README.md"
RECORDS = ROOT / "benchmarks" / "records"
N_COLORS = 255  # visually lossless at a third of the file size


def benchmark_tables() -> dict[str, str]:
    """Return the benchmark tables of the README as Markdown, by name."""
    skill = Results(RECORDS / "skill")
    return {
        "skill random": skill_table(skill, "random").to_markdown(),
        "skill block": skill_table(skill, "block").to_markdown(),
        "images": image_table(),
    }


def image_table() -> str:
    """Return a Markdown table of R2 for each record of images, kind of folds and model."""
    lines = ["| table | folds | model | R² |", "|---|---|---|--:|"]
    for path in sorted(RECORDS.glob("images-*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for score in record.get("scores", []):  # the speed record has none
            cells = [record["table"], score["folds"], score["model"], f"{score['R2']:.3f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


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


def demo_table() -> dict[str, str]:
    """Copy the demo's figure to the documentation and return its table, if the demo has run."""
    if not (DEMO / "meuse.png").is_file():
        return {}
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    with Image.open(DEMO / "meuse.png") as figure:
        reduced = figure.convert("RGB").quantize(N_COLORS, dither=Image.Dither.NONE)
    reduced.save(images / "meuse.png", optimize=True)
    return {"demo table": (DEMO / "meuse.md").read_text(encoding="utf-8")}


def main() -> None:
    text = README.read_text(encoding="utf-8")
    for name, table in {**demo_table(), **benchmark_tables()}.items():
        text = replace_table(text, name, table)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
