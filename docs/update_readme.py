"""Put what ``make demo`` last wrote into the README: its table, and its figure with fewer colours.

Run from anywhere, after the demo: ``.venv/bin/python docs/update_readme.py``.
"""

import re
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "examples" / "output"
README = ROOT / "README.md"
TABLE = re.compile(r"(?<=<!-- demo table -->\n).*?(?=<!-- end of demo table -->)", re.DOTALL)
COLOURS = 255  # with so many nobody sees the difference, at a third of the bytes


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
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
