"""Tests of figures of maps."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sptgnn_sklearn.cli.figures import (
    check_figure_path,
    draw_layers,
    grid_aspect,
    headless_pyplot,
    map_panels,
    open_map_file,
)
from sptgnn_sklearn.spatial.crs import resolve_crs
from sptgnn_sklearn.table.infer_roles import TableError


@pytest.fixture
def soil():
    """A map with three layers and a cell without data."""
    import rioxarray  # noqa: F401

    values = np.arange(12.0, dtype="float32").reshape(3, 4)
    values[0, 0] = np.nan
    layers = {"mean": values, "q95": values + 10, "std": values / 10, "p<2.0": values / 12}
    dataset = xr.Dataset(
        {name: (("y", "x"), layer) for name, layer in layers.items()},
        coords={"y": [5_000_250.0, 5_000_150.0, 5_000_050.0], "x": 500_050.0 + 100 * np.arange(4)},
    )
    for name in layers:
        dataset[name].attrs = {"long_name": f"{name} of SOC", "units": "%"}
    return dataset.rio.write_crs("EPSG:32636")


def test_values_and_quantiles_share_their_colors(soil):
    """Layers in the unit of the target have one range, std and probabilities their own."""
    figure = draw_layers(soil)
    panels = {ax.child_axes[0].get_ylabel(): ax for ax in figure.axes if ax.images}
    assert [ax.get_title() for ax in panels.values()] == [""] * 4  # color bars name the layers
    limits = {label.split(" of ")[0]: ax.images[0].get_clim() for label, ax in panels.items()}
    assert limits["mean"] == limits["q95"] == (1.0, 21.0)
    assert limits["std"] == pytest.approx((0.1, 1.1))
    assert limits["p<2.0"] == (0.0, 1.0)
    headless_pyplot().close(figure)


def test_descriptions_of_a_file(soil, tmp_path):
    """Files are opened with names, descriptions and units of their layers."""
    soil["mean"].attrs = {}
    soil["mean"].rio.to_raster(tmp_path / "mean.tif")
    assert list(open_map_file(tmp_path / "mean.tif").data_vars) == ["mean"]
    soil.to_netcdf(tmp_path / "soil.nc", engine="scipy")
    opened = open_map_file(tmp_path / "soil.nc")
    assert opened["q95"].attrs["units"] == "%"
    for name in ("no.tif", "no.nc", "no.zarr"):
        with pytest.raises(ValueError, match="cannot be opened"):
            open_map_file(tmp_path / name)


def test_panels_are_limited():
    """Extreme extents have panels of a usable size; unused panels are removed."""
    figure, panels = map_panels(4, 100.0)
    assert len(panels) == len(figure.axes) == 4
    assert figure.get_size_inches()[1] < 25
    headless_pyplot().close(figure)
    reference = resolve_crs("EPSG:4326", [])
    assert grid_aspect(np.array([0.0, 1.0]), np.array([59.5, 60.5]), reference) == pytest.approx(2)
    assert grid_aspect(np.zeros(1), np.array([1.0, 2.0]), reference) == 1


def test_figures_of_unknown_format():
    """Formats that matplotlib writes well are accepted."""
    check_figure_path(Path("soil.pdf"))
    with pytest.raises(TableError, match=r"soil\.jpg: the name must end in"):
        check_figure_path(Path("soil.jpg"))
