"""Additive Gaussian process."""

import numpy as np
from scipy.optimize import approx_fprime
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Matern

from benchmarks.additive_process import AdditiveGaussianProcess, ColumnMatern

X = np.random.default_rng(0).normal(size=(80, 5))
Y = np.sin(X[:, 0]) + np.tanh(X[:, 3])


def test_kernel_of_columns():
    """It equals the kernel of the columns alone, with its gradient, also after cloning."""
    kernel = clone(ColumnMatern(2, 4, 0.7))
    expected, gradient = Matern(0.7, nu=1.5)(X[:, 2:4], eval_gradient=True)
    found, found_gradient = kernel(X, eval_gradient=True)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(found_gradient, gradient)
    np.testing.assert_allclose(kernel(X, X[:3]), expected[:, :3])
    numeric = approx_fprime(kernel.theta, lambda t: kernel.clone_with_theta(t)(X)[0, 1])
    np.testing.assert_allclose(found_gradient[0, 1], numeric, rtol=1e-4)


def test_fit_explains_space_and_covariates():
    """Both kernels are needed for this target; equal seeds give equal models."""
    model = AdditiveGaussianProcess(n_restarts=1).fit(X[:60], Y[:60])
    assert model.score(X[60:], Y[60:]) > 0.6
    again = AdditiveGaussianProcess(n_restarts=1).fit(X[:60], Y[:60])
    np.testing.assert_array_equal(model.predict(X), again.predict(X))


def test_coordinates_alone():
    """Without covariates the process is kriging with a constant mean."""
    model = AdditiveGaussianProcess(n_restarts=0).fit(X[:, :2], np.sin(2 * X[:, 0]))
    assert model.score(X[:, :2], np.sin(2 * X[:, 0])) > 0.9
