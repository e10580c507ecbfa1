"""Classes in the files of fitted estimators, with the codecs of those that are not dataclasses.

Files contain the keys of these dictionaries: a class can move to another module without a change.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from xgboost import XGBRegressor

from ..encoders.embedder import ChipEmbedder
from ..encoders.embedding import ChipLoader
from ..encoders.finetuning import MemberEncoders
from ..encoders.terramind import EncoderSource, FrozenEncoder
from ..encoders.terramind_images import TerraMindImages
from ..ensemble.base_models import BaseModels, LinearScore
from ..ensemble.fitted import Ensemble, TrainingRows
from ..ensemble.member_folds import MemberFolds
from ..graph.knn_graph import KNNGraph
from ..images.modalities import Modality
from ..network.config import NetworkConfig, NetworkShape, SourceNodes
from ..network.sptgnn import SpTGNN
from ..spatial.crs import SpatialReference
from ..spatial.gaussian_process import GaussianProcess
from ..table.deduplication import DeduplicatedRows
from ..table.features import FeatureEncoder
from ..table.image_columns import ImageColumn
from ..table.projection import CovariateProjection
from ..table.schema import TableSchema
from ..table.target_scaling import TargetScaler
from ..uncertainty.blending import Blend
from ..uncertainty.calibration import Calibration
from ..uncertainty.campaigns import CampaignShifts
from ..uncertainty.error_correlogram import ErrorCorrelogram
from ..uncertainty.local_scale import ErrorSmoother, LocalScale, SmoothingSpace
from ..uncertainty.postprocessing import MemberPredictions, Postprocessor
from ..utils.codec import Codec, Registry
from ..utils.random_states import check_mersenne_twister
from ..utils.safe_file import FileError
from .checks import (
    check_encoder_weights,
    check_knn_graph,
    check_network_shape,
    is_flag,
    is_int,
    require,
)
from .xgboost_json import pack_booster, unpack_booster

__all__ = ["make_registry"]

_CLASSES: dict[str, type] = {
    "BaseModels": BaseModels,
    "Blend": Blend,
    "Calibration": Calibration,
    "CampaignShifts": CampaignShifts,
    "ChipEmbedder": ChipEmbedder,
    "ChipLoader": ChipLoader,
    "CovariateProjection": CovariateProjection,
    "DeduplicatedRows": DeduplicatedRows,
    "EncoderSource": EncoderSource,
    "Ensemble": Ensemble,
    "ErrorCorrelogram": ErrorCorrelogram,
    "FeatureEncoder": FeatureEncoder,
    "GaussianProcess": GaussianProcess,
    "ErrorSmoother": ErrorSmoother,
    "ImageColumn": ImageColumn,
    "LinearScore": LinearScore,
    "LocalScale": LocalScale,
    "MemberFolds": MemberFolds,
    "MemberPredictions": MemberPredictions,
    "Modality": Modality,
    "NetworkConfig": NetworkConfig,
    "NetworkShape": NetworkShape,
    "Postprocessor": Postprocessor,
    "SmoothingSpace": SmoothingSpace,
    "SourceNodes": SourceNodes,
    "SpatialReference": SpatialReference,
    "TableSchema": TableSchema,
    "TargetScaler": TargetScaler,
    "TerraMindImages": TerraMindImages,
    "TrainingRows": TrainingRows,
}
# libsvm reads as many coefficients as there are support vectors, whatever the arrays hold.
_UNCHECKED_TYPES = {
    f"sklearn.svm._classes.{name}" for name in ("NuSVC", "NuSVR", "OneClassSVM", "SVC", "SVR")
}
_FREE_ARCHIVE_BYTES, _MAX_ARCHIVE_RATIO = 2**25, 32
_SAFE_TYPES = ("numpy.dtype",)  # part of every tree ensemble, but not trusted by skops itself


def make_registry(trusted: tuple[str, ...] = ()) -> Registry:
    """Return the classes that a model file may contain.

    Parameters
    ----------
    trusted : tuple of str
        Types of a base estimator beyond those of scikit-learn and numpy that skops trusts.
    """
    codecs = {
        "KNNGraph": Codec(KNNGraph, _pack_knn_graph, _unpack_knn_graph),
        "SpTGNN": Codec(SpTGNN, _pack_network, _unpack_network),
        "FrozenEncoder": Codec(FrozenEncoder, _pack_encoder, _unpack_encoder),
        "XGBRegressor": Codec(XGBRegressor, pack_booster, unpack_booster),
        "RandomState": Codec(np.random.RandomState, _pack_random_state, _unpack_random_state),
        "estimator": Codec(
            BaseEstimator,
            _pack_estimator,
            lambda packed: _unpack_estimator(packed, trusted),
            subclasses=True,
        ),
    }
    return Registry(_CLASSES, codecs)


def _pack_knn_graph(graph: KNNGraph) -> dict[str, Any]:
    return {"spaces": graph.spaces, "workers": graph.workers}


def _unpack_knn_graph(packed: dict[str, Any]) -> KNNGraph:
    check_knn_graph(packed)
    return KNNGraph(**packed)


def _pack_network(network: SpTGNN) -> dict[str, Any]:
    encoders, settings = network.image_encoders, None
    if isinstance(encoders, MemberEncoders):
        settings = {
            "source": _require_source(encoders),
            "fine_tune": encoders.fine_tune,
            "recompute": encoders.recompute,
        }
    return {
        "shape": network.shape,
        "encoders": settings,
        "weights": {name: values.cpu() for name, values in network.state_dict().items()},
    }


def _unpack_network(packed: dict[str, Any]) -> SpTGNN:
    shape, settings, weights = packed["shape"], packed["encoders"], packed["weights"]
    check_network_shape(shape)
    if any(values.dtype != torch.float32 for values in weights.values()):
        raise FileError("The network has weights that are not float32.")
    # On the meta device, so that weights of other shapes raise before memory is allocated.
    with torch.device("meta"):
        encoders = None
        if settings is not None:
            (width,) = weights["image_encoders.center"].shape
            check_encoder_weights(settings["source"], weights)
            recompute, fine_tune = settings["recompute"], settings["fine_tune"]
            require(is_flag(recompute), "The image encoder has an invalid recompute")
            require(fine_tune is True or is_int(fine_tune, 1), "fine_tune is out of range")
            with torch.device("cpu"):
                stages = settings["source"].build()
            encoders = MemberEncoders(
                stages,
                shape.n_members,
                settings["fine_tune"],
                np.zeros(width),
                np.ones(width),
                recompute=settings["recompute"],
                source=settings["source"],
            )
        network = SpTGNN(shape, encoders)
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _pack_encoder(encoder: FrozenEncoder) -> dict[str, Any]:
    weights = {name: values.cpu() for name, values in encoder.stages.state_dict().items()}
    return {"source": _require_source(encoder), "weights": weights}


def _unpack_encoder(packed: dict[str, Any]) -> FrozenEncoder:
    check_encoder_weights(packed["source"], packed["weights"])
    stages = packed["source"].build()
    stages.load_state_dict(packed["weights"])
    return FrozenEncoder(stages, source=packed["source"])


def _require_source(encoder: FrozenEncoder | MemberEncoders) -> EncoderSource:
    if encoder.source is None:
        raise TypeError("an image encoder that was not built by name has no codec.")
    return encoder.source


def _pack_random_state(state: np.random.RandomState) -> list[Any]:
    return list(state.get_state(legacy=True))


def _unpack_random_state(packed: list[Any]) -> np.random.RandomState:
    check_mersenne_twister(packed)
    state = np.random.RandomState()
    state.set_state(tuple(packed))
    return state


def _pack_estimator(estimator: BaseEstimator) -> np.ndarray:
    return np.frombuffer(_import_skops_io().dumps(estimator), np.uint8)


def _unpack_estimator(packed: np.ndarray, trusted: tuple[str, ...]) -> BaseEstimator:
    skops_io, content = _import_skops_io(), packed.tobytes()
    _check_archive(content)
    trusted = (*_SAFE_TYPES, *trusted)
    found = {*skops_io.get_untrusted_types(data=content), *_unchecked_types(content)}
    unknown = sorted(found - set(trusted))
    if unknown:
        raise FileError(
            f"The base estimator contains types that are not trusted: {unknown}. If you trust the "
            f"author of the file, pass trusted={unknown}."
        )
    return skops_io.loads(content, trusted=list(trusted))


def _check_archive(content: bytes) -> None:
    """Raise a FileError for an archive that decompresses to much more than its size."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    limit = _FREE_ARCHIVE_BYTES + _MAX_ARCHIVE_RATIO * len(content)
    if size > limit:
        raise FileError(f"The base estimator takes {size} bytes, more than {limit}.")


def _unchecked_types(content: bytes) -> set[str]:
    """Return the types of an archive that skops trusts and that index arrays without a check."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pending, found = [json.loads(archive.read("schema.json"))], set()
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            found.add(f"{node.get('__module__')}.{node.get('__class__')}")
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return found & _UNCHECKED_TYPES


def _import_skops_io() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "A regressor as base_estimator is saved with skops: pip install 'sptgnn-sklearn[save]'."
        ) from error
    return skops.io
