"""Tests of shared options and of messages in the words of the command line."""

import argparse

import pytest

from sptgnn_sklearn.cli.options import in_options, number_list


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("set sep= or skip_rows=.", "set --sep or --skip-rows."),
        ("has no sheet='Data'", "has no --sheet 'Data'"),
        ("crs=25833 differs", "--crs 25833 differs"),
        ("if it means no data, set it to NaN.", "if it means no data, set it to missing by --na."),
        (
            "set it to NaN, for example by X['ERa'].replace(-9999, np.nan).",
            "set it to missing by --na -9999.",
        ),
        ("drop it, for example by X.drop(columns='b').", "drop it by --drop b."),
        (
            "ambiguous. Convert the column first, for example by "
            "pd.to_datetime(X['d'], dayfirst=True).",
            "ambiguous. Set --dayfirst or --no-dayfirst.",
        ),
        (
            "exists: choose another path, or pass overwrite=True.",
            "exists: choose another path, or set --force.",
        ),
        (
            "is assumed (EPSG:1). Pass crs to the estimator or to predict_map.",
            "is assumed (EPSG:1). Set --crs in fit.",
        ),
        ("that of the rasters is assumed. Pass crs.", "that of the rasters is assumed. Set --crs."),
        ("for an unknown date. Pass date.", "for an unknown date. Set --date."),
        (
            "do not align. Pass resample={'a b': 'bilinear'}, or 'nearest' for categories and "
            "'average' for finer rasters, to predict_map, or resample the raster first.",
            "do not align. Set --resample 'a b=bilinear', or nearest for categories and average "
            "for finer rasters, or resample the raster first.",
        ),
        (
            "holds numbers: pass categories={'use': {1: 'crop', ...}}.",
            "holds numbers: fit the model to codes (--rasters and --categorical), or map it in "
            "Python.",
        ),
        ("the ratio a==b or x.crs=1 stays", "the ratio a==b or x.crs=1 stays"),
    ],
)
def test_messages_name_options(message, expected):
    """Parameters and code of Python are replaced by options."""
    assert in_options(message) == expected


def test_lists_of_numbers():
    """Numbers are separated by commas."""
    assert number_list("0.05, 0.95,") == [0.05, 0.95]
    with pytest.raises(argparse.ArgumentTypeError, match="'a,b'"):
        number_list("a,b")
