"""Fitted regressors for maps of the small rasters, and maps as flat arrays."""

from small_rasters import CRS, DATE, LAND_USES, CountingRegressor, survey

from sptgnn_sklearn import SpTGNNRegressor, predict_map

ALL_LAYERS = ["mean", "std", "aleatoric", "epistemic", "lower", "upper"]
SETTINGS = {"date": DATE, "categories": {"land_use": LAND_USES}, "verbose": 0}
CODES = {level: code for code, level in LAND_USES.items()}


def make_network(**settings):
    """Return an unfitted network that trains in a second."""
    defaults = {"n_estimators": 2, "max_epochs": 2, "base_estimator": None, "random_state": 0}
    roles = {"time": "date", "crs": CRS, "elevation": "elevation"}
    return SpTGNNRegressor(**(defaults | roles | settings))


def survey_columns(names):
    """Return some columns of the survey, and its target."""
    X, y = survey()
    return X[names], y


def with_land_use_codes(X):
    """Return the survey with land use as a category of integers."""
    return X.assign(land_use=X["land_use"].astype(object).map(CODES).astype("category"))


def flatten(layers):
    """Return the layers of a map by name, each as one row of cells."""
    return {name: layers[name].to_numpy().ravel() for name in layers}


def fit_counting(columns, **settings):
    return CountingRegressor(**settings).fit(columns)


def map_in_blocks(model, rasters, path=None, **settings):
    """Predict a map in 12 blocks of 16 x 16 cells or less."""
    defaults = {"crs": CRS, "verbose": 0, "block_size": 16}
    return predict_map(model, rasters, path=path, **(defaults | settings))


def read_content(path):
    """Return the bytes of a file, or of each file in a folder."""
    if path.is_file():
        return path.read_bytes()
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}
