"""Folder in which a map is built: its mark, its lock, and the removal of its own files."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["PartsFolder"]

_MARK = ".sptgnn-map"
_LOCK = ".sptgnn-map.lock"
_MARK_TEXT = "Finished blocks of a map that sptgnn_sklearn.predict_map is making.\n"
_UNFINISHED_STORE = "map.zarr.part"
# Blocks and the description of the run, also half-written, and temporary files of GDAL.
_OWN_NAMES = re.compile(
    r"job\.json(\.part)?|r\d+_c\d+\.(tif|inputs)(\.[\da-f-]+\.part|\.part|\.aux\.xml)?"
    rf"|map\.vrt|map\.part(\..+)?|{re.escape(_UNFINISHED_STORE)}"
)
_BLOCK_NAMES = re.compile(r"r\d+_c\d+\.tif")
_ATTEMPTS = 20  # another process may remove the folder while this one opens it


class PartsFolder:
    """Folder of finished blocks beside a map; one process at a time holds it.

    A file of this package marks the folder. A folder with other content and without the mark is
    rejected, and only files of this package are removed.

    Parameters
    ----------
    target : Path
        Path of the map.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sptgnn_sklearn.maps.parts_folder import PartsFolder
    >>> with tempfile.TemporaryDirectory() as made:
    ...     folder = PartsFolder(Path(made, "soil.tif"))
    ...     with folder.hold():
    ...         held = folder.path.is_dir()
    ...     left = folder.path.is_dir()
    >>> held, left
    (True, False)
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.parts")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Create or open the folder, and lock it; without finished blocks it is removed at the end.

        Raises
        ------
        ValueError
            If the folder is a symbolic link, no folder, or holds files of others and no mark.
        BlockingIOError
            If another run holds the folder.
        OSError
            If the folder cannot be created or written.
        """
        lock = self._open_and_lock()
        try:
            yield
        finally:
            if not self._has_blocks():
                self.remove()
            if lock is not None:
                lock.release()
            if os.name == "nt" and not (self.path / _MARK).exists():  # locked files stay there
                with suppress(OSError):
                    (self.path / _LOCK).unlink()
                    self.path.rmdir()

    def clear(self) -> None:
        """Remove the files of this package except mark and lock."""
        for file in self._list_files():
            if _is_own(file):
                _remove(file)

    def clear_unfinished(self) -> None:
        """Remove half-written files."""
        for file in self._list_files():
            if _is_own(file) and file.name.endswith(".part"):
                _remove(file)

    def remove(self) -> None:
        """Remove the files of this package, and the folder unless it holds others.

        Warns
        -----
        UserWarning
            If other files are in the folder, which is kept with its mark.
        """
        if not self.path.is_dir():
            return
        self.clear()
        other = [file.name for file in self._list_files() if file.name not in (_MARK, _LOCK)]
        if other:
            warnings.warn(
                f"The folder {str(self.path)!r} is kept, as it holds files that predict_map did "
                f"not make: {sorted(other)[:5]}.",
                UserWarning,
                stacklevel=2,
            )
            return
        with suppress(OSError):  # on Windows the lock can be removed after its release only
            (self.path / _MARK).unlink(missing_ok=True)
            (self.path / _LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    def _open_and_lock(self) -> Any:
        from filelock import FileLock, Timeout

        for _ in range(_ATTEMPTS):
            try:
                self._open()
            except FileNotFoundError:
                if not self.path.parent.is_dir():
                    raise
                continue
            lock = FileLock(self.path / _LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise BlockingIOError(
                    f"path={str(self.target)!r} is being written by another call of predict_map, "
                    "in this or another process: wait until it has finished, or choose another "
                    "path."
                ) from None
            except FileNotFoundError:
                continue
            except (OSError, NotImplementedError):  # a file system without locks
                return None
            if (self.path / _MARK).exists():
                return lock
            lock.release()
        raise OSError(f"the folder {str(self.path)!r} is removed by another process: try again.")

    def _open(self) -> None:
        """Create the folder with its mark, or raise if it is not one of this package."""
        if self.path.is_symlink():
            raise ValueError(
                f"{str(self.path)!r} is a symbolic link, and finished blocks are kept in a folder "
                "of this name: remove the link, or choose another path."
            )
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(
                f"{str(self.path)!r} is a file, and finished blocks are kept in a folder of this "
                "name: move the file, or choose another path."
            )
        self.path.mkdir(exist_ok=True)
        mark = self.path / _MARK
        if mark.is_file() and not mark.is_symlink():
            return
        other = sorted(file.name for file in self._list_files() if file.name != _LOCK)
        if other:
            raise ValueError(
                f"the folder {str(self.path)!r} was not made by predict_map, which keeps finished "
                f"blocks under this name; it holds {other[:5]}: move it, or choose another path."
            )
        mark.write_text(_MARK_TEXT, encoding="utf-8")

    def _has_blocks(self) -> bool:
        return any(_BLOCK_NAMES.fullmatch(file.name) for file in self._list_files())

    def _list_files(self) -> list[Path]:
        return list(self.path.iterdir()) if self.path.is_dir() else []


def _is_own(file: Path) -> bool:
    if not _OWN_NAMES.fullmatch(file.name):
        return False
    return not file.is_dir() or file.is_symlink() or file.name == _UNFINISHED_STORE


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink()
