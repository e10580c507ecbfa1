"""Accuracy of error profiles on simulated errors with a known profile.

    python -m benchmarks.error_profile          # minutes; prints the table
    python -m benchmarks.error_profile --write docs/measured/error-profile.rst

Errors are normal, or have heavier tails (Student's t with 5 degrees of freedom), with a standard
deviation that is a known function of the dissimilarity: constant, linear, saturating, a step, or
accelerating. The accuracy is the root mean squared error of the logarithm of the profile at new
dissimilarities within the range of the fit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression

from sptgnn_sklearn.applicability import ErrorProfile
from sptgnn_sklearn.applicability.monotone_spline import MonotoneSpline

from .text_table import TextTable

Values = np.ndarray
SHAPES: dict[str, Callable[[Values], Values]] = {
    "constant": lambda d: np.ones_like(d),
    "linear": lambda d: 0.5 + 1.5 * d,
    "saturating": lambda d: 1.5 - np.exp(-4 * d),
    "step": lambda d: np.where(d < 0.5, 0.6, 1.4),
    "accelerating": lambda d: 0.6 + 1.5 * d**3,
}
SIZES = (100, 300, 1000)
_CAST_WINDOW = 5
_QUERIES = 300


def _error_profile(d: Values, error: Values, new: Values) -> Values:
    return ErrorProfile().fit(d, error).predict(new)


def _isotonic_windows(d: Values, error: Values, new: Values) -> Values:
    """Isotonic regression of the mean squares of windows of a tenth of the rows."""
    table = ErrorProfile().fit(d, error).table_
    model = IsotonicRegression(out_of_bounds="clip")
    return np.sqrt(model.fit(table["dissimilarity"], table["rmse"] ** 2).predict(new))


def _cast_spline(d: Values, error: Values, new: Values) -> Values:
    """Monotone spline of the RMSE of windows of five rows."""
    table = ErrorProfile(window_size=_CAST_WINDOW).fit(d, error).table_
    x, rmse = table["dissimilarity"].to_numpy(), table["rmse"].to_numpy()
    return MonotoneSpline.fit(x, rmse, np.ones(len(x)))(new)


def _cast_line(d: Values, error: Values, new: Values) -> Values:
    """Straight line through the RMSE of windows of five rows."""
    table = ErrorProfile(window_size=_CAST_WINDOW).fit(d, error).table_
    model = LinearRegression().fit(table[["dissimilarity"]].to_numpy(), table["rmse"])
    return np.maximum(model.predict(new[:, None]), 1e-3)


FORMS: dict[str, Callable[[Values, Values, Values], Values]] = {
    "ErrorProfile: spline, single rows": _error_profile,
    "isotonic, windows of a tenth": _isotonic_windows,
    "spline, RMSE of 5 rows (CAST)": _cast_spline,
    "line, RMSE of 5 rows (CAST, lm)": _cast_line,
}


def simulate(
    rng: np.random.Generator, n: int, shape: str, tails: str
) -> tuple[Values, Values, Values]:
    """Return dissimilarities (n,), errors (n,), and new dissimilarities within their range."""
    d, new = rng.gamma(2.0, 0.17, n), rng.gamma(2.0, 0.17, _QUERIES)
    noise = rng.normal(size=n) if tails == "normal" else rng.standard_t(5, n) / np.sqrt(5 / 3)
    return d, SHAPES[shape](d) * noise, new[(new >= d.min()) & (new <= d.max())]


def score_forms(
    n: int, shape: str, tails: str, n_repeats: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the mean error of the log profile and its bias, by form of the profile."""
    rng = np.random.default_rng([seed, n, list(SHAPES).index(shape), len(tails)])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in FORMS}
    for _ in range(n_repeats):
        d, error, new = simulate(rng, n, shape, tails)
        for name, form in FORMS.items():
            gap = np.log(form(d, error, new)) - np.log(SHAPES[shape](new))
            found[name].append((float(np.sqrt(np.mean(gap**2))), float(gap.mean())))
    return {
        name: (float(np.mean([e for e, _ in pairs])), float(np.mean([b for _, b in pairs])))
        for name, pairs in found.items()
    }


def make_table(n_repeats: int) -> TextTable:
    """Simulate all shapes, tails and sizes, and return the table of the documentation."""
    errors: dict[str, dict[str, list[float]]] = {name: {} for name in FORMS}
    biases: dict[str, list[float]] = {name: [] for name in FORMS}
    for tails in ("normal", "t5"):
        for n in SIZES:
            for shape in SHAPES:
                for name, (error, bias) in score_forms(n, shape, tails, n_repeats).items():
                    for key in (shape, str(n)):
                        errors[name].setdefault(key, []).append(error)
                    biases[name].append(bias)
    columns = [*SHAPES, *map(str, SIZES)]
    rows = [
        [
            name,
            *(f"{np.mean(errors[name][key]):.3f}" for key in columns),
            f"{np.mean(biases[name]):+.3f}",
        ]
        for name in FORMS
    ]
    titles = [*SHAPES, *(f"{n:,} rows" for n in SIZES)]
    return TextTable(["profile", *titles, "bias"], rows)


def main() -> None:
    """Simulate, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    text = make_table(options.repeats).to_rst(
        "Error of the logarithm of the profile, by shape and by number of rows; bias"
    )
    if options.write is None:
        print(text)
    else:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
