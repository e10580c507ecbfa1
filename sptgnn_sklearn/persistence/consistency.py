"""Consistency of a loaded model: every part is compared with those that it is used with."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from xgboost import XGBRegressor

from ..encoders.embedder import ChipEmbedder
from ..encoders.embedding import PATCH, ChipLoader
from ..encoders.finetuning import MemberEncoders
from ..encoders.terramind import FrozenEncoder
from ..ensemble.base_models import (
    BaseInputs,
    BaseModels,
    LinearScore,
    base_inputs,
    uses_kriging,
)
from ..ensemble.fitted import Ensemble, TrainingRows
from ..ensemble.member_folds import N_FOLDS, MemberFolds
from ..graph.box_tree import NO_NEIGHBOR
from ..graph.edge_features import edge_inputs
from ..graph.knn_graph import KNNGraph
from ..network.config import NetworkShape, SourceNodes
from ..network.sptgnn import SpTGNN
from ..spatial.crs import SpatialReference
from ..spatial.gaussian_process import LEAST_WEIGHT, MOST_ROWS, GaussianProcess, n_parameters
from ..table.deduplication import DeduplicatedRows
from ..table.features import FeatureEncoder
from ..table.projection import CovariateProjection
from ..table.schema import SIMILARITIES, SampleTable, TableSchema
from ..table.target_scaling import LARGEST_NOISE_VARIANCE, TargetScaler
from ..uncertainty.postprocessing import MemberPredictions
from ..utils.safe_file import FileError
from .checks import (
    MAX_WORKERS,
    check_modalities,
    has_text_keys,
    in_range,
    is_array,
    is_flag,
    is_int,
    is_label,
    is_number,
    is_real,
    is_tensor,
    is_text_tuple,
    require,
)
from .postprocessor_checks import check_campaigns, check_local_scale, check_postprocessor

__all__ = ["check_model"]

_MAX_NEIGHBORS = 2**20  # of a model without relations, which searches none
_LARGEST_CHIP = 2**12
_MAX_QUANTILES, _MAX_ONE_HOT, _MAX_COMPONENTS = 1000, 32, 8
_N_INDICES = 3
_MAX_LOG_PARAMETER = 7.5  # of a Gaussian process
_LARGEST_SCALE, _LARGEST_CENTER = 1e155, 1e300  # of targets whose variance is finite


def check_model(params: Any, fitted: Any) -> None:
    """Check the parameters and fitted attributes of an estimator against each other.

    Raises
    ------
    FileError
        If a part has another type, shape or range than its fit can give it, or does not match the
        others.
    """
    require(has_text_keys(params) and has_text_keys(fitted), "Parameters or attributes are odd")
    _check_params(params)
    ensemble, schema = fitted["ensemble_"], fitted["columns_"]
    if not isinstance(ensemble, Ensemble):
        raise FileError(f"The file has a {type(ensemble).__name__} in the place of an Ensemble.")
    _check_schema(schema)
    _check_target_scaler(fitted["target_"])
    _check_embedder(fitted["embedder_"])
    projection: Any = fitted["projection_"]
    if projection is not None:
        _check_projection(projection, schema)
        schema = projection.schema(schema)
    _check_features(ensemble.features, schema, fitted["embedder_"])
    _check_ensemble(ensemble)
    check_postprocessor(ensemble.postprocessor)
    _check_widths(ensemble)
    shape, n = ensemble.network.shape, len(ensemble.context.targets)
    _check_training(ensemble.training, shape, n, ensemble.n_neighbors)
    _check_attributes(fitted, ensemble, n)


def _check_params(params: dict[str, Any]) -> None:
    """Check the parameters that predictions use; `fit` checks the others."""
    bounds = params.get("target_bounds")
    pair = isinstance(bounds, list | tuple | np.ndarray) and len(bounds) == 2
    require(
        bounds is None
        or (
            pair and all(side is None or (is_real(side) and not np.isnan(side)) for side in bounds)
        ),
        "The parameter target_bounds is no pair of numbers",
    )
    require(isinstance(params.get("device", "auto"), str), "The parameter device is no text")
    seed = params.get("random_state")
    require(
        seed is None or is_int(seed) or isinstance(seed, np.random.RandomState),
        "The parameter random_state is no seed",
    )


def _check_schema(schema: Any) -> None:
    require(isinstance(schema, TableSchema), "columns_ is no TableSchema")
    tuples = {
        name: getattr(schema, name)
        for name in ("coordinates", "numeric", "spectral", "ignored", "labels")
    }
    for name, labels in tuples.items():
        require(
            isinstance(labels, tuple) and all(map(is_label, labels)), f"columns_.{name} is invalid"
        )
        require(len(set(labels)) == len(labels), f"columns_.{name} has a column twice")
    require(len(schema.coordinates) == 2, "columns_.coordinates is no pair")
    numeric, known = set(schema.numeric), set(schema.labels)
    require(_known(schema.spectral, numeric), "columns_.spectral has columns that are not numeric")
    categorical, images = schema.categorical, schema.images
    require(
        isinstance(categorical, dict)
        and all(map(is_label, categorical))
        and all(is_text_tuple(levels) for levels in categorical.values()),
        "columns_.categorical is invalid",
    )
    require(not numeric & set(categorical), "columns_.categorical has numeric columns")
    require(
        isinstance(images, dict)
        and all(isinstance(name, str) for name in images)
        and all(map(is_label, images.values())),
        "columns_.images is invalid",
    )
    for name in ("time", "elevation", "site", "noise_std", "campaign"):
        require(is_label(getattr(schema, name)), f"columns_.{name} is no label")
    require(
        schema.elevation is None or _known([schema.elevation], numeric),
        "columns_.elevation is not numeric",
    )
    used = {*schema.coordinates, *numeric, *categorical, *images.values(), *schema.ignored}
    no_covariates = (schema.time, schema.site, schema.noise_std, schema.campaign)
    used |= {label for label in no_covariates if label is not None}
    require(_known(used, known), "columns_ has columns that are not among its labels")
    reference = schema.reference
    require(isinstance(reference, SpatialReference), "columns_.reference is missing")
    require(
        isinstance(reference.crs, str | None)
        and is_flag(reference.geographic)
        and isinstance(reference.unit, str)
        and is_number(getattr(schema, "longitude_start", 0.0), -360.0, 360.0),
        "columns_.reference is invalid",
    )


def _known(labels: Iterable[Hashable], known: set[Hashable]) -> bool:
    """Return whether all labels are known; NaN is not equal to its copy and counts as known."""
    return all(label in known or label != label for label in labels)


def _check_target_scaler(target: Any) -> None:
    require(isinstance(target, TargetScaler), "target_ is no TargetScaler")
    require(target.function in (None, "log1p"), "target_.function is unknown")
    require(
        is_number(target.center, -_LARGEST_CENTER, _LARGEST_CENTER)
        and is_number(target.scale, 0.0, _LARGEST_SCALE)
        and target.scale > 0,
        "target_ has an invalid center or scale",
    )


def _check_features(features: Any, schema: TableSchema, embedder: Any) -> None:
    where = "The feature encoder"
    require(isinstance(features, FeatureEncoder), f"{where} is missing")
    _check_schema(features.schema)
    # As text, because a label NaN is not equal to its copy.
    require(repr(features.schema) == repr(schema), f"{where} has other columns than columns_")
    p, levels = len(schema.numeric), features.levels
    require(
        is_array(features.quantiles, "f8", (None, p), finite=True)
        and 0 < len(features.quantiles) <= _MAX_QUANTILES
        and bool((np.diff(features.quantiles, axis=0) >= 0).all()),
        f"{where} has invalid quantiles",
    )
    require(is_array(features.has_missing, "b1", (p,)), f"{where} has an invalid has_missing")
    n_levels = [len(names) for names in schema.categorical.values()]
    require(
        isinstance(levels, list)
        and len(levels) == len(n_levels)
        and all(
            is_array(codes, "i", (None,)) and len(codes) <= _MAX_ONE_HOT and in_range(codes, 0, n)
            for codes, n in zip(levels, n_levels, strict=True)
        ),
        f"{where} has invalid levels",
    )
    n_axes = 3 if schema.reference.geographic else 2
    require(is_array(features.origin, "f8", (2,), finite=True), f"{where} has an invalid origin")
    require(
        is_array(features.center, "f8", (n_axes,), finite=True), f"{where} has an invalid center"
    )
    scale = features.plane_scale
    require(is_number(scale) and scale > 0, f"{where} has an invalid plane_scale")
    radius = features.radius
    require(radius is None or is_number(radius, 0.0), f"{where} has an invalid radius")
    require(is_flag(features.seasonal), f"{where} has an invalid seasonal")
    for name, label in (("time_scale", schema.time), ("elevation_scale", schema.elevation)):
        pair = getattr(features, name)
        valid = isinstance(pair, tuple) and len(pair) == 2 and all(map(is_number, pair))
        require((pair is None) == (label is None), f"{where} has an odd {name}")
        require(pair is None or (valid and pair[1] > 0), f"{where} has an invalid {name}")
    n_covariates = p + int(features.has_missing.sum()) + sum(map(len, levels))
    width = len(schema.spectral) or n_covariates
    _check_axes(features.covariate_axes, width, f"{where} has invalid covariate_axes")
    similarity, images = features.similarity, features.image_scale
    require(similarity in SIMILARITIES, f"{where} has an unknown similarity")
    d = 0 if embedder is None else embedder.encoder.width
    require(
        images is None
        or (
            d > 0
            and isinstance(images, tuple)
            and len(images) == 2
            and all(is_array(values, "f8", (d,), finite=True) for values in images)
            and bool((images[1] > 0).all())
        ),
        f"{where} has an invalid image_scale",
    )
    axes = features.image_axes
    if axes is not None:
        require(embedder is not None, f"{where} has image_axes without images")
        require(similarity != "embeddings" or images is not None, f"{where} has no image_scale")
        found = len(axes[0]) if isinstance(axes, tuple) and len(axes) == 2 else 0
        require(similarity != "indices" or found <= _N_INDICES, f"{where} has too many indices")
        width = d if similarity == "embeddings" else found
        require(similarity != "covariates", f"{where} has image_axes without similarity")
        _check_axes(axes, width, f"{where} has invalid image_axes")


def _check_axes(axes: Any, width: int, message: str) -> None:
    """Check a mean (f,) and principal axes (c, f)."""
    valid = axes is None or (
        isinstance(axes, tuple)
        and len(axes) == 2
        and width > 0
        and is_array(axes[0], "f", (width,), finite=True)
        and is_array(axes[1], "f", (None, width), finite=True)
        and 0 < len(axes[1]) <= _MAX_COMPONENTS
    )
    require(valid, message)


def _check_ensemble(ensemble: Ensemble) -> None:
    """Check the network, and the arrays of the training rows that predictions use."""
    network, context, graph = ensemble.network, ensemble.context, ensemble.knn_graph
    require(isinstance(network, SpTGNN), "The network is missing")
    require(isinstance(graph, KNNGraph), "The graph is missing")
    require(isinstance(context, SourceNodes), "The source nodes are missing")
    shape = network.shape
    states: Any = context.states
    targets: Any = context.targets
    inputs: Any = ensemble.edge_inputs
    history: Any = ensemble.history
    require(isinstance(states, list) and is_tensor(targets, 1), "The source nodes are odd")
    n, n_members = len(targets), shape.n_members
    spaces = graph.spaces
    matching = (
        n > 0
        and is_tensor(context.baseline, 2)
        and context.baseline.shape == (n_members, n)
        and len(states) == (shape.n_layers if shape.relations else 1)
        and all(is_tensor(state, 3) for state in states)
        and all(state.shape == (n_members, n, shape.hidden_size) for state in states)
        and all(len(space) == n for space in spaces.values())
        and tuple(spaces) == tuple(shape.relations)
        and isinstance(inputs, dict)
        and tuple(inputs) == tuple(shape.edge_features)
        and all(is_tensor(values, 2) and len(values) == n for values in inputs.values())
    )
    if not matching:
        raise FileError("Arrays of the model differ in shape or type.")
    most = n if shape.relations else _MAX_NEIGHBORS
    require(is_int(ensemble.n_neighbors, 1, most), "The number of neighbors exceeds the rows")
    require(ensemble.device == "cpu", "The device of a saved model is not the CPU")
    require(
        isinstance(history, list) and all(has_text_keys(entry) for entry in history),
        "The history is no list of epochs",
    )
    loader, encoders = ensemble.chip_loader, network.image_encoders
    require((loader is None) == (encoders is None), "Image encoder and reader do not match")
    if loader is not None and isinstance(encoders, MemberEncoders):
        _check_chip_loader(loader)
        require(encoders.width == shape.streams.get("imagery"), "The image encoder is too wide")


def _check_widths(ensemble: Ensemble) -> None:
    """Compare the arrays of the training rows with those that one row of a table gives."""
    features, shape = ensemble.features, ensemble.network.shape
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            row = _one_row(features)
            spaces = features.relation_spaces(row)
            streams = {name: v.shape[1] for name, v in features.node_features(row).items()}
            inputs = {n: v.shape[1] for n, v in edge_inputs(features, row, spaces).items()}
            base_row = base_inputs(features, row, spaces)
            _check_base(ensemble, base_row)
            check_local_scale(ensemble.postprocessor.calibration.local, base_row)
            shifts = ensemble.postprocessor.correlation.campaigns
            check_campaigns(shifts, base_row.positions.shape[1])
    except FileError:
        raise
    # A feature encoder with other arrays can raise any exception.
    except Exception as error:
        raise FileError(f"A row cannot be encoded ({type(error).__name__}: {error}).") from error
    chosen = {name: width for name, width in streams.items() if name in shape.streams}
    require(chosen == shape.streams, "The network has other inputs than the feature encoder gives")
    found = {name: space.shape[1] for name, space in ensemble.knn_graph.spaces.items()}
    expected = {name: spaces[name].shape[1] for name in found if name in spaces}
    require(found == expected, "The vectors of the neighbor search have other columns")
    stored = {name: values.shape[1] for name, values in ensemble.edge_inputs.items()}
    require(stored == inputs, "The inputs of edge features have other columns")


def _one_row(features: FeatureEncoder) -> SampleTable:
    """Return a table of one row of zeros."""
    schema, zeros = features.schema, np.zeros(1)
    images, axes = features.image_scale, features.image_axes
    return SampleTable(
        coordinates=np.zeros((1, 2)),
        numeric=np.zeros((1, len(schema.numeric))),
        categories=np.zeros((1, len(schema.categorical)), dtype=np.int64),
        elevation=None if schema.elevation is None else zeros,
        time=None if schema.time is None else zeros,
        embedding=None if images is None else np.zeros((1, len(images[0]))),
        indices=None if axes is None else np.zeros((1, len(axes[0]))),
    )


def _check_base(ensemble: Ensemble, row: BaseInputs) -> None:
    """Check the base models with the inputs of one row."""
    base: Any = ensemble.base
    n, n_models = len(ensemble.context.targets), 0
    if base is not None:
        require(isinstance(base, BaseModels), "The base models are missing")
        require(has_text_keys(base.regressors), "The base models have no names")
        kriging = any(map(uses_kriging, base.regressors))
        require((base.kriging is not None) == kriging, "The kriged target is missing")
        for process in (base.kriging, base.process):
            if process is not None:
                _check_process(process, n, row)
        require(base.kriging is None or base.kriging.covariates is None, "Kriging has covariates")
        for name, regressor in base.regressors.items():
            require(hasattr(regressor, "predict"), "A base model cannot predict")
            expected = row.features.shape[1] + uses_kriging(name)
            if isinstance(regressor, LinearScore):
                valid = is_int(regressor.column, 0, expected - 1)
                require(valid, "The linear score is no feature")
            width = getattr(regressor, "n_features_in_", expected)
            require(width == expected, f"A base model has {width} features")
        n_models = len(base.names)
        require(n_models > 0, "There is no base model")
        if all(isinstance(regressor, XGBRegressor) for regressor in base.regressors.values()):
            predicted = base.predict(row)
            require(bool(np.isfinite(predicted).all()), "The base models give no finite number")
    weights: Any = ensemble.postprocessor.blend.weights
    require(len(weights) == 1 + n_models, "The blend has another number of weights")
    only: Any = ensemble.postprocessor.network_only.weights
    require(only == (1.0,), "The blend of the network alone has other weights")
    found = None if ensemble.training is None else ensemble.training.base
    require(
        ensemble.training is None
        or (found is None and n_models == 0)
        or is_array(found, "f8", (n_models, n), finite=True),
        "The out-of-fold predictions of the base models have another shape",
    )


def _check_process(process: Any, n: int, row: BaseInputs) -> None:
    """Check a Gaussian process of n rows, the number of source nodes."""
    require(isinstance(process, GaussianProcess), "A Gaussian process is missing")
    covariates: Any = process.covariates
    width = row.covariates.shape[1]
    n_terms = n_parameters(covariates=covariates is not None)
    valid = (
        n <= MOST_ROWS
        and is_array(process.parameters, "f8", (n_terms,), finite=True)
        and np.abs(process.parameters).max() <= _MAX_LOG_PARAMETER
        and is_number(process.scale)
        and process.scale > 0
        and is_number(process.covariate_scale)
        and process.covariate_scale > 0
        and is_array(process.positions, "f8", (n, row.positions.shape[1]), finite=True)
        and (covariates is None or is_array(covariates, "f8", (n, width), finite=True))
        and is_array(process.values, "f8", (n,), finite=True)
        and is_array(process.weight, "f8", (n,), finite=True)
        and process.weight.min() >= LEAST_WEIGHT
        and _is_noise(process.known_noise, n)
    )
    require(bool(valid), "A Gaussian process is out of range")


def _check_training(rows: Any, shape: NetworkShape, n: int, n_neighbors: int) -> None:
    """Check the data of the training rows, None in a model without them."""
    if rows is None:
        return
    require(isinstance(rows, TrainingRows), "The training rows are missing")
    width, n_relations = sum(shape.streams.values()), len(shape.relations)
    require(is_array(rows.node_features, "f", (n, width)), "The node features have another shape")
    require(
        is_array(rows.neighbors, "i", (n, n_relations, n_neighbors))
        and in_range(rows.neighbors, NO_NEIGHBOR, n),
        "The neighbor lists are out of range",
    )
    folds: Any = rows.folds
    far_folds: Any = folds.far_folds if isinstance(folds, MemberFolds) else None
    n_rounds = -(-shape.n_members // N_FOLDS)
    require(
        isinstance(folds, MemberFolds)
        and is_array(folds.location, "i", (n,))
        and in_range(folds.location, 0, n)
        and is_array(folds.member, "i", (n_rounds, n))
        and in_range(folds.member, 0, N_FOLDS)
        and isinstance(far_folds, list)
        and all(is_array(fold, "i", (n,)) and in_range(fold, 0, n) for fold in far_folds),
        "The folds are out of range",
    )
    _check_predictions(rows.held_out, n)
    _check_gains(rows.gains)
    require(_is_noise(rows.noise, n), "The measurement errors of the rows are out of range")


def _is_noise(value: Any, n: int) -> bool:
    """Return whether a value is None or n variances of measurement errors."""
    return value is None or (
        is_array(value, "f8", (n,), finite=True)
        and bool(((value >= 0) & (value <= LARGEST_NOISE_VARIANCE)).all())
    )


def _check_gains(gains: Any) -> None:
    require(has_text_keys(gains) and all(map(is_number, gains.values())), "The gains are odd")


def _check_predictions(found: Any, n: int) -> None:
    require(
        isinstance(found, MemberPredictions)
        and is_array(found.mean, "f8", (1, n))
        and is_array(found.variance, "f8", (1, n))
        and found.support is None,
        "The out-of-fold predictions have another shape",
    )


def _check_attributes(fitted: Mapping[str, Any], ensemble: Ensemble, n: int) -> None:
    """Check the attributes that follow from others."""
    shape, merged = ensemble.network.shape, fitted["_merged"]
    require(fitted["relations_"] == shape.relations, "relations_ differs from the network")
    require(fitted["streams_"] == tuple(shape.streams), "streams_ differs from the network")
    require(isinstance(fitted["history_"], list), "history_ is no list")
    require(
        isinstance(merged, DeduplicatedRows)
        and is_array(merged.rows, "i", (n,))
        and is_array(merged.weight, "f", (n,), finite=True)
        and bool((merged.weight > 0).all())
        and is_array(merged.inverse, "i", (None,))
        and in_range(merged.inverse, -1, n)
        and in_range(merged.rows, 0, len(merged.inverse)),
        "The deduplicated rows are out of range",
    )
    labels, names = fitted["columns_"].labels, fitted.get("feature_names_in_")
    n_columns = fitted["n_features_in_"]
    require(is_int(n_columns) and n_columns == len(labels), "n_features_in_ is wrong")
    require(
        names is None
        or (
            isinstance(names, np.ndarray)
            and names.shape == (n_columns,)
            and all(isinstance(name, str) for name in names)
        ),
        "feature_names_in_ is wrong",
    )
    _check_gains(fitted.get("held_out_gains_", {}))
    found = fitted.get("oob_prediction_")
    require(
        found is None or is_array(found, "f", (len(merged.inverse),)), "oob_prediction_ is wrong"
    )


def _check_projection(projection: Any, schema: TableSchema) -> None:
    """Check the projection of the covariates of a schema."""
    require(isinstance(projection, CovariateProjection), "The projection is missing")
    kept: Any = projection.kept
    elevation = schema.elevation
    require(
        kept == (() if elevation is None else (schema.numeric.index(elevation),)),
        "The projection keeps other covariates than elevation",
    )
    p = len(schema.numeric) - len(kept)
    vectors = (projection.mean, projection.scale, projection.coefficients)
    require(
        all(is_array(values, "f8", (p,), finite=True) for values in vectors)
        and bool((projection.scale > 0).all())
        and is_array(projection.axes, "f8", (None, p), finite=True),
        "The projection is out of range",
    )


def _check_embedder(embedder: Any) -> None:
    if embedder is None:
        return
    require(isinstance(embedder, ChipEmbedder), "embedder_ is no ChipEmbedder")
    require(isinstance(embedder.encoder, FrozenEncoder), "embedder_ has no encoder")
    require(is_int(embedder.workers, 1, MAX_WORKERS), "embedder_.workers is out of range")
    require(isinstance(embedder.verbose, Integral), "embedder_.verbose is no number")
    _check_chip_loader(embedder.chip_loader)


def _check_chip_loader(loader: Any) -> None:
    require(isinstance(loader, ChipLoader), "The chip reader is missing")
    check_modalities(loader.modalities)
    require(
        isinstance(loader.columns, dict)
        and set(loader.columns) == set(loader.modalities)
        and all(map(is_label, loader.columns.values()))
        and is_int(loader.chip_size, PATCH, _LARGEST_CHIP)
        and loader.chip_size % PATCH == 0
        and loader.on_error in ("raise", "ignore"),
        "The chip reader is out of range",
    )
