"""Figures of maps and of cross-validated predictions, without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..images.geotiff_writer import import_rasterio
from ..maps.covariate_stack import import_xarray, stack_from_dataset
from ..maps.open_rasters import open_raster_file
from ..plotting.color_scale import layer_limits
from ..plotting.drawing import import_pyplot
from ..plotting.maps import map_aspect, plot_map
from ..spatial.crs import SpatialReference, resolve_crs
from ..table.infer_roles import TableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FIGURE_SUFFIXES",
    "check_figure_path",
    "draw_layers",
    "grid_aspect",
    "headless_pyplot",
    "map_panels",
    "open_map_file",
]

FIGURE_SUFFIXES = (".png", ".pdf", ".svg")
_MAX_COLUMNS = 3
_PANEL_WIDTH = 3.6  # inches
_BAR_WIDTH = 1.1  # of a color bar with labels
_MAX_ASPECT = 3.0  # height of a panel in units of its width, and the reverse


def check_figure_path(path: Path) -> None:
    """Raise TableError unless matplotlib is installed and writes files of this suffix."""
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise TableError(f"--figure {path}: the name must end in one of {FIGURE_SUFFIXES}.")
    try:
        import_pyplot()
    except ImportError as error:
        raise TableError(f"--figure {path}: {error}") from error


def headless_pyplot() -> Any:
    """Return pyplot with a backend that needs no display."""
    plt = import_pyplot()
    plt.switch_backend("agg")
    return plt


def map_panels(
    n_panels: int, aspect: float, n_columns: int = _MAX_COLUMNS
) -> tuple[Figure, list[Any]]:
    """Return a figure with panels for maps.

    Parameters
    ----------
    n_panels : int
    aspect : float
        Height of a map in units of its width.
    n_columns : int, default=3
        Largest number of panels side by side.
    """
    columns = min(n_panels, n_columns)
    rows = -(-n_panels // columns)
    height = _PANEL_WIDTH * float(np.clip(aspect, 1 / _MAX_ASPECT, _MAX_ASPECT))
    figure, axes = headless_pyplot().subplots(
        rows,
        columns,
        figsize=(columns * (_PANEL_WIDTH + _BAR_WIDTH), rows * (height + 0.6)),
        layout="compressed",
        squeeze=False,
    )
    panels = list(axes.flat)
    for ax in panels[n_panels:]:
        ax.remove()
    return figure, panels[:n_panels]


def draw_layers(soil: Any) -> Figure:
    """Draw each layer of a map.

    Parameters
    ----------
    soil : xarray.Dataset
        Map of `predict_map`, or of one of its files.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    layers = [str(name) for name in soil.data_vars]
    grid = stack_from_dataset(soil, "the map").grid
    reference = resolve_crs(grid.crs, ["x", "y"])
    figure, panels = map_panels(len(layers), grid_aspect(grid.x, grid.y, reference))
    limits = layer_limits(soil)
    for ax, layer in zip(panels, layers, strict=True):
        plot_map(soil, layer, ax=ax, vmin=limits[layer][0], vmax=limits[layer][1])
    return figure


def open_map_file(path: Path) -> Any:
    """Open a map with the descriptions and units of its layers.

    Parameters
    ----------
    path : Path
        Map of `predict_map`, or any other raster.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ValueError
        If the file cannot be opened.
    """
    if path.suffix.lower() in (".nc", ".zarr"):
        engine = "scipy" if path.suffix.lower() == ".nc" else "zarr"
        try:
            return import_xarray().open_dataset(
                path, engine=engine, chunks=None, mask_and_scale=False, decode_coords="all"
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"map {str(path)!r} cannot be opened: {error}") from error
    soil = open_raster_file(path)
    with import_rasterio().open(path) as file:
        for number, layer in enumerate(soil.data_vars, 1):
            stored = {
                "long_name": file.tags(number).get("long_name"),
                "units": file.units[number - 1],
            }
            soil[layer].attrs = {name: text for name, text in stored.items() if text}
    return soil


def grid_aspect(x: np.ndarray, y: np.ndarray, reference: SpatialReference) -> float:
    """Return the height of an extent in units of its width, as drawn on a map."""
    width, height = float(np.ptp(x)), float(np.ptp(y))
    if not width or not height:
        return 1.0
    corners = np.array([[x.min(), y.min()], [x.max(), y.max()]], dtype=float)
    return height * map_aspect(corners, reference) / width
