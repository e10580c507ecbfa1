"""Coverage of estimates of zones and of their change, in worlds with known errors.

    python -m benchmarks.space_time_worlds            # 750 worlds; about an hour, resumes
    python -m benchmarks.space_time_worlds --write    # the tables of the documentation

Each world has a survey of 300 rows and four zones whose true means are known at two dates. The
unknown part of the target is a field that stays, and in half of the worlds one that fades in time;
locations are visited once or twice, and campaigns have shifts or none. Intervals of the model are
compared with those of two wrong assumptions: errors that are independent between cells, and errors
that are correlated in space and never change.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from sptgnn_sklearn import NetworkConfig, SpTGNNRegressor
from sptgnn_sklearn.estimation import (
    UncertainValue,
    estimate,
    estimate_change,
    estimate_stock,
    estimate_stock_change,
)
from sptgnn_sklearn.uncertainty.error_correlogram import ErrorCorrelogram, matern_correlation

from .experiments import RECORDS_DIR
from .text_table import TextTable

_N_SAMPLES = 300
_SIDE = 12  # cells of the map along each axis
_EXTENT, _RANGE, _TIME_RANGE = 100.0, 40.0, 8.0  # km and years
_FIRST_YEAR, _N_YEARS, _N_CAMPAIGNS = 2005, 16, 8
_DATES = (2008.5, 2016.5)
_FIELD_SD, _NOISE_SD, _SHIFT_SD = 2.0, 1.5, 1.0
_BULK_DENSITY = UncertainValue(1.3, 0.05)
_STOCK = {"bulk_density": _BULK_DENSITY, "thickness": 30, "content_unit": "g/kg"}
_CELL_AREA = 7.0
_COVERAGE, _LEVEL = 0.9, 0.05
_N_DRAWS = 200
_WRONG_EVERY = 2  # worlds of which every so many are estimated under the wrong assumptions
_MARGIN = 0.03  # of the limits of coverage
_PAGE = Path(__file__).parents[1] / "docs" / "measured" / "space-time-worlds.rst"


@dataclass(frozen=True)
class WorldKind:
    """Properties of a world.

    Attributes
    ----------
    fades : bool
        Whether half of the variance of the field fades in time; otherwise no zone changes.
    revisits : bool
        Whether each location is sampled twice, eight years apart.
    shifts : bool
        Whether campaigns of two years have shifts.
    """

    fades: bool
    revisits: bool
    shifts: bool

    @property
    def name(self) -> str:
        """Name in tables."""
        parts = (
            "fading field" if self.fades else "no change",
            "two visits" if self.revisits else "one visit",
            *(["shifts"] if self.shifts else []),
        )
        return ", ".join(parts)


KINDS = [WorldKind(*flags) for flags in product((False, True), repeat=3)]
_N_STILL = len(KINDS) // 2  # kinds without change, which come first


def kind_of(seed: int) -> WorldKind:
    """Return the kind of a world: two of three have no change, for the count of false changes."""
    return KINDS[seed % (len(KINDS) + _N_STILL) % len(KINDS)]


@dataclass(frozen=True)
class World:
    """Survey and cells of a world.

    Attributes
    ----------
    X : DataFrame of 300 rows
        x and y in km, two covariates, year and campaign.
    y : ndarray
        Measured values, g/kg.
    cells : DataFrame
        x, y, covariates and zone.
    truth : ndarray of shape (2, n_cells)
        True values at both dates.
    """

    X: pd.DataFrame
    y: np.ndarray
    cells: pd.DataFrame
    truth: np.ndarray


def make_world(kind: WorldKind, seed: int) -> World:
    """Simulate a world exactly, by the Cholesky factor of the covariance of all its points."""
    rng = np.random.default_rng(seed)
    n = _N_SAMPLES // 2 if kind.revisits else _N_SAMPLES
    places = rng.uniform(0, _EXTENT, (n, 2))
    years = _FIRST_YEAR + _N_YEARS * rng.uniform(size=n)
    if kind.revisits:
        first = _FIRST_YEAR + _N_YEARS / 2 * rng.uniform(size=n)
        places, years = np.tile(places, (2, 1)), np.r_[first, first + _N_YEARS / 2]
    axis = (np.arange(_SIDE) + 0.5) * _EXTENT / _SIDE
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    points = np.r_[places, grid, grid]
    times = np.r_[years, np.full(len(grid), _DATES[0]), np.full(len(grid), _DATES[1])]

    space = matern_correlation(np.linalg.norm(points[:, None] - points, axis=-1), _RANGE)
    lag = np.abs(times[:, None] - times)
    temporal = 0.5 + 0.5 * np.exp(-3 * lag / _TIME_RANGE) if kind.fades else np.ones_like(lag)
    factor = np.linalg.cholesky(space * temporal + 1e-8 * np.eye(len(points)))
    field = _FIELD_SD * factor @ rng.normal(size=len(points))
    smooth = np.linalg.cholesky(space**4 + 1e-8 * np.eye(len(points)))
    # Covariates depend on the place alone: those of one place are equal at all its points.
    _, index = np.unique(points, axis=0, return_inverse=True)
    first = np.unique(index, return_index=True)[1]
    covariates = (smooth @ rng.normal(size=(len(points), 2)))[first][index]
    effect = 2.0 * np.sin(1.5 * covariates[:, 0]) + 1.5 * covariates[:, 1]
    value = 25.0 + effect + field

    m = len(grid)
    campaign = ((years - _FIRST_YEAR) * _N_CAMPAIGNS / _N_YEARS).astype(int)
    shift = rng.normal(0, _SHIFT_SD if kind.shifts else 0.0, _N_CAMPAIGNS)[campaign]
    n_rows = len(years)
    y = value[:n_rows] + shift + rng.normal(0, _NOISE_SD, n_rows)
    X = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "year": years})
    X[["a", "b"]] = covariates[:n_rows]
    if kind.shifts:
        X["campaign"] = [f"campaign {number}" for number in campaign]
    cells = pd.DataFrame({"x": grid[:, 0], "y": grid[:, 1]})
    cells[["a", "b"]] = covariates[n_rows : n_rows + m]
    quarter = (grid > _EXTENT / 2) @ [1, 2]
    cells["zone"] = pd.Series(quarter).map(dict(enumerate(["SW", "SE", "NW", "NE"])))
    return World(X, y, cells, value[n_rows:].reshape(2, m))


def fit_model(world: World, seed: int) -> SpTGNNRegressor:
    """Fit a small model."""
    model = SpTGNNRegressor(
        time="year",
        campaign="campaign" if "campaign" in world.X else None,
        base_estimator="gaussian_process",
        network=NetworkConfig(hidden_size=16),
        n_estimators=2,
        max_epochs=12,
        random_state=seed,
    )
    return model.fit(world.X, world.y)


def with_correlogram(model: SpTGNNRegressor, correlogram: ErrorCorrelogram) -> SpTGNNRegressor:
    """Return a model with another correlation of errors."""
    found = model.__class__(**model.get_params(deep=False))
    found.__dict__.update(model.__dict__)
    postprocessor = replace(model.ensemble_.postprocessor, correlation=correlogram)
    found.ensemble_ = replace(model.ensemble_, postprocessor=postprocessor)
    return found


def score_world(seed: int) -> dict[str, Any]:
    """Fit a survey; return in which zones intervals contain the truth, by estimate."""
    kind = kind_of(seed)
    world = make_world(kind, seed)
    model = fit_model(world, seed)
    cells, zones = world.cells, world.cells["zone"]
    options: dict[str, Any] = {"coverage": _COVERAGE, "n_samples": _N_DRAWS}
    rng = np.random.default_rng([seed, 1])
    density = rng.normal(_BULK_DENSITY.mean, _BULK_DENSITY.std)
    means = pd.DataFrame(world.truth.T).groupby(zones.to_numpy()).mean()
    per_area = means * density * _STOCK["thickness"] / 10  # t/ha
    at_second = cells.assign(year=_DATES[1])
    area = _CELL_AREA * zones.value_counts().sort_index()

    draws = {"n_samples": _N_DRAWS}

    def change(model: SpTGNNRegressor, level: float = _COVERAGE) -> pd.DataFrame:
        return estimate_change(model, *_DATES, "zone", cells=cells, coverage=level, **draws)

    found = {
        "mean": (estimate(model, at_second, "zone", **options), means[1]),
        "total": (
            estimate(model, at_second, "zone", weights=_CELL_AREA, statistic="total", **options),
            means[1] * area,
        ),
        "change": (change(model), means[1] - means[0]),
        "stock": (estimate_stock(model, at_second, "zone", **_STOCK, **options), per_area[1]),
        "stock change": (
            estimate_stock_change(model, *_DATES, "zone", cells=cells, **_STOCK, **options),
            per_area[1] - per_area[0],
        ),
    }
    fitted = model.ensemble_.postprocessor.correlation
    wrong = {
        "independent errors": ErrorCorrelogram(0.0, 1.0),
        "errors in space only": ErrorCorrelogram(fitted.share, fitted.practical_range),
    }
    if seed // (len(KINDS) + _N_STILL) % _WRONG_EVERY:
        wrong = {}
    for name, correlogram in wrong.items():
        other = with_correlogram(model, correlogram)
        found[f"mean, {name}"] = (estimate(other, at_second, "zone", **options), means[1])
        found[f"change, {name}"] = (change(other), means[1] - means[0])
    zone = seed % 4
    scores = {}
    for name, (table, truth) in found.items():
        table, truth = table.sort_index(), truth.sort_index()
        inside = (table["lower"] <= truth) & (truth <= table["upper"])
        scores[name] = {
            "in zone": bool(inside.iloc[zone]),
            "zones": int(inside.sum()),
            "squared": float(np.mean(((table["estimate"] - truth) / table["std"]) ** 2)),
        }
    tested = change(model, 1 - _LEVEL)
    significant = (tested["lower"] > 0) | (tested["upper"] < 0)
    queries = at_second.reindex(columns=model.feature_names_in_)
    error = model.predict(queries) - world.truth[1]
    return {
        "seed": seed,
        "kind": kind.name,
        "r2": round(1 - float(np.mean(error**2) / np.var(world.truth[1])), 3),
        "estimates": scores,
        "significant": [bool(significant.sort_index().iloc[zone]), int(significant.sum())],
        "share": round(fitted.share, 3),
        "campaign_share": round(fitted.campaign_share, 3),
    }


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the worlds of a file of one JSON object a line, by seed."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return sorted((json.loads(line) for line in lines if line), key=lambda one: one["seed"])


def coverage_limits(n: int) -> tuple[float, float]:
    """Return exact 99 % limits of the coverage in n worlds, each wider by 3 points.

    Examples
    --------
    >>> from benchmarks.space_time_worlds import coverage_limits
    >>> low, high = coverage_limits(500)
    >>> round(low, 3), round(high, 3)
    (0.834, 0.962)
    """
    low, high = binom.ppf([0.005, 0.995], n, _COVERAGE) / n
    return float(low - _MARGIN), float(high + _MARGIN)


def summarize(records: list[dict[str, Any]]) -> TextTable:
    """Return a row for each estimate: coverage, its limits, and standardized errors."""
    names = {name: None for record in records for name in record["estimates"]}
    rows = []
    for name in names:
        found = [record["estimates"][name] for record in records if name in record["estimates"]]
        n = len(found)
        coverage = sum(one["in zone"] for one in found) / n
        low, high = coverage_limits(n)
        rows.append(
            [
                name,
                str(n),
                f"{coverage:.3f}",
                f"{sum(one['zones'] for one in found) / (4 * n):.3f}",
                f"{low:.3f} to {high:.3f}",
                "yes" if low <= coverage <= high else "no",
                f"{np.sqrt(np.mean([one['squared'] for one in found])):.2f}",
            ]
        )
    columns = ["estimate", "worlds", "coverage, one zone", "coverage, four zones"]
    return TextTable([*columns, "limits", "within", "RMS of error / std"], rows)


def summarize_kinds(records: list[dict[str, Any]]) -> TextTable:
    """Return a row for each kind of world: R2, coverage in four zones and false changes."""
    rows = []
    for kind in KINDS:
        found = [record for record in records if record["kind"] == kind.name]
        if not found:
            continue
        shares = [
            f"{sum(one['estimates'][name]['zones'] for one in found) / (4 * len(found)):.3f}"
            for name in ("mean", "change", "stock", "stock change")
        ]
        significant = sum(one["significant"][1] for one in found) / (4 * len(found))
        rows.append(
            [
                kind.name,
                str(len(found)),
                f"{np.mean([one['r2'] for one in found]):.2f}",
                *shares,
                "–" if kind.fades else f"{significant:.3f}",
            ]
        )
    columns = ["world", "worlds", "R²", "mean", "change", "stock", "stock change"]
    return TextTable([*columns, "false changes"], rows)


def false_changes(records: list[dict[str, Any]]) -> tuple[int, int]:
    """Return the number of significant changes of one zone, and of worlds without change."""
    still = [one for one in records if one["kind"].startswith("no change")]
    return sum(one["significant"][0] for one in still), len(still)


def main() -> None:
    """Score further worlds, or write the tables of those recorded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=750, help="number of worlds")
    parser.add_argument("--write", action="store_true", help="write the tables, score nothing")
    parser.add_argument("--out", type=Path, default=RECORDS_DIR / "space-time-worlds.jsonl")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if not options.write:
        known = {record["seed"] for record in read_records(options.out)}
        for seed in range(options.seeds):
            if seed not in known:
                record = json.dumps(score_world(seed))
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(record + "\n")
    records = read_records(options.out)
    tables = {
        "Coverage of 90 % intervals in all worlds": summarize(records),
        "By kind of world": summarize_kinds(records),
    }
    n_false, n_still = false_changes(records)
    text = (
        f"Of {n_still} worlds without change, {n_false} ({n_false / n_still:.1%}) had a change "
        "that was significant at 5 %."
    )
    print(*(table.to_markdown() for table in tables.values()), text, sep="\n\n")
    if options.write:
        parts = [table.to_rst(title) for title, table in tables.items()]
        _PAGE.write_text("\n".join([*parts, text + "\n"]), encoding="utf-8")


if __name__ == "__main__":
    main()
