"""Known measurement errors in standardized units, and weights of rows."""

import numpy as np
import pytest

from sptgnn_sklearn.table.measurement_error import noise_weight, standardized_noise
from sptgnn_sklearn.table.target_scaling import TargetScaler

Y = np.array([10.0, 14.0, 12.0])
SCALER = TargetScaler(None, center=12.0, scale=2.0)


def standardized(noise_std, scaler=SCALER):
    return standardized_noise(noise_std, Y, np.ones(3), scaler, "lab_sd")


def test_errors_are_in_standardized_units():
    """The variance is divided by that of the target."""
    np.testing.assert_array_equal(standardized(np.array([1.0, 0.0, 2.0])), [0.25, 0.0, 1.0])


@pytest.mark.parametrize("case", ["no column", "all zero", "constant target"])
def test_no_errors_give_none(case):
    """Without an error that counts, a fit is that without the role."""
    scaler = TargetScaler(None, 12.0, 0.0) if case == "constant target" else SCALER
    noise_std = {"no column": None, "all zero": np.zeros(3)}.get(case, np.ones(3))
    assert standardized(noise_std, scaler) is None


@pytest.mark.parametrize("function", [None, "log1p"])
def test_errors_larger_than_the_variance_of_the_target_warn(function):
    """Measured values cannot vary less than their errors: the unit is wrong."""
    scaler = TargetScaler.fit(Y, np.ones(3), function)
    with pytest.warns(UserWarning, match=r"noise_std='lab_sd' .* times the variance.*unit of y"):
        standardized(np.full(3, 100.0), scaler)
    assert standardized(np.full(3, 0.5), scaler) is not None


def test_weights_are_relative_precisions():
    """Rows without error keep their weight; the others have the share of unexplained variance."""
    noise = np.array([0.0, 0.4, 0.4, 0.0])
    np.testing.assert_allclose(noise_weight(noise, np.ones(4)), [1.0, 0.5, 0.5, 1.0])
    weighted = noise_weight(np.array([0.0, 0.4]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(weighted, [1.0, 0.45 / 0.85])


def test_weights_stay_positive_if_errors_explain_everything():
    """The unexplained variance is at least a twentieth of that of the target."""
    np.testing.assert_allclose(noise_weight(np.full(3, 2.0), np.ones(3)), 0.05 / 2.05)
