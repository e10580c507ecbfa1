"""Figures of a report, as PNG images with descriptions."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ..model_selection.comparison_result import ComparisonResult
from ..plotting.color_scale import layer_limits
from ..plotting.drawing import VALUE_COLORMAP, with_unit
from ..plotting.folds import plot_fold_distances
from ..plotting.maps import ColorScale, draw_map, plot_map
from ..plotting.predictions import (
    ObservedPredictedDisplay,
    ReliabilityDisplay,
    observed_predicted_limits,
)
from ..spatial.crs import SpatialReference
from .figures import grid_aspect, headless_pyplot, map_panels
from .report_page import ReportFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .report_area import MapArea
    from .survey import Survey

__all__ = [
    "draw_area",
    "draw_distances",
    "draw_map_layers",
    "draw_observed",
    "draw_reliability",
    "draw_residuals",
    "draw_samples",
]

_REPORT_DPI = 120
_FIGURE_SIZE = (4.6, 4.6)  # inches
_RESIDUAL_COLORMAP = "PuOr"  # zero is white
_CLIPPED = 0.98  # quantile of residuals at the ends of the color bar
_MAX_DRAWN_LAYERS = 6
_N_LEVELS = 99


def draw_samples(survey: Survey, unit: str) -> ReportFigure:
    """Draw the target at the samples."""
    y, name = survey.y, survey.roles.target
    xy = survey.X[list(survey.roles.coordinates)].to_numpy(dtype=float)
    figure, _ = _point_map(
        xy, survey.reference, survey.roles.coordinates, y, with_unit(_plain(name), _plain(unit))
    )
    return ReportFigure(
        _png(figure),
        f"Map of {len(y)} samples, colored by {name} from {y.min():.4g} to {y.max():.4g}.",
        f"Samples, colored by {with_unit(name, unit)}.",
    )


def draw_observed(
    result: ComparisonResult, model: str, kinds: list[str], unit: str, log1p: bool
) -> list[ReportFigure]:
    """Draw observed against out-of-fold predicted values, with equal axes for all folds."""
    found = {kind: _finished(result, kind, model) for kind in kinds}
    found = {kind: rows for kind, rows in found.items() if len(rows)}
    if not found:
        return []
    pooled = pd.concat(found.values())
    columns = pooled[["observed", "mean", "lower", "upper"]].to_numpy(dtype=float)
    limits = observed_predicted_limits(*columns.T, log1p=log1p)
    figures = []
    for kind, rows in found.items():
        figure, ax = headless_pyplot().subplots(figsize=_FIGURE_SIZE, layout="compressed")
        has_interval = rows["lower"].notna().all()
        interval = (rows["lower"], rows["upper"]) if has_interval else (None, None)
        ObservedPredictedDisplay.from_predictions(
            rows["observed"],
            rows["mean"],
            *interval,
            coverage=result.coverage,
            ax=ax,
            unit=_plain(unit),
            limits=limits,
            log1p=log1p,
        )
        scores = result.table.query("folds == @kind and model == @model").iloc[0]
        figures.append(
            ReportFigure(
                _png(figure),
                f"Scatter plot of observed against predicted values of {model} under {kind} "
                f"folds: R2 {scores['R2']:.2f}, RMSE {scores['RMSE']:.3g} {unit}".rstrip()
                + ".",
                f"{model}, {kind} folds."
                + (f" Bars are {100 * result.coverage:g} % intervals." if has_interval else ""),
            )
        )
    return figures


def draw_reliability(result: ComparisonResult, model: str, kinds: list[str]) -> list[ReportFigure]:
    """Draw observed against nominal coverage of central intervals, a line by kind of folds."""
    levels = np.arange(1, _N_LEVELS + 1) / (_N_LEVELS + 1)
    figure, ax = headless_pyplot().subplots(figsize=_FIGURE_SIZE, layout="compressed")
    shares = []
    for kind in kinds:
        rows = _finished(result, kind, model)
        if not len(rows) or rows["std"].isna().any():
            continue
        mean, std = (rows[column].to_numpy()[:, None] for column in ("mean", "std"))
        ReliabilityDisplay.from_predictions(
            rows["observed"], mean + std * ndtri(levels), levels, name=f"{kind} folds", ax=ax
        )
        half = (rows["observed"] - rows["mean"]).abs() <= rows["std"] * ndtri(0.75)
        shares.append(f"{100 * half.mean():.0f} % under {kind} folds")
    png = _png(figure)
    if not shares:
        return []
    return [
        ReportFigure(
            png,
            f"Reliability diagram of {model}. Intervals of nominal coverage 50 % contain "
            f"{' and '.join(shares)}.",
            "Central intervals of normal distributions with the predicted mean and standard "
            "deviation: too wide above the diagonal, too narrow below it.",
        )
    ]


def draw_residuals(
    result: ComparisonResult, model: str, kinds: list[str], unit: str
) -> list[ReportFigure]:
    """Draw predicted minus observed values at the samples, with equal colors for all folds."""
    found = {kind: _finished(result, kind, model) for kind in kinds}
    residuals = {kind: rows["mean"] - rows["observed"] for kind, rows in found.items() if len(rows)}
    if not residuals:
        return []
    limit = float(pd.concat(residuals.values()).abs().quantile(_CLIPPED)) or 1.0
    figures = []
    for kind, values in residuals.items():
        xy = found[kind][["x", "y"]].to_numpy()
        figure, _ = _point_map(
            xy,
            result.reference,
            result.axes,
            values.to_numpy(),
            with_unit("predicted minus observed", _plain(unit)),
            cmap=_RESIDUAL_COLORMAP,
            limit=limit,
        )
        index = result.table.query("folds == @kind and model == @model")["moran_i"].iloc[0]
        figures.append(
            ReportFigure(
                _png(figure),
                f"Map of the residuals of {model} under {kind} folds, from {values.min():.3g} to "
                f"{values.max():.3g} {unit}".rstrip()
                + f"; Moran's I {index:.2f}.",
                f"{kind} folds, Moran's I {index:.2f}. Clusters of one color are areas that the "
                "model over- or underestimates.",
            )
        )
    return figures


def draw_map_layers(soil: Any) -> list[ReportFigure]:
    """Draw the layers of a map file; the first six if there are more."""
    limits = layer_limits(soil)
    figures = []
    for layer in list(limits)[:_MAX_DRAWN_LAYERS]:
        attributes = soil[layer].attrs
        text = str(attributes.get("long_name", layer))
        figure, ax = headless_pyplot().subplots(figsize=(6.0, 4.6), layout="compressed")
        plot_map(soil, layer, ax=ax, vmin=limits[layer][0], vmax=limits[layer][1])
        image = ax.images[0].get_array()
        figures.append(
            ReportFigure(
                _png(figure),
                f"Map of the {text}, from {float(np.nanmin(image)):.3g} to "
                f"{float(np.nanmax(image)):.3g}.",
                f"{layer}: {text}.",
            )
        )
    return figures


def draw_area(area: MapArea) -> list[ReportFigure]:
    """Draw the area of applicability and the dissimilarity index, with the samples."""
    share = f"{100 * area.share_inside:.1f} % of the cells are inside"
    texts = {
        "aoa": (
            f"Map of the area of applicability: {share}.",
            f"Area of applicability: {share}. Dots are samples.",
        ),
        "dissimilarity": (
            "Map of the dissimilarity index; its threshold is "
            f"{area.threshold:.3g}, its largest value {area.largest:.3g}.",
            f"Dissimilarity index; cells up to {area.threshold:.3g} are inside.",
        ),
    }
    figures = []
    for layer, (alt, caption) in texts.items():
        figure, ax = headless_pyplot().subplots(figsize=(6.0, 4.6), layout="compressed")
        plot_map(area.dataset, layer, ax=ax)
        if layer == "aoa":
            limits = ax.get_xlim(), ax.get_ylim()
            ax.plot(*area.samples.T, ".", color="black", markersize=2)
            ax.set(xlim=limits[0], ylim=limits[1])
        figures.append(ReportFigure(_png(figure), alt, caption))
    return figures


def draw_distances(
    survey: Survey, splits: Any, kind: str, cells: pd.DataFrame | None
) -> ReportFigure:
    """Draw the distances of held-out rows and of the cells of a map to the nearest sample."""
    figure, ax = headless_pyplot().subplots(figsize=_FIGURE_SIZE, layout="compressed")
    pair = list(survey.roles.coordinates)
    points = None if cells is None else cells[pair].dropna()
    plot_fold_distances(
        survey.X[pair],
        splits,
        prediction_points=points,
        coordinates=pair,
        crs=survey.reference.crs,
        ax=ax,
    )
    of_map = "" if cells is None else ", of map cells to the nearest sample"
    text = f"distances of held-out rows to the nearest training row in {kind} folds{of_map}"
    return ReportFigure(
        _png(figure),
        f"Cumulative distribution of the {text}, and between neighboring samples.",
        f"Distribution of the {text}.",
    )


def _finished(result: ComparisonResult, kind: str, model: str) -> pd.DataFrame:
    """Return the predictions of a model, none if a fit failed."""
    rows = result.select(kind, model)
    return rows if rows["mean"].notna().all() else rows.head(0)


def _point_map(
    xy: np.ndarray,
    reference: SpatialReference,
    names: Any,
    values: np.ndarray,
    label: str,
    cmap: str = VALUE_COLORMAP,
    limit: float | None = None,
) -> tuple[Figure, Any]:
    figure, (ax,) = map_panels(1, grid_aspect(xy[:, 0], xy[:, 1], reference))
    draw_map(
        xy,
        reference,
        [_plain(str(name)) for name in names],
        values,
        ColorScale(label, cmap, None if limit is None else -limit, limit),
        ax=ax,
    )
    if limit is not None:
        ax.collections[0].set(edgecolors="#888888", linewidths=0.3)  # white points on white
    return figure, ax


def _plain(text: str) -> str:
    """Return text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_REPORT_DPI, bbox_inches="tight")
    headless_pyplot().close(figure)
    return buffer.getvalue()
