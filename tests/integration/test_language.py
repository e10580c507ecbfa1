"""Plain language: a list of phrases that technical prose does not need."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Personified code, riddles and words that the vocabulary of CONTRIBUTING.md replaces.
PHRASES = [
    *(r"tells?[ _]of", r"whom to", r"asks? for", r"asked for", r"says? nothing", r"is no place"),
    *(r"bears? (it|them|this|a prediction) out", r"bear out", r"nobody", r"is told", r"are told"),
    *(r"holds? what", r"goes by", r"go by", r"led nowhere", r"who sends", r"said aloud"),
    *(
        r"is said",
        r"are said",
        r"says? so",
        r"looks? at when",
        r"for ever\b",
        r"as far as (possible|they|it|neighbors|errors)",
    ),
    *(
        r"deals? out",
        r"dealt to",
        r"dealt out",
        r"of its own kind",
        r"takes? apart",
        r"taken apart",
    ),
    *(
        r"what it takes",
        r"no say",
        r"judges?",
        r"judged",
        r"judgement",
        r"opponents?",
        r"hides? from",
    ),
    *(r"surprise", r"worth knowing", r"seen through", r"made of what", r"neighbour", r"centre"),
    *(
        r"standardis",
        r"optimis(e|ation)",
        r"colour",
        r"metres?\b(?! per)",
        r"normalis",
        r"regularis",
    ),
]
PATTERN = re.compile(r"(?<![\w`/.-])(" + "|".join(PHRASES) + r")", re.IGNORECASE)
# Names and quotations of others: coordinate systems, units in files, titles of papers.
ALLOWED = re.compile(r"unit ?==? ?.metre|\"metre|'metre|US survey|metre\"|:cite|@article|doi")
FILES = sorted(
    path
    for folder, pattern in (
        ("sptgnn_sklearn", "*.py"),
        ("tests", "*.py"),
        ("examples", "*"),
        ("benchmarks", "*.py"),
        ("docs", "*.rst"),
        (".", "*.md"),
    )
    for path in ((ROOT / folder).glob if folder == "." else (ROOT / folder).rglob)(pattern)
    if path.is_file() and path != Path(__file__)
    if not {"auto_examples", "generated", "_build", "__pycache__", "output"} & set(path.parts)
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_uses_plain_terms(path):
    """Code, comments and pages avoid the phrases listed above."""
    lines = path.read_text(encoding="utf-8").splitlines()
    results = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if PATTERN.search(line) and not ALLOWED.search(line)
    ]
    assert not results, "\n".join(results)
