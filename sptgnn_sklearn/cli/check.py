"""``sptgnn check``: roles of columns, coordinates, missing values, duplicates and warnings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_quiet, add_reading_options, add_role_options

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .survey import Survey

__all__ = ["CHECK_EPILOG", "add_check_options", "check_lines", "run_check"]

CHECK_EPILOG = "No model is fitted. Options override the inferred roles."
_MAX_LISTED = 12
_MIN_CLUSTER_LOCATIONS = 10
_CLUSTERED, _REGULAR = 0.7, 1.3  # ratios of Clark and Evans


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add_reading_options(parser)
    add_role_options(parser)
    add_quiet(parser)


def run_check(options: argparse.Namespace) -> int:
    """Read the table and print what was found."""
    from .survey import print_warnings, read_survey

    survey = read_survey(options)
    if not options.quiet:
        print("\n".join(check_lines(survey, "none")))
    print_warnings(survey.caught)
    return 0


def check_lines(survey: Survey, transform: str) -> list[str]:
    """Return the lines about rows, roles, coordinates, missing values and duplicates.

    Parameters
    ----------
    survey : Survey
    transform : {"none", "log1p", "auto"}
        Transform of the target.
    """
    from .survey import describe

    return [
        *describe(survey, transform),
        *_extent(survey),
        *_missing(survey.frame[survey.roles.used]),
        *_duplicates(survey),
        *_units(survey),
    ]


def _extent(survey: Survey) -> list[str]:
    """Return extent, spacing and clustering of the samples."""
    import numpy as np

    from ..spatial.distances import to_local_plane

    xy = survey.X[list(survey.roles.coordinates)].to_numpy(dtype=float)
    low, high = xy.min(axis=0), xy.max(axis=0)
    names = survey.roles.coordinates
    ranges = [f"{name} {a:.8g} to {b:.8g}" for name, a, b in zip(names, low, high, strict=True)]
    lines = [f"extent       {', '.join(ranges)}"]
    places = np.unique(to_local_plane(xy, survey.reference), axis=0)
    unit = "" if survey.reference.unit == "unit" else f" {survey.reference.unit}"
    size = np.ptp(places, axis=0)
    lines.append(f"             {size[0]:.3g} x {size[1]:.3g}{unit}, {len(places)} locations")
    if len(places) > 1:
        nearest = _distances_to_nearest(places)
        lines.append(f"spacing      {np.median(nearest):.3g}{unit} (median, nearest location)")
        lines += _clustering(places, nearest)
    return lines


def _distances_to_nearest(places: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    return cKDTree(places).query(places, k=2)[0][:, 1]


def _clustering(places: np.ndarray, nearest: np.ndarray) -> list[str]:
    """Return the ratio of Clark and Evans (1954): mean distance over that of random places."""
    import numpy as np
    from scipy.spatial import ConvexHull, QhullError

    if len(places) < _MIN_CLUSTER_LOCATIONS:
        return []
    try:
        area = ConvexHull(places).volume
    except QhullError:  # all on one line
        return []
    ratio = float(nearest.mean() / (0.5 * np.sqrt(area / len(places))))
    if ratio < _CLUSTERED:
        kind = "clustered: scores of random folds will be too good for a map; use block folds"
    else:
        kind = "regular" if ratio > _REGULAR else "about random"
    return [f"samples      {kind} (ratio of Clark and Evans: {ratio:.2f})"]


def _missing(frame: pd.DataFrame) -> list[str]:
    counts = frame.isna().sum()
    counts = counts[counts > 0].sort_values(ascending=False)
    if counts.empty:
        return ["missing      none in the columns in use"]
    shown = [f"{label} {count}" for label, count in counts.head(_MAX_LISTED).items()]
    more = f" and {len(counts) - _MAX_LISTED} more" if len(counts) > _MAX_LISTED else ""
    return [f"missing      {', '.join(shown)}{more} (of {len(frame)} rows)"]


def _duplicates(survey: Survey) -> list[str]:
    frame, roles = survey.frame, survey.roles
    copies = int(frame.duplicated().sum())
    shared = int(survey.X.duplicated(list(roles.coordinates)).sum()) - copies
    lines = [f"duplicates   {copies or 'no'} rows that equal an earlier row"]
    if shared > 0:
        lines.append(
            f"             {shared} further rows at the location of an earlier row; folds keep "
            "them together"
        )
    return lines


def _units(survey: Survey) -> list[str]:
    units = survey.frame.attrs.get("units", {})
    shown = [f"{label}: {unit}" for label, unit in units.items() if label in survey.frame]
    return [f"units        {', '.join(shown)}"] if shown else []
