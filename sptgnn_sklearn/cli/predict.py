"""``sptgnn predict``: predict the rows of a table with a saved model."""

from __future__ import annotations

import argparse
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_quiet, add_reading_options, number_list

if TYPE_CHECKING:
    import pandas as pd

    from ..regressor import SpTGNNRegressor

__all__ = ["PREDICT_EPILOG", "add_predict_options", "run_predict"]

PREDICT_EPILOG = "Ids and coordinates of the rows are carried into the output."
_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".xlsx", ".gpkg", ".geojson", ".shp")
_GIS = (".gpkg", ".geojson", ".shp")


def add_predict_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="file written by fit")
    add_reading_options(parser)
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("predictions.csv"),
        metavar="FILE",
        help=f"output: {', '.join(_SUFFIXES)} (default: predictions.csv)",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    group = parser.add_argument_group("predictions beside mean and standard deviations")
    for option, what in (
        ("coverage", "coverages of intervals, such as 0.9"),
        ("quantiles", "levels of quantiles, such as 0.05,0.5,0.95"),
        ("below", "limits: the probability to be below each"),
        ("above", "limits: the probability to be above each"),
    ):
        group.add_argument(
            f"--{option}",
            type=number_list,
            metavar="NUMBERS",
            help=f"{what}, separated by commas",
        )
    parser.add_argument(
        "--coordinates", nargs=2, metavar=("X", "Y"), help="columns of the coordinates in FILE"
    )
    parser.add_argument("--crs", help="coordinate reference system of FILE, if not the model's")
    add_quiet(parser)


def run_predict(options: argparse.Namespace) -> int:
    """Predict the rows and write them with their ids."""
    from ..table.infer_roles import find_ids
    from .survey import as_table_error, forbid_existing, print_warnings, read_frame

    _check_suffix(options.out)
    forbid_existing(options.out, options.force)
    model = load_model_of(options.model)
    pair = tuple(str(label) for label in model.columns_.coordinates)
    with warnings.catch_warnings(record=True) as caught_reading:
        warnings.simplefilter("always")
        frame, file_crs = read_frame(
            options, fitted=((pair[0], pair[1]), model.columns_.reference.crs)
        )
    if not options.quiet:
        for note in frame.attrs.get("notes", []):
            print(f"note: {note}")
    X, renamed = _match_columns(model, frame, options, file_crs)
    first, second = model.columns_.coordinates
    known = X[[first, second]].notna().all(axis=1)
    settings = {
        name: value[0] if name == "coverage" and len(value) == 1 else value
        for name in ("coverage", "quantiles", "below", "above")
        if (value := getattr(options, name)) is not None
    }
    with as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predicted = model.predict_uncertainty(X[known], **settings).reindex(X.index)
    unused = frame.drop(columns=[*renamed])
    ids = [label for label in find_ids(unused) if label not in predicted]
    site = model.columns_.site
    ids += [str(site)] if site in frame and site not in ids else []
    table = frame.reindex(columns=ids).join(X[[first, second]]).join(predicted)
    with as_table_error():
        _write(table, (str(first), str(second)), model.columns_.reference.crs, options.out)
    if not options.quiet:
        print_warnings([*caught_reading, *caught])
        if not known.all():
            print(f"note: {int((~known).sum())} rows without coordinates have no prediction")
    print(f"wrote {options.out}: {int(known.sum())} rows")
    return 0


def load_model_of(path: Path) -> SpTGNNRegressor:
    """Load the model of a file.

    Raises
    ------
    TableError
        If there is no such file or it holds no model with named columns.
    """
    from ..regressor import SpTGNNRegressor
    from ..table.infer_roles import TableError
    from .survey import as_table_error

    if not path.is_file():
        raise TableError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}.")
    with as_table_error():
        model = SpTGNNRegressor.load(path)
    if not hasattr(model, "feature_names_in_"):
        raise TableError(f"{path}: was fitted to an array without column names; predict in Python.")
    return model


def _check_suffix(path: Path) -> None:
    from ..table.infer_roles import TableError

    if not path.name.lower().endswith(_SUFFIXES):
        raise TableError(f"-o {path}: the name must end in one of {', '.join(_SUFFIXES)}.")


def _match_columns(
    model: SpTGNNRegressor, frame: pd.DataFrame, options: argparse.Namespace, file_crs: str | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of fit, in their order, and the columns of the file that they are."""
    import numpy as np
    import pandas as pd

    from ..spatial.crs import resolve_crs, same_crs, transform_coordinates
    from ..table.geo_frames import GEOMETRY_LABELS
    from ..table.infer_roles import TableError, find_coordinate_pair, find_similar_column
    from .survey import as_classes, as_table_error, resolve_columns

    schema = model.columns_
    pair = tuple(str(label) for label in schema.coordinates)
    source = {}
    if options.coordinates is not None:
        found = resolve_columns(frame, options.coordinates, "--coordinates")
        source = dict(zip(pair, found, strict=True))
    elif not set(pair) <= set(frame.columns):
        found_pair = find_coordinate_pair(frame)
        if found_pair is None:
            raise TableError(
                f"{options.table}: has no columns with names of coordinates (the model has "
                f"{', '.join(pair)}); set --coordinates X Y."
            )
        source = dict(zip(pair, found_pair, strict=True))
    labels = [str(label) for label in model.feature_names_in_]
    for label in labels:
        if label in source:
            continue
        try:
            source[label] = find_similar_column(frame, label, f"{options.table}: column")
        except TableError:
            if label not in (schema.noise_std, schema.campaign):
                raise
            if not options.quiet and label == schema.noise_std:
                print(f"note: no column {label}: values without measurement error are predicted")
    X = pd.DataFrame(
        {label: frame[source[label]] if label in source else np.nan for label in labels},
        index=frame.index,
    )
    for label in map(str, schema.categorical):
        if pd.api.types.is_numeric_dtype(X[label].dtype):
            X[label] = as_classes(X[label])
    of_geometry = source.get(pair[0], pair[0]) == GEOMETRY_LABELS[0]
    crs, reference = options.crs or (file_crs if of_geometry else None), schema.reference
    with as_table_error():
        for label in pair:
            X[label] = pd.to_numeric(X[label])
        if crs is None and reference.crs is not None:
            crs = resolve_crs(None, [source[label] for label in pair]).crs
        if crs is not None and reference.crs is not None and not same_crs(crs, reference.crs):
            xy = X[list(pair)].to_numpy(dtype=float)
            known = np.isfinite(xy).all(axis=1)
            xy[known] = transform_coordinates(xy[known], crs, reference)
            X[list(pair)] = xy
            if not options.quiet:
                print(f"note: coordinates transformed from {crs} to {reference.crs}")
    return X, list(source.values())


def _write(table: pd.DataFrame, pair: tuple[str, str], crs: str | None, path: Path) -> None:
    """Write atomically, in the format of the suffix."""
    # A shapefile is several files with one stem.
    if path.name.lower().endswith(".shp"):
        _as_points(table, pair, crs).to_file(path)
        return
    name = path.name.lower()
    suffix = next(suffix for suffix in _SUFFIXES[::-1] if name.endswith(suffix))
    partial = path.with_name(f".{path.name.removesuffix(suffix)}.partial{suffix}")
    try:
        if name.endswith(_GIS):
            points = _as_points(table, pair, crs)
            layer = {"layer": re.sub(r"\W+", "_", path.stem)} if suffix == ".gpkg" else {}
            in_degrees = suffix == ".geojson" and crs is not None
            (points.to_crs(4326) if in_degrees else points).to_file(partial, **layer)
        elif suffix == ".parquet":
            table.to_parquet(partial, index=False)
        elif suffix == ".xlsx":
            table.to_excel(partial, index=False, engine="openpyxl")
        else:
            table.to_csv(partial, index=False)
        os.replace(partial, path)
    except ImportError as error:
        from ..table.infer_roles import TableError

        raise TableError(
            f'writing {suffix} needs {error.name}: pip install "sptgnn-sklearn[files]"'
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _as_points(table: pd.DataFrame, pair: tuple[str, str], crs: str | None) -> Any:
    import geopandas

    points = geopandas.points_from_xy(table[pair[0]], table[pair[1]])
    return geopandas.GeoDataFrame(table.drop(columns=list(pair)), geometry=points, crs=crs)
