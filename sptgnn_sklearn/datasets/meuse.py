"""The Meuse survey of floodplain soils."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

__all__ = ["load_meuse"]

_MEUSE_COVARIATES = ["elev", "dist", "ffreq", "soil", "lime", "landuse"]
_MEUSE_CATEGORIES = ["ffreq", "soil", "lime", "landuse"]
_MEUSE_TARGETS = ["om", "cadmium", "copper", "lead", "zinc"]
_MEUSE_DESCR = """\
Topsoil of the Meuse floodplain
===============================

155 composite topsoil samples (0 to 20 cm, each from an area of about 15 m by 15 m) from the
floodplain of the river Meuse near Stein, the Netherlands.

x, y       easting and northing in meters, EPSG:28992 (Amersfoort / RD New)
elev       relative elevation above the local river bed, m
dist       distance to the river, scaled to 0 .. 1
ffreq      flooding frequency: 1 once in two years, 2 once in ten, 3 once in fifty
soil       soil type: 1, 2 or 3 of the 1:50 000 soil map
lime       lime class: 0 or 1
landuse    land use, 15 classes; one value is missing
dist.m     distance to the river measured in the field, m (in `frame` only; redundant with `dist`)
om         organic matter, percent of mass; two values are missing (the first target)
cadmium, copper, lead, zinc   metal content, mg per kg of soil

References
----------
Rikken, M. G. J., & Van Rijn, R. P. G. (1993). Soil pollution with heavy metals: an inquiry into
spatial variation, cost of mapping and the risk evaluation of copper, cadmium, lead and zinc in the
floodplains of the Meuse west of Stein, the Netherlands. Doctoraalveldwerkverslag, Utrecht
University.

Burrough, P. A., & McDonnell, R. A. (1998). Principles of Geographical Information Systems. Oxford
University Press.

The table comes from the R package sp (Pebesma & Bivand 2005, R News 5(2), 9-13), under GPL-3. It
is read from the copy in scikit-gstat and is not part of this package.
"""


def _meuse_path() -> Path:
    """Return the path of the table in the installed scikit-gstat, which is not imported."""
    spec = importlib.util.find_spec("skgstat")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / "data" / "samples" / "meuse.txt"
        if path.is_file():
            return path
    raise ImportError(
        "load_meuse reads the table from the installed scikit-gstat, which was not found. "
        'Install it with: pip install "sptgnn-sklearn[demo]"'
    )


@validate_params(
    {
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
        "target": [StrOptions(set(_MEUSE_TARGETS))],
    },
    prefer_skip_nested_validation=True,
)
def load_meuse(
    *, return_X_y: bool = False, as_frame: bool = True, target: str = "om"
) -> Bunch | tuple[Any, Any]:
    """Load the Meuse topsoil survey: 155 samples of organic matter and four metals.

    The table is read from the installed scikit-gstat (``pip install "sptgnn-sklearn[demo]"``);
    nothing is downloaded.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch, as scikit-learn's loaders do.
    as_frame : bool, default=True
        Return `data` as a DataFrame with four categorical columns, and `target` as a Series.
        Otherwise both are float arrays, with categories as ordinal codes in sorted order.
    target : {"om", "cadmium", "copper", "lead", "zinc"}, default="om"
        The property to predict: organic matter in percent, or a metal in mg/kg. The others are no
        covariates in `data`. For organic matter, the two samples without a value are dropped,
        which leaves 153 rows.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        data : DataFrame or ndarray of shape (n_samples, 8)
            Coordinates `x` and `y` in meters, then the covariates `elev`, `dist`, `ffreq`, `soil`,
            `lime` and `landuse`. One land use is missing.
        target : Series or ndarray of shape (n_samples,)
        frame : DataFrame of shape (n_samples, 14), or None if not `as_frame`
            The same rows of the complete table, with all targets and `dist.m`.
        feature_names, target_names : list of str
        crs : str
            The coordinate reference system of `x` and `y`, ``"EPSG:28992"``.
        DESCR : str
            Columns, units and sources.

        With `return_X_y`, only ``(data, target)``.

    Raises
    ------
    ImportError
        If scikit-gstat is not installed.

    References
    ----------
    .. [1] Rikken, M. G. J., & Van Rijn, R. P. G. (1993). Soil pollution with heavy metals.
       Doctoraalveldwerkverslag, Utrecht University.
    .. [2] Burrough, P. A., & McDonnell, R. A. (1998). Principles of Geographical Information
       Systems. Oxford University Press.

    Examples
    --------
    >>> from sptgnn_sklearn.datasets import load_meuse
    >>> meuse = load_meuse(target="zinc")
    >>> meuse.data.shape
    (155, 8)
    >>> float(meuse.target.mean().round(4))
    469.7161
    """
    frame = pd.read_csv(_meuse_path(), dtype=dict.fromkeys(_MEUSE_CATEGORIES, "str"))
    for name in _MEUSE_CATEGORIES:
        frame[name] = frame[name].astype("category")
    frame = frame[frame[target].notna()].reset_index(drop=True)

    data: Any = frame[["x", "y", *_MEUSE_COVARIATES]]
    y: Any = frame[target]
    feature_names = list(data.columns)
    if not as_frame:
        codes = {name: data[name].cat.codes.where(data[name].notna()) for name in _MEUSE_CATEGORIES}
        data = data.assign(**codes).to_numpy(dtype=np.float64)
        y = y.to_numpy(dtype=np.float64)
    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        frame=frame if as_frame else None,
        feature_names=feature_names,
        target_names=[target],
        crs="EPSG:28992",
        DESCR=_MEUSE_DESCR,
    )
