"""Tables of the benchmark records: accuracy, ranks, differences with intervals, and calibration.

    python -m benchmarks.report            # print all tables
    python -m benchmarks.report --wide     # print those of the wide set of tables
    python -m benchmarks.report --check    # print a summary of SpTGNN against its baselines
    python -m benchmarks.report --write    # write the tables of the documentation

Scores are means over the recorded seeds. Two models are compared by fold: the difference in each
fold is averaged over seeds, and the interval is that of Student's t over folds.
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

from .baselines import MODEL_AVERAGES
from .coverage_report import coverage_tables
from .experiments import RECORDS_DIR
from .headline import headline_rst, mean_scores
from .regret import Cell, regret_cells, regret_summary, regret_table
from .simulated_surveys import SIMULATED_SURVEYS
from .speed_report import speed_tables
from .tables import FOLD_KINDS
from .text_table import TextTable
from .variants import VARIANTS

DEFAULT = "sptgnn"
_NETWORK = "sptgnn_network"  # without the base estimator
LABELS = {
    "sptgnn": "SpTGNN",
    "sptgnn_network": "SpTGNN, base_estimator=None",
    "mean_of_four_tree_models": "mean of four tree models",
    "xgboost_tuned": "XGBoost, tuned",
    "xgboost": "XGBoost",
    "xgboost_neighbors": "XGBoost, neighbor features",
    "random_forest": "random forest",
    "extra_trees_neighbors": "extra-trees, neighbor features",
    "quantile_forest": "quantile forest",
    "gpboost": "GPBoost",
    "regression_kriging": "regression kriging",
    "mlp_ensemble": "MLP ensemble",
    "catboost": "CatBoost",
    "lightgbm": "LightGBM",
    "kriging_prior_catboost": "kriging prior, CatBoost",
    "kriging_prior_forest": "kriging prior, random forest",
    "spatial_basis_forest": "spatial basis functions, random forest",
    "gaussian_process": "additive Gaussian process",
    "tabm": "TabM",
    "realmlp": "RealMLP",
    "tabicl": "TabICL",
    "tabpfn": "TabPFN",
    "kriging_prior_tabicl": "kriging prior, TabICL",
    "kriging_prior_tabpfn": "kriging prior, TabPFN",
}
PROBABILISTIC_LABELS = {
    "sptgnn": 'SpTGNN, calibration="quantile"',
    "sptgnn_conformal": "SpTGNN, predict_interval",
    "sptgnn_scale": 'SpTGNN, calibration="scale"',
    "sptgnn_uncalibrated": "SpTGNN, calibration=None",
    "quantile_forest": "quantile forest",
    "ngboost": "NGBoost",
    "mapie_xgboost": "MAPIE on XGBoost",
    "gpboost": "GPBoost",
}
CALIBRATION_SCORES = {
    "ece": "Expected calibration error",
    "coverage_90%": "Coverage of the central 90 % interval",
    "below_05": "Share of observations below the central 90 % interval",
    "above_95": "Share of observations above the central 90 % interval",
    "crps": "CRPS, modeling scale",
    "interval_score_90": "Interval score of the central 90 % interval, modeling scale",
}
CONFIDENCE = 0.95  # of intervals of differences
_MISSING = "–"


@dataclass(frozen=True)
class Difference:
    """Difference in R2 between two models, with its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class Results:
    """Entries of a folder of records by table, folds, model and seed, for all or some tables.

    Experiments that were stopped by their time limit have no scores and are left out.
    """

    def __init__(self, folder: Path, tables: Container[str] | None = None):
        self.entries: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
        self.n_rows: dict[str, int] = {}
        for path in sorted(folder.glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            if tables is not None and record["table"] not in tables:
                continue
            for entry in record["results"]:
                if "time_limit_seconds" in entry:
                    continue
                key = record["table"], entry["folds"], entry["model"]
                self.entries.setdefault(key, {})[record["seed"]] = entry
                self.n_rows[record["table"]] = sum(part["rows"] for part in entry["parts"])

    def subset(self, *, simulated: bool) -> Results:
        """Return the results of simulated surveys or those of real tables."""
        result = copy(self)
        result.n_rows = {
            name: n for name, n in self.n_rows.items() if (name in SIMULATED_SURVEYS) == simulated
        }
        return result

    @property
    def tables(self) -> list[str]:
        """Tables by increasing number of rows."""
        return sorted(self.n_rows, key=lambda name: (self.n_rows[name], name))

    def models(self, order: Sequence[str]) -> list[str]:
        """Return the models on record in this order, followed by all others."""
        recorded = {model for _, _, model in self.entries}
        return [m for m in order if m in recorded] + sorted(recorded - set(order))

    def n_seeds(self, table: str, folds: str, model: str) -> int:
        """Return the number of recorded seeds."""
        return len(self.entries.get((table, folds, model), {}))

    def score(self, table: str, folds: str, model: str, name: str = "R2") -> float:
        """Return the mean of a score over seeds, NaN without a record."""
        entries = self.entries.get((table, folds, model), {}).values()
        return float(np.mean([entry[name] for entry in entries])) if entries else float("nan")

    def fit_seconds(self, table: str, folds: str, model: str) -> float:
        """Return the mean wall time of a fit."""
        entries = self.entries.get((table, folds, model), {}).values()
        times = [part["fit_seconds"] for entry in entries for part in entry["parts"]]
        return float(np.mean(times)) if times else float("nan")

    def difference(self, table: str, folds: str, model: str, reference: str) -> Difference | None:
        """Return the R2 of a model minus that of a reference, over their common seeds."""
        entries, references = (
            self.entries.get((table, folds, name), {}) for name in (model, reference)
        )
        seeds = sorted(set(entries) & set(references))
        if not seeds:
            return None
        gains = np.mean([_fold_gains(entries[seed], references[seed]) for seed in seeds], axis=0)
        quantile = student.ppf(CONFIDENCE / 2 + 0.5, len(gains) - 1)
        half_width = gains.std(ddof=1) / np.sqrt(len(gains)) * quantile
        return Difference(gains.mean(), gains.mean() - half_width, gains.mean() + half_width)

    def rank(self, table: str, folds: str, model: str, competitors: Iterable[str]) -> float:
        """Return the rank of a model by R2 among competitors, 1 for the best; NaN if unrecorded."""
        own = self.score(table, folds, model)
        others = [self.score(table, folds, other) for other in competitors if other != model]
        return float("nan") if np.isnan(own) else 1 + sum(value > own for value in others)


def _fold_gains(entry: dict[str, Any], reference: dict[str, Any]) -> np.ndarray:
    """Return the contribution of each fold to the difference in R2, times the number of folds."""
    errors, reference_errors = (
        {part["fold"]: part["squared_error"] for part in one["parts"]} for one in (entry, reference)
    )
    gains = [reference_errors[fold] - errors[fold] for fold in sorted(errors)]
    return len(gains) * np.array(gains) / entry["total_square"]


def skill_table(results: Results, folds: str) -> TextTable:
    """R2 of each model on each table, with the mean and the mean rank among single models.

    Mean and rank need a score on every table. Averages of several models and the network alone
    have no rank.
    """
    tables = results.tables
    models = results.models(list(LABELS))
    single = [model for model in models if model not in MODEL_AVERAGES and model != _NETWORK]
    rows = []
    for model in models:
        values = [results.score(table, folds, model) for table in tables]
        ranks = [results.rank(table, folds, model, single) for table in tables]
        complete = not np.isnan(values).any()
        rank = f"{np.mean(ranks):.2f}" if complete and model in single else _MISSING
        mean = f"{np.mean(values):.3f}" if complete else _MISSING
        rows.append([LABELS.get(model, model), mean, rank, *_format(values, 3)])
    return TextTable(["model", "mean", "mean rank", *map(_short_name, tables)], rows)


def difference_table(results: Results, folds: str, model: str = DEFAULT) -> TextTable:
    """R2 of a model minus that of each other model, with intervals."""
    tables = [table for table in results.tables if (table, folds, model) in results.entries]
    rows = []
    for other in results.models(list(LABELS)):
        if other == model:
            continue
        found = [results.difference(table, folds, model, other) for table in tables]
        cells = (_MISSING if difference is None else str(difference) for difference in found)
        rows.append([LABELS.get(other, other), *cells])
    return TextTable(["other model", *map(_short_name, tables)], rows)


def ablation_differences(results: Results, folds: str, variants: Iterable[str]) -> TextTable:
    """R2 of each variant on record minus that of the first one, with intervals and the mean."""
    default, *others = variants
    tables = [table for table in results.tables if (table, folds, default) in results.entries]
    rows = []
    for name in others:
        found = [results.difference(table, folds, name, default) for table in tables]
        means = [difference.mean for difference in found if difference is not None]
        if not means:  # not on record
            continue
        mean = f"{np.mean(means):+.3f}"
        cells = (_MISSING if difference is None else str(difference) for difference in found)
        rows.append([name, mean, *cells])
    values = [f"{results.score(table, folds, default):.3f}" for table in tables]
    rows.insert(0, [f"{default}, R2", _MISSING, *values])
    return TextTable(["variant", "mean", *map(_short_name, tables)], rows)


def leave_one_table_out(results: Results, variants: Iterable[str]) -> TextTable:
    """Mean R2 difference of each variant over both kinds of folds and all tables but one.

    A choice that does not depend on the tables it was made on has the same sign whichever table is
    left out.
    """
    default, *others = variants
    rows = []
    for name in others:
        gains = [
            np.mean([found.mean for found in both if found is not None])
            for table in results.tables
            if any(both := [results.difference(table, kind, name, default) for kind in FOLD_KINDS])
        ]
        if len(gains) < 2:
            continue
        means = [(sum(gains) - gain) / (len(gains) - 1) for gain in gains]
        values = [np.mean(gains), min(means), max(means)]
        rows.append([name, *(f"{value:+.4f}" for value in values)])
    columns = ["variant", "all tables", "lowest, one table left out", "highest, one table left out"]
    return TextTable(columns, rows)


def moran_table(results: Results, folds: str) -> TextTable:
    """Moran's I of the residuals of each model on each table."""
    tables = results.tables
    rows = []
    for model in results.models(list(LABELS)):
        values = [results.score(table, folds, model, "moran_i") for table in tables]
        rows.append([LABELS.get(model, model), *_format(values, 3)])
    return TextTable(["model", *map(_short_name, tables)], rows)


def calibration_table(results: Results, folds: str, score: str) -> TextTable:
    """One score of predicted uncertainty for each model on each table."""
    rows = []
    for model in results.models(list(PROBABILISTIC_LABELS)):
        entries = [results.entries.get((table, folds, model), {}) for table in results.tables]
        scores = [[e[score] for e in by_seed.values() if score in e] for by_seed in entries]
        if any(scores):
            values = [np.mean(values) if values else np.nan for values in scores]
            rows.append([PROBABILISTIC_LABELS.get(model, model), *_format(values, 3)])
    return TextTable(["model", *map(_short_name, results.tables)], rows)


def known_variance_table(record: Path) -> TextTable:
    """Predicted variance compared with that of an oracle, on simulated surveys."""
    found = json.loads(record.read_text(encoding="utf-8"))
    labels = {
        "correlation_with_oracle": "correlation with the oracle's variance",
        "variance_over_oracle": "mean variance / mean of the oracle's variance",
        "variance_over_squared_error": "mean variance / mean squared error",
        "correlation_of_aleatoric_and_noise": "correlation of aleatoric part and noise",
    }
    rows = [
        [survey, *_format([scores[name] for name in labels], 2)] for survey, scores in found.items()
    ]
    return TextTable(["survey", *labels.values()], rows)


def measurement_error_table(record: Path) -> TextTable:
    """Predictions of simulated surveys with and without known measurement errors."""
    found = json.loads(record.read_text(encoding="utf-8"))
    labels = {
        "r2_smooth": "R2 of the smooth function",
        "std_over_rmse": "predicted std / RMSE of true values",
        "coverage_true": "coverage of true values",
        "coverage_exact": "coverage of measurements without error",
        "coverage_noisy": "coverage of measurements with error",
    }
    rows = [
        [case, *_format([scores[name] for name in labels], 2)] for case, scores in found.items()
    ]
    return TextTable(["survey", *labels.values()], rows)


def map_table(record: Path) -> TextTable:
    """Time and memory of a large map, and differences at block edges."""
    found = json.loads(record.read_text(encoding="utf-8"))
    check = found["other_block_size"]
    rows = [
        ["cells", f"{found['cells']:,}"],
        ["covariates, layers", f"{found['covariates']}, {' and '.join(found['layers'])}"],
        ["threads", str(found["threads"])],
        ["training rows, ensemble members", f"{found['rows']:,}, {found['n_estimators']}"],
        ["minutes", f"{found['map_s'] / 60:.1f}"],
        ["cells per second", f"{found['cells_per_s']:,.0f}"],
        ["peak memory above imports, MiB", f"{found['peak_mb_above_imports']:,.0f}"],
        ["file, MiB", f"{found['file_mb']:,.0f}"],
    ]
    for name in found["layers"]:
        share = check[f"{name}_largest_difference"] / check[f"{name}_spread"]
        rows += [
            [
                f"{name}: largest difference to a map with another block size, in standard "
                "deviations",
                f"{share:.0g}",
            ],
            [
                f"{name}: mean step at block edges / mean step elsewhere",
                f"{check[f'{name}_step_ratio_at_block_edges']:.3f}",
            ],
        ]
    return TextTable(["quantity", "value"], rows)


def discrete_target_table(record: Path) -> TextTable:
    """Scores for a target with few distinct values, of discrete and continuous predictions."""
    found = json.loads(record.read_text(encoding="utf-8"))
    labels = {
        "crps": "CRPS",
        "interval_score_90": "interval score, 90 %",
        "ece": "ECE",
        "coverage_90%": "coverage, 90 %",
        "rmse_of_mean": "RMSE of the mean",
        "mae_of_median": "MAE of the median",
    }
    rows = [
        [f"{kind}: {form}", *_format([scores[name] for name in labels], 3)]
        for kind in FOLD_KINDS
        for form, scores in found.get(kind, {}).items()
    ]
    return TextTable(["folds: model", *labels.values()], rows)


def fit_time_table(results: Results) -> TextTable:
    """Mean seconds of a fit; only ratios within a column are comparable."""
    rows = []
    for model in results.models(list(LABELS)):
        values = [results.fit_seconds(table, FOLD_KINDS[0], model) for table in results.tables]
        rows.append([LABELS.get(model, model), *_format(values, 1)])
    return TextTable(["model", *map(_short_name, results.tables)], rows)


def summary(results: Results) -> list[str]:
    """Return differences to the main baselines, ranks and residual autocorrelation, one a line."""
    single = [m for m in results.models([]) if m not in (*MODEL_AVERAGES, DEFAULT, _NETWORK)]
    lines = []
    ranks, losses = [], []
    for folds in FOLD_KINDS:
        tables = [table for table in results.tables if (table, folds, DEFAULT) in results.entries]
        for other in ("xgboost_tuned", "mean_of_four_tree_models"):
            gains = [
                results.score(table, folds, DEFAULT) - results.score(table, folds, other)
                for table in tables
                if results.n_seeds(table, folds, other)
            ]
            if gains:
                lines.append(
                    f"{folds} folds: {np.mean(gains):+.3f} relative to {LABELS[other]}, "
                    f"better on {sum(gain > 0 for gain in gains)} of {len(gains)} tables"
                )
        gains = [
            results.score(table, folds, _NETWORK) - results.score(table, folds, "xgboost_tuned")
            for table in tables
        ]
        gains = [gain for gain in gains if not np.isnan(gain)]
        if gains:
            lines.append(
                f"{folds} folds: network alone {np.mean(gains):+.3f} relative to XGBoost, tuned"
            )
        for table in tables:
            ranks.append(results.rank(table, folds, DEFAULT, single))
            scores = {model: results.score(table, folds, model) for model in single}
            best = max((m for m in scores if not np.isnan(scores[m])), key=lambda m: scores[m])
            gain = results.difference(table, folds, DEFAULT, best)
            if gain is not None and gain.mean < 0:
                losses.append(
                    f"worse: {table}, {folds} folds: {gain} relative to {LABELS.get(best, best)}"
                )
    if ranks:
        lines.append(
            f"mean rank among single models {np.mean(ranks):.2f} over {len(ranks)} "
            "pairs of table and folds"
        )
    lines += regret_summary(default_cells(results))
    lines += losses
    for table in results.tables:
        moran = {
            model: results.score(table, "random", model, "moran_i")
            for model in (DEFAULT, "xgboost_tuned", "xgboost")
        }
        text = ", ".join(f"{LABELS[model]} {value:+.3f}" for model, value in moran.items())
        lines.append(f"Moran's I of residuals, random folds, {table}: {text}")
    return lines


def leaderboard(results: Results, fold_kinds: Iterable[str] = FOLD_KINDS) -> str:
    """Return the R2 of all models as Markdown."""
    return "\n\n".join(
        f"{kind} folds, R2\n\n{skill_table(results, kind).to_markdown()}" for kind in fold_kinds
    )


def _short_name(table: str) -> str:
    return table.removeprefix("limesoda_").split("_")[0]


def _format(values: Iterable[float], digits: int) -> list[str]:
    return [_MISSING if np.isnan(value) else f"{value:.{digits}f}" for value in values]


def documentation_tables(
    skill_results: Results, ablation_results: Results, uncertainty_results: Results
) -> dict[str, str]:
    """Return the tables of the documentation by file name."""
    real = ablation_results.subset(simulated=False)
    simulated = ablation_results.subset(simulated=True)
    tables = {}
    for kind in FOLD_KINDS:
        tables[f"calibration-{kind}"] = "\n".join(
            calibration_table(uncertainty_results, kind, score).to_rst(title)
            for score, title in CALIBRATION_SCORES.items()
        )
        tables |= {
            f"skill-{kind}": skill_table(skill_results, kind).to_rst(f"R2, {kind} folds"),
            f"differences-{kind}": difference_table(skill_results, kind).to_rst(
                f"R2 of SpTGNN minus that of another model, {kind} folds"
            ),
            f"moran-{kind}": moran_table(skill_results, kind).to_rst(
                f"Moran's I of the residuals, {kind} folds"
            ),
            f"ablation-{kind}": ablation_differences(real, kind, VARIANTS).to_rst(
                f"R2 of a variant minus that of the default, {kind} folds"
            ),
        }
    tables["leave-one-table-out"] = leave_one_table_out(real, VARIANTS).to_rst(
        "R2 of a variant minus that of the default, mean of both kinds of folds"
    )
    tables["ablation-simulated"] = ablation_differences(simulated, "random", VARIANTS).to_rst(
        "R2 of a variant minus that of the default, simulated surveys, random folds"
    )
    tables["fit-time"] = fit_time_table(skill_results).to_rst(
        "Fit time in seconds, random folds, one thread"
    )
    return {f"{name}.rst": text for name, text in tables.items()}


def write_documentation(records: Path, folder: Path) -> None:
    """Write the tables of all records as reStructuredText."""
    folder.mkdir(exist_ok=True)
    tables = documentation_tables(
        *(Results(records / name) for name in ("skill", "ablation", "uncertainty"))
    )
    tables["known-variance.rst"] = known_variance_table(
        records / "known-variance-3000.json"
    ).to_rst("Predicted and known variance on simulated surveys")
    tables["measurement-error.rst"] = measurement_error_table(
        records / "measurement-error.json"
    ).to_rst("90 % intervals with and without known measurement errors")
    small = Results(records / "ablation-small")
    for kind in FOLD_KINDS:
        differences = ablation_differences(small, kind, VARIANTS)
        tables[f"ablation-small-{kind}.rst"] = differences.to_rst(
            f"R2 of a variant minus that of the default, small surveys, {kind} folds"
        )
    fields = regret_table(default_cells(Results(records / "limesoda")), LABELS, DEFAULT)
    tables["fields.rst"] = fields.to_rst("R2 on fields of 72 to 250 samples, one seed")
    if speed := speed_tables(records / "speed"):
        tables["speed.rst"] = speed
    if coverage := coverage_tables(records / "group-coverage"):
        tables["group-coverage.rst"] = coverage
    if maps := list(records.glob("maps-*.json")):
        largest = max(maps, key=lambda path: int(path.stem.removeprefix("maps-")))
        tables["headline.rst"] = headline(records, largest)
        tables["maps.rst"] = map_table(largest).to_rst("Time and memory of a large map")
    for path in sorted(records.glob("discrete-target-*.json")):
        name = _short_name(path.stem.removeprefix("discrete-target-"))
        tables[f"discrete-target-{name}.rst"] = discrete_target_table(path).to_rst(
            f"Scores on {name}, whose target has few distinct values"
        )
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


def headline(records: Path, map_record: Path) -> str:
    """Return the three figures of the first page of the site."""
    skill, uncertainty = (Results(records / name) for name in ("skill", "uncertainty"))
    single = [m for m in skill.models(list(LABELS)) if m not in (*MODEL_AVERAGES, _NETWORK)]
    scores = {
        LABELS[model]: [skill.score(table, "block", model) for table in skill.tables]
        for model in single
    }
    coverages = [
        uncertainty.score(table, "block", "sptgnn_conformal", "coverage_90%")
        for table in uncertainty.tables
    ]
    return headline_rst(mean_scores(scores), LABELS[DEFAULT], coverages, map_record)


def default_cells(results: Results) -> dict[tuple[str, str], Cell]:
    """Compare the default model with its single baselines on each table and kind of folds."""
    return regret_cells(results.entries, DEFAULT, (_NETWORK, *MODEL_AVERAGES))


def print_tables(results: Results, uncertainty_results: Results) -> None:
    """Print the tables of accuracy, calibration and fit time."""
    for folds in FOLD_KINDS:
        for title, make_table in (
            ("R2", skill_table),
            ("R2 of SpTGNN minus that of another model", difference_table),
            ("Moran's I of the residuals", moran_table),
        ):
            print(f"\n{folds} folds, {title}\n\n{make_table(results, folds).to_markdown()}")
    for folds in FOLD_KINDS:
        for score, title in CALIBRATION_SCORES.items():
            table = calibration_table(uncertainty_results, folds, score)
            print(f"\n{folds} folds, {title}\n\n{table.to_markdown()}")
    baselines = regret_table(default_cells(results), LABELS, DEFAULT)
    print(f"\nBest baselines and regret\n\n{baselines.to_markdown()}")
    print(f"\nFit time in seconds\n\n{fit_time_table(results).to_markdown()}")


def main() -> None:
    """Print or write all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, default=RECORDS_DIR)
    parser.add_argument("--wide", action="store_true", help="the wide set of tables instead")
    parser.add_argument("--fields", action="store_true", help="LimeSoDa's fields instead")
    parser.add_argument("--check", action="store_true", help="print the summary only")
    parser.add_argument("--write", action="store_true", help="write the documentation's tables")
    options = parser.parse_args()
    if options.write:
        docs = Path(__file__).resolve().parent.parent / "docs"
        write_documentation(options.records, docs / "measured")
        return
    folder = "limesoda" if options.fields else "wide" if options.wide else "skill"
    results = Results(options.records / folder)
    if not options.check:
        print_tables(results, Results(options.records / "uncertainty"))
    print("\n" + "\n".join(summary(results)))


if __name__ == "__main__":
    main()
