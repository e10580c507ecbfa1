"""Tables of one model against its baselines: ranks, regret, and the mean of the best three.

The regret of a model in a cell, which is a table and a kind of folds, is the R2 of the best single
baseline minus that of the model. With three or more seeds of all models the baseline is chosen
on all seeds but one and scored on that one, for each seed in turn; otherwise it is chosen on the
scores that it is compared by, which flatters it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from .text_table import TextTable

_N_BEST = 3
_SEEDS_FOR_SELECTION = 3
_MISSING = "–"
Scores = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Cell:
    """Model and baselines on one table and kind of folds.

    Attributes
    ----------
    own : float
        Mean R2 of the model over seeds.
    best : str
        Baseline with the highest mean R2.
    best_three : float
        Mean R2 of the three baselines with the highest mean R2, NaN if there are fewer.
    rank : int
        1 plus the number of baselines with a higher mean R2.
    n_models : int
        Baselines and the model.
    regret : float
    held_out : bool
        Whether the best baseline was chosen on other seeds than it was scored on.
    """

    own: float
    best: str
    best_three: float
    rank: int
    n_models: int
    regret: float
    held_out: bool


def compare(own: Scores, baselines: Mapping[str, Scores]) -> Cell:
    """Compare a model with its baselines in one cell.

    Parameters
    ----------
    own : dict of int to float
        R2 of the model by seed.
    baselines : dict of str to dict of int to float
        R2 by seed, of one baseline or more.
    """
    mean = float(np.mean(list(own.values())))
    means = {name: float(np.mean(list(scores.values()))) for name, scores in baselines.items()}
    ordered = sorted(means, key=lambda name: -means[name])
    best_three = float("nan")
    if len(ordered) >= _N_BEST:
        best_three = float(np.mean([means[name] for name in ordered[:_N_BEST]]))
    # A baseline that lacks a seed cannot be chosen on some and scored on another.
    complete = all(set(own) <= set(scores) for scores in baselines.values())
    held_out = len(own) >= _SEEDS_FOR_SELECTION and complete
    regret = means[ordered[0]] - mean
    if held_out:
        regret = float(np.mean([_held_out_regret(seed, own, baselines) for seed in own]))
    return Cell(
        own=mean,
        best=ordered[0],
        best_three=best_three,
        rank=1 + sum(value > mean for value in means.values()),
        n_models=1 + len(means),
        regret=regret,
        held_out=held_out,
    )


def _held_out_regret(seed: int, own: Scores, baselines: Mapping[str, Scores]) -> float:
    others = [other for other in own if other != seed]
    chosen = max(baselines, key=lambda name: np.mean([baselines[name][s] for s in others]))
    return baselines[chosen][seed] - own[seed]


def regret_cells(
    entries: Mapping[tuple[str, str, str], Mapping[int, Mapping[str, float]]],
    model: str,
    excluded: Collection[str],
) -> dict[tuple[str, str], Cell]:
    """Compare a model with its baselines on each table and kind of folds.

    Parameters
    ----------
    entries : dict
        Record entries by (table, folds, model) and seed, as in `benchmarks.report.Results`.
    model : str
    excluded : collection of str
        Models that are no single baselines.

    Returns
    -------
    dict of (table, folds) to Cell
        Cells with a score of the model and of at least one baseline.
    """
    scores = {
        key: {seed: entry["R2"] for seed, entry in by_seed.items()}
        for key, by_seed in entries.items()
    }
    cells = {}
    for table, folds, name in scores:
        if name != model:
            continue
        baselines = {
            other: scores[key]
            for key in scores
            if key[:2] == (table, folds) and (other := key[2]) not in (model, *excluded)
        }
        if baselines:
            cells[table, folds] = compare(scores[table, folds, model], baselines)
    return cells


def regret_table(
    cells: Mapping[tuple[str, str], Cell], labels: Mapping[str, str], model: str
) -> TextTable:
    """R2 beside the best baselines, rank and regret, by table and kind of folds."""
    rows = []
    for (table, folds), cell in cells.items():
        rows.append(
            [
                f"{table}, {folds}",
                f"{cell.own:.3f}",
                labels.get(cell.best, cell.best),
                _MISSING if np.isnan(cell.best_three) else f"{cell.best_three:.3f}",
                f"{cell.rank} of {cell.n_models}",
                f"{cell.regret:+.3f}",
                "yes" if cell.held_out else "no",
            ]
        )
    columns = [
        "table, folds",
        labels.get(model, model),
        "best baseline",
        "mean of the best three baselines",
        "rank",
        "regret",
        "baseline chosen on other seeds",
    ]
    return TextTable(columns, rows)


def regret_summary(cells: Mapping[tuple[str, str], Cell]) -> list[str]:
    """Return means over all cells, one line for each kind of folds."""
    lines = []
    for folds in dict.fromkeys(folds for _, folds in cells):
        found = [cell for (_, kind), cell in cells.items() if kind == folds]
        three = [cell for cell in found if not np.isnan(cell.best_three)]
        line = (
            f"{folds} folds, {len(found)} tables: mean rank "
            f"{np.mean([cell.rank for cell in found]):.2f}, mean regret against the best single "
            f"baseline of each table {np.mean([cell.regret for cell in found]):+.3f}, largest "
            f"{max(cell.regret for cell in found):+.3f}"
        )
        if three:
            own, others = (
                np.mean([getattr(cell, name) for cell in three]) for name in ("own", "best_three")
            )
            line += f"; mean R2 {own:.3f}, mean of the best three baselines {others:.3f}"
        lines.append(line)
    return lines
