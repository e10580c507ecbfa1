"""Tables of samples and fold labels for the tests of splitters."""

import numpy as np
import pandas as pd


def geographic_samples(n=240, seed=0, lon=(5.0, 10.0)):
    """Return a table in degrees in which every fourth row repeats the location of the previous."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "clay": rng.uniform(size=n),
            "lat": rng.uniform(48, 52, n),
            "lon": rng.uniform(*lon, n),
        },
        index=rng.permutation(n) + 1000,
    )
    X.iloc[3::4, 1:] = X.iloc[2::4, 1:].to_numpy()
    return X


def dated_samples():
    """Return 60 rows at 30 locations with planar coordinates, two covariates and three dates."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "x": rng.uniform(0, 100, 60),
            "y": rng.uniform(0, 100, 60),
            "rain": rng.normal(600, 100, 60),
            "clay": rng.normal(20, 5, 60),
            "date": pd.to_datetime(rng.choice(["1990-05-01", "2005-05-01", "2020-05-01"], 60)),
        }
    )
    X.loc[1::2, ["x", "y"]] = X.loc[0::2, ["x", "y"]].to_numpy()
    return X


def fold_labels(splitter, X, groups=None):
    """Return the fold of each row; each row must be in one test set and not in its training set."""
    folds = np.full(len(X), -1)
    for fold, (train, test) in enumerate(splitter.split(X, groups=groups)):
        assert (folds[test] == -1).all()
        assert not set(train) & set(test)
        folds[test] = fold
    assert (folds >= 0).all()
    return folds


def split_lists(splitter, X, groups=None):
    """Return the train and test rows of each fold as lists."""
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(X, None, groups)]
