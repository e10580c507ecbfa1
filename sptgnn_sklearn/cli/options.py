"""Options that subcommands share, and messages in the words of the command line."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

__all__ = [
    "PROGRAM",
    "add_model_options",
    "add_quiet",
    "add_reading_options",
    "add_role_options",
    "add_scale_tags",
    "in_options",
    "number_list",
]

PROGRAM = "sptgnn"
# Remedies in Python and the option that does the same.
_REMEDIES = (
    (
        r"set it to NaN, for example by X\[.*?\]\.replace\((.*?), np\.nan\)",
        r"set it to missing by --na \1",
    ),
    (r"(?:, for example)? by X\.drop\(columns='?(.*?)'?\)", r" by --drop \1"),
    (
        r"Convert the column first, for example by pd\.to_datetime\(.*?\)",
        "Set --dayfirst or --no-dayfirst",
    ),
    (
        r"[Cc]onvert it, for example by (?:X\[.*?\] = )?pd\.to_numeric\(.*?coerce'\)",
        "Mend these entries, or drop the column by --drop",
    ),
    (r"pd\.to_numeric\(.*?coerce'\)", "mending these entries"),
    (r"rule='half', 'limit' or 'drop'", "--censored half, limit or drop"),
    (r"set limit=, or rule='drop' if it", "set --censored drop, or --na with this word, if it"),
    (r"set it to NaN", "set it to missing by --na"),
    (r"coordinates=\(x_column, y_column\)", "--coordinates X Y"),
    (r"use X\.to_crs\(\.\.\.\), or leave crs out", "leave --crs out"),
    (r"target_transform='(\w+)'", r"--target-transform \1"),
    (r"n_splits=(\d+)", r"--splits \1"),
    (
        r"Pass resample=\{'(.*?)': 'bilinear'\}, or 'nearest' for categories and 'average' for "
        r"finer rasters, to predict_map",
        r"Set --resample '\1=bilinear', or nearest for categories and average for finer rasters",
    ),
    (
        r"Pass mask_and_scale=True here and to predict_map to apply the tags",
        "Set --mask-and-scale, here and in map, to apply the tags",
    ),
    (r"Pass crs to the estimator or to predict_map", "Set --crs in fit"),
    (r"[Pp]ass crs(?= ?[.:])", "Set --crs"),
    (r"[Pp]ass date\b", "Set --date"),
    (r"pass overwrite=True", "set --force"),
    (r"(?<![\w.])path='(?=[^']*' would)", "-o '"),
    (
        r"pass categories=\{.*?\}\}",
        "fit the model to codes (--rasters and --categorical), or map it in Python",
    ),
)
_PARAMETERS = (
    *("sheet", "layer", "sep", "decimal", "thousands", "encoding", "skip_rows", "na", "dayfirst"),
    *("crs", "coordinates", "time", "elevation", "site", "coverage", "quantiles", "below", "above"),
    *("date", "layers", "like", "resample", "noise_std", "campaign"),
)
_PARAMETER = re.compile(rf"(?<![\w.])({'|'.join(_PARAMETERS)})=(?!=)(?=(\S?))")


def in_options(message: str) -> str:
    """Return a message about parameters of Python in the words of the command line.

    Examples
    --------
    >>> from sptgnn_sklearn.cli.options import in_options
    >>> in_options("has no layer='soil'; set skip_rows= or X.drop(columns='soc')")
    "has no --layer 'soil'; set --skip-rows or X.drop(columns='soc')"
    >>> in_options("drop it, for example by X.drop(columns='soc').")
    'drop it by --drop soc.'
    """
    for pattern, option in _REMEDIES:
        message = re.sub(pattern, option, message)

    def option_of(match: re.Match[str]) -> str:
        name = f"--{match[1].replace('_', '-')}"
        return f"{name} " if re.match(r"[\w'\"(\[-]", match[2]) else name

    return _PARAMETER.sub(option_of, message)


def number_list(text: str) -> list[float]:
    """Return numbers separated by commas.

    Raises
    ------
    argparse.ArgumentTypeError
        If an entry is not a number.

    Examples
    --------
    >>> from sptgnn_sklearn.cli.options import number_list
    >>> number_list("0.05,0.5")
    [0.05, 0.5]
    """
    try:
        return [float(entry) for entry in text.split(",") if entry.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers separated by commas") from error


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the table and the options of `read_table`."""
    parser.add_argument(
        "table",
        type=Path,
        metavar="FILE",
        help="text, Excel, Parquet, GeoPackage, shapefile or GeoJSON file, one row per sample",
    )
    group = parser.add_argument_group("reading the file")
    group.add_argument("--sheet", help="name or number of the Excel sheet")
    group.add_argument("--layer", help="layer of a GeoPackage")
    group.add_argument(
        "--sep", help="separator: one character, comma, semicolon, tab, pipe or blanks"
    )
    group.add_argument("--decimal", help="decimal mark: . or ,")
    group.add_argument("--thousands", help="thousands mark, such as ,")
    group.add_argument("--encoding", help="such as utf-8, utf-16, cp1252")
    group.add_argument(
        "--skip-rows", type=int, metavar="N", help="number of lines above the column names"
    )
    group.add_argument(
        "--na",
        nargs="+",
        action="extend",
        default=[],
        metavar="VALUE",
        help="further numbers and words that mean no data, such as -9999",
    )
    group.add_argument(
        "--censored",
        choices=("half", "limit", "drop"),
        help="value of entries such as <0.1: half the limit, the limit, or missing",
    )
    group.add_argument(
        "--dayfirst",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether 03/04/2001 is in April",
    )
    rasters = parser.add_argument_group("columns from rasters, sampled at the points of the table")
    rasters.add_argument(
        "--rasters",
        nargs="+",
        action="extend",
        default=[],
        metavar="[NAME=]PATH",
        help="raster files in any CRS; NAME=PATH:2 is the second band, and without a name columns "
        "are named by the descriptions of the bands or the file",
    )
    add_scale_tags(rasters)


def add_scale_tags(group: Any) -> None:
    """Add the option that applies scale and offset tags of rasters."""
    group.add_argument(
        "--mask-and-scale", action="store_true", help="apply scale and offset tags of the rasters"
    )


def add_role_options(parser: argparse.ArgumentParser) -> None:
    """Add the target and the roles of columns."""
    parser.add_argument("--target", required=True, metavar="COLUMN", help="column to predict")
    group = parser.add_argument_group("roles of columns (inferred from names and printed)")
    group.add_argument(
        "--coordinates",
        nargs="+",
        metavar="COLUMN",
        help="columns of longitude and latitude, or easting and northing",
    )
    group.add_argument("--crs", help="coordinate reference system, such as EPSG:28992")
    for role, what in (
        ("time", "dates or years"),
        ("elevation", "elevation"),
        ("site", "profile or site ids"),
    ):
        group.add_argument(f"--{role}", metavar="COLUMN", help=f'column of {what}, or "none"')
    group.add_argument(
        "--noise-std",
        metavar="COLUMN",
        help="column of standard deviations of the measurement error of the target, in its unit "
        "(not inferred)",
    )
    group.add_argument(
        "--campaign",
        metavar="COLUMN",
        help="column of laboratories or campaigns, which may have shifts (not inferred)",
    )
    for option, what in (
        ("drop", "columns to exclude"),
        ("categorical", "numeric columns that hold class codes"),
    ):
        group.add_argument(
            f"--{option}",
            nargs="+",
            action="extend",
            default=[],
            metavar="COLUMN",
            help=f"{what}, separated by blanks or commas",
        )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of models that are fitted."""
    group = parser.add_argument_group("models")
    transform = group.add_mutually_exclusive_group()
    transform.add_argument(
        "--target-transform",
        choices=("none", "log1p", "auto"),
        default="none",
        help="transform of the target; auto uses log1p if it is skewed (default: none)",
    )
    transform.add_argument(
        "--log", action="store_const", const="log1p", dest="target_transform", help="log1p"
    )
    group.add_argument("--members", type=int, metavar="N", help="number of ensemble members")
    group.add_argument("--epochs", type=int, metavar="N", help="number of epochs")
    group.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="number of threads (default: all cores)"
    )
    group.add_argument("--seed", type=int, default=0, help="seed of random numbers (default: 0)")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints results and errors only."""
    parser.add_argument("--quiet", action="store_true", help="print results and errors only")
