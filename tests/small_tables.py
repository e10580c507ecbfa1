"""Small tables with columns of every role and kind."""

import numpy as np
import pandas as pd

ROLES = {"time": "date", "elevation": "height", "site": "profile", "spectral": ["clay"]}


def table_with_roles(n=12, **columns):
    """Return a table with columns of all `ROLES` and of every kind of covariate."""
    rng = np.random.default_rng(0)
    table = {
        "profile": [f"P{i // 2}" for i in range(n)],
        "lon": rng.uniform(5, 6, n),
        "lat": rng.uniform(50, 51, n),
        "date": pd.date_range("2001-01-01", periods=n, freq="17D"),
        "height": rng.normal(100, 9, n),
        "clay": rng.uniform(size=n),
        "limed": np.arange(n) % 2 == 0,
        "use": pd.Categorical(["crop", "grass", None] * (n // 3)),
    }
    return pd.DataFrame({**table, **columns})
