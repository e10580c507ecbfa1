"""Three figures of the first page of the site: accuracy, coverage of intervals, and cost of a map.

``python -m benchmarks.report --write`` writes them to docs/measured/headline.rst.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Page with the table of each figure.
_PAGES = {"accuracy": "benchmarks", "coverage": "calibration", "map": "scaling"}


def headline_rst(
    accuracy: Mapping[str, float], model: str, coverages: list[float], map_record: Path
) -> str:
    """Return the three figures as reStructuredText.

    Parameters
    ----------
    accuracy : dict of str to float
        Mean R2 over the public tables on block folds, by label, of all single models.
    model : str
        Label of the default model.
    coverages : list of float
        Coverage of its 90 % intervals on block folds, one for each table.
    map_record : Path
        Record of `benchmarks.maps`.
    """
    other = max((name for name in accuracy if name != model), key=lambda name: accuracy[name])
    lowest, highest = (f"{100 * value:.0f}" for value in (min(coverages), max(coverages)))
    record = json.loads(map_record.read_text(encoding="utf-8"))
    facts = {
        "accuracy": (
            f"R² {accuracy[model]:.2f} on held-out blocks",
            f"Mean over the public tables with spatial block folds; the best other single model, "
            f"{other}, has {accuracy[other]:.2f}.",
        ),
        "coverage": (
            f"90\N{NO-BREAK SPACE}% intervals that cover {lowest} to {highest}\N{NO-BREAK SPACE}%",
            f"Share of held-out observations in the prediction intervals of {len(coverages)} "
            "public tables, on block folds.",
        ),
        "map": (
            f"{record['cells'] / 1e6:.0f} million cells in {record['map_s'] / 60:.0f} minutes",
            f"Mean and standard deviation from {record['covariates']} rasters on "
            f"{record['threads']} cores, with {record['peak_mb_above_imports'] / 1024:.1f} GiB "
            "of memory.",
        ),
    }
    lines = [".. container:: facts", ""]
    for name, (figure, text) in facts.items():
        lines += ["   .. container:: fact", ""]
        lines += [f"      **{figure}**", "", f"      {text} :doc:`Table <{_PAGES[name]}>`", ""]
    return "\n".join(lines)


def mean_scores(scores: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the mean score of each model that has a score on every table."""
    return {
        model: float(np.mean(values))
        for model, values in scores.items()
        if not np.isnan(values).any()
    }
