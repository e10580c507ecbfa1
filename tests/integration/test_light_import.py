"""New processes that import no heavy library before the step that runs it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.datasets import make_soil_survey

HEAVY = (
    *("torch", "torch_geometric", "skorch", "xgboost", "numba", "mapie", "esda", "libpysal"),
    *("matplotlib", "xarray", "rasterio", "pyproj", "geopandas", "dask"),
)
# Written to the last line of the output.
LIST_HEAVY = f"""
import sys
print()
print([name for name in {HEAVY} if name in sys.modules])
"""
RUN_MODULE = """
import runpy, sys
sys.argv = ["sptgnn", *{arguments}]
try:
    runpy.run_module("sptgnn_sklearn", run_name="__main__")
except SystemExit as done:
    print(done.code)
"""


def run(code: str, content: bytes = b"") -> str:
    """Run code in a new process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], input=content, capture_output=True, check=False
    )
    errors = done.stderr.decode()
    assert done.returncode == 0, errors
    return done.stdout.decode() + errors


def heavy_after(code: str) -> str:
    """Run code in a new process and return the heavy libraries that it has imported."""
    return run(code + LIST_HEAVY).rstrip().splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        """
from sklearn.base import clone
from sptgnn_sklearn import SpTGNNRegressor, XGBoostBaseline, predict_uncertainty
for model in (SpTGNNRegressor(), XGBoostBaseline()):
    model = clone(model)
    repr(model), model._repr_html_(), model.get_params(), model.__sklearn_tags__()
model = SpTGNNRegressor().set_params(network__hidden_size=32, images={"DEM": "dem"})
model.set_params(images__fine_tune=1)
""",
        """
import numpy as np, pandas as pd
from sptgnn_sklearn.metrics import *
from sptgnn_sklearn.model_selection import *
X = pd.DataFrame(np.random.default_rng(0).uniform(0, 50, (60, 3)), columns=["lon", "lat", "clay"])
for splitter in (SpatialBlockKFold(3), EnvironmentalBlockKFold(3, columns=["clay"])):
    assert len(list(splitter.split(X))) == 3
X = X.rename(columns={"lon": "x", "lat": "y"})
assert len(list(KNNDMKFold(3, prediction_points=X).split(X))) == 3
y, std = np.arange(9.0), np.ones(9)
concordance_correlation(y, y + 0.1), crps_gaussian(y, y, std), interval_coverage(y, y - 1, y + 1)
repr(make_residual_morans_i_scorer()), repr(neg_abs_residual_morans_i_scorer), repr(rpiq_scorer)
""",
        """
from sptgnn_sklearn import *
from sptgnn_sklearn.applicability import *
from sptgnn_sklearn.datasets import *
from sptgnn_sklearn.estimation import *
from sptgnn_sklearn.inspection import *
from sptgnn_sklearn.maps import *
from sptgnn_sklearn.plotting import *
from sptgnn_sklearn.readers import *
SpTGNNRegressor, AreaOfApplicability, make_soil_survey, ablation, predict_map, plot_map, read_table
design_estimate([1.0, 2.0, 4.0]), model_assisted_estimate([1.0, 2.0], [1.0, 1.5], 2.0)
""",
    ],
    ids=["estimators", "splitters and metrics", "all names"],
)
def test_no_heavy_library_is_imported(code):
    """Estimators are made, tables split and metrics computed without torch."""
    assert heavy_after(code) == "[]"


def test_attributes_of_the_root_need_no_import_of_their_own():
    """Packages for users are attributes of the root, with the names that they export."""
    code = """
import sptgnn_sklearn
print(sptgnn_sklearn.metrics.bias([1.0], [3.0]))
print(sptgnn_sklearn.inspection.ablation.__name__, sptgnn_sklearn.maps.predict_map.__name__)
import sptgnn_sklearn.inspection.ablation
print(callable(sptgnn_sklearn.inspection.ablation))
"""
    assert run(code).split() == ["2.0", "ablation", "predict_map", "True"]
    with pytest.raises(ImportError, match="SpTGNNRegresor"):
        from sptgnn_sklearn import SpTGNNRegresor  # noqa: F401


def test_the_command_line_imports_no_heavy_library_before_a_fit(tmp_path):
    """Help, the errors of a table and its check are shown at once."""
    path = tmp_path / "survey.csv"
    survey = make_soil_survey(n_samples=20, random_state=0)
    survey.data.assign(SOC=survey.target).to_csv(path, index=False)
    for arguments, expected in (
        (["--help"], "usage"),
        (["check", str(path), "--target", "Carbon"], "no such column"),
        (["check", str(path), "--target", "SOC"], "lon, lat"),
    ):
        printed = run(RUN_MODULE.format(arguments=arguments) + LIST_HEAVY)
        assert "\n[]\n" in printed
        assert expected in printed


def test_models_are_unpickled_in_a_new_process():
    """Workers of joblib import what a fitted model needs."""
    survey = make_soil_survey(n_samples=60, random_state=0)
    model = SpTGNNRegressor(
        time="date", base_estimator=None, n_estimators=2, max_epochs=2, random_state=0
    )
    model.fit(survey.data, survey.target)
    code = """
import pickle, sys
import numpy as np
fitted, unfitted, X = pickle.loads(sys.stdin.buffer.read())
print(type(unfitted).__name__, fitted.predict(X).tolist())
"""
    content = pickle.dumps((model, clone(model), survey.data.head(3)))
    name, _, predicted = run(code, content).strip().partition(" ")
    assert name == "SpTGNNRegressor"
    expected = model.predict(survey.data.head(3))
    np.testing.assert_allclose(np.fromstring(predicted.strip("[]"), sep=","), expected)
