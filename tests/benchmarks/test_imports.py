"""The benchmark of imports."""

import subprocess
import sys

import pytest

from benchmarks import imports


def test_the_benchmark_itself_is_light():
    """The memory of a parent process is the least that the kernel reports for a child."""
    code = "import sys, benchmarks.imports; assert not {'numpy', 'torch'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=imports.ROOT)


def test_seconds_are_those_of_the_process(tmp_path):
    """Work of the child counts, and its errors are shown."""
    code = "import time\nwhile time.process_time() < 0.5: pass"
    small, large = (
        imports.run(["-c", source], tmp_path, imports.ROOT, tmp_path) for source in ("", code)
    )
    assert large["cpu_s"] > 0.4
    assert imports.summarize([small, large, large])["cpu_s"] == round(large["cpu_s"], 2)
    with pytest.raises(RuntimeError, match="no_such_name"):
        imports.run(["-c", "no_such_name"], tmp_path, imports.ROOT, tmp_path)
