"""The image encoder: TerraMind, built by terratorch, taken apart into stages.

TerraMind (Jakubik et al. 2025, arXiv:2504.11171) is a vision transformer that reads any set of its
modalities together: each chip is cut into patches of 16 x 16 pixels, patches of all modalities go
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

from ..images.geotiff import MISSING_EXTRA
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
_SEED = 0  # of random weights: the same in every fit, so that embeddings can be kept
_NEW = "new_"  # keeps names of new modalities apart from those that torch modules have
_SHOWN_KEYS = 8


class EncoderSource(NamedTuple):
    """What the shape of an encoder follows from."""

    name: str  # one of `ENCODERS`
    modalities: dict[str, Modality]

    def build(self) -> nn.Sequential:
        """Build the encoder, to be given its weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that are random, for a moment
            return build_encoder(self.name, self.modalities, None)


class PatchEmbedding(nn.Module):
    """First stage: chips (B, C, S, S) of each modality that the rows have to tokens (B, N, D)."""

    def __init__(self, embeddings: Mapping[str, nn.Module]):
        super().__init__()
        self.embeddings = nn.ModuleDict({_key(name): one for name, one in embeddings.items()})

    def forward(self, chips: Mapping[str, Tensor]) -> Tensor:
        parts = []
        for name in sorted(chips):
            embedded = self.embeddings[_key(name)](chips[name])
            parts.append(embedded["x"] + embedded["emb"])
        return torch.cat(parts, dim=1)


class Pool(nn.Module):
    """Last stage: tokens (B, N, D) to embeddings (B, D).

    Every modality has equally many tokens, so that the mean over all of them is the mean of the
    modalities' means.
    """

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(tokens).mean(1)


def split_stages(stages: nn.Sequential, n_blocks: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the stages before the last `n_blocks` blocks, and those blocks with the pooling.

    Raises
    ------
    ValueError
        If there are not so many blocks.
    """
    present = len(stages) - 2
    if not 0 < n_blocks <= present:
        raise ValueError(
            f"fine_tune={n_blocks} must be True, False or a number of blocks from 1 to {present}."
        )
    parts = list(stages)
    return nn.Sequential(*parts[: -1 - n_blocks]), nn.Sequential(*parts[-1 - n_blocks :])


class FrozenEncoder:
    """The encoder as a function of arrays, with a fingerprint by which its output can be kept.

    Parameters
    ----------
    stages : Sequential
        The whole encoder, as `build_encoder` gives it.
    device : str, default="cpu"
    source : EncoderSource, default=None
        Needed where the encoder is to be saved.

    Attributes
    ----------
    fingerprint : str
        Digest of all weights.
    width : int
        Size of an embedding.
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
    """Return the arguments of `restore` for an object that holds stages of an encoder."""
    foreign = any(type(module).__module__.startswith("terratorch") for module in stages.modules())
    return type(owner), pickle.dumps(owner.__dict__), foreign


def unpack_stages(kind: Any, content: bytes, foreign: bool) -> Any:
    """Make a pickled object again, in a process that may not have imported terratorch yet.

    Left to pickle, terratorch would be imported without the remedies of `import_registry`.
    """
    if foreign:
        import_registry()
    made = kind.__new__(kind)
    made.__dict__.update(pickle.loads(content))
    return made


def build_encoder(
    name: str,
    modalities: Mapping[str, Modality],
    weights: str | PathLike[str] | None,
    sha256: str | None = None,
) -> nn.Sequential:
    """Build an encoder for some modalities and load its weights.

    Parameters
    ----------
    name : str
        One of `ENCODERS`, from terratorch's registry.
    modalities : mapping of str to Modality
    weights : "pretrained", path or None
        "pretrained" takes TerraMind's published weights from the Hugging Face hub. None is random
        weights, the same at every call.
    sha256 : str, default=None
        Hexadecimal digest that the file must have. Weights are read as tensors only, so that no
        file can execute anything; the digest tells whose weights they are.

    Returns
    -------
    Sequential
        `PatchEmbedding`, the transformer blocks, `Pool`.

    Raises
    ------
    ImportError
        If terratorch is not installed.
    ValueError
        If the name is not known, or the weights cannot be found, are others than expected or do
        not fit.

    Warns
    -----
    UserWarning
        For random weights, and for every key of a checkpoint that did not match.

    Examples
    --------
    >>> from sptgnn_sklearn.encoders.terramind import ENCODERS
    >>> ENCODERS[0]
    'terramind_v1_tiny'
    """
    if name not in ENCODERS:
        raise ValueError(f"encoder={name!r} is not known; choose from {list(ENCODERS)}.")
    registry = import_registry()
    wanted: list[Any] = [modality for modality in modalities if modality in KNOWN]
    new = {
        _key(modality): len(found.bands)
        for modality, found in modalities.items()
        if modality not in KNOWN
    }
    with torch.random.fork_rng(devices=[]), _leaving_no_trace():
        torch.manual_seed(_SEED)
        model = registry.BACKBONE_REGISTRY.build(
            name, modalities=[*wanted, new] if new else wanted, pretrained=False
        )
    if weights is None:
        warnings.warn(
            f"encoder_weights=None: {name} starts from random weights, which know nothing of "
            "satellite images. Pass 'pretrained' or the path of a checkpoint.",
            UserWarning,
            stacklevel=3,
        )
    else:
        published = weights == "pretrained"
        path = _from_hub(name) if published else Path(weights)
        if sha256 is not None:
            _compare_keys(path, sha256)
        _load(model, path, name, tell_unused=not published)
    _select_bands(model, modalities)
    embeddings = {
        name: model.encoder_embeddings[model.mod_name_mapping[_inner(name)]] for name in modalities
    }
    return nn.Sequential(PatchEmbedding(embeddings), *model.encoder, Pool(model.encoder_norm))


def import_registry() -> Any:
    """Import terratorch's registry of backbones; it takes seconds, so only when images are used.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If terratorch is not installed; the message names the extra.
    """
    try:
        with _leaving_no_trace():
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
def _leaving_no_trace() -> Iterator[None]:
    """Undo what terratorch and its dependencies do to settings that belong to the user.

    They warn of their own dependencies, lower the precision of matrix products for the whole
    process and set up logging.
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
    """Declare the compiled operators that torchvision looks for when it is imported.

    A torchvision built for another torch (a GPU build beside a CPU torch) comes without them and
    cannot be imported at all. They are for object detection; TerraMind uses none.
    """
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    for module in [name for name in sys.modules if name.split(".")[0] == "terratorch"]:
        del sys.modules[module]
    for operator in ("nms", "qnms"):
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)  # definitions last as long as their library


_LIBRARIES: list[Any] = []


def _from_hub(name: str) -> Path:
    hub = importlib.import_module("huggingface_hub")
    register = importlib.import_module(
        "terratorch.models.backbones.terramind.model.terramind_register"
    )
    source = register.pretrained_weights[name]
    repository, filename = source["hf_hub_id"], source["hf_hub_filename"]
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # each of its retries would be told, twice
    try:
        return Path(hub.hf_hub_download(repo_id=repository, filename=filename))
    except Exception as error:  # whatever the network, the disk or the hub come up with
        raise ValueError(
            f"The weights of {name} cannot be fetched from the hub ({type(error).__name__}): "
            f"download {filename} of {repository} where there is a connection and pass "
            f"encoder_weights='/path/to/{filename}'."
        ) from error
    finally:
        log.setLevel(level)


def _compare_keys(path: Path, expected: str) -> None:
    """Refuse a file with another digest."""
    if not path.is_file():
        raise ValueError(f"encoder_weights={str(path)!r} is no file.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.strip().lower():
        raise ValueError(
            f"encoder_weights={str(path)!r} has the SHA-256 {found}, and encoder_sha256 is "
            f"{expected!r}: take the file from where the digest is from, or correct the digest."
        )


def _load(model: nn.Module, path: Path, name: str, tell_unused: bool) -> None:
    """Load a checkpoint in TerraMind's own layout and tell what did not match."""
    if not path.is_file():
        raise ValueError(f"encoder_weights={str(path)!r} is no file.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises many kinds, none of which says more
        raise ValueError(
            f"encoder_weights={str(path)!r} cannot be read as a checkpoint of tensors "
            f"({str(error).splitlines()[0][:120]})."
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    found = {k: v for k, v in dict(found).items() if isinstance(v, Tensor)}
    own = model.state_dict()
    fits = {k: v for k, v in found.items() if k in own and v.shape == own[k].shape}
    odd = {k: v for k, v in found.items() if k in own and v.shape != own[k].shape}
    blocks = [key for key in own if key.startswith("encoder.")]
    if not any(key in fits for key in blocks):
        why = ""
        if odd:
            key = next(iter(odd))
            why = f" ({key} has shape {tuple(odd[key].shape)}, not {tuple(own[key].shape)})"
        raise ValueError(
            f"encoder_weights={str(path)!r} holds no weights of {name}{why}: the file is of "
            "another model or of another size."
        )
    model.load_state_dict(fits, strict=False)
    random = sorted(set(own) - set(fits))
    unused = sorted(set(found) - set(own))
    parts = []
    if random:
        parts.append(f"{_list_some(random)} {_are(random)} not in it and start random")
    if odd:
        parts.append(f"{_list_some(sorted(odd))} {_are(odd)} of another shape")
    if unused and tell_unused:
        groups = Counter(key.split(".")[0] for key in unused)
        counts = ", ".join(f"{group} ({count})" for group, count in sorted(groups.items()))
        parts.append(f"{len(unused)} of its keys are not used: {counts}")
    if parts:
        warnings.warn(f"Checkpoint {path}: {'; '.join(parts)}.", UserWarning, stacklevel=4)


def _select_bands(model: nn.Module, modalities: Mapping[str, Modality]) -> None:
    """Keep the patch weights of the bands that there are."""
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
    with torch.no_grad(), _leaving_no_trace():
        register.select_modality_patch_embed_weights(model, chosen, register.PRETRAINED_BANDS)


def _inner(modality: str) -> str:
    """Return the name by which terratorch knows a modality."""
    return modality if modality in KNOWN else _key(modality)


def _key(modality: str) -> str:
    """Return a name that a torch module can have."""
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


def _are(names: Any) -> str:
    return "is" if len(names) == 1 else "are"
