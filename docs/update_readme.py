"""Put into the README what was measured: the demo's table and figure, and the benchmark records.

Run after ``make demo`` and ``make bench``: ``.venv/bin/python docs/update_readme.py``.
"""

import json
import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "examples" / "output"
README = ROOT / "README.md"
TABLE = re.compile(r"(?<=<!-- demo table -->\n).*?(?=<!-- end of demo table -->)", re.DOTALL)
RECORDS = ROOT / "benchmarks" / "records"
MEASURED = re.compile(r"(?<=<!-- records -->\n).*?(?=<!-- end of records -->)", re.DOTALL)
COLOURS = 255  # with so many nobody sees the difference, at a third of the bytes


def records() -> str:
    """Return one Markdown line for each record, kind of folds and model."""
    lines = [
        "| table | folds | model | R² | Moran's I | in 90 % interval |",
        "|---|---|---|--:|--:|--:|",
    ]
    for path in sorted(RECORDS.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "scores" not in record:  # of speed
            continue
        name = f"{record.get('table', 'simulated')}, {record['rows']} rows"
        for score in record["scores"]:
            cover = "–" if score["coverage"] is None else f"{score['coverage']:.3f}"
            cells = [name, score["folds"], score["model"], f"{score['R2']:.3f}"]
            lines.append("| " + " | ".join([*cells, f"{score['moran_i']:.3f}", cover]) + " |")
    return "\n".join(lines)


def main() -> None:
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    with Image.open(DEMO / "meuse.png") as figure:
        few = figure.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(images / "meuse.png", optimize=True)

    text = README.read_text(encoding="utf-8")
    table = (DEMO / "meuse.md").read_text(encoding="utf-8")
    text, n_found = TABLE.subn(lambda _: f"\n{table}\n", text)
    if n_found != 1:
        raise SystemExit(f"{README} has {n_found} places for the table; one is needed.")
    text, n_found = MEASURED.subn(lambda _: f"\n{records()}\n\n", text)
    if n_found != 1:
        raise SystemExit(f"{README} has {n_found} places for the records; one is needed.")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
