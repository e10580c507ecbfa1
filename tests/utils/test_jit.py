"""Functions that are compiled at the first call."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from sptgnn_sklearn.graph import box_tree
from sptgnn_sklearn.utils.jit import compiled


@compiled
def _double(value):
    return 2 * value


@compiled
def _double_all(values):
    result = np.empty_like(values)
    for i in range(len(values)):
        result[i] = _double(values[i])
    return result


def test_nothing_is_compiled_before_the_first_call():
    """The decorator does not import numba."""
    code = (
        "import sys\n"
        "from sptgnn_sklearn.utils.jit import compiled\n"
        "@compiled\n"
        "def double(value):\n"
        "    return 2 * value\n"
        "assert 'numba' not in sys.modules\n"
        "assert double(2) == 4\n"
        "assert 'numba' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compiled_functions_call_each_other():
    """The inner function is compiled into the outer one, as a global and as a closure."""
    np.testing.assert_array_equal(_double_all(np.arange(3)), [0, 2, 4])
    assert _double_all.dispatcher.nopython_signatures
    inner = compiled(lambda value: value + 1)

    @compiled
    def outer(value):
        return inner(value) * 10

    assert outer(1) == 20


@pytest.mark.parametrize("function", [_double, box_tree._box_distance])
def test_the_name_and_the_docstring_are_kept(function):
    """Decorated functions are documented like others."""
    assert function.__name__ == function.__wrapped__.__name__
    assert function.__doc__ == function.__wrapped__.__doc__


def test_compiled_functions_are_copied_to_other_processes():
    """A pickle refers to the function by its name; the other process compiles."""
    code = (
        "import pickle, sys\n"
        "distance = pickle.loads(sys.stdin.buffer.read())\n"
        "import numpy as np\n"
        "assert distance(np.zeros((2, 2)), np.array([3.0, 4.0])) == 25\n"
    )
    content = pickle.dumps(box_tree._box_distance)
    subprocess.run([sys.executable, "-c", code], input=content, check=True)


def test_nan_and_infinities_are_kept():
    """The optimizations do not assume finite values."""

    @compiled
    def count_finite(values):
        result = 0
        for value in values:
            result += np.isfinite(value)
        return result

    assert count_finite(np.array([1.0, np.nan, np.inf, -np.inf])) == 1
