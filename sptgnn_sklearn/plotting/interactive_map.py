"""Interactive maps: one HTML page with all layers that works without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from .web_layers import feature_layers, outline_feature, raster_layers

__all__ = ["InteractiveMap", "write_interactive_map"]

_PAGE_SUFFIXES = (".html", ".htm")
_FRAME_HEIGHT = 520  # pixels, in notebooks


@dataclass(frozen=True)
class InteractiveMap:
    """Page of `write_interactive_map`, which notebooks show as a frame.

    Attributes
    ----------
    path : Path
        File of the page.
    html : str
        Content of the page.
    """

    path: Path
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        page = escape(self.html, quote=True)
        return (
            f'<iframe title="interactive map" srcdoc="{page}" loading="lazy" '
            f'style="width: 100%; height: {_FRAME_HEIGHT}px; border: 1px solid #d0d7de"></iframe>'
        )


def write_interactive_map(
    predictions: Any,
    path: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    crs: Any = None,
    title: str = "Map",
    labels: Mapping[str, str] | None = None,
    outline: Any = None,
) -> InteractiveMap:
    """Write a map with all its layers as one HTML page, to zoom, switch layers and read values.

    The page contains everything that it needs, also the library MapLibre GL JS: it opens from a
    folder, an e-mail or a site, and loads nothing from a network. There is no background map.

    Parameters
    ----------
    predictions : xarray.Dataset, DataArray, DataFrame or GeoDataFrame
        Map of `predict_map`, or any raster with a CRS; or a table of points, or of polygons in a
        GeoDataFrame, with one column for each layer.
    path : path-like
        File with the suffix ".html"; an existing file is replaced.
    layers : sequence of str, default=None
        Layers or columns, in the order of the page. None takes all layers, and all columns of
        numbers but the coordinates.
    crs : int, str or pyproj.CRS, default=None
        Coordinate reference system of predictions without one. Columns that are named as longitude
        and latitude need none.
    title : str, default="Map"
        Title of the page.
    labels : mapping of str to str, default=None
        Labels of layers with their unit, such as ``{"mean": "organic carbon (%)"}``. Others have
        the description and unit of the layer, or the name of the column.
    outline : GeoDataFrame or GeoSeries, default=None
        Lines or polygons whose outlines are drawn, such as fields.

    Returns
    -------
    page : InteractiveMap
        With the attributes ``path`` and ``html``, the content of the file. Notebooks show the page.

    Raises
    ------
    ImportError
        If matplotlib or, for rasters, rioxarray is not installed.
    TypeError
        If `predictions` is neither a raster nor a table.
    ValueError
        If there is no CRS, no such layer, a layer has no values, or the suffix is not ".html".

    Notes
    -----
    Cells are drawn in Web Mercator (EPSG:3857) by nearest neighbors, and rasters of more than 1000
    rows or columns by every second, third, ... cell. A click shows the value of the cell, to
    1/65534 of the range of the layer. The library takes 1.1 MB of a page, and each layer about 3
    bytes a pixel; small rasters have four pixels for a cell.

    MapLibre GL JS is under the 3-clause BSD license, which is beside its file in the package.

    Examples
    --------
    >>> import os, tempfile
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> from sptgnn_sklearn.plotting import write_interactive_map
    >>> meuse = load_meuse()
    >>> table = meuse.data[["x", "y"]].assign(om=meuse.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "meuse.html")
    ...     page = write_interactive_map(
    ...         table, path, crs=meuse.crs, labels={"om": "organic matter (%)"}
    ...     )
    >>> page.path.name, page.html.startswith("<!DOCTYPE html>")
    ('meuse.html', True)
    """
    target = Path(path)
    if target.suffix.lower() not in _PAGE_SUFFIXES:
        raise ValueError(f"path={str(target)!r} must end in .html.")
    if isinstance(layers, str):
        layers = [layers]
    names = dict(labels or {})
    if hasattr(predictions, "dims"):  # of xarray
        content = _raster_content(predictions, layers, names, crs)
    elif isinstance(predictions, pd.DataFrame):
        content = feature_layers(predictions, layers, names, crs)
    else:
        raise TypeError(
            "predictions must be an xarray.Dataset, a DataFrame or a GeoDataFrame; found "
            f"{type(predictions).__name__}."
        )
    unknown = sorted(set(names) - {layer["name"] for layer in content["layers"]})
    if unknown:
        raise ValueError(f"labels has {unknown}, which are not among the layers.")
    if outline is not None:
        content["outline"] = outline_feature(outline)
    page = InteractiveMap(target, _render(content, title))
    target.write_text(page.html, encoding="utf-8")
    return page


def _raster_content(
    soil: Any, layers: Sequence[str] | None, labels: Mapping[str, str], crs: Any
) -> dict[str, Any]:
    if not hasattr(soil, "data_vars"):
        soil = soil.to_dataset(name=str(soil.name or "values"))
    available = [str(name) for name in soil.data_vars]
    names = available if layers is None else list(layers)
    missing = [name for name in names if name not in available]
    if missing or not names:
        raise ValueError(f"layers={missing} must be layers of the map, {available[:20]}.")
    return raster_layers(soil, names, labels, crs)


def _render(content: Mapping[str, Any], title: str) -> str:
    folder = files(__package__)
    template = Template((folder / "interactive_map.html").read_text(encoding="utf-8"))
    script = (folder / "maplibre" / "maplibre-gl.js").read_text(encoding="utf-8")
    # "<" could end the element of the script.
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return template.substitute(
        title=escape(title),
        data=data,
        maplibre_css=(folder / "maplibre" / "maplibre-gl.css").read_text(encoding="utf-8"),
        maplibre_js=script.rpartition("//# sourceMappingURL=")[0],
    )
