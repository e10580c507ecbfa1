"""``sptgnn map``: predict every cell of rasters with a saved model."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_quiet, add_scale_tags

if TYPE_CHECKING:
    from ..maps.model_inputs import ModelInputs

__all__ = ["MAP_EPILOG", "add_map_options", "run_map"]

MAP_EPILOG = (
    "The grid of the map is that of the first raster, or of --like. After Ctrl-C the same command "
    "continues with the blocks that are missing."
)
_MAP_SUFFIXES = (".tif", ".tiff", ".nc", ".zarr")
_STOPPED = 130


def add_map_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="file written by fit")
    parser.add_argument(
        "rasters",
        nargs="*",
        metavar="[NAME=]PATH",
        help="rasters of the model's columns: NAME=PATH, NAME=PATH:2 for the second band, "
        "NAME=NUMBER for all cells, or PATH of a file whose name or bands have names of columns",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("map.tif"),
        metavar="MAP",
        help="output: .tif, .nc or .zarr (default: map.tif)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing map and figure")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the layers: .png, .pdf or .svg"
    )
    group = parser.add_argument_group("layers")
    group.add_argument(
        "--layers",
        type=_layer_names,
        metavar="NAMES",
        help="mean, std, aleatoric, epistemic, lower, upper, quantiles in percent such as q05, and "
        "probabilities such as p<2.0 (quote them), separated by commas (default: mean,std)",
    )
    group.add_argument(
        "--coverage",
        type=float,
        default=0.9,
        help="coverage of the interval from lower to upper (default: 0.9)",
    )
    group.add_argument("--date", help="date of the map, for models with dates: 2024-06-01 or 2024")
    group.add_argument("--target", metavar="NAME", help="name of the target, for descriptions")
    group.add_argument("--units", metavar="UNIT", help="unit of the target, such as g/kg")
    grids = parser.add_argument_group("rasters on different grids")
    grids.add_argument(
        "--resample",
        nargs="+",
        action="extend",
        default=[],
        metavar="[NAME=]METHOD",
        help="nearest, bilinear or average: bring other rasters to the grid of the map",
    )
    grids.add_argument(
        "--like", type=Path, metavar="RASTER", help="raster with the grid of the map"
    )
    add_scale_tags(grids)
    add_quiet(parser)


def _layer_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def run_map(options: argparse.Namespace) -> int:
    """Predict the map, write it, and draw it."""
    from ..maps.model_inputs import inspect_inputs
    from ..maps.predict_map import predict_map
    from .figures import check_figure_path
    from .predict import load_model_of
    from .survey import as_table_error, forbid_existing, print_warnings

    _check_output(options.out, options.force)
    if options.figure is not None:
        check_figure_path(options.figure)
        forbid_existing(options.figure, options.force, "--figure")
    model = load_model_of(options.model)
    with as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inputs = inspect_inputs(model)
        sources, unused = _match_sources(inputs, options)
        resample = _parse_resample(options.resample, list(sources))
        _check_layers_and_date(options, inputs)
        try:
            soil = predict_map(
                model,
                sources,
                layers=options.layers,
                coverage=options.coverage,
                date=options.date,
                resample=resample,
                like=options.like,
                mask_and_scale=options.mask_and_scale,
                target=options.target,
                units=options.units,
                tags={"model_file": options.model.name},
                path=options.out,
                overwrite=options.force,
                verbose=0 if options.quiet else 1,
            )
        except KeyboardInterrupt as stop:
            print(f"{stop}; the same command continues" if str(stop) else "stopped")
            return _STOPPED
        if options.figure is not None:
            _draw_map(soil, options.figure)
    if not options.quiet:
        print_warnings(caught)
        if unused:
            print(f"note: not used: {', '.join(unused)} (no columns of the model)")
    rows, columns = soil[next(iter(soil.data_vars))].shape
    print(f"wrote {options.out}: {rows} x {columns} cells, {', '.join(map(str, soil.data_vars))}")
    if options.figure is not None:
        print(f"wrote {options.figure}")
    return 0


def _check_output(path: Path, force: bool) -> None:
    from ..table.infer_roles import TableError
    from .survey import forbid_existing

    if path.suffix.lower() not in _MAP_SUFFIXES:
        raise TableError(f"-o {path}: the name must end in one of {', '.join(_MAP_SUFFIXES)}.")
    if path.suffix.lower() == ".zarr" and path.is_dir():
        if not force:
            raise TableError(f"-o {path}: exists; choose another name, or replace it with --force.")
        return
    forbid_existing(path, force)


def _match_sources(
    inputs: ModelInputs, options: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    """Return the rasters by column of the model, and the names of those that are not used."""
    from ..table.infer_roles import TableError
    from .rasters import match_rasters, read_rasters

    others = {*(inputs.coordinates or ()), *inputs.images, *inputs.optional}
    others |= {inputs.time} if inputs.time is not None else set()
    labels = [str(label) for label in inputs.labels if label not in others]
    optional = [str(label) for label in (inputs.time, *inputs.optional) if label is not None]
    sources, unused = match_rasters(read_rasters(options.rasters), labels, optional)
    if all(isinstance(source, float) for source in sources.values()):
        # A model of coordinates needs the cells only.
        if options.like is None:
            raise TableError(
                "the model needs no raster, but the map needs a grid: set --like RASTER."
            )
        (grid,) = read_rasters([str(options.like)])
        sources |= dict([next(iter(grid.bands.items()))])
    return sources, unused


def _parse_resample(entries: list[str], labels: list[str]) -> Any:
    """Return one method for all columns, or a method for each of some columns."""
    from ..maps.resampling import RESAMPLING
    from ..table.infer_roles import TableError
    from .rasters import find_column_like

    default, methods = None, {}
    for entry in [part for text in entries for part in text.split(",") if part]:
        name, _, method = entry.rpartition("=")
        if method not in RESAMPLING:
            raise TableError(
                f"--resample {entry}: must be {', '.join(RESAMPLING)}, or NAME=METHOD."
            )
        if not name:
            default = method
            continue
        label = find_column_like(name, labels)
        if label is None:
            raise TableError(
                f"--resample {entry}: no raster is named {name}; there are {', '.join(labels)}."
            )
        methods[label] = method
    if not methods:
        return default
    return {label: default for label in labels if default is not None} | methods


def _check_layers_and_date(options: argparse.Namespace, inputs: ModelInputs) -> None:
    from ..maps.layers import AREA_LAYERS
    from ..table.infer_roles import TableError

    of_area = [name for name in options.layers or () if name in AREA_LAYERS]
    if of_area:
        raise TableError(
            f"--layers {of_area[0]}: needs the samples, which a model file lacks; the report draws "
            "the area of applicability (--rasters), and predict_map writes it."
        )
    if options.date is not None and inputs.time is None:
        raise TableError(f"--date {options.date}: the model was fitted without dates.")


def _draw_map(soil: Any, path: Path) -> None:
    from .figures import draw_layers, headless_pyplot

    figure = draw_layers(soil)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    headless_pyplot().close(figure)
