"""Scale bars, north arrows and outlines of maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..maps.covariate_stack import stack_from_dataset
from ..maps.grid import Grid
from ..spatial.crs import WGS84, SpatialReference, resolve_crs, same_crs, transform_coordinates
from .color_scale import thinning_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "METERS_PER_KM",
    "MapElements",
    "border_segments",
    "geometry_lines",
    "meters_per_unit",
    "to_map_crs",
]

METERS_PER_KM = 1000.0
_LONGEST_BAR = 0.3  # of the width of the map
_STEPS = (5.0, 2.0, 1.0)
_CORNERS = ("lower left", "lower right", "upper left", "upper right")
_CORNER_WIDTH, _CORNER_HEIGHT = 0.36, 0.16  # of the map
_BOX_OPACITY = 0.75
_BAR_HEIGHT, _NEEDLE_WIDTH, _NEEDLE_HEIGHT = 2.0, 9.0, 20.0  # points
_NORTH_STEP = 1e-3  # degrees


@dataclass(frozen=True)
class MapElements:
    """Elements that are added to a map.

    Attributes
    ----------
    scale_bar, north_arrow : bool
    outline : GeoDataFrame, GeoSeries, xarray.DataArray, True or None
    """

    scale_bar: bool = False
    north_arrow: bool = False
    outline: Any = None

    def draw(
        self, ax: Axes, reference: SpatialReference, occupied: np.ndarray, border: np.ndarray | None
    ) -> None:
        """Draw the elements.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
            With the limits of the map.
        reference : SpatialReference
        occupied : ndarray of shape (n, 2)
            Coordinates of drawn points or cells, which the elements should not cover.
        border : ndarray of shape (n, 2, 2) or None
            Segments around the cells with data, for an outline of True.

        Raises
        ------
        TypeError
            If `outline` is True for points, or of another type.
        ValueError
            If its CRS is not that of the map.
        """
        if self.outline is not None and self.outline is not False:
            _draw_outline(ax, self.outline, reference, border)
        corners = _empty_corners(ax, occupied)
        center = np.array([np.mean(ax.get_xlim()), np.mean(ax.get_ylim())])
        length = meters_per_unit(center, reference) if self.scale_bar else None
        if length is not None:
            _add_scale_bar(ax, length, corners.pop(0))
        if self.north_arrow:
            _add_north_arrow(ax, _north_direction(center, reference), corners.pop(0))


def meters_per_unit(center: np.ndarray, reference: SpatialReference) -> float | None:
    """Return the length on the ground of a unit of the first coordinate; None if unknown.

    Parameters
    ----------
    center : ndarray of shape (2,)
        Coordinates at which the length is measured: scales of projections and the length of a
        degree of longitude vary with the latitude.
    reference : SpatialReference

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.plotting.map_elements import meters_per_unit
    >>> from sptgnn_sklearn.spatial.crs import resolve_crs
    >>> center = np.array([500_000.0, 5_000_000.0])
    >>> round(meters_per_unit(center, resolve_crs("EPSG:32636", [])), 4)
    1.0004
    >>> round(meters_per_unit(np.array([0.0, 60.0]), resolve_crs("EPSG:4326", [])))
    55800
    """
    if reference.crs is None:
        return None
    import pyproj

    factor = float(pyproj.CRS.from_user_input(reference.crs).axis_info[0].unit_conversion_factor)
    # 20 m on the ground, about.
    step = np.array([np.degrees(20 / 6.4e6) if reference.geographic else 20 / factor, 0.0])
    ends = _to_degrees(np.stack([center - step / 2, center + step / 2]), reference)
    if ends is None:
        return None if reference.geographic else factor
    _, _, distance = pyproj.Geod(ellps="WGS84").inv(*ends[0], *ends[1])
    return float(distance / step[0])


def _to_degrees(xy: np.ndarray, reference: SpatialReference) -> np.ndarray | None:
    """Return longitudes and latitudes; None where the projection has none."""
    try:
        degrees = transform_coordinates(xy, reference.crs, resolve_crs(WGS84, []))
    except ValueError:  # a local CRS, or one of another planet
        return None
    return degrees if np.isfinite(degrees).all() else None


def _north_direction(center: np.ndarray, reference: SpatialReference) -> float:
    """Return the direction of true north, in radians from up to the right."""
    if reference.crs is None or reference.geographic:
        return 0.0
    degrees = _to_degrees(center[None], reference)
    if degrees is None:
        return 0.0
    north = degrees + np.array([0.0, _NORTH_STEP])
    east, up = transform_coordinates(north, WGS84, reference)[0] - center
    return float(np.arctan2(east, up))


def _add_scale_bar(ax: Axes, meters: float, corner: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.offsetbox import AuxTransformBox, TextArea, VPacker

    width = abs(np.subtract(*ax.get_xlim()))
    longest = _LONGEST_BAR * width * meters
    power = 10 ** np.floor(np.log10(longest))
    length = next(step for step in _STEPS if step * power <= longest) * power
    text = f"{length / METERS_PER_KM:g} km" if length >= METERS_PER_KM else f"{length:g} m"
    box = AuxTransformBox(ax.transData)
    line = Line2D(
        [0, length / meters],
        [0, 0],
        color="black",
        linewidth=_BAR_HEIGHT,
        solid_capstyle="butt",
        gid="scale_bar",
    )
    box.add_artist(line)
    label = TextArea(text, textprops={"size": "small"})
    _anchor(ax, VPacker(children=[label, box], align="center", pad=0, sep=2), corner)


def _add_north_arrow(ax: Axes, direction: float, corner: str) -> None:
    from matplotlib.offsetbox import DrawingArea, TextArea, VPacker
    from matplotlib.patches import Polygon

    width, height = _NEEDLE_WIDTH, _NEEDLE_HEIGHT
    needle = np.array([[0, height / 2], [width / 2, -height / 2], [0, -height / 4]])
    sine, cosine = np.sin(direction), np.cos(direction)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    area = DrawingArea(height, height)
    for side, color in ((1, "black"), (-1, "white")):
        points = (needle * [side, 1]) @ turn + height / 2
        area.add_artist(
            Polygon(points, facecolor=color, edgecolor="black", linewidth=0.6, gid="north_arrow")
        )
    label = TextArea("N", textprops={"size": "small", "weight": "bold"})
    _anchor(ax, VPacker(children=[label, area], align="center", pad=0, sep=1), corner)


def _anchor(ax: Axes, child: Any, corner: str) -> None:
    from matplotlib.offsetbox import AnchoredOffsetbox

    box = AnchoredOffsetbox(corner, child=child, pad=0.3, borderpad=0.4, frameon=True)
    box.patch.set(facecolor="white", edgecolor="none", alpha=_BOX_OPACITY)
    box.set_zorder(5)
    ax.add_artist(box)


def _empty_corners(ax: Axes, occupied: np.ndarray) -> list[str]:
    """Return the corners of a map, those with the fewest points or cells first."""
    limits = np.sort([ax.get_xlim(), ax.get_ylim()], axis=1)
    x, y = ((occupied - limits[:, 0]) / np.ptp(limits, axis=1)).T
    counts = []
    for corner in _CORNERS:
        beside = x if "left" in corner else 1 - x
        beyond = y if "lower" in corner else 1 - y
        counts.append(np.sum((beside < _CORNER_WIDTH) & (beyond < _CORNER_HEIGHT)))
    return [_CORNERS[i] for i in np.argsort(counts, kind="stable")]


def _draw_outline(
    ax: Axes, outline: Any, reference: SpatialReference, border: np.ndarray | None
) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import Normal, Stroke

    lines: Any
    if outline is True:
        if border is None:
            raise TypeError(
                "outline=True is the border of the cells of a raster: pass a GeoDataFrame or a "
                "mask for points."
            )
        lines = border
    elif hasattr(outline, "dims"):
        lines = _mask_border(outline, reference)
    elif hasattr(type(outline), "to_crs"):
        lines = geometry_lines(to_map_crs(outline, reference, "outline").geometry)
    else:
        raise TypeError(
            f"outline must be a GeoDataFrame, a mask (xarray.DataArray) or True; found "
            f"{type(outline).__name__}."
        )
    limits = ax.get_xlim(), ax.get_ylim()
    # Projecting caps close the corners of cells.
    collection = LineCollection(
        lines, colors="black", linewidths=0.8, capstyle="projecting", zorder=2.5
    )
    # A light edge makes the line visible on dark colors.
    collection.set_path_effects([Stroke(linewidth=2.2, foreground="white", alpha=0.7), Normal()])
    ax.add_collection(collection)
    if isinstance(lines, list):  # geometry may extend beyond the data, and is shown whole
        ends = np.concatenate(lines)
        low, high = ends.min(axis=0), ends.max(axis=0)
        margin = 0.02 * (high - low)
        old = np.sort(limits, axis=1)
        low, high = np.minimum(low - margin, old[:, 0]), np.maximum(high + margin, old[:, 1])
        limits = (low[0], high[0]), (low[1], high[1])
    ax.set(xlim=limits[0], ylim=limits[1])


def _mask_border(mask: Any, reference: SpatialReference) -> np.ndarray:
    stack = stack_from_dataset(mask.astype(float).to_dataset(name="mask"), "outline")
    grid = stack.grid
    if grid.crs and reference.crs and not same_crs(grid.crs, reference.crs):
        raise ValueError("outline is a mask in another CRS than the map: reproject it first.")
    step = thinning_step(*grid.shape)
    values = stack.read((0, grid.shape[0], 0, grid.shape[1]))["mask"][::step, ::step]
    return border_segments(np.nan_to_num(np.asarray(values, dtype=float)) != 0, grid, step)


def border_segments(inside: np.ndarray, grid: Grid, step: int = 1) -> np.ndarray:
    """Return segments along the edges between cells inside and outside.

    Parameters
    ----------
    inside : ndarray of shape (h, w) of bool
        Of every `step`-th row and column of the grid.
    grid : Grid
    step : int, default=1

    Returns
    -------
    ndarray of shape (n, 2, 2)

    Examples
    --------
    >>> import numpy as np
    >>> from sptgnn_sklearn.maps.grid import Grid
    >>> from sptgnn_sklearn.plotting.map_elements import border_segments
    >>> grid = Grid(np.array([5.0, 15.0]), np.array([5.0]), (10, 0, 0, 0, -10, 10), None)
    >>> border_segments(np.array([[True, False]]), grid).shape  # four sides of one cell
    (4, 2, 2)
    """
    a, _, left, _, e, top = grid.transform
    padded = np.pad(inside, 1)
    rows, columns = np.nonzero(padded[1:-1, :-1] != padded[1:-1, 1:])
    vertical = np.stack([[columns, rows], [columns, rows + 1]]).transpose(2, 0, 1)
    rows, columns = np.nonzero(padded[:-1, 1:-1] != padded[1:, 1:-1])
    horizontal = np.stack([[columns, rows], [columns + 1, rows]]).transpose(2, 0, 1)
    return np.concatenate([vertical, horizontal]) * [a * step, e * step] + [left, top]


def geometry_lines(geometry: Any) -> list[np.ndarray]:
    """Return the rings of polygons and the lines of a GeoSeries as arrays of shape (n, 2)."""
    lines = []
    for part in geometry.explode(index_parts=False):
        if part is None or part.is_empty:
            continue
        rings = [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]
        lines += [np.asarray(ring.coords)[:, :2] for ring in rings]
    if not lines:
        raise ValueError("outline has no geometry to draw.")
    return lines


def to_map_crs(geometry: Any, reference: SpatialReference, name: str) -> Any:
    """Return a GeoDataFrame or GeoSeries in the CRS of a map.

    Raises
    ------
    ValueError
        If only one of them has a CRS.
    """
    if (geometry.crs is None) != (reference.crs is None):
        missing, known = (name, "the map") if geometry.crs is None else ("the map", name)
        raise ValueError(f"{missing} has no CRS, and {known} has one: set both, or none.")
    return geometry if reference.crs is None else geometry.to_crs(reference.crs)
