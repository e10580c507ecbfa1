"""Benchmark tables in one convention: targets, covariates, coordinates and fixed folds.

A table is a Parquet file. ``target_*`` columns are targets, ``meta_*`` columns are never
covariates, ``x, y`` or ``lon, lat`` are the coordinates (``x, y`` where both pairs exist), and
every other column is a covariate. ``meta_fold_random`` and ``meta_fold_block`` hold fold labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FOLD_KINDS = ("random", "block")


@dataclass(frozen=True)
class Task:
    """Target and column roles of one table.

    Attributes
    ----------
    table : str
        File name without its suffix.
    target : str
    log : bool
        Whether log1p of the target is modeled.
    elevation, time : str or None
        Columns with these roles.
    categorical : tuple of str
        Numeric columns that hold class codes.
    shuffled : bool
        Whether the targets are permuted over the rows, so that the table has no signal.
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
        """Table and target, as used in file names."""
        name = f"{self.table}-{self.target}" + ("-shuffled" if self.shuffled else "")
        return name.replace(" ", "_")


# Public tables in this convention: soil surveys from field to continental extent, one of them
# without signal, and house prices as a control.
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


# Further public tables with other structure: few covariates, repeat visits, horizons. Apart from
# `TASKS`, so that means and ranks over these stay comparable with earlier records.
WIDE_TASKS = {
    task.table: task
    for task in (
        Task("gemas_ap", "target_loi_pct", log=True),
        Task("ohio_groundwater", "target_sulfate_mgl", log=True, time="date"),
        # Depths of the horizon are covariates.
        Task("ucrb_ncss_depth", "target_soc_pct", log=True, elevation="ELEVm"),
    )
}


@dataclass(frozen=True)
class TableData:
    """Covariates, target, folds and coordinates of one table.

    Attributes
    ----------
    X : DataFrame
        Coordinates, covariates, and the time column if there is one.
    y : ndarray of shape (n,)
        Target on the modeling scale.
    observed : ndarray of shape (n,)
        Target in its own unit.
    folds : dict of str to ndarray of shape (n,)
        Fold labels by kind of folds.
    coordinates : ndarray of shape (n, 2)
    crs : str or None
        CRS of the coordinates; None for planar coordinates of an unknown CRS.
    """

    X: pd.DataFrame
    y: np.ndarray
    observed: np.ndarray
    folds: dict[str, np.ndarray]
    coordinates: np.ndarray
    crs: str | None


def read_table(path: Path, task: Task, fold_kinds: Sequence[str] = FOLD_KINDS) -> TableData:
    """Read a table without the rows that lack a target.

    Raises
    ------
    SystemExit
        If a column is missing; the message lists the columns of the table.
    """
    table = pd.read_parquet(path)
    fold_columns = {kind: f"meta_fold_{kind}" for kind in fold_kinds}
    required = [task.target, task.elevation, task.time, *task.categorical, *fold_columns.values()]
    missing = [name for name in required if name is not None and name not in table]
    if missing:
        raise SystemExit(f"{path} has no column {missing}; it has {sorted(table)}.")
    table = table[table[task.target].notna()].reset_index(drop=True)
    columns = [name for name in table if not name.startswith(("target_", "meta_"))]
    planar = {"x", "y"} <= set(columns)
    if planar:
        columns = [name for name in columns if name not in ("lon", "lat")]
    X = table[columns + ([task.time] if task.time and task.time not in columns else [])].copy()
    for name in task.categorical:
        X[name] = X[name].astype("category")
    observed = table[task.target].to_numpy(float)
    if task.shuffled:
        observed = np.random.RandomState(0).permutation(observed)
    return TableData(
        X=X,
        y=np.log1p(observed) if task.log else observed,
        observed=observed,
        folds={kind: table[name].to_numpy() for kind, name in fold_columns.items()},
        coordinates=table[["x", "y"] if planar else ["lon", "lat"]].to_numpy(float),
        crs=None if planar else "EPSG:4326",
    )
