"""What a fitted estimator consists of, as it stands in files.

The names on the left are those of files: they stay when a class is renamed or moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from xgboost import XGBRegressor

from ..encoders.embedder import ChipEmbedder
from ..encoders.embedding import ChipLoader
from ..encoders.finetuning import MemberEncoders
from ..encoders.terramind import EncoderSource, FrozenEncoder
from ..ensemble.fitted import Ensemble, TrainingRows
from ..ensemble.member_folds import MemberFolds
from ..graph.knn_graph import KNNGraph
from ..images.modalities import Modality
from ..network.config import NetworkShape, SourceNodes
from ..network.sptgnn import SpTGNN
from ..spatial.crs import SpatialReference
from ..table.deduplication import DeduplicatedRows
from ..table.features import FeatureEncoder
from ..table.image_columns import ImageColumn
from ..table.schema import TableSchema
from ..table.target_scaling import TargetScaler
from ..uncertainty.blending import Blend
from ..uncertainty.calibration import Calibration
from ..uncertainty.error_correlation import ErrorCorrelogram
from ..uncertainty.postprocessing import MemberPredictions, Postprocessor
from ..utils.codec import Codec, Registry
from ..utils.safe_file import FileError
from .xgboost_json import pack_booster as pack_trees
from .xgboost_json import unpack_booster as unpack_trees

__all__ = ["registry"]

_CLASSES: dict[str, type] = {
    "Architecture": NetworkShape,
    "Calibration": Calibration,
    "ChipEmbedder": ChipEmbedder,
    "Columns": TableSchema,
    "Context": SourceNodes,
    "EncoderSource": EncoderSource,
    "Ensemble": Ensemble,
    "ErrorCorrelation": ErrorCorrelogram,
    "Features": FeatureEncoder,
    "Frame": SpatialReference,
    "ImageColumn": ImageColumn,
    "Imagery": ChipLoader,
    "Judgement": Postprocessor,
    "Merged": DeduplicatedRows,
    "Modality": Modality,
    "Partitions": MemberFolds,
    "Predicted": MemberPredictions,
    "Stacking": Blend,
    "TargetScale": TargetScaler,
    "TrainingRows": TrainingRows,
}
_HARMLESS = ("numpy.dtype",)  # of the nodes of trees; skops leaves it to its callers
_MOST_LAYERS = 64  # so that a file cannot ask for endless work


def registry(trusted: tuple[str, ...] = ()) -> Registry:
    """Return the classes that a model file may hold.

    Parameters
    ----------
    trusted : tuple of str
        Types of other packages that a base estimator may consist of, beside those of scikit-learn
        and numpy that skops trusts.
    """
    codecs = {
        "Searcher": Codec(KNNGraph, _pack_searcher, lambda given: KNNGraph(**given)),
        "SpTGNN": Codec(SpTGNN, _pack_network, _unpack_network),
        "FrozenEncoder": Codec(FrozenEncoder, _pack_encoder, _unpack_encoder),
        "XGBRegressor": Codec(XGBRegressor, pack_trees, unpack_trees),
        "RandomState": Codec(np.random.RandomState, _pack_random, _unpack_random),
        "estimator": Codec(
            BaseEstimator,
            _pack_estimator,
            lambda given: _unpack_estimator(given, trusted),
            subclasses=True,
        ),
    }
    return Registry(_CLASSES, codecs)


def _pack_searcher(knn_graph: KNNGraph) -> dict[str, Any]:
    return {"spaces": knn_graph.spaces, "workers": knn_graph.workers}


def _pack_network(network: SpTGNN) -> dict[str, Any]:
    encoders, about = network.image_encoders, None
    if isinstance(encoders, MemberEncoders):
        about = {
            "source": _known_source(encoders),
            "tuned": encoders.tuned,
            "recompute": encoders.recompute,
        }
    return {
        "shape": network.shape,
        "encoders": about,
        "weights": {name: values.cpu() for name, values in network.state_dict().items()},
    }


def _unpack_network(given: dict[str, Any]) -> SpTGNN:
    shape, about, weights = given["shape"], given["encoders"], given["weights"]
    if shape.n_layers > _MOST_LAYERS:
        raise FileError(f"The network has {shape.n_layers} layers.")
    if any(values.dtype != torch.float32 for values in weights.values()):
        raise FileError("The network has weights that are not of single precision.")
    # Shapes first, without memory for them: weights that do not fit are refused before it is taken.
    with torch.device("meta"):
        encoders = None
        if about is not None:
            width = weights["image_encoders.center"].shape[0]
            with torch.device("cpu"):
                stages = about["source"].build()
            encoders = MemberEncoders(
                stages,
                shape.n_members,
                about["tuned"],
                np.zeros(width),
                np.ones(width),
                recompute=about["recompute"],
                source=about["source"],
            )
        network = SpTGNN(shape, encoders)
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _pack_encoder(encoder: FrozenEncoder) -> dict[str, Any]:
    weights = {name: values.cpu() for name, values in encoder.stages.state_dict().items()}
    return {"source": _known_source(encoder), "weights": weights}


def _unpack_encoder(given: dict[str, Any]) -> FrozenEncoder:
    stages = given["source"].build()
    stages.load_state_dict(given["weights"])
    return FrozenEncoder(stages, source=given["source"])


def _known_source(encoder: FrozenEncoder | MemberEncoders) -> EncoderSource:
    if encoder.source is None:
        raise TypeError("an image encoder that was not built by its name has no codec.")
    return encoder.source


def _pack_random(state: np.random.RandomState) -> list[Any]:
    return list(state.get_state(legacy=True))


def _unpack_random(given: list[Any]) -> np.random.RandomState:
    state = np.random.RandomState()
    state.set_state(tuple(given))
    return state


def _pack_estimator(estimator: BaseEstimator) -> np.ndarray:
    return np.frombuffer(_skops().dumps(estimator), np.uint8)


def _unpack_estimator(given: np.ndarray, trusted: tuple[str, ...]) -> BaseEstimator:
    skops, content = _skops(), given.tobytes()
    unknown = sorted(set(skops.get_untrusted_types(data=content)) - {*_HARMLESS, *trusted})
    if unknown:
        raise FileError(
            f"The base consists of types that are not trusted: {unknown}. Where you trust who "
            f"wrote the file, pass trusted={unknown}."
        )
    return skops.loads(content, trusted=[*_HARMLESS, *trusted])


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            "A base other than 'xgboost' is saved by skops: pip install 'sptgnn-sklearn[save]'."
        ) from error
    return skops.io
