"""Fixtures that tests of several packages share."""

import pytest

from sptgnn_sklearn.datasets import make_soil_survey


@pytest.fixture(scope="session")
def survey():
    """A simulated survey of 150 samples with covariates, land use, elevation and dates."""
    return make_soil_survey(150, random_state=0)
