"""Local Moran's I: known clusters, the global mean, and errors."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.inspection import local_morans_i
from sptgnn_sklearn.metrics import morans_i


def test_a_cluster_of_high_values_is_significant():
    """A patch of high values is found, and almost nothing in noise; the mean is global I."""
    rng = np.random.default_rng(1)
    xy = pd.DataFrame(rng.uniform(size=(400, 2)), columns=["x", "y"], index=range(7, 407))
    noise = rng.normal(size=400)
    patch = np.hypot(xy["x"] - 0.3, xy["y"] - 0.3) < 0.15
    result = local_morans_i(noise + 4 * patch.to_numpy(), xy)
    assert result.index.equals(xy.index)
    inside = result.loc[patch & result["significant"], "quadrant"]
    assert (inside == "high-high").mean() > 0.9
    assert result.loc[patch, "significant"].mean() > 0.6
    assert result.loc[~patch, "significant"].mean() < 0.1
    of_noise = local_morans_i(noise, xy)
    assert of_noise["significant"].mean() < 0.02
    expected = pytest.approx(morans_i(noise, xy), rel=0.01)
    assert of_noise["local_i"].mean() * 400 / 399 == expected
    pd.testing.assert_frame_equal(of_noise, local_morans_i(noise, xy))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"values": np.zeros(30)}, "^values .*equal"),
        ({"values": np.arange(29.0)}, "29 values and 30 rows"),
        ({"alpha": 2.0}, "alpha must .* found 2.0"),
        ({"n_neighbors": 0}, "n_neighbors must .* found 0"),
    ],
)
def test_invalid_arguments_raise(settings, message):
    """The error names the argument and what was found."""
    xy = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match=message):
        local_morans_i(**{"values": np.arange(30.0), "coordinates": xy, **settings})
