"""Zones of cells: labels, columns, polygons and class rasters."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd

from ..maps.grid import cell_centers, full_turn
from ..maps.sample_rasters import sample_rasters
from ..spatial.crs import resolve_crs
from ..table.geo_frames import is_geo_frame
from ..utils.messages import did_you_mean
from .cells import CellLocations, as_column

__all__ = ["ZoneAssigner", "read_zones"]

WHOLE = "all"  # label of the only zone
_NAME = "zone"  # of the index of results
_POLYGONS = ("Polygon", "MultiPolygon")


class ZoneAssigner(ABC):
    """Assignment of cells to zones.

    Attributes
    ----------
    name : label
        Name of the index of the result.
    known : list
        Labels of zones that the result has even without cells, in their order.
    n_labels : int or None
        Number of labels, if there is one for each row of the cells.
    """

    name: Any = _NAME
    n_labels: int | None = None

    def __init__(self) -> None:
        self.known: list[Any] = []

    @abstractmethod
    def assign(self, frame: pd.DataFrame, locations: CellLocations | None, rows: slice) -> Any:
        """Return the label (n,) of the zone of each cell, missing for those in none.

        Parameters
        ----------
        frame : DataFrame of n rows
            Columns of the cells of a block.
        locations : CellLocations or None
        rows : slice
            Positions of the block in all cells.
        """

    def _remember_categories(self, labels: pd.Series) -> Any:
        if isinstance(labels.dtype, pd.CategoricalDtype):
            self.known += [label for label in labels.cat.categories if label not in self.known]
        return labels.array if isinstance(labels.dtype, pd.CategoricalDtype) else labels.to_numpy()


def read_zones(zones: Any) -> ZoneAssigner:
    """Return the assignment of cells to zones.

    Parameters
    ----------
    zones : None, array-like, name of a column, GeoDataFrame, GeoSeries or path
        See `estimate`.

    Raises
    ------
    ValueError
        If polygons are no valid polygons, or their labels are not unique.

    Examples
    --------
    >>> import pandas as pd
    >>> from sptgnn_sklearn.estimation.zone_assignment import read_zones
    >>> cells = pd.DataFrame({"farm": ["a", "b"]})
    >>> read_zones("farm").assign(cells, None, slice(0, 2)).tolist()
    ['a', 'b']
    """
    if zones is None:
        return _WholeArea()
    if isinstance(zones, str | os.PathLike):
        return _NamedZones(zones)
    if is_geo_frame(zones) or hasattr(type(zones), "geom_type"):
        return _PolygonZones(zones)
    return _LabeledZones(zones)


class _WholeArea(ZoneAssigner):
    def assign(self, frame: pd.DataFrame, locations: CellLocations | None, rows: slice) -> Any:
        return np.full(len(frame), WHOLE, dtype=object)


class _LabeledZones(ZoneAssigner):
    """Labels of all cells, as an array."""

    def __init__(self, labels: Any) -> None:
        super().__init__()
        name = getattr(labels, "name", None)
        self.name = _NAME if name is None else name
        self._labels = as_column("zones", labels)
        self.n_labels = len(self._labels)
        self._remember_categories(self._labels)

    def assign(self, frame: pd.DataFrame, locations: CellLocations | None, rows: slice) -> Any:
        return self._remember_categories(self._labels.iloc[rows])


class _NamedZones(ZoneAssigner):
    """Column of the cells, or else a class raster."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        super().__init__()
        self._given = name
        self.name = name if isinstance(name, str) and not os.path.exists(name) else _NAME

    def assign(self, frame: pd.DataFrame, locations: CellLocations | None, rows: slice) -> Any:
        if isinstance(self._given, str) and self._given in frame.columns:
            self.name = self._given
            return self._remember_categories(frame[self._given])
        path = os.fspath(self._given)
        if not os.path.exists(path):
            raise ValueError(
                f"zones={path!r} is neither a column of cells nor a file; the columns are "
                f"{list(frame.columns)[:20]}{did_you_mean(path, frame.columns)}"
            )
        self.name = _NAME
        return _sample_classes(path, _require_locations(locations))


class _PolygonZones(ZoneAssigner):
    """Polygons, labeled by their index; each cell is in the one that contains its center."""

    def __init__(self, zones: Any) -> None:
        super().__init__()
        polygons = zones.geometry
        types = polygons.geom_type
        other = np.flatnonzero(~np.isin(types.to_numpy(dtype=object), _POLYGONS))
        if len(other):
            row = int(other[0])
            found = "no geometry" if pd.isna(types.iloc[row]) else types.iloc[row]
            raise ValueError(
                f"zones must be polygons; found {found} at row position {row} ({len(other)} such "
                "rows)."
            )
        invalid = np.flatnonzero(~polygons.is_valid.to_numpy())
        if len(invalid):
            raise ValueError(
                f"zones has invalid polygons at row positions {invalid[:5].tolist()}: repair them "
                "by zones.geometry.make_valid()."
            )
        labels = polygons.index
        if not labels.is_unique:
            repeated = labels[labels.duplicated()].unique()[:5].tolist()
            raise ValueError(
                f"zones has several polygons of the labels {repeated} in its index: dissolve them, "
                "or reset the index."
            )
        self.known = labels.tolist()
        self.name = _NAME if labels.name is None else labels.name
        self._crs = None if polygons.crs is None else polygons.crs.to_wkt()
        self._polygons = polygons.to_numpy()
        self._tree: Any = None
        self._warned = False

    def assign(self, frame: pd.DataFrame, locations: CellLocations | None, rows: slice) -> Any:
        import shapely

        if self._tree is None:
            self._tree = shapely.STRtree(self._polygons)
        xy = self._to_polygons(_require_locations(locations))
        found = np.full(len(xy), -1)
        turn = None if self._crs is None else full_turn(resolve_crs(self._crs, []))
        # Longitudes may range from 0 to 360 in one table and from -180 to 180 in the other.
        for shift in (0.0,) if turn is None else (0.0, -turn, turn):
            pending = np.flatnonzero((found < 0) & np.isfinite(xy).all(axis=1))
            if len(pending):
                found[pending] = self._find(xy[pending] + [shift, 0.0])
        labels = np.full(len(xy), None, dtype=object)
        inside = found >= 0
        labels[inside] = np.array(self.known, dtype=object)[found[inside]]
        return labels

    def _find(self, xy: np.ndarray) -> np.ndarray:
        """Return the position of the polygon of each point, -1 in none.

        A point on the border of several belongs to the first of them.
        """
        import shapely

        points = shapely.points(xy)
        point, polygon = self._tree.query(points, predicate="intersects")
        result = np.full(len(xy), len(self._polygons))
        np.minimum.at(result, point, polygon)
        several = np.bincount(point, minlength=len(xy))[point] > 1
        if several.any():
            at, candidate = point[several], polygon[several]
            within = shapely.contains_properly(self._polygons[candidate], points[at])
            if within.any():
                cell = at[within][0]
                both = [self.known[position] for position in np.sort(candidate[at == cell])[:2]]
                x, y = xy[cell]
                raise ValueError(
                    f"zones {both[0]!r} and {both[1]!r} overlap: both contain the cell at "
                    f"({x:g}, {y:g}). Cut them by geopandas.overlay, or estimate them in two calls."
                )
        return np.where(result < len(self._polygons), result, -1)

    def _to_polygons(self, locations: CellLocations) -> np.ndarray:
        """Return the locations in the CRS of the polygons, whose edges stay straight."""
        own = locations.reference.crs
        if (own is None) != (self._crs is None) and not self._warned:
            self._warned = True
            unknown = "cells" if own is None else "zones"
            warnings.warn(
                f"The CRS of {unknown} is unknown, and assumed to be that of the "
                f"{'zones' if own is None else 'cells'}: set crs of the model, or zones.set_crs.",
                UserWarning,
                stacklevel=2,
            )
        if own is None or self._crs is None:
            return locations.xy
        xy = locations.xy
        return cell_centers(xy[:, 0], xy[:, 1], own, resolve_crs(self._crs, []))


def _sample_classes(path: str, locations: CellLocations) -> np.ndarray:
    """Return the class of the raster cell around each location, None without one."""
    xy = pd.DataFrame(locations.xy, columns=["x", "y"])
    with warnings.catch_warnings():
        # Cells outside of all zones are counted by the caller.
        warnings.filterwarnings("ignore", r"\d+ of \d+ points lie", UserWarning)
        crs = locations.reference.crs
        found = sample_rasters(xy, {"zone": path}, coordinates=("x", "y"), crs=crs)["zone"]
    values = found.to_numpy(dtype=np.float64)
    present = np.isfinite(values)
    if (values[present] != np.floor(values[present])).any():
        first = values[present][values[present] != np.floor(values[present])][0]
        raise ValueError(
            f"zones={path!r} must be a raster of classes, in integers; found the value {first:g}."
        )
    labels = np.full(len(values), None, dtype=object)
    labels[present] = values[present].astype(np.int64).tolist()
    return labels


def _require_locations(locations: CellLocations | None) -> CellLocations:
    if locations is None:
        raise ValueError(
            "zones are polygons or a raster, but no columns of cells are known as coordinates: "
            "pass labels of zones, or fit the model with coordinates=(x_column, y_column)."
        )
    return locations
