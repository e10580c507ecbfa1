"""Files of arrays and JSON values with a checksum, in the safetensors format.

The metadata contain the values as JSON and the SHA-256 of the whole file, computed with zeros in
the place of the digest. Any changed byte raises an error, and nothing in a file is executed. The
digest detects damage; it does not authenticate the author.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

__all__ = ["FileError", "read", "write"]

_FORMAT = "sptgnn-sklearn"
_ZERO_DIGEST = "0" * 64
_DIGEST_KEY = b'"sha256":"'
_MAX_HEADER = 100_000_000  # bytes, the limit of safetensors
_READ_BYTES = 2**20
_PICKLE_PROTOCOL = 5


class FileError(ValueError):
    """A file that is damaged, of another kind, or not written by this package."""


def write(
    path: str | os.PathLike[str], kind: str, content: Any, arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a file atomically: it is renamed to its path when it is complete and on disk.

    Parameters
    ----------
    path : path-like
        In an existing folder; an existing file is replaced.
    kind : str
        Kind of the file, such as "model".
    content : JSON values
    arrays : mapping of str to ndarray

    Raises
    ------
    OSError
        If it cannot be written, as without its folder; an existing file is unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from sptgnn_sklearn.utils.safe_file import read, write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "one.safetensors")
    ...     write(path, "example", {"name": "clay"}, {"values": np.arange(3)})
    ...     content, arrays = read(path, "example")
    >>> content, arrays["values"].tolist()
    ({'name': 'clay'}, [0, 1, 2])
    """
    text = json.dumps(content, allow_nan=False, ensure_ascii=True)
    metadata = {"format": _FORMAT, "kind": kind, "content": text, "sha256": _ZERO_DIGEST}
    target = Path(path)
    _require_folder(target)
    part = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:  # the permissions of a new file here
            permissions = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, part, metadata)
        with part.open("r+b") as file:
            header = _sort_keys(_read_header(file))
            file.seek(8)
            file.write(header)
            offset = _digest_offset(header)
            digest = _compute_digest(file, offset)
            file.seek(8 + offset)
            file.write(digest.encode())
            file.flush()
            os.fsync(file.fileno())
        part.chmod(permissions)
        os.replace(part, target)
        _sync_folder(target.parent)
    except SafetensorError as error:
        raise OSError(f"{str(target)!r} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def read(path: str | os.PathLike[str], kind: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Read a file written by `write`.

    Parameters
    ----------
    path : path-like
    kind : str
        Expected kind of the file.

    Returns
    -------
    content : JSON values
    arrays : dict of str to ndarray

    Raises
    ------
    FileError
        If the file is damaged, of another kind, or not written by this package.
    OSError
        If the file cannot be read.
    """
    _require_regular_file(path)
    with Path(path).open("rb") as file:
        try:
            header = _read_header(file)
            metadata = json.loads(header)["__metadata__"]
            has_format = metadata["format"] == _FORMAT
            offset = _digest_offset(header)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if _is_pickle(file, path):
                raise FileError(
                    f"{str(path)!r} was not written by this package: it is a pickle. Read it by "
                    "joblib.load if you trust it, because a pickle can run any code."
                ) from error
            raise FileError(
                f"{str(path)!r} was not written by this package, or its header is damaged: use "
                "another copy of the file."
            ) from error
        if not has_format or metadata.get("sha256") != _compute_digest(file, offset):
            raise FileError(
                f"{str(path)!r} was truncated or changed after it was written, as its checksum "
                "differs: use another copy of the file."
            )
    if metadata.get("kind") != kind:
        raise FileError(f"{str(path)!r} is a {metadata.get('kind')} file, not a {kind} file.")
    try:
        content = json.loads(metadata["content"])
        with safe_open(path, framework="numpy") as opened:
            # Copies, because the file may be replaced later.
            arrays = {name: np.array(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    # AttributeError: a dtype that numpy does not have, such as F8_E4M3.
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise FileError(f"{str(path)!r} is not a valid {kind} file ({e}).") from e
    return content, arrays


def _require_folder(target: Path) -> None:
    """Raise an error that names the folder, not the temporary file, if a file cannot be there."""
    if target.is_dir():
        raise IsADirectoryError(f"{str(target)!r} is a folder: pass the path of a file in it.")
    if not target.parent.exists():
        raise FileNotFoundError(
            f"The folder {str(target.parent)!r} does not exist: create it first, or choose another "
            "path."
        )
    if not target.parent.is_dir():
        raise NotADirectoryError(
            f"{str(target.parent)!r} is a file, not a folder: choose another path."
        )


def _is_pickle(file: Any, path: str | os.PathLike[str]) -> bool:
    """Return whether a file starts like a pickle, or is a compressed file with a name of one."""
    file.seek(0)
    start = file.read(2)
    pickled = len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= _PICKLE_PROTOCOL
    return pickled or Path(path).suffix.lower() in {".joblib", ".pickle", ".pkl"}


def _require_regular_file(path: str | os.PathLike[str]) -> None:
    """Raise a FileError for pipes and devices, which can block or never end.

    Folders raise IsADirectoryError when they are opened.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileError(f"{str(path)!r} is a pipe or device: pass the path of a regular file.")


def _read_header(file: Any) -> bytes:
    """Return the JSON header of a safetensors file, which follows its length in eight bytes."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= _MAX_HEADER:
        raise ValueError("The length of the header is out of range.")
    header = file.read(length)
    if len(header) < length:
        raise ValueError("The header is truncated.")
    return header


def _sort_keys(header: bytes) -> bytes:
    """Return a header of equal length in a fixed order, so that equal contents have equal bytes."""
    text = json.dumps(json.loads(header), sort_keys=True, separators=(",", ":"))
    return text.encode().ljust(len(header)) if len(text) <= len(header) else header


def _digest_offset(header: bytes) -> int:
    # Quotes inside of values are escaped, so that only the key itself matches.
    if header.count(_DIGEST_KEY) != 1:
        raise ValueError("The header has not exactly one digest.")
    return header.index(_DIGEST_KEY) + len(_DIGEST_KEY)


def _compute_digest(file: Any, offset: int) -> str:
    """Return the SHA-256 of a file with zeros in the place of the digest in its header."""
    hasher = sha256()
    file.seek(0)
    hasher.update(file.read(8 + offset))
    file.seek(len(_ZERO_DIGEST), os.SEEK_CUR)
    hasher.update(_ZERO_DIGEST.encode())
    while block := file.read(_READ_BYTES):
        hasher.update(block)
    return hasher.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Write the new name of a file to disk, on systems that can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
