"""Fitted estimators in files.

Files of released versions will load in all later versions, beginning with the first release.
"""

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
from sklearn.base import clone

from ..encoders.embedding_cache import default_directory
from ..encoders.terramind_images import TerraMindImages
from ..table.deduplication import DeduplicatedRows
from ..utils.codec import decode, encode
from ..utils.safe_file import FileError, read, write
from .anonymize import drop_training_rows
from .consistency import check_model
from .registry import make_registry
from .sharing_loss import adapt_to_groups

__all__ = ["fitted_attributes", "load_model", "save_model"]

SCHEMA = 1
_MODEL_KIND = "model"
_PACKAGES = ("sptgnn-sklearn", "numpy", "pandas", "scikit-learn", "torch", "xgboost")
_MAX_LOSS = 0.015  # limit of the loss of explained variance, without a warning
# Fitted attributes of a file without training data, besides the ensemble.
_SHARED_ATTRIBUTES = (
    "columns_",
    "projection_",
    "relations_",
    "streams_",
    "target_",
    "embedder_",
    "history_",
    "n_features_in_",
    "feature_names_in_",
)
_Parts = tuple[dict[str, Any], dict[str, Any]]


def save_model(
    path: str | os.PathLike[str],
    params: Mapping[str, Any],
    fitted: Mapping[str, Any],
    *,
    training_data: bool = True,
    min_group_size: int = 5,
    coordinate_grid: float | None = None,
) -> None:
    """Write the parameters and fitted attributes of an estimator to a file.

    Parameters
    ----------
    path : path-like
    params : mapping of str to object
        From ``get_params(deep=False)``.
    fitted : mapping of str to object
        Fitted attributes, including columns_ and ensemble_.
    training_data, min_group_size, coordinate_grid : bool, int, float or None
        See `SpTGNNRegressor.save`.

    Raises
    ------
    ValueError
        If an object has no codec, or training data cannot be removed.
    OSError
        If the file cannot be written.

    Warns
    -----
    UserWarning
        If there are callbacks, or predictions without training data explain clearly less variance.
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
        raise ValueError(
            f"coordinate_grid={coordinate_grid!r} requires training_data=False; found True."
        )
    fitted["ensemble_"] = fitted["ensemble_"].to("cpu")
    if not training_data:
        params = _without_local_paths(params)
        fitted = _without_training_data(fitted, min_group_size, coordinate_grid)
    try:
        state, arrays = encode({"params": params, "fitted": fitted}, make_registry())
    except TypeError as error:
        raise ValueError(f"The model cannot be saved: {error}") from error
    schema = fitted["columns_"]
    content = {
        "schema": SCHEMA,
        "versions": {"python": platform.python_version(), **_installed_versions()},
        "training_data": training_data,
        # For people and other programs; only the state is loaded.
        "columns": {
            "crs": schema.reference.crs,
            "coordinates": [str(label) for label in schema.coordinates],
            "numeric": [str(label) for label in schema.numeric],
            "categorical": {str(k): list(levels) for k, levels in schema.categorical.items()},
        },
        "state": state,
    }
    write(path, _MODEL_KIND, content, arrays)


def load_model(path: str | os.PathLike[str], trusted: Sequence[str] = ()) -> _Parts:
    """Read the parameters and fitted attributes of an estimator from a file.

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
        If the file is damaged, was not written by this package, or has another schema.
    OSError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If the file was written with another major version of xgboost, torch or scikit-learn.
    """
    content, arrays = read(path, _MODEL_KIND)
    try:
        schema, versions = content["schema"], dict(content["versions"])
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{str(path)!r} has no schema or no versions ({error}).") from error
    if type(schema) is not int or schema != SCHEMA:  # True and 1.0 are equal to 1
        raise FileError(
            f"{str(path)!r} has schema {schema!r}, written by sptgnn-sklearn "
            f"{versions.get('sptgnn-sklearn')}, and this version reads schema {SCHEMA}: load it "
            "with that version."
        )
    parts = decode(content.get("state"), arrays, make_registry(tuple(trusted)))
    _warn_other_versions(path, versions)
    try:
        params, fitted = parts["params"], parts["fitted"]
        check_model(params, fitted)
    except FileError:
        raise
    # Parts of other types can raise any exception where they are compared.
    except Exception as error:
        raise FileError(f"{str(path)!r} lacks a part of the model ({error!r}).") from error
    fitted = {name: value for name, value in fitted.items() if _is_learned(name)}
    return _without_stored_paths(params, fitted)


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Return the attributes of an estimator that are set by fit."""
    return {name: value for name, value in vars(estimator).items() if _is_learned(name)}


def _is_learned(name: str) -> bool:
    return name == "_merged" or (name.endswith("_") and not name.startswith("_"))


def _without_stored_paths(params: dict[str, Any], fitted: dict[str, Any]) -> _Parts:
    """Return parts without the folders in which a fit or a prediction would write.

    They belong to the machine and user that saved the file. Embeddings are cached in the default
    folder, unless the cache was switched off.
    """
    params = {**params, "checkpoint_dir": None, "callbacks": None}
    images, embedder = params.get("images"), fitted["embedder_"]
    if isinstance(images, TerraMindImages) and images.cache_dir is not False:
        params["images"] = replace(images, cache_dir=None)
    if embedder is not None and embedder.directory is not None:
        fitted = {**fitted, "embedder_": replace(embedder, directory=default_directory())}
    return params, fitted


def _without_local_paths(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters without the folders of this machine; weights keep their file name."""
    # Regressors, also those in a list, may be fitted.
    base = clone(params.get("base_estimator"), safe=False)
    params = {**params, "checkpoint_dir": None, "base_estimator": base}
    images = params.get("images")
    if isinstance(images, TerraMindImages):
        weights = images.weights
        name = Path(weights).name if isinstance(weights, str | os.PathLike) else weights
        params["images"] = replace(images, weights=name, cache_dir=None)
    return params


def _without_training_data(
    fitted: dict[str, Any], min_group_size: int, coordinate_grid: float | None
) -> dict[str, Any]:
    """Return fitted attributes without training rows and local folders; warn of lost skill."""
    if fitted["projection_"] is not None:
        raise ValueError(
            "training_data=False is not supported with more covariates than rows, because their "
            "components are computed from single rows: fit with fewer covariates, or save with "
            "training_data=True."
        )
    complete, merged = fitted["ensemble_"], fitted.get("_merged")
    weight = np.ones(len(complete.context.targets)) if merged is None else merged.weight
    reduced, rows = drop_training_rows(complete, weight, min_group_size, coordinate_grid)
    reduced, loss = adapt_to_groups(complete, reduced, rows, weight)
    # A small survey may lose more than its few held-out rows show.
    if loss.upper_limit > _MAX_LOSS:
        sizes = np.bincount(rows.groups.group)
        warnings.warn(
            "Without training data the model explains about "
            f"{loss.explained_variance:.3f} less of the variance of the target at held-out "
            f"locations ({loss.near:.3f} near other locations, {loss.far:.3f} far from them; with "
            f"95 % confidence at most {loss.upper_limit:.3f} in both), and its mean std "
            f"is multiplied by {loss.std_ratio:.2f} ({len(sizes)} groups of {sizes.min()} to "
            f"{sizes.max()} locations). Use a smaller min_group_size or coordinate_grid if that is "
            "acceptable, or compare predictions before you share the file.",
            UserWarning,
            stacklevel=4,
        )
    # Other attributes may have one entry per row.
    kept = {name: fitted[name] for name in _SHARED_ATTRIBUTES if name in fitted}
    groups = np.arange(len(rows.groups))
    merged = DeduplicatedRows(rows=groups, weight=np.ones(len(groups)), inverse=groups)
    if kept.get("embedder_") is not None:
        kept["embedder_"] = replace(kept["embedder_"], directory=None)
    # Its categories have no names of rare levels.
    categorical = reduced.features.schema.categorical
    kept["columns_"] = replace(fitted["columns_"], categorical=categorical)
    return {**kept, "ensemble_": reduced, "_merged": merged}


def _installed_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # imported from a source folder
            continue
    return found


def _warn_other_versions(path: Any, written: Mapping[str, str]) -> None:
    installed = _installed_versions()
    different = [
        f"{name} {written[name]} (installed: {installed[name]})"
        for name in ("torch", "xgboost", "scikit-learn")
        if name in written and name in installed
        if str(written[name]).split(".")[0] != installed[name].split(".")[0]
    ]
    if different:
        warnings.warn(
            f"{str(path)!r} was written with {', '.join(different)}: compare some predictions with "
            "those of that version.",
            UserWarning,
            stacklevel=4,
        )
