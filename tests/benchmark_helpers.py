"""Task, quick regressor and record entries for the tests of the benchmarks."""

from __future__ import annotations

import numpy as np

from benchmarks.tables import Task

TASK = Task("soil", "target_soc", log=True, elevation="elevation", time="meta_date")


class CountingNearest:
    """Nearest-neighbor regressor that counts its fits."""

    n_fits = 0

    def fit(self, X, y):
        type(self).n_fits += 1
        self.X, self.y = X[["x", "y"]].to_numpy(), y
        return self

    def predict(self, X):
        distance = np.linalg.norm(X[["x", "y"]].to_numpy()[:, None] - self.X, axis=-1)
        return self.y[distance.argmin(axis=1)]


def make_entry(folds, model, errors):
    """Return a record entry with these squared errors of its folds and a total square of 100."""
    parts = [
        {"fold": i, "rows": 10, "squared_error": error, "fit_seconds": 1.0}
        for i, error in enumerate(errors)
    ]
    return {
        "folds": folds,
        "model": model,
        "R2": 1 - sum(errors) / 100.0,
        "moran_i": 0.1,
        "total_square": 100.0,
        "parts": parts,
    }


def run_main(module, monkeypatch, capsys, *arguments):
    """Run the command line of a benchmark module and return its output."""
    monkeypatch.setattr("sys.argv", ["benchmark", *map(str, arguments)])
    module.main()
    return capsys.readouterr().out
