"""Cache of machine code on disk."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import config

from sptgnn_sklearn.utils import machine_code
from sptgnn_sklearn.utils.machine_code import PackageCacheLocator, make_dispatcher

pytestmark = pytest.mark.skipif(
    not hasattr(config, "CACHE_LOCATOR_CLASSES"), reason="this numba has no setting for locators"
)
SOURCE = "def double(value):\n    return 2 * value\n"
RUN = """
from sptgnn_sklearn.utils.machine_code import make_dispatcher
from loop import double
function = make_dispatcher(double)
assert function(2) == 4
print(sum(function.stats.cache_hits.values()), function.stats.cache_path)
"""


def compile_in_new_process(folder: Path, home: Path, **variables: str) -> tuple[int, Path]:
    """Compile loop.py of a folder; return the number of cache hits and the folder of the cache."""
    ours = ("NUMBA_CACHE_DIR", "NUMBA_CACHE_LOCATOR_CLASSES", "XDG_CACHE_HOME", "LOCALAPPDATA")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    paths = os.pathsep.join([str(folder), str(Path(machine_code.__file__).parents[2])])
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": paths, **variables}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert not done.stderr
    hits, _, path = done.stdout.strip().partition(" ")
    return int(hits), Path(path)


def make_environment(folder: Path, source: str = SOURCE) -> Path:
    """Write loop.py, as an installation into a new environment does."""
    folder.mkdir()
    (folder / "loop.py").write_text(source, encoding="utf-8")
    return folder


def test_environments_share_machine_code(tmp_path):
    """The same source at another path is not compiled again, other source is."""
    first, second = (make_environment(tmp_path / name) for name in ("first", "second"))
    other = make_environment(tmp_path / "other", SOURCE + "\n")
    hits, folder = compile_in_new_process(first, tmp_path / "home")
    assert hits == 0
    assert folder.is_relative_to(tmp_path / "home")
    assert folder.name.startswith("sptgnn_sklearn-loop-")
    assert compile_in_new_process(second, tmp_path / "home") == (1, folder)
    hits, other_folder = compile_in_new_process(other, tmp_path / "home")
    assert (hits, other_folder.parent) == (0, folder.parent)
    assert other_folder != folder


def test_numba_cache_dir_precedes(tmp_path):
    """The environment variable of numba keeps its meaning."""
    loop = make_environment(tmp_path / "loop")
    chosen = tmp_path / "chosen"
    for expected in (0, 1):
        hits, folder = compile_in_new_process(loop, tmp_path, NUMBA_CACHE_DIR=str(chosen))
        assert (hits, folder.parent) == (expected, chosen)


def test_without_a_writable_folder_each_process_compiles(tmp_path, monkeypatch):
    """Neither an error nor a warning."""
    monkeypatch.syspath_prepend(make_environment(tmp_path / "unwritable"))
    from loop import double  # type: ignore[import-not-found]

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("numba.core.caching._CacheLocator.ensure_cache_path", refuse)
    function = make_dispatcher(double)
    assert function(2) == 4
    assert function.signatures
    assert not function.stats.cache_hits


@pytest.mark.parametrize("kind", ["source", "home"])
def test_the_locator_needs_a_source_file_and_a_home_folder(tmp_path, monkeypatch, kind):
    """Otherwise the next locator of numba is asked."""
    path = tmp_path / "loop.py"
    if kind == "home":
        path.write_text(SOURCE, encoding="utf-8")
        monkeypatch.setattr("numba.core.caching.AppDirs.user_cache_dir", "~/.cache/numba")
    monkeypatch.chdir(tmp_path)
    assert PackageCacheLocator.from_function(compile_in_new_process, str(path)) is None
    assert not (tmp_path / "~").exists()


def test_the_locators_of_other_packages_are_not_changed(tmp_path, monkeypatch):
    """The setting of numba is restored, and one that the user made is kept."""
    monkeypatch.syspath_prepend(make_environment(tmp_path / "setting"))
    loop = importlib.import_module("loop")

    before = config.CACHE_LOCATOR_CLASSES
    make_dispatcher(loop.double)
    assert before == config.CACHE_LOCATOR_CLASSES
    monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", "InTreeCacheLocator")
    assert Path(make_dispatcher(loop.double).stats.cache_path).name == "__pycache__"
