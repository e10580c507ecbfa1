"""Tests of the cells of a report and of the area of applicability over them."""

import argparse

import numpy as np
import pytest

from sptgnn_sklearn.cli.options import add_reading_options, add_role_options
from sptgnn_sklearn.cli.report_area import distance_rows, fit_area, read_cells
from sptgnn_sklearn.cli.survey import read_survey


@pytest.fixture
def read(soil_files):
    """A function that returns the survey, its options and the cells of a map."""

    def read_arguments(*arguments, area=None):
        parser = argparse.ArgumentParser()
        add_reading_options(parser)
        add_role_options(parser)
        options = parser.parse_args(["soil.gpkg", "--target", "SOC", *arguments])
        options.map = area
        survey = read_survey(options)
        return survey, read_cells(survey, options)

    return read_arguments


def test_cells_have_the_coordinates_of_the_survey(read, soil_files):
    """Cells of a raster in another CRS are transformed, and have its values."""
    _, cells = read("--rasters", "dem.tif", "slope.tif")
    frame = cells.frame.dropna()
    west, south, east, north = soil_files.total_bounds
    assert frame["geometry.x"].between(west - 1000, east + 1000).all()
    assert frame["geometry.y"].between(south - 1000, north + 1000).all()
    assert cells.shape == (19, 24) and cells.columns == ["dem", "slope"]
    assert read()[1] is None
    _, of_map = read(area="slope.tif")
    assert of_map.columns == [] and len(of_map.frame) == np.prod(of_map.shape)


def test_area_follows_the_covariates(read):
    """Cells with covariates far from those of the samples are outside."""
    survey, cells = read("--rasters", "dem.tif", "slope.tif")
    fold = np.arange(len(survey.y)) % 4
    area = fit_area(survey, cells, fold, 0)
    assert area.share_inside > 0.5 and area.left_out == []
    far = cells.frame.assign(dem=cells.frame["dem"] + 1000)
    outside = fit_area(survey, type(cells)(**{**vars(cells), "frame": far}), fold, 0)
    assert outside.share_inside == 0 and outside.largest > area.largest


def test_distances(read):
    """Distances of cells and of held-out rows are those of the nearest sample."""
    survey, cells = read("--rasters", "dem.tif")
    rows = np.arange(len(survey.y))
    splits = {"half": [(rows[:30], rows[30:]), (rows[30:], rows[:30])]}
    xy = survey.X[["geometry.x", "geometry.y"]].to_numpy()
    gap = np.linalg.norm(xy[:, None] - xy, axis=-1)
    expected = np.median(np.r_[gap[30:, :30].min(axis=1), gap[:30, 30:].min(axis=1)])
    (held_out, of_cells) = distance_rows(survey, splits, cells)
    assert held_out[0] == "held-out rows, half folds"
    assert held_out[1] == pytest.approx(expected)
    assert of_cells[0] == "cells of the map" and of_cells[1] <= of_cells[2]
