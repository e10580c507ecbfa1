"""A fitted estimator as a file, and back."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ..ensemble.fitted import Ensemble
from ..utils.codec import decode, encode
from ..utils.safe_file import FileError, read, write
from .anonymize import drop_training_rows
from .registry import registry

__all__ = ["load_model", "save_model"]

SCHEMA = 1
_MODEL_KIND = "model"
_PACKAGES = ("sptgnn-sklearn", "numpy", "pandas", "scikit-learn", "torch", "xgboost")
_LOCAL_PATH_PARAMETERS = ("cache_dir", "checkpoint_dir")
ModelParts = tuple[dict[str, Any], dict[str, Any]]


def save_model(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    fitted: Mapping[str, Any],
    *,
    training_data: bool = True,
    coordinate_grid: float | None = None,
) -> None:
    """Write an estimator's parameters and what it has learned to a file.

    Parameters
    ----------
    path : path-like
    params : mapping of str to object
        As get_params gives them.
    fitted : mapping of str to object
        Attributes, with columns_ and ensemble_ among them.
    training_data, coordinate_grid : bool, float or None
        See `SpTGNNRegressor.save`.

    Raises
    ------
    ValueError
        If something has no form in a file.
    OSError
        If the file cannot be written.
    """
    params, fitted = dict(params), dict(fitted)
    if params.get("callbacks"):
        warnings.warn(
            "callbacks are code and are not saved: set them again after loading.",
            UserWarning,
            stacklevel=3,
        )
    params["callbacks"] = None
    if coordinate_grid is not None and training_data:
        raise ValueError("coordinate_grid goes with training_data=False only.")
    fitted["ensemble_"] = fitted["ensemble_"].to("cpu")
    if not training_data:
        params, fitted = _anonymized_state(params, fitted, coordinate_grid)
    try:
        state, arrays = encode({"params": params, "fitted": fitted}, registry())
    except TypeError as error:
        raise ValueError(f"The model cannot be saved: {error}") from error
    columns = fitted["columns_"]
    content = {
        "schema": SCHEMA,
        "versions": {"python": platform.python_version(), **_versions()},
        "training_data": training_data,
        # For people and other programs; what is loaded is the state.
        "columns": {
            "crs": columns.reference.crs,
            "coordinates": [str(label) for label in columns.coordinates],
            "numeric": [str(label) for label in columns.numeric],
            "categorical": {str(k): list(levels) for k, levels in columns.categorical.items()},
        },
        "state": state,
    }
    write(path, _MODEL_KIND, content, arrays)


def load_model(path: str | os.PathLike[str], trusted: Sequence[str] = ()) -> ModelParts:
    """Read parameters and learned attributes from a file.

    Parameters
    ----------
    path : path-like
    trusted : sequence of str
        See `SpTGNNRegressor.load`.

    Returns
    -------
    params, fitted : dict of str to object

    Raises
    ------
    ValueError
        If the file is cut, changed or foreign, or of a version that cannot be read.
    OSError
        If there is no such file.

    Warns
    -----
    UserWarning
        If the file was written beside an xgboost or torch with another major version.
    """
    content, arrays = read(path, _MODEL_KIND)
    try:
        schema, versions = content["schema"], dict(content["versions"])
        if schema != SCHEMA:
            by = versions.get("sptgnn-sklearn")
            raise FileError(
                f"{str(path)!r} has schema {schema!r}, written by sptgnn-sklearn {by}, and this "
                f"version reads schema {SCHEMA}: load it with that version."
            )
        state = content["state"]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{str(path)!r} does not say what it holds.") from error
    parts = decode(state, arrays, registry(tuple(trusted)))
    _warn_other_versions(path, versions)
    try:
        params, fitted = parts["params"], parts["fitted"]
        _check_model(fitted["ensemble_"])
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{str(path)!r} lacks a part of the model ({error}).") from error
    return params, fitted


def _anonymized_state(
    params: dict[str, Any], fitted: dict[str, Any], grid: float | None
) -> ModelParts:
    """Return both without rows, exact places, and paths of this machine."""
    params = {name: None if name in _LOCAL_PATH_PARAMETERS else v for name, v in params.items()}
    if isinstance(params.get("encoder_weights"), (str, os.PathLike)):
        params["encoder_weights"] = Path(params["encoder_weights"]).name
    ensemble = drop_training_rows(fitted["ensemble_"], fitted["columns_"].reference, grid)
    fitted = {**fitted, "ensemble_": ensemble}
    fitted.pop("oob_prediction_", None)
    if fitted.get("embedder_") is not None:
        fitted["embedder_"] = replace(fitted["embedder_"], directory=None)
    return params, fitted


def _check_model(ensemble: Ensemble) -> None:
    """Raise a FileError if arrays do not belong together: loops in compiled code trust them."""
    if not isinstance(ensemble, Ensemble):
        raise FileError("The file holds no ensemble.")
    context, shape = ensemble.context, ensemble.network.shape
    n, members = len(context.targets), shape.n_members
    spaces = list(ensemble.knn_graph.spaces.values())
    fits = (
        n > 0
        and context.targets.shape == (n,)
        and context.baseline.shape == (members, n)
        and len(context.states) == (shape.n_layers if shape.relations else 1)
        and all(state.shape == (members, n, shape.hidden_size) for state in context.states)
        and all(space.ndim == 2 and len(space) == n for space in spaces)
        and all(v.dim() == 2 and len(v) == n for v in ensemble.edge_inputs.values())
        and tuple(ensemble.knn_graph.spaces) == tuple(ensemble.relations) == tuple(shape.relations)
        and ensemble.n_neighbors > 0
    )
    floats = [*context.states, context.baseline, context.targets, *ensemble.edge_inputs.values()]
    if not fits or any(str(values.dtype) != "torch.float32" for values in floats):
        raise FileError("Arrays of the model do not belong together.")
    if any(space.dtype != np.float64 for space in spaces):
        raise FileError("The search vectors are not of double precision.")


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a folder of sources
            continue
    return found


def _warn_other_versions(path: Any, written: Mapping[str, str]) -> None:
    here = _versions()
    odd = [
        f"{name} {written[name]} (here {here[name]})"
        for name in ("torch", "xgboost", "scikit-learn")
        if name in written and name in here
        if str(written[name]).split(".")[0] != here[name].split(".")[0]
    ]
    if odd:
        warnings.warn(
            f"{str(path)!r} was written beside {', '.join(odd)}: compare some predictions with "
            "those that were made then.",
            UserWarning,
            stacklevel=4,
        )
