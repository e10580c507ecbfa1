"""The TerraMind image encoder, built by terratorch and split into stages.

TerraMind (Jakubik et al. 2025, arXiv:2504.11171) is a vision transformer for any subset of its
modalities: each chip is cut into patches of 16 x 16 pixels, the patches of all modalities pass
through the same blocks, and the mean of the last block's tokens is the embedding of the row.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import pickle
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..images.geotiff_writer import MISSING_EXTRA
from ..images.modalities import KNOWN, Modality
from ..utils.device import mixed_precision

__all__ = [
    "ENCODERS",
    "EncoderSource",
    "FrozenEncoder",
    "build_encoder",
    "import_registry",
    "split_stages",
]

ENCODERS = tuple(f"terramind_v1_{size}" for size in ("tiny", "small", "base", "large"))
_SEED = 0  # of random weights: the same in every fit, so that embeddings can be cached
_NEW = "new_"  # prefix that keeps new modalities from clashing with attributes of torch modules
_SHOWN_KEYS = 8


class EncoderSource(NamedTuple):
    """Name and modalities, which determine the architecture of an encoder."""

    name: str  # one of `ENCODERS`
    modalities: dict[str, Modality]

    def build(self) -> nn.Sequential:
        """Build the encoder with random weights, which the caller replaces."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the warning about random weights
            return build_encoder(self.name, self.modalities, None)


class PatchEmbedding(nn.Module):
    """First stage: from chips (B, C, S, S) by modality to tokens (B, N, D)."""

    def __init__(self, embeddings: Mapping[str, nn.Module]):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {_module_name(name): one for name, one in embeddings.items()}
        )

    def forward(self, chips: Mapping[str, Tensor]) -> Tensor:
        parts = []
        for name in sorted(chips):
            embedded = self.embeddings[_module_name(name)](chips[name])
            parts.append(embedded["x"] + embedded["emb"])
        return torch.cat(parts, dim=1)


class Pool(nn.Module):
    """Last stage: mean pooling of tokens (B, N, D) to embeddings (B, D).

    All modalities have the same number of tokens and therefore the same weight.
    """

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(tokens).mean(1)


def split_stages(stages: nn.Sequential, n_blocks: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Split an encoder into a trunk and its last `n_blocks` blocks with the pooling.

    Raises
    ------
    ValueError
        If the encoder has fewer blocks.
    """
    present = len(stages) - 2
    if not 0 < n_blocks <= present:
        raise ValueError(
            f"fine_tune={n_blocks} must be True, False or a number of blocks from 1 to {present}."
        )
    parts = list(stages)
    return nn.Sequential(*parts[: -1 - n_blocks]), nn.Sequential(*parts[-1 - n_blocks :])


class FrozenEncoder:
    """A frozen encoder as a function of arrays, with a fingerprint for the embedding cache.

    Parameters
    ----------
    stages : Sequential
        The whole encoder, from `build_encoder`.
    device : str, default="cpu"
    source : EncoderSource, default=None
        Name and modalities of the encoder, required to save it.

    Attributes
    ----------
    fingerprint : str
        Digest of all weights.
    width : int
        Length of an embedding.
    """

    def __init__(
        self, stages: nn.Sequential, device: str = "cpu", source: EncoderSource | None = None
    ):
        self.source = source
        self.stages = stages.eval().requires_grad_(False).to(device)
        self.device = device
        self.width: int = next(stages[-1].parameters()).shape[0]
        self.fingerprint = _state_digest(stages)

    def __reduce__(self) -> tuple[Any, ...]:
        return unpack_stages, pack_stages(self, self.stages)

    @torch.no_grad()
    def __call__(self, chips: dict[str, np.ndarray]) -> np.ndarray:
        """Encode chips (B, C, S, S) of each modality into embeddings (B, width)."""
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in chips.items()}
        with mixed_precision(self.device):
            return self.stages(tensors).float().cpu().numpy()


def pack_stages(owner: Any, stages: nn.Module) -> tuple[type, bytes, bool]:
    """Return the arguments of `unpack_stages` for an object that holds stages of an encoder."""
    foreign = any(type(module).__module__.startswith("terratorch") for module in stages.modules())
    return type(owner), pickle.dumps(owner.__dict__), foreign


def unpack_stages(kind: Any, content: bytes, foreign: bool) -> Any:
    """Restore a pickled object in a process that may not have imported terratorch yet.

    Unpickling alone would import terratorch without the workarounds of `import_registry`.
    """
    if foreign:
        import_registry()
    restored = kind.__new__(kind)
    restored.__dict__.update(pickle.loads(content))
    return restored


def build_encoder(
    name: str,
    modalities: Mapping[str, Modality],
    weights: str | PathLike[str] | None,
    sha256: str | None = None,
) -> nn.Sequential:
    """Build a TerraMind encoder for some modalities and load its weights.

    Parameters
    ----------
    name : str
        One of `ENCODERS`, from terratorch's registry.
    modalities : mapping of str to Modality
    weights : "pretrained", path or None
        "pretrained" downloads TerraMind's published weights from the Hugging Face hub. None keeps
        random weights, the same in every call.
    sha256 : str, default=None
        Expected SHA-256 of the file, in hexadecimal digits. Files are read as tensors only and
        cannot execute code; the digest verifies the origin of the weights.

    Returns
    -------
    Sequential
        `PatchEmbedding`, the transformer blocks, `Pool`.

    Raises
    ------
    ImportError
        If terratorch is not installed.
    ValueError
        If the name is unknown, or the weights cannot be found, have another digest or do not fit.

    Warns
    -----
    UserWarning
        For random weights, and for keys of a checkpoint that do not match.

    Examples
    --------
    >>> from sptgnn_sklearn.encoders.terramind import ENCODERS
    >>> ENCODERS[0]
    'terramind_v1_tiny'
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder={name!r} is unknown; choose from {list(ENCODERS)}.")
    registry = import_registry()
    known: list[Any] = [modality for modality in modalities if modality in KNOWN]
    new = {
        _module_name(modality): len(found.bands)
        for modality, found in modalities.items()
        if modality not in KNOWN
    }
    with torch.random.fork_rng(devices=[]), _restored_settings():
        torch.manual_seed(_SEED)
        model = registry.BACKBONE_REGISTRY.build(
            name, modalities=[*known, new] if new else known, pretrained=False
        )
    if weights is None:
        warnings.warn(
            f"weights=None: {name} starts from random weights, which have not been trained on "
            "satellite images. Pass weights='pretrained' or the path of a checkpoint.",
            UserWarning,
            stacklevel=3,
        )
    else:
        published = weights == "pretrained"
        path = _from_hub(name) if published else Path(weights)
        if sha256 is not None:
            _check_sha256(path, sha256)
        _load_checkpoint(model, path, name, warn_unused=not published)
    _select_bands(model, modalities)
    embeddings = {
        name: model.encoder_embeddings[model.mod_name_mapping[_terratorch_name(name)]]
        for name in modalities
    }
    return nn.Sequential(PatchEmbedding(embeddings), *model.encoder, Pool(model.encoder_norm))


def import_registry() -> Any:
    """Import terratorch's registry of backbones, which takes seconds.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If terratorch is not installed; the message names the extra.
    """
    try:
        with _restored_settings():
            try:
                return importlib.import_module("terratorch.registry")
            except RuntimeError as error:
                if "torchvision::" not in str(error):
                    raise
                _define_missing_operators()
                return importlib.import_module("terratorch.registry")
    except ModuleNotFoundError as error:
        raise ImportError(f"{MISSING_EXTRA} ({error})") from error


@contextmanager
def _restored_settings() -> Iterator[None]:
    """Return a context that undoes changes of global settings by terratorch.

    Terratorch and its dependencies warn about their own dependencies, lower the precision of matrix
    products for the whole process and configure logging.
    """
    precision, handlers = torch.get_float32_matmul_precision(), list(logging.root.handlers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        logging.root.handlers[:] = handlers


def _define_missing_operators() -> None:
    """Declare the compiled operators that importing torchvision requires.

    A torchvision built for another torch (a GPU build with a CPU torch) lacks them and cannot be
    imported. They are for object detection; TerraMind uses none.
    """
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    for module in [name for name in sys.modules if name.split(".")[0] == "terratorch"]:
        del sys.modules[module]
    for operator in ("nms", "qnms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _DECLARED_LIBRARIES.append(library)  # a definition is removed together with its library


_DECLARED_LIBRARIES: list[Any] = []


def _from_hub(name: str) -> Path:
    """Download the published weights, or find them in the hub's cache."""
    hub = importlib.import_module("huggingface_hub")
    register = importlib.import_module(
        "terratorch.models.backbones.terramind.model.terramind_register"
    )
    source = register.pretrained_weights[name]
    repository, filename = source["hf_hub_id"], source["hf_hub_filename"]
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # it logs every retry twice
    try:
        return Path(hub.hf_hub_download(repo_id=repository, filename=filename))
    except Exception as error:  # errors of network, disk and hub have no common class
        raise ValueError(
            f"weights='pretrained': {name} cannot be downloaded from the hub "
            f"({type(error).__name__}). Download {filename} of {repository} on a connected machine "
            f"and pass weights='/path/to/{filename}'."
        ) from error
    finally:
        log.setLevel(level)


def _check_sha256(path: Path, expected: str) -> None:
    """Raise ValueError if a file has another digest."""
    _check_is_file(path)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.strip().lower():
        raise ValueError(
            f"weights={str(path)!r} has the SHA-256 {found}, but sha256={expected!r}: download the "
            "file from the source of the digest, or correct sha256."
        )


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"weights={str(path)!r} is not a file.")


def _load_checkpoint(model: nn.Module, path: Path, name: str, warn_unused: bool) -> None:
    """Load a checkpoint in TerraMind's own layout, with a warning about keys that do not match."""
    _check_is_file(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises many kinds
        raise ValueError(
            f"weights={str(path)!r} cannot be read as a checkpoint of tensors "
            f"({str(error).splitlines()[0][:120]})."
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    found = {k: v for k, v in dict(found).items() if isinstance(v, Tensor)}
    own = model.state_dict()
    matching = {k: v for k, v in found.items() if k in own and v.shape == own[k].shape}
    mismatched = {k: v for k, v in found.items() if k in own and v.shape != own[k].shape}
    blocks = [key for key in own if key.startswith("encoder.")]
    if not any(key in matching for key in blocks):
        why = ""
        if mismatched:
            key = next(iter(mismatched))
            why = f" ({key} has shape {tuple(mismatched[key].shape)}, not {tuple(own[key].shape)})"
        raise ValueError(
            f"weights={str(path)!r} holds no weights of {name}{why}: the file belongs to another "
            "model or another size."
        )
    model.load_state_dict(matching, strict=False)
    random = sorted(set(own) - set(matching))
    unused = sorted(set(found) - set(own))
    parts = []
    if random:
        parts.append(f"missing keys start from random weights: {_list_some(random)}")
    if mismatched:
        parts.append(f"keys of another shape are not used: {_list_some(sorted(mismatched))}")
    if unused and warn_unused:
        groups = Counter(key.split(".")[0] for key in unused)
        counts = ", ".join(f"{group} ({count})" for group, count in sorted(groups.items()))
        parts.append(f"{len(unused)} unknown keys are not used: {counts}")
    if parts:
        warnings.warn(f"Checkpoint {path}: {'; '.join(parts)}.", UserWarning, stacklevel=4)


def _select_bands(model: nn.Module, modalities: Mapping[str, Modality]) -> None:
    """Reduce the patch weights to the selected bands."""
    chosen = {
        name: list(modality.bands)
        for name, modality in modalities.items()
        if modality.known and not modality.complete
    }
    if not chosen:
        return
    register = importlib.import_module(
        "terratorch.models.backbones.terramind.model.terramind_register"
    )
    with torch.no_grad(), _restored_settings():
        register.select_modality_patch_embed_weights(model, chosen, register.PRETRAINED_BANDS)


def _terratorch_name(modality: str) -> str:
    """Return terratorch's name of a modality."""
    return modality if modality in KNOWN else _module_name(modality)


def _module_name(modality: str) -> str:
    """Return a valid name of a torch submodule for a modality."""
    if modality in KNOWN:
        return modality
    return _NEW + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in modality)


def _state_digest(stages: nn.Sequential) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name, value in sorted(stages.state_dict().items()):
        found.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _list_some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_KEYS} more" if len(names) > _SHOWN_KEYS else ""
    return ", ".join(names[:_SHOWN_KEYS]) + more
