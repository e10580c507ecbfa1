"""Tables that models are scored on, all in one convention.

A table is a Parquet file in which ``target_*`` columns are targets, ``meta_*`` columns never are
covariates, ``x, y`` or ``lon, lat`` are the coordinates (``x, y`` where there are both), and every
other column is a covariate. ``meta_fold_random`` and ``meta_fold_block`` hold the folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FOLDS = ("random", "block")


@dataclass(frozen=True)
class Task:
    """What is predicted on one table.

    Attributes
    ----------
    table : str
        File name without its ending.
    target : str
    log : bool
        Whether log1p of the target is modelled.
    elevation, time : str or None
        Columns of these roles.
    categorical : tuple of str
        Columns of class codes that are numbers.
    shuffled : bool
        Whether the targets are dealt to other rows, so that there is nothing to learn.
    """

    table: str
    target: str
    log: bool = False
    elevation: str | None = None
    time: str | None = None
    categorical: tuple[str, ...] = ()
    shuffled: bool = False

    @property
    def name(self) -> str:
        """Name of the table, and of the target, for files."""
        return f"{self.table}-{self.target}" + ("-shuffled" if self.shuffled else "")


# Public tables in the convention: real soil surveys from a field to a continent, one of them
# without any signal, and house prices as a control.
TASKS = {
    task.table: task
    for task in (
        Task("limesoda_B204", "target_soc_pct", elevation="Altitude"),
        Task("limesoda_G104", "target_soc_pct", elevation="Altitude"),
        Task("limesoda_BB250", "target_soc_pct", elevation="Altitude"),
        Task("meuse", "target_om_pct", elevation="elev"),
        Task("eberg_texture", "target_clay_pct", elevation="DEMSRT6"),
        Task("usgs_ds801_soc", "target_soc_pct", log=True, elevation="dtm_elevation_terrain"),
        Task("afsp_soc", "target_soc_gkg", log=True),
        Task("california_housing", "target_median_house_value_usd", log=True),
    )
}


@dataclass(frozen=True)
class Data:
    """A table, taken apart.

    Attributes
    ----------
    X : DataFrame
        Coordinates, covariates, and the column of time where it is given.
    y : ndarray of shape (n,)
        Target on the scale on which it is modelled.
    observed : ndarray of shape (n,)
        Target in its own unit.
    folds : dict of str to ndarray of shape (n,)
        Labels of folds by their kind.
    coordinates : ndarray of shape (n, 2)
    crs : str or None
        Of the coordinates; None for planar ones of unknown system.
    """

    X: pd.DataFrame
    y: np.ndarray
    observed: np.ndarray
    folds: dict[str, np.ndarray]
    coordinates: np.ndarray
    crs: str | None


def read(path: Path, task: Task, kinds: Sequence[str] = FOLDS) -> Data:
    """Read a table and take it apart; rows without target are left out.

    Raises
    ------
    SystemExit
        If a column is not there, with the columns that are.
    """
    table = pd.read_parquet(path)
    fold_columns = {kind: f"meta_fold_{kind}" for kind in kinds}
    wanted = [task.target, task.elevation, task.time, *task.categorical, *fold_columns.values()]
    missing = [name for name in wanted if name is not None and name not in table]
    if missing:
        raise SystemExit(f"{path} has no column {missing}; it has {sorted(table)}.")
    table = table[table[task.target].notna()].reset_index(drop=True)
    kept = [name for name in table if not name.startswith(("target_", "meta_"))]
    planar = {"x", "y"} <= set(kept)
    if planar:
        kept = [name for name in kept if name not in ("lon", "lat")]
    X = table[kept + ([task.time] if task.time and task.time not in kept else [])].copy()
    for name in task.categorical:
        X[name] = X[name].astype("category")
    observed = table[task.target].to_numpy(float)
    if task.shuffled:
        observed = np.random.RandomState(0).permutation(observed)
    return Data(
        X=X,
        y=np.log1p(observed) if task.log else observed,
        observed=observed,
        folds={kind: table[name].to_numpy() for kind, name in fold_columns.items()},
        coordinates=table[["x", "y"] if planar else ["lon", "lat"]].to_numpy(float),
        crs=None if planar else "EPSG:4326",
    )
