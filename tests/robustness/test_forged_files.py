"""Forged model files with a valid checksum: rejected, or used without harm."""

import os
import subprocess
import sys
import time
from collections import Counter

import forge
import numpy as np
import pytest
from forger import Forger

from sptgnn_sklearn import SpTGNNRegressor
from sptgnn_sklearn.encoders.embedding_cache import EmbeddingCache
from sptgnn_sklearn.utils.codec import Registry, decode, encode
from sptgnn_sklearn.utils.safe_file import FileError, read, write

N_MODELS, N_CHECKPOINTS = 60, 6


@pytest.fixture(scope="module")
def model_forger(tmp_path_factory):
    return Forger("models", tmp_path_factory.mktemp("models"))


def nodes(content, name):
    """Yield the encoded fields of a class, or the items of dictionaries with a key."""
    if isinstance(content, dict):
        if content.get("$") in (f"={name}", f"!{name}"):
            yield content
        for value in content.values():
            yield from nodes(value, name)
    elif isinstance(content, list):
        if len(content) == 2 and isinstance(content[0], str) and content[0] == name:
            yield content
        for value in content:
            yield from nodes(value, name)


@pytest.fixture
def forged(model_forger, tmp_path):
    """Return a function that writes a model file after a change of its content and arrays."""

    def write_changed(change):
        content, arrays = read(model_forger.pairs[0][0].path, "model")
        change(content, arrays)
        write(tmp_path / "forged", "model", content, arrays)
        return tmp_path / "forged"

    return write_changed


def test_forged_models_are_refused_or_used(model_forger, tmp_path):
    """One changed field each, of all classes; predictions are finite, memory and time bounded."""
    outcomes = Counter()
    for number in range(N_MODELS):
        path, name, mutation = model_forger.forge("test", number, tmp_path)
        start = time.process_time()
        outcomes[forge.outcome("models", path, refit=number % 10 == 0)] += 1
        assert time.process_time() - start < 5, (name, mutation)
    assert outcomes["refused"] > N_MODELS / 4
    assert outcomes["used"] > 0


def test_forged_checkpoints_give_a_warning_or_the_same_result(tmp_path_factory, tmp_path):
    forger = Forger("checkpoints", tmp_path_factory.mktemp("checkpoints"))
    outcomes = Counter()
    for number in range(N_CHECKPOINTS):
        path, _, _ = forger.forge("test", number, tmp_path)
        outcomes[forge.outcome("checkpoints", path)] += 1
    assert outcomes["warned"] > 0


@pytest.mark.parametrize("n_columns", [1, 2, 5, 50_000])
@pytest.mark.parametrize("relation", ["spatial", "spectral", "elevation"])
def test_search_spaces_have_the_columns_of_queries(forged, relation, n_columns):
    """Otherwise the compiled search reads beyond its boxes."""

    def change(content, arrays):
        (graph,) = nodes(content, "KNNGraph")
        (space,) = nodes(graph, relation)
        header = space[1]["array"]
        columns = arrays[header["name"]][:, :1]
        n = n_columns + (n_columns == arrays[header["name"]].shape[1])
        arrays[header["name"]] = np.ascontiguousarray(np.repeat(columns, n, axis=1))
        header["shape"] = [len(columns), n]

    with pytest.raises(FileError, match=r"neighbor search|edge features"):
        SpTGNNRegressor.load(forged(change))


@pytest.mark.parametrize("n_axes", [1, 50_000])
def test_principal_axes_have_the_columns_of_the_table(forged, n_axes):
    """Queries of another width would be broadcast against the search space."""

    def change(content, arrays):
        (encoder,) = nodes(content, "FeatureEncoder")
        _, axes = encoder["fields"]["covariate_axes"]["items"]
        arrays[axes["array"]["name"]] = np.ones((n_axes, axes["array"]["shape"][1]))
        axes["array"]["shape"] = [n_axes, axes["array"]["shape"][1]]

    with pytest.raises(FileError):
        SpTGNNRegressor.load(forged(change))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_members", -1),
        ("n_layers", 0),
        ("n_layers", 10**6),
        ("n_heads", 3),
        ("n_experts", 10**9),
        ("top_k", 0),
        ("top_k", -1),
        ("hidden_size", "4"),
        ("hidden_size", True),
        ("own_feature", {"$": "tuple", "items": [99, 1, -1]}),
        ("relations", {"$": "tuple", "items": ["spatial", "spatial", "spatial"]}),
        ("streams", {"$": "dict", "items": [[f"s{i}", 1] for i in range(20_000)]}),
        ("dropout", 1.0),
    ],
    ids=lambda value: str(value)[:30],
)
def test_network_shapes_are_bounded(forged, field, value):
    """Before a network is built, whose work they determine."""

    def change(content, arrays):
        (shape,) = nodes(content, "NetworkShape")
        shape["fields"][field] = value

    start = time.process_time()
    with pytest.raises(FileError):
        SpTGNNRegressor.load(forged(change))
    assert time.process_time() - start < 2


@pytest.mark.parametrize("n_neighbors", [0, -1, 41, 200_000, 10**9, 2.5, True])
def test_neighbor_counts_are_at_most_the_rows(forged, n_neighbors):
    def change(content, arrays):
        (ensemble,) = nodes(content, "Ensemble")
        ensemble["fields"]["n_neighbors"] = n_neighbors

    with pytest.raises(FileError, match="neighbors"):
        SpTGNNRegressor.load(forged(change))


@pytest.mark.parametrize("position", [-(10**9), -1, 625, 10**9, 1.0])
def test_random_states_have_a_position_in_their_key(forged, position):
    """A refit would read numbers beyond the key."""

    def change(content, arrays):
        next(nodes(content, "RandomState"))["packed"][2] = position

    with pytest.raises(FileError, match="random state"):
        SpTGNNRegressor.load(forged(change))


@pytest.mark.parametrize("schema", [True, 1.0, "1", None])
def test_schema_is_an_integer(forged, schema):
    with pytest.raises(FileError, match="schema"):
        SpTGNNRegressor.load(forged(lambda content, _: content.update(schema=schema)))


@pytest.mark.parametrize(
    ("target", "value"),
    [("center", 1e308), ("scale", 0.0), ("scale", -1.0), ("scale", 1e300), ("function", "exp")],
)
def test_target_scales_give_finite_predictions(forged, target, value):
    def change(content, arrays):
        next(nodes(content, "TargetScaler"))["fields"][target] = value

    with pytest.raises(FileError, match="target_"):
        SpTGNNRegressor.load(forged(change))


# Keys and arrays of any file ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dict", "set", "frozenset"])
@pytest.mark.parametrize("step", [2**61 - 1, -(2**61 - 1), 2 * (2**61 - 1)])
def test_keys_with_equal_hashes_are_bounded(kind, step):
    """Lookups in dictionaries are quadratic in the number of keys with one hash."""
    keys = [i * step for i in range(20_000)]
    items = [[key, 0] for key in keys] if kind == "dict" else keys
    start = time.process_time()
    with pytest.raises(FileError, match="hash"):
        decode({"$": kind, "items": items}, {}, Registry.empty())
    assert time.process_time() - start < 2


def test_ordinary_keys_are_decoded():
    """Many integers, and more values with few equal hashes such as -1 and -2."""
    value = {**dict.fromkeys(range(-5000, 5000), 1), "a": 2, (1, 2): 3, 0.5: 4}
    assert decode(*encode(value, Registry.empty()), Registry.empty()) == value


@pytest.mark.parametrize("dtype", ["V8", "(2,)f4", "c16", "O", "f4,f4"])
def test_unknown_dtypes_raise(dtype):
    content = {"$": "array", "array": {"name": "a", "dtype": dtype, "shape": [2]}}
    with pytest.raises(FileError, match="content"):
        decode(content, {"a": np.zeros(2)}, Registry.empty())


def test_values_outside_of_a_dtype_raise():
    """Booleans other than 0 and 1, and code points beyond Unicode, are undefined in numpy."""
    header = {"name": "a", "dtype": "|b1", "shape": [3]}
    with pytest.raises(FileError, match="truth values"):
        decode(
            {"$": "array", "array": header}, {"a": np.array([0, 1, 7], np.uint8)}, Registry.empty()
        )
    header = {"name": "a", "dtype": "<U1", "shape": [1]}
    with pytest.raises(FileError, match="text"):
        decode({"$": "array", "array": header}, {"a": np.full(4, 255, np.uint8)}, Registry.empty())


def test_arrays_are_used_once():
    """A list of one large array many times would multiply the work."""
    node = {"$": "array", "array": {"name": "a", "dtype": "<f8", "shape": [2]}}
    with pytest.raises(FileError):
        decode([node, node], {"a": np.zeros(2)}, Registry.empty())


# Special files -----------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("kind", ["fifo", "link to a fifo", "/dev/zero"])
def test_pipes_and_devices_are_refused(kind, tmp_path):
    """Opening a pipe without a writer would wait forever; another process would be needed."""
    path = tmp_path / "m"
    if kind == "/dev/zero":
        path.symlink_to(kind)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    program = (
        "import sys; from sptgnn_sklearn.utils.safe_file import FileError, read\n"
        "try: read(sys.argv[1], 'model')\n"
        "except FileError as error: sys.exit('pipe or device' not in str(error))\n"
        "sys.exit(2)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=False)
    assert done.returncode == 0


def make_folder(path):
    path.mkdir()


def make_link_to_pipe(path):
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
@pytest.mark.parametrize("make", [os.mkfifo, make_folder, make_link_to_pipe])
def test_special_files_in_the_embedding_cache_are_no_database(make, tmp_path):
    """Nothing waits for the other end of a pipe; vectors are kept in memory."""
    (tmp_path / "space").mkdir()
    make(tmp_path / "space" / "embeddings.sqlite3")
    cache = EmbeddingCache(tmp_path, "space", 2)
    assert cache.get([b"key"]) == {}
    with pytest.warns(UserWarning, match="no regular file"):
        cache.put([b"key"], np.ones((1, 2)))
    np.testing.assert_array_equal(cache.get([b"key"])[b"key"], [1, 1])


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_cache_folders_that_cannot_exist_are_reported(name, tmp_path):
    cache = EmbeddingCache(tmp_path / name, "space", 2)
    with cache.lock(), pytest.warns(UserWarning, match="cannot be written"):
        cache.put([b"key"], np.ones((1, 2)))
    np.testing.assert_array_equal(cache.get([b"key"])[b"key"], [1, 1])
