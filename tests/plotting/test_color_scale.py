"""Colormaps and limits of layers, and scales shared by maps."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray
from matplotlib.colors import LogNorm

from sptgnn_sklearn.plotting import plot_map, shared_norm
from sptgnn_sklearn.plotting.color_scale import (
    drawn_values,
    layer_colormap,
    layer_limits,
    thinning_step,
)


def layer(low, high):
    """Return a layer of 3 x 4 cells with one that is missing."""
    values = np.linspace(low, high, 12).reshape(3, 4)
    values[1, 1] = -9999.0
    array = xarray.DataArray(
        values, dims=("y", "x"), coords={"y": [3.0, 2, 1], "x": np.arange(4.0)}
    )
    return array.assign_attrs(_FillValue=-9999.0)


def test_panels_share_one_scale():
    """The scale runs from the least to the greatest value of all maps, without missing cells."""
    soil = xarray.Dataset({"q05": layer(1, 5), "q95": layer(4, 20)})
    norm = shared_norm(soil)
    assert (norm.vmin, norm.vmax) == (1, 20)
    assert shared_norm(soil["q05"], [[np.nan, 0.5]]).vmin == 0.5
    _, axes = plt.subplots(1, 2)
    images = [
        plot_map(soil, name, ax=ax, norm=norm).images[0]
        for name, ax in zip(soil, axes, strict=True)
    ]
    assert images[0].get_clim() == images[1].get_clim() == (1, 20)
    points = plot_map([[0.0, 1.0], [2.0, 3.0]], [30.0, 2.0], norm=norm, colorbar=False)
    assert points.collections[0].norm is norm
    assert points.child_axes == []


def test_logarithmic_scales_are_positive():
    """Values of zero are below a logarithmic scale, unless a limit is given."""
    norm = shared_norm([0.0, 2.0, 50.0], log=True)
    assert isinstance(norm, LogNorm)
    assert (norm.vmin, norm.vmax) == (2.0, 50.0)
    with pytest.raises(ValueError, match="vmin=0 must be positive"):
        shared_norm([1.0, 2.0], vmin=0, log=True)


def test_invalid_scales_raise():
    """The error names the argument."""
    with pytest.raises(ValueError, match="values has no finite number"):
        shared_norm([np.nan])
    with pytest.raises(ValueError, match="vmin=3 must be less than vmax=2"):
        shared_norm([1.0], vmin=3, vmax=2)
    with pytest.raises(ValueError, match="vmin=1"):
        plot_map(layer(0, 1), norm=shared_norm([0.0, 1.0]), vmin=1)
    assert shared_norm(vmin=0, vmax=1).vmax == 1


def test_limits_of_layers():
    """Layers in the unit of the target share their limits if the map has a mean."""
    soil = xarray.Dataset({"mean": layer(2, 8), "upper": layer(5, 20), "std": layer(1, 2)})
    assert layer_limits(soil) == {"mean": (2, 20), "upper": (2, 20), "std": (None, None)}
    assert layer_limits(soil[["upper"]]) == {"upper": (None, None)}
    assert layer_colormap("epistemic") == "magma_r"
    assert layer_colormap("q05") == "viridis"


def test_large_layers_are_thinned(monkeypatch):
    """The values are those of the rows and columns that are drawn."""
    monkeypatch.setattr("sptgnn_sklearn.plotting.color_scale._MAX_DRAWN", 2)
    assert thinning_step(3, 4) == 2
    assert drawn_values(layer(0, 11)).tolist() == [[0, 2], [8, 10]]
