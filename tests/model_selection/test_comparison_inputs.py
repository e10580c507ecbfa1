"""Models and folds in each form in which compare_models takes them."""

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from sptgnn_sklearn.model_selection import SpatialBlockKFold
from sptgnn_sklearn.model_selection.comparison_inputs import named_folds, named_models

X = np.random.default_rng(0).uniform(size=(40, 3))
Y = X[:, 2]


def read(folds, **settings):
    return named_folds(folds, X, Y, np.arange(40), **settings)


def test_all_forms_of_models():
    """One estimator, a mapping and lists of pairs; order is kept."""
    line, mean = LinearRegression(), DummyRegressor()
    assert named_models(line) == {"LinearRegression": line}
    for models in ({"b": line, "a": mean}, [("b", line), ("a", mean)], (("b", line), ["a", mean])):
        assert list(named_models(models).items()) == [("b", line), ("a", mean)]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({}, "found 0 models"),
        ([], "found 0 models"),
        ("xgboost", "found 'xgboost'"),
        (None, "found None"),
        ([DummyRegressor()], r"must hold \(name, estimator\) pairs; found DummyRegressor\(\)"),
        ([("a", DummyRegressor()), ("a", LinearRegression())], "the name 'a' twice"),
        ({"a": DummyRegressor}, r"the class DummyRegressor: pass an instance, DummyRegressor\(\)"),
        (DummyRegressor, "the class DummyRegressor"),
        ({"a": "mean"}, "found 'mean'"),
        ({1: DummyRegressor()}, "named by strings; found 1"),
    ],
)
def test_invalid_models_raise(models, message):
    """The message names the model and what was found."""
    with pytest.raises(ValueError, match=f"^models.*{message}"):
        named_models(models)


@pytest.mark.parametrize(
    ("folds", "names", "sizes"),
    [
        (3, ["random"], [3]),
        (np.int64(4), ["random"], [4]),
        ("random", ["random"], [5]),
        ("spatial", ["spatial"], [5]),
        (["random", "block"], ["random", "block"], [5, 5]),
        (KFold(4), ["KFold"], [4]),
        (SpatialBlockKFold(3), ["SpatialBlockKFold"], [3]),
        (np.arange(40) % 4, ["folds"], [4]),
        (["random", "block"] * 20, ["folds"], [2]),
        ([(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))], ["folds"], [2]),
        ({"a": 3, "b": "block", "c": KFold(2)}, ["a", "b", "c"], [3, 5, 2]),
    ],
)
def test_all_forms_of_folds(folds, names, sizes):
    """Each kind has a name and tests each row once."""
    found = read(folds)
    assert list(found) == names
    assert [len(splits) for splits in found.values()] == sizes
    for splits in found.values():
        assert sorted(np.concatenate([test for _, test in splits])) == list(range(40))


def test_names_are_the_splitters_of_their_kind():
    """Block and its alias are SpatialBlockKFold, with the seed; an int shuffles."""
    expected = list(SpatialBlockKFold(5, random_state=3).split(X))
    for name in ("block", "spatial"):
        for found, split in zip(read(name, random_state=3)[name], expected, strict=True):
            np.testing.assert_array_equal(found[1], split[1])
    assert np.diff(read(4)["random"][0][1]).max() > 1


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ({}, "folds must not be empty"),
        ([], "folds must not be empty"),
        (1, "folds must be an integer of at least 2; found 1"),
        ({"a": 0}, r"folds\['a'\] must be an integer of at least 2; found 0"),
        (True, "folds must be a splitter or a number of folds; found True"),
        (None, "folds must be a splitter.*found None"),
        (2.5, "folds must be a splitter.*found 2.5"),
        ("blok", r"found 'blok'; did you mean 'block'\?"),
        (["random", "Spacial"], r"folds\['Spacial'\] .*did you mean 'spatial'\?"),
        ({"a": "kfold"}, r"folds\['a'\] must be one of random, block, spatial.*found 'kfold'\."),
        ({1: KFold(3)}, "named by strings; found 1"),
        ([1, 2, 3], "one label per row of X"),
    ],
)
def test_invalid_folds_raise(folds, message):
    """The message names the kind of folds and what was found."""
    with pytest.raises(ValueError, match=message):
        read(folds)
