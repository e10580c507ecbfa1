"""Fixtures of the tests of the command line."""

import numpy as np
import pytest

from sptgnn_sklearn.cli import main
from sptgnn_sklearn.datasets import make_soil_survey


@pytest.fixture
def table():
    """Forty samples with an id, another target, a constant column and two missing values."""
    survey = make_soil_survey(40, n_covariates=2, n_informative=2, random_state=0)
    frame = survey.data.assign(soc=survey.target, target_clay=1.0 * np.arange(40), country="NL")
    frame.insert(0, "sample", [f"s{i}" for i in range(40)])
    frame.loc[3, "soc"] = np.nan
    frame.loc[5, "lon"] = np.nan
    return frame


@pytest.fixture
def numeric(table):
    """The numeric columns of the table."""
    return table.drop(columns=["sample", "country", "date", "land_use"])


@pytest.fixture
def working_directory(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys):
    """A function that returns exit code, standard output and standard error."""

    def run_arguments(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run_arguments


@pytest.fixture
def error_message(run):
    """A function that returns the one-line error of an invalid table or option."""

    def run_invalid(*arguments):
        code, _, err = run(*arguments)
        assert code == 2
        assert len(err.splitlines()) == 1, err
        assert err.startswith("sptgnn: error: ")
        return err

    return run_invalid
