"""One file of arrays and plain values that is whole or refused.

It is a plain safetensors file: any reader of that format shows its arrays. Its metadata hold the
plain values as JSON, and the SHA-256 of the whole file, taken with zeros in the place of the digest
itself. So a single changed byte is noticed wherever it is, and nothing in the file can be executed.
The digest tells damage, not who wrote the file.
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
_BLANK = "0" * 64
_MARK = b'"sha256":"'
_MOST_HEADER = 100_000_000  # bytes; the limit of the format itself
_COPY_BYTES = 2**20


class FileError(ValueError):
    """A file that is cut, changed, of another kind or not of this package."""


def write(
    path: str | os.PathLike[str], kind: str, content: Any, arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a file under its name only when it is complete and on the disk.

    Parameters
    ----------
    path : path-like
        In a folder that exists; a file of that name is replaced.
    kind : str
        What the file is, such as "model".
    content : plain values
        What JSON can hold.
    arrays : mapping of str to ndarray

    Raises
    ------
    OSError
        If it cannot be written; a file that was there is as it was.

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
    metadata = {"format": _FORMAT, "kind": kind, "content": text, "sha256": _BLANK}
    target = Path(path)
    part = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:  # for the rights that a new file has here
            rights = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, part, metadata)
        with part.open("r+b") as file:
            place = _place_of_digest(_header(file))
            digest = _payload_digest(file, place)
            file.seek(8 + place)
            file.write(digest.encode())
            file.flush()
            os.fsync(file.fileno())
        part.chmod(rights)
        os.replace(part, target)
        _sync_and_rename(target.parent)
    except SafetensorError as error:
        raise OSError(f"{target} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def read(path: str | os.PathLike[str], kind: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like
    kind : str
        What the file has to be.

    Returns
    -------
    content : plain values
    arrays : dict of str to ndarray

    Raises
    ------
    FileError
        If the file is cut, changed, of another kind or not of this package.
    OSError
        If there is no such file or it cannot be read.
    """
    with Path(path).open("rb") as file:
        try:
            header = _header(file)
            about = json.loads(header)["__metadata__"]
            ours = about["format"] == _FORMAT
            place = _place_of_digest(header)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(
                f"{str(path)!r} is no file that this package wrote, or it is damaged where it says "
                "what it is: take another copy of it."
            ) from error
        if not ours or about.get("sha256") != _payload_digest(file, place):
            raise FileError(
                f"{str(path)!r} was cut or changed after it was written: its checksum does not "
                "fit. Take another copy of it."
            )
    if about.get("kind") != kind:
        raise FileError(f"{str(path)!r} holds a {about.get('kind')}, not a {kind}.")
    try:
        content = json.loads(about["content"])
        with safe_open(path, framework="numpy") as opened:
            # Copies, so that nothing depends on the file from here on.
            arrays = {name: np.array(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{str(path)!r} does not hold what a {kind} holds ({error}).") from error
    return content, arrays


def _header(file: Any) -> bytes:
    """Return the header of a safetensors file: its length in eight bytes, then JSON."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= _MOST_HEADER:
        raise ValueError("The length of the header is out of bounds.")
    header = file.read(length)
    if len(header) < length:
        raise ValueError("The header is cut.")
    return header


def _place_of_digest(header: bytes) -> int:
    # Quotes inside of other values are escaped, so that only the key itself reads like this.
    if header.count(_MARK) != 1:
        raise ValueError("The header has no digest, or several.")
    return header.index(_MARK) + len(_MARK)


def _payload_digest(file: Any, place: int) -> str:
    """Return the digest of a file with zeros where its header holds the digest."""
    found = sha256()
    file.seek(0)
    found.update(file.read(8 + place))
    file.seek(len(_BLANK), os.SEEK_CUR)
    found.update(_BLANK.encode())
    while block := file.read(_COPY_BYTES):
        found.update(block)
    return found.hexdigest()


def _sync_and_rename(folder: Path) -> None:
    """Have the new name of a file on the disk too, where a folder can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
