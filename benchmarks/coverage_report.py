"""Tables of the records of `benchmarks.group_coverage`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .noise_worlds import NOISE_WORLDS
from .tables import FOLD_KINDS
from .text_table import TextTable

LOCAL = "sptgnn_local"
GLOBAL = "sptgnn_quantile"  # interval scores are relative to this one
MODELS = {
    LOCAL: 'SpTGNN, calibration="local"',
    GLOBAL: 'SpTGNN, calibration="quantile"',
    "quantile_forest": "quantile forest",
    "geoconformal_forest": "geoconformal, random forest",
    "conditional_forest": "MAPIE conditional, random forest",
}
SMALL_TABLES = ("meuse", "limesoda_G104", "limesoda_BB250", "limesoda_B204")  # pooled
_MISSING = "–"

Entry = dict[str, Any]
Case = tuple[str, str]  # table and kind of folds


class CoverageResults:
    """Entries of a folder of records by table, folds and model, one for each seed.

    Cases, which are tables with a kind of folds, count if both calibrations of SpTGNN are recorded.
    """

    def __init__(self, folder: Path):
        self.entries: dict[tuple[str, str, str], dict[int, Entry]] = {}
        rows: dict[str, int] = {}
        for path in sorted(folder.glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["table"] in SMALL_TABLES:
                continue
            for entry in record["results"]:
                key = record["table"], entry["folds"], entry["model"]
                self.entries.setdefault(key, {})[record["seed"]] = entry
                rows[record["table"]] = entry["rows"]
        names = [*sorted(set(rows) - set(NOISE_WORLDS), key=lambda name: rows[name]), *NOISE_WORLDS]
        self.cases: list[Case] = [
            (name, kind)
            for name in names
            for kind in FOLD_KINDS
            if all((name, kind, model) in self.entries for model in (LOCAL, GLOBAL))
        ]

    def of(self, case: Case, model: str) -> list[Entry]:
        """Return the entries of a model by increasing seed."""
        by_seed = self.entries.get((*case, model), {})
        return [by_seed[seed] for seed in sorted(by_seed)]

    def relative_score(self, case: Case, model: str) -> float:
        """Return the interval score relative to the global rule, mean over common seeds."""
        entries, references = (self.entries.get((*case, name), {}) for name in (model, GLOBAL))
        ratios = [
            entries[seed]["interval_score"] / references[seed]["interval_score"]
            for seed in sorted(set(entries) & set(references))
        ]
        return float(np.mean(ratios)) if ratios else float("nan")


def worst_table(results: CoverageResults, cases: Sequence[Case]) -> TextTable:
    """Coverage of the worst group and its limit, bold where it is lower, one for each seed."""
    rows = []
    for model, label in MODELS.items():
        cells = []
        for case in cases:
            texts = []
            for entry in results.of(case, model):
                coverage = f"{entry['worst']['coverage']:.3f}"
                coverage = coverage if entry["passes"] else f"**{coverage}**"
                texts.append(f"{coverage} ({entry['limit']:.3f})")
            cells.append(", ".join(texts) or _MISSING)
        rows.append([label, *cells])
    return TextTable(["model", *(name for name in map(_case_name, cases))], rows)


def score_table(results: CoverageResults, cases: Sequence[Case]) -> TextTable:
    """Interval score relative to that of the global rule."""
    rows = []
    for model, label in MODELS.items():
        values = [results.relative_score(case, model) for case in cases]
        rows.append([label, *(_number(value) for value in values)])
    return TextTable(["model", *(name for name in map(_case_name, cases))], rows)


def summary_table(results: CoverageResults, cases: Sequence[Case]) -> TextTable:
    """Cases that pass, coverage, relative interval score and infinite intervals of each model."""
    rows = []
    for model, label in MODELS.items():
        entries = [entry for case in cases for entry in results.of(case, model)]
        if not entries:
            continue
        scores = [results.relative_score(case, model) for case in cases]
        rows.append(
            [
                label,
                f"{sum(entry['passes'] for entry in entries)} of {len(entries)}",
                f"{min(entry['worst']['coverage'] for entry in entries):.3f}",
                f"{np.mean([entry['coverage'] for entry in entries]):.3f}",
                _number(float(np.nanmean(scores))),
                f"{np.mean([entry['infinite'] for entry in entries]):.1%}".replace("%", " %"),
            ]
        )
    columns = [
        "model",
        "worst group within its limit",
        "lowest coverage of a group",
        "mean coverage",
        "mean relative interval score",
        "infinite intervals",
    ]
    return TextTable(columns, rows)


def coverage_tables(records: Path) -> str:
    """Return the tables of the documentation; empty without records."""
    results = CoverageResults(records)
    public = [case for case in results.cases if case[0] not in NOISE_WORLDS]
    simulated = [case for case in results.cases if case[0] in NOISE_WORLDS]
    parts = []
    for title, cases in (("public tables", public), ("known noise", simulated)):
        if cases:
            parts += [
                summary_table(results, cases).to_rst(f"90 % intervals, {title}"),
                worst_table(results, cases).to_rst(
                    f"Coverage of the worst group (its limit), {title}"
                ),
                score_table(results, cases).to_rst(
                    f'Interval score relative to calibration="quantile", {title}'
                ),
            ]
    return "\n".join(parts)


def write_coverage_report(records: Path) -> None:
    """Write docs/measured/group-coverage.rst from a folder of records."""
    path = Path(__file__).resolve().parent.parent / "docs" / "measured" / "group-coverage.rst"
    path.write_text(coverage_tables(records), encoding="utf-8")
    print(path)


def _case_name(case: Case) -> str:
    name, kind = case
    short = name.split("_")[0]
    return short if name in NOISE_WORLDS else f"{short}, {kind}"


def _number(value: float) -> str:
    return _MISSING if np.isnan(value) else f"{value:.3f}"
