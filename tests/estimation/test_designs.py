"""Sampling designs: variances by hand, and the units that count for degrees of freedom."""

import numpy as np
import pandas as pd
import pytest

from sptgnn_sklearn.estimation.designs import SamplingDesign


def make_design(unsampled, unsampled_within=None, psu=(0, 0, 1, 2, 2, 3)):
    """Return six units of weight 2 in four PSUs, two in each of two strata."""
    return SamplingDesign(
        weights=np.full(6, 2.0),
        psu=np.array(psu),
        psu_labels=pd.Index([*"wxyz"]),
        strata=np.array([0, 0, 1, 1]),
        stratum_labels=pd.Index(["p", "q"]),
        unsampled=np.array(unsampled),
        unsampled_within=None if unsampled_within is None else np.array(unsampled_within),
    )


VALUES = np.array([1.0, 2, 5, 4, 4, 2])  # weighted totals of PSUs: 6, 10, 16 and 4


@pytest.mark.parametrize(
    ("unsampled", "variance"),
    [
        # n / (n - 1) times the sum of squares about the mean of two: 2 * (2 * 2^2), 2 * (2 * 6^2).
        ([1, 1, 1, 1], 16 + 144),
        ([0.5, 0.5, 1, 1], 8 + 144),
        ([0, 0, 1, 1], 144),
        ([0, 0, 0, 0], 0),
        # The weighted mean of 6 and 10 is 9.
        ([0.2, 0.6, 0, 0], 2 * (0.2 * 9 + 0.6 * 1)),
    ],
)
def test_variance_of_total(unsampled, variance):
    """Only random PSUs have a part; the correction multiplies the squares of the stratum."""
    assert make_design(unsampled).variance_of_total(VALUES) == pytest.approx(variance)


def test_variance_within_psus():
    """The second stage adds its variance times the sampling fraction of the first."""
    design = make_design([0.8, 0.8, 1, 1], [0.5, 0, 0.5, 0])
    # Weighted values in the first PSU are 2 and 4: 2 * (2 * 1^2) * 0.5 * (1 - 0.8).
    assert design.variance_of_total(VALUES) == pytest.approx(0.8 * 16 + 144 + 0.2 * 2)


def test_degrees_of_freedom():
    """PSUs with units in the zone minus their strata, without those in every sample."""
    everywhere, zone = np.ones(6, dtype=bool), np.array([True, False, True, False, True, False])
    assert make_design([1, 1, 1, 1]).degrees_of_freedom(everywhere) == 2
    assert make_design([1, 1, 1, 1]).degrees_of_freedom(zone) == 1
    assert make_design([0, 0, 1, 1]).degrees_of_freedom(everywhere) == 1
    # Subsampled PSUs that are in every sample count as strata.
    subsampled = make_design([0, 0, 1, 1], [0.5, 0, 0.5, 0])
    assert subsampled.degrees_of_freedom(everywhere) == 1 + 1


def test_single_units():
    """A stratum with one random PSU and a PSU with one of several units are named."""
    with pytest.raises(ValueError, match=r"strata \['q'\] have one cluster"):
        make_design([1, 1, 0.5, 0])
    with pytest.raises(ValueError, match=r"clusters \['x', 'z'\] have one of several units"):
        make_design([1, 1, 1, 1], [0.5, 0.5, 0.5, 0.5])
