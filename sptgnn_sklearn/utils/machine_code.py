"""Numba's compiler and its cache on disk.

Numba caches machine code beside the source or in a folder named by the path of the source, so each
new virtual environment compiles again. Here the folder is named by the content of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any

import numba
from numba.core import caching, config
from numba.extending import typeof_impl

from .jit import CompiledFunction

__all__ = ["PackageCacheLocator", "make_dispatcher"]

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
# The folder of the environment variable NUMBA_CACHE_DIR is the first choice.
_LOCATORS = (
    f"UserProvidedCacheLocator,{__name__}.PackageCacheLocator,InTreeCacheLocator,"
    "UserWideCacheLocator,IPythonCacheLocator,ZipCacheLocator"
)
_SETTING_LOCK = RLock()

# Older versions have neither this class nor a setting for locators, and cache beside the source.
_UserWideLocator: Any = getattr(caching, "UserWideCacheLocator", object)


class PackageCacheLocator(_UserWideLocator):
    """Locator of machine code in numba's cache folder of the user, for all environments.

    The subfolder is named by the source code, the options of the compiler and the version of numba.
    Within it, numba keeps the code of each CPU and version of Python apart.
    """

    def __init__(self, py_func: Callable, py_file: str):
        super().__init__(py_func, py_file)
        options = (numba.__version__, _OPTIONS["nogil"], sorted(_OPTIONS["fastmath"]))
        digest = sha256(Path(py_file).read_bytes() + repr(options).encode()).hexdigest()
        folder = f"sptgnn_sklearn-{Path(py_file).stem}-{digest[:16]}"
        self._cache_path = str(Path(super().get_cache_path()).with_name(folder))

    @classmethod
    def from_function(cls, py_func: Callable, py_file: str) -> Any:
        """Return the locator of a function, or None if its source or a folder is missing."""
        try:
            locator = cls(py_func, py_file)
            # Without a home folder the path would be relative.
            if not Path(locator.get_cache_path()).is_absolute():
                return None
            locator.ensure_cache_path()
        except OSError:
            return None
        return locator


@contextmanager
def _package_cache() -> Iterator[None]:
    """Use the package's locator, unless NUMBA_CACHE_LOCATOR_CLASSES names others."""
    with _SETTING_LOCK:  # the setting is global
        if not hasattr(config, "CACHE_LOCATOR_CLASSES"):
            yield
            return
        before = config.CACHE_LOCATOR_CLASSES
        config.CACHE_LOCATOR_CLASSES = before or _LOCATORS
        try:
            yield
        finally:
            config.CACHE_LOCATOR_CLASSES = before


def make_dispatcher(function: Callable) -> Any:
    """Return numba's function, with a cache on disk if a folder is writable."""
    with _package_cache():
        try:
            return numba.njit(cache=True, **_OPTIONS)(function)
        except (RuntimeError, OSError):  # no writable cache folder
            return numba.njit(**_OPTIONS)(function)


@typeof_impl.register(CompiledFunction)
def _typeof_compiled(value: CompiledFunction, context: Any) -> Any:
    """Return numba's type, so that compiled functions can call one another."""
    return typeof_impl(value.dispatcher, context)
