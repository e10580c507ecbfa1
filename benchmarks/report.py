"""Tables of what is on record: skill by table, ranks, and differences with their intervals.

    python -m benchmarks.report            # print everything
    python -m benchmarks.report --check    # print what is aimed at, and what is reached
    python -m benchmarks.report --write    # write the tables of the docs

Scores are means over the seeds on record. Where two models are compared, folds are the units: each
fold's difference is averaged over seeds, and the interval is that of Student's t over folds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Container, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from .cells import RECORDS
from .grid import Grid
from .opponents import MEANS
from .speed_report import speed
from .tables import FOLDS
from .variants import VARIANTS
from .worlds import WORLDS

OURS = "sptgnn"
NAMES = {
    "sptgnn": "SpTGNN",
    "sptgnn_network": "SpTGNN, base=None",
    "mean_of_four_trees": "mean of four trees",
    "xgboost_tuned": "XGBoost, tuned",
    "xgboost": "XGBoost",
    "xgboost_neighbours": "XGBoost, neighbours",
    "random_forest": "random forest",
    "extra_trees_neighbours": "extra-trees, neighbours",
    "quantile_forest": "quantile forest",
    "gpboost": "GPBoost",
    "regression_kriging": "regression kriging",
    "mlp_ensemble": "MLP ensemble",
}
STATED = {
    "sptgnn": "SpTGNN",
    "sptgnn_conformal": "SpTGNN, predict_interval",
    "sptgnn_scale": 'SpTGNN, calibration="scale"',
    "sptgnn_uncalibrated": "SpTGNN, calibration=None",
    "quantile_forest": "quantile forest",
    "ngboost": "NGBoost",
    "mapie_xgboost": "MAPIE on XGBoost",
    "gpboost": "GPBoost",
}
HONESTY = {
    "ece": "Expected calibration error",
    "coverage_90%": "Coverage of the central 90 % interval",
    "below_05": "Share of rows below it",
    "above_95": "Share of rows above it",
    "crps": "CRPS, modelling scale",
    "interval_score_90": "Interval score of it, modelling scale",
}
_SHORT_SCORES = {"ECE": "ece", "CRPS": "crps"}
LEVEL = 0.95  # of intervals of differences


@dataclass(frozen=True)
class Difference:
    """How much higher the R2 of one model is than that of another, with its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class Results:
    """Cells of a folder of records, of all tables or some, by table, folds, model and seed."""

    def __init__(self, folder: Path, tables: Container[str] | None = None):
        self.cells: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
        self.rows: dict[str, int] = {}
        for path in sorted(folder.glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            if tables is not None and record["table"] not in tables:
                continue
            for entry in record["cells"]:
                key = record["table"], entry["folds"], entry["model"]
                self.cells.setdefault(key, {})[record["seed"]] = entry
                self.rows[record["table"]] = sum(part["rows"] for part in entry["parts"])

    def only(self, real: bool) -> Results:
        """Return the results of real tables, or those of simulated surveys."""
        chosen = copy(self)
        chosen.rows = {name: n for name, n in self.rows.items() if (name not in WORLDS) == real}
        return chosen

    @property
    def tables(self) -> list[str]:
        """Tables, the smallest first."""
        return sorted(self.rows, key=lambda name: (self.rows[name], name))

    def models(self, order: Sequence[str]) -> list[str]:
        """Models that are on record, in this order, then others."""
        known = {model for _, _, model in self.cells}
        return [m for m in order if m in known] + sorted(known - set(order))

    def seeds(self, table: str, folds: str, model: str) -> int:
        """How many seeds of a cell are on record."""
        return len(self.cells.get((table, folds, model), {}))

    def score(self, table: str, folds: str, model: str, name: str = "R2") -> float:
        """Mean over seeds of a score, NaN where there is none."""
        found = self.cells.get((table, folds, model), {}).values()
        return float(np.mean([entry[name] for entry in found])) if found else float("nan")

    def seconds(self, table: str, folds: str, model: str) -> float:
        """Mean wall time of a fit."""
        found = self.cells.get((table, folds, model), {}).values()
        times = [part["fit_seconds"] for entry in found for part in entry["parts"]]
        return float(np.mean(times)) if times else float("nan")

    def difference(self, table: str, folds: str, one: str, other: str) -> Difference | None:
        """How much better the first model is, over the seeds that both have."""
        ones, others = (self.cells.get((table, folds, model), {}) for model in (one, other))
        seeds = sorted(set(ones) & set(others))
        if not seeds:
            return None
        gains = np.mean([_gains(ones[seed], others[seed]) for seed in seeds], axis=0)
        spread = (
            gains.std(ddof=1) / np.sqrt(len(gains)) * student.ppf(LEVEL / 2 + 0.5, len(gains) - 1)
        )
        return Difference(gains.mean(), gains.mean() - spread, gains.mean() + spread)

    def rank(self, table: str, folds: str, model: str, field: Iterable[str]) -> float:
        """Place of a model in a field of others by R2, 1 for the best; NaN without a score."""
        own = self.score(table, folds, model)
        others = [self.score(table, folds, other) for other in field if other != model]
        return float("nan") if np.isnan(own) else 1 + sum(value > own for value in others)


def _gains(one: dict[str, Any], other: dict[str, Any]) -> np.ndarray:
    """Contribution of each fold to the difference of R2, times the number of folds."""
    errors = [
        {part["fold"]: part["squared_error"] for part in entry["parts"]} for entry in (one, other)
    ]
    gains = [errors[1][fold] - errors[0][fold] for fold in sorted(errors[0])]
    return len(gains) * np.array(gains) / one["total_square"]


def skill(results: Results, folds: str) -> Grid:
    """R2 of each model on each table, their mean, and the mean rank among single models.

    The mean is over tables that all models but those for small tables have; the rank of a mean of
    several models is not counted.
    """
    tables = results.tables
    models = results.models(list(NAMES))
    single = [model for model in models if model not in MEANS and model != "sptgnn_network"]
    rows = []
    for model in models:
        values = [results.score(table, folds, model) for table in tables]
        ranks = [results.rank(table, folds, model, single) for table in tables]
        whole = not np.isnan(values).any()
        rank = f"{np.mean(ranks):.2f}" if whole and model in single else "–"
        cells = ["–" if np.isnan(value) else f"{value:.3f}" for value in values]
        mean = f"{np.mean(values):.3f}" if whole else "–"
        rows.append([NAMES.get(model, model), *cells, mean, rank])
    return Grid(["model", *map(_short, tables), "mean", "mean rank"], rows)


def differences(results: Results, folds: str, reference: str = OURS) -> Grid:
    """How much better the reference is than each other model, with intervals."""
    tables = [table for table in results.tables if (table, folds, reference) in results.cells]
    rows = []
    for model in results.models(list(NAMES)):
        if model == reference:
            continue
        found = [results.difference(table, folds, reference, model) for table in tables]
        rows.append([NAMES.get(model, model), *("–" if d is None else str(d) for d in found)])
    return Grid(["against", *map(_short, tables)], rows)


def ablations(results: Results, folds: str, variants: Iterable[str]) -> Grid:
    """R2 of variants minus that of the first of them, with intervals, and the mean over tables."""
    default, *others = variants
    tables = [table for table in results.tables if (table, folds, default) in results.cells]
    rows = []
    for name in others:
        found = [results.difference(table, folds, name, default) for table in tables]
        known = [difference.mean for difference in found if difference is not None]
        mean = f"{np.mean(known):+.3f}" if known else "–"
        rows.append([name, *("–" if d is None else str(d) for d in found), mean])
    values = [f"{results.score(table, folds, default):.3f}" for table in tables]
    rows.insert(0, [f"{default}, R2", *values, "–"])
    return Grid(["variant", *map(_short, tables), "mean"], rows)


def left_out(results: Results, variants: Iterable[str]) -> Grid:
    """Gain of each variant over both kinds of folds, on average over all tables but one.

    A choice that is right for tables that did not make it gains whichever table is left out.
    """
    default, *others = variants
    rows = []
    for name in others:
        gains = [
            np.mean([found.mean for found in both if found is not None])
            for table in results.tables
            if any(both := [results.difference(table, kind, name, default) for kind in FOLDS])
        ]
        if len(gains) < 2:
            continue
        means = [(sum(gains) - gain) / (len(gains) - 1) for gain in gains]
        cells = [np.mean(gains), min(means), max(means)]
        rows.append([name, *(f"{value:+.4f}" for value in cells)])
    return Grid(["variant", "all tables", "least, one left out", "most, one left out"], rows)


def residual_structure(results: Results, folds: str) -> Grid:
    """Moran's I of the residuals."""
    tables = results.tables
    rows = []
    for model in results.models(list(NAMES)):
        values = [results.score(table, folds, model, "moran_i") for table in tables]
        cells = ["–" if np.isnan(value) else f"{value:.3f}" for value in values]
        rows.append([NAMES.get(model, model), *cells])
    return Grid(["model", *map(_short, tables)], rows)


def honesty(results: Results, folds: str, score: str) -> Grid:
    """One score of stated uncertainty, of each model that has it on each table."""
    rows = []
    for model in results.models(list(STATED)):
        found = [results.cells.get((table, folds, model), {}) for table in results.tables]
        known = [[entry[score] for entry in one.values() if score in entry] for one in found]
        cells = [f"{np.mean(values):.3f}" if values else "–" for values in known]
        if any(known):
            rows.append([STATED.get(model, model), *cells])
    return Grid(["model", *map(_short, results.tables)], rows)


def honesty_in_short(results: Results, folds: str) -> Grid:
    """Calibration error and CRPS of the default and of the opponents, side by side."""
    variants = {model for model in STATED if model.startswith(OURS)} - {OURS}
    halves = {name: honesty(results, folds, score) for name, score in _SHORT_SCORES.items()}
    shown = {STATED.get(m, m) for m in results.models(list(STATED)) if m not in variants}
    rows: dict[str, list[str]] = {}
    for half in halves.values():
        for name, *cells in half.rows:
            if name in shown:
                rows.setdefault(name, []).extend(cells)
    head = [f"{name}, {table}" for name, half in halves.items() for table in half.head[1:]]
    return Grid(["model", *head], [[name, *cells] for name, cells in rows.items()])


def known(record: Path) -> Grid:
    """Stated variance beside that of an oracle, on simulated surveys."""
    found = json.loads(record.read_text())
    names = {
        "correlation": "correlation with the oracle's",
        "scale": "mean, over the oracle's",
        "scale_of_own_error": "mean, over own squared error",
        "aleatoric_and_noise": "correlation of aleatoric part and noise",
    }
    rows = [[world, *(f"{values[name]:.2f}" for name in names)] for world, values in found.items()]
    return Grid(["survey", *names.values()], rows)


def maps(record: Path) -> Grid:
    """What a large map takes, and how much its blocks show."""
    found = json.loads(record.read_text(encoding="utf-8"))
    other = found["other_blocks"]
    rows = [
        ["cells", f"{found['cells']:,}"],
        ["covariates, layers", f"{found['bands']}, {' and '.join(found['layers'])}"],
        ["threads", str(found["threads"])],
        ["rows of the survey, members", f"{found['rows']:,}, {found['members']}"],
        ["minutes", f"{found['map_s'] / 60:.1f}"],
        ["cells a second", f"{found['cells_per_s']:,.0f}"],
        ["peak memory above imports, MiB", f"{found['peak_mb_above_imports']:,.0f}"],
        ["file, MiB", f"{found['file_mb']:,.0f}"],
    ]
    for name in found["layers"]:
        share = other[f"{name}_largest_difference"] / other[f"{name}_spread"]
        step = other[f"{name}_step_at_edges_to_elsewhere"]
        rows += [
            [
                f"{name}: largest difference with other blocks, in standard deviations",
                f"{share:.0g}",
            ],
            [f"{name}: steps at edges of blocks to steps elsewhere", f"{step:.3f}"],
        ]
    return Grid(["what", "found"], rows)


def ties(record: Path) -> Grid:
    """Return scores on a target of few values, of predictions on its values and between them."""
    found = json.loads(record.read_text())
    names = {
        "crps": "CRPS",
        "interval_score_90": "interval score",
        "ece": "ECE",
        "coverage_90%": "in 90 %",
        "rmse_of_mean": "RMSE of the mean",
        "mae_of_median": "MAE of the median",
    }
    rows = [
        [f"{kind}: {form}", *(f"{values[name]:.3f}" for name in names)]
        for kind in FOLDS
        for form, values in found.get(kind, {}).items()
    ]
    return Grid(["folds and form", *names.values()], rows)


def cost(results: Results) -> Grid:
    """Mean seconds of a fit; good for ratios within a column only."""
    rows = []
    for model in results.models(list(NAMES)):
        values = [results.seconds(table, FOLDS[0], model) for table in results.tables]
        cells = ["–" if np.isnan(value) else f"{value:.1f}" for value in values]
        rows.append([NAMES.get(model, model), *cells])
    return Grid(["model", *map(_short, results.tables)], rows)


def aims(results: Results) -> list[str]:
    """What is aimed at, and what is reached, a line each."""
    single = [m for m in results.models([]) if m not in (*MEANS, OURS, "sptgnn_network")]
    lines = []
    ranks, worst = [], []
    for folds in FOLDS:
        tables = [table for table in results.tables if (table, folds, OURS) in results.cells]
        for other in ("xgboost_tuned", "mean_of_four_trees"):
            both = [table for table in tables if results.seeds(table, folds, other)]
            found = {
                table: results.score(table, folds, OURS) - results.score(table, folds, other)
                for table in both
            }
            if found:
                better = sum(value > 0 for value in found.values())
                lines.append(
                    f"{folds}: {np.mean(list(found.values())):+.3f} above {NAMES[other]}, "
                    f"better on {better} of {len(found)} tables"
                )
        gaps = [
            results.score(table, folds, "sptgnn_network")
            - results.score(table, folds, "xgboost_tuned")
            for table in tables
        ]
        gaps = [gap for gap in gaps if not np.isnan(gap)]
        if gaps:
            lines.append(f"{folds}: network alone {np.mean(gaps):+.3f} above XGBoost, tuned")
        for table in tables:
            ranks.append(results.rank(table, folds, OURS, single))
            scores = {model: results.score(table, folds, model) for model in single}
            best = max((m for m in scores if not np.isnan(scores[m])), key=lambda m: scores[m])
            gain = results.difference(table, folds, OURS, best)
            if gain is not None and gain.mean < 0:
                worst.append(f"{table}, {folds} folds: {gain} against {NAMES.get(best, best)}")
    if ranks:
        lines.append(f"mean rank among single models {np.mean(ranks):.2f} over {len(ranks)} cells")
    lines += [f"behind: {line}" for line in worst]
    for table in results.tables:
        moran = {
            model: results.score(table, "random", model, "moran_i")
            for model in (OURS, "xgboost_tuned", "xgboost")
        }
        text = ", ".join(f"{NAMES[model]} {value:+.3f}" for model, value in moran.items())
        lines.append(f"Moran's I of residuals, random folds, {table}: {text}")
    return lines


def leaderboard(results: Results, kinds: Iterable[str] = FOLDS) -> str:
    """Return the skill of all models as text."""
    return "\n\n".join(
        f"{kind} folds, R2\n\n{skill(results, kind).to_markdown()}" for kind in kinds
    )


def _short(table: str) -> str:
    return table.removeprefix("limesoda_").split("_")[0]


def documents(
    skill_results: Results, ablation_results: Results, uncertainty_results: Results
) -> dict[str, str]:
    """Return the tables of the docs, by file name."""
    found = {}
    for kind in FOLDS:
        found[f"honesty-{kind}"] = "\n".join(
            honesty(uncertainty_results, kind, score).to_rst(title)
            for score, title in HONESTY.items()
        )
    for kind in FOLDS:
        found |= {
            f"skill-{kind}": skill(skill_results, kind).to_rst(f"R2, {kind} folds"),
            f"differences-{kind}": differences(skill_results, kind).to_rst(
                f"R2 of SpTGNN minus that of another model, {kind} folds"
            ),
            f"moran-{kind}": residual_structure(skill_results, kind).to_rst(
                f"Moran's I of the residuals, {kind} folds"
            ),
            f"ablation-{kind}": ablations(ablation_results.only(real=True), kind, VARIANTS).to_rst(
                f"R2 of a variant minus that of the default, {kind} folds"
            ),
        }
    tables = ablation_results.only(real=True)
    found["left-out"] = left_out(tables, VARIANTS).to_rst(
        "R2 of a variant minus that of the default, mean of both kinds of folds"
    )
    worlds = ablations(ablation_results.only(real=False), "random", VARIANTS)
    found["ablation-worlds"] = worlds.to_rst("The same on simulated surveys, random folds")
    found["cost"] = cost(skill_results).to_rst("Seconds of a fit, random folds, one thread")
    return {f"{name}.rst": text for name, text in found.items()}


def main() -> None:
    """Print or write all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--check", action="store_true", help="only what is aimed at")
    parser.add_argument("--write", action="store_true", help="write the tables of the docs")
    options = parser.parse_args()
    results = Results(options.records / "skill")
    if options.write:
        folder = Path(__file__).resolve().parent.parent / "docs" / "measured"
        folder.mkdir(exist_ok=True)
        others = (Results(options.records / name) for name in ("ablation", "uncertainty"))
        tables = documents(results, *others)
        title = "Variance of SpTGNN on simulated surveys"
        tables["known.rst"] = known(options.records / "known-3000.json").to_rst(title)
        if measured := speed(options.records / "speed"):
            tables["speed.rst"] = measured
        if mapped := list(options.records.glob("maps-*.json")):
            largest = max(mapped, key=lambda path: int(path.stem.removeprefix("maps-")))
            tables["maps.rst"] = maps(largest).to_rst("What a map takes")
        for path in sorted(options.records.glob("ties-*.json")):
            table = _short(path.stem.removeprefix("ties-"))
            tables[f"ties-{table}.rst"] = ties(path).to_rst(f"{table}, as stated and otherwise")
        for name, text in tables.items():
            (folder / name).write_text(text, encoding="utf-8")
            print(folder / name)
        return
    if not options.check:
        for folds in FOLDS:
            for name, make in (
                ("R2", skill),
                ("R2 of SpTGNN minus that of others", differences),
                ("Moran's I of residuals", residual_structure),
            ):
                print(f"\n{folds} folds, {name}\n\n{make(results, folds).to_markdown()}")
        stated = Results(options.records / "uncertainty")
        for folds in FOLDS:
            for score, title in HONESTY.items():
                print(f"\n{folds} folds, {title}\n\n{honesty(stated, folds, score).to_markdown()}")
        print(f"\nseconds of a fit\n\n{cost(results).to_markdown()}")
    print("\n" + "\n".join(aims(results)))


if __name__ == "__main__":
    main()
