"""``sptgnn report``: one HTML file on a table, the accuracy of its models, and a map."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .compare import (
    NETWORK_NAME,
    TREES_NAME,
    add_fold_options,
    compare_survey,
    difference_lines,
    make_models,
    make_splits,
    settings_in_words,
    uses_log1p,
)
from .options import add_model_options, add_quiet, add_reading_options, add_role_options

if TYPE_CHECKING:
    import pandas as pd

    from ..model_selection.comparison import ComparisonResult
    from .report_area import MapArea, MapCells
    from .report_page import ReportSection
    from .survey import Survey

__all__ = ["REPORT_EPILOG", "add_report_options", "run_report"]

REPORT_EPILOG = (
    "The fits of compare with the same table and options are reused. After Ctrl-C the same command "
    "continues with the fits that are missing."
)
_METHOD_URL = "https://arxiv.org/abs/2606.16580"
_REPORTED_PACKAGES = (
    "sptgnn-sklearn",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "xgboost",
)
_INTERRUPTED = 130


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add_reading_options(parser)
    add_role_options(parser)
    add_model_options(parser)
    add_fold_options(parser)
    group = parser.add_argument_group("report")
    group.add_argument("--model", type=Path, metavar="MODEL", help="file of fit, to describe")
    group.add_argument("--map", type=Path, metavar="MAP", help="file of map, to draw")
    group.add_argument(
        "--results",
        type=Path,
        default=Path("sptgnn-output"),
        metavar="FOLDER",
        help="output folder of compare, for finished fits (default: sptgnn-output)",
    )
    group.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="output (default: report.html)",
    )
    group.add_argument("--force", action="store_true", help="replace an existing file")
    add_quiet(parser)


def run_report(options: argparse.Namespace) -> int:
    """Compare the models, and write the report."""
    from ..table.infer_roles import TableError
    from .figures import open_map_file
    from .predict import load_model_of
    from .report_area import fit_area, read_cells
    from .survey import as_table_error, check_counts, forbid_existing, print_warnings, read_survey

    check_counts(options, members=1, splits=2, epochs=1, seed=0)
    forbid_existing(options.out, options.force)
    if options.results.exists() and not options.results.is_dir():
        raise TableError(f"--results {options.results}: is a file, not a folder.")
    facts = None if options.model is None else load_model_of(options.model)._fitted_facts()
    survey = read_survey(options)
    with as_table_error(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _require_matplotlib()
        soil = None if options.map is None else open_map_file(options.map)
        cells = read_cells(survey, options)
        splits = make_splits(survey, options)
    result, caught_fits = compare_survey(survey, splits, options, options.results)
    if result.n_fits_done < result.n_fits:
        print(
            f"stopped after {result.n_fits_done} of {result.n_fits} fits; the same command "
            "continues"
        )
        return _INTERRUPTED
    area = None
    with as_table_error(), warnings.catch_warnings(record=True) as caught_area:
        warnings.simplefilter("always")
        if cells is not None and cells.columns:
            kind = "block" if "block" in splits else next(iter(splits))
            area = fit_area(survey, cells, _fold_numbers(splits[kind], len(survey.y)), options.seed)
    found = [*survey.caught, *caught, *caught_fits, *caught_area]
    page = _Report(options, survey, result, splits, facts, soil, cells, area, found).render()
    partial = options.out.with_name(f".{options.out.name}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, options.out)
    finally:
        partial.unlink(missing_ok=True)
    if not options.quiet:
        print_warnings(found)
        if result.n_fits_reused:
            print(f"note: {result.n_fits_reused} fits of an earlier run were reused")
    print(f"wrote {options.out}")
    return 1 if len(result.failures) else 0


def _require_matplotlib() -> None:
    from .figures import headless_pyplot

    headless_pyplot()


def _fold_numbers(splits: list[tuple[np.ndarray, np.ndarray]], n_rows: int) -> np.ndarray:
    numbers = np.full(n_rows, -1)
    for number, (_, test) in enumerate(splits):
        numbers[test] = number
    return numbers


class _Report:
    """Sections of a report."""

    def __init__(
        self,
        options: argparse.Namespace,
        survey: Survey,
        result: ComparisonResult,
        splits: dict[str, Any],
        facts: dict[str, str] | None,
        soil: Any,
        cells: MapCells | None,
        area: MapArea | None,
        caught: list[warnings.WarningMessage],
    ):
        self.options, self.survey, self.result, self.splits = options, survey, result, splits
        self.facts, self.soil, self.cells, self.area = facts, soil, cells, area
        self.caught = caught
        self.target = survey.roles.target
        self.unit = survey.frame.attrs.get("units", {}).get(self.target, "")
        self.kinds = list(splits)

    def render(self) -> str:
        """Return the HTML page."""
        from .report_page import render_page

        sections = [
            self._data(),
            self._columns(),
            self._accuracy(),
            self._calibration(),
            self._residuals(),
            self._applicability(),
            *([] if self.soil is None else [self._map()]),
            self._settings(),
            self._citation(),
        ]
        today = datetime.date.today().isoformat()
        return render_page(
            f"Prediction of {self.target}",
            f"{self.survey.path.name}, {len(self.survey.y)} samples. Report of {today}.",
            self._lead(),
            sections,
            f"sptgnn-sklearn {_version_of('sptgnn-sklearn')}",
        )

    def _lead(self) -> str:
        sentences = []
        for kind in self.kinds:
            scores = self._scores(kind)
            if NETWORK_NAME not in scores.index or np.isnan(scores["R2"][NETWORK_NAME]):
                continue
            own = scores.loc[NETWORK_NAME]
            others = [
                f"{name} {scores['R2'][name]:.2f}" for name in scores.index if name != NETWORK_NAME
            ]
            rmse = f"{own['RMSE']:.3g} {self.unit}".rstrip()
            sentences.append(
                f"Under {kind} folds, {NETWORK_NAME} has R² {own['R2']:.2f} and RMSE {rmse} "
                f"(R² of {', '.join(others)})."
            )
        if self.options.quick:
            sentences.append(
                f"This is a quick comparison ({settings_in_words(self.options)}): scores of a full "
                "run are better."
            )
        return " ".join(sentences)

    def _scores(self, kind: str) -> pd.DataFrame:
        table = self.result.table
        return table[table["folds"] == kind].set_index("model")

    def _data(self) -> ReportSection:
        from .check import check_lines
        from .report_figures import draw_samples
        from .report_page import ReportSection, bullet_list, cell_table, figure_grid, paragraph
        from .survey import warning_lines

        lines = _as_pairs(check_lines(self.survey, self.options.target_transform))
        shown = {
            *("table", "target", "transform", "distances", "extent", "spacing", "samples"),
            *("missing", "duplicates", "units", "laboratory values used as covariates"),
        }
        rows = [(name, text) for name, text in lines if name in shown]
        notes = warning_lines(self.caught)
        return ReportSection(
            "data",
            "Data",
            (
                cell_table("Summary of the table", ("property", "value"), rows, n_text=2),
                figure_grid([draw_samples(self.survey, self.unit)]),
                "<h3>Warnings</h3>",
                bullet_list(notes) or paragraph("None."),
            ),
        )

    def _columns(self) -> ReportSection:
        from .report_page import ReportSection, cell_table

        return ReportSection(
            "columns",
            "Roles of the columns",
            (
                cell_table(
                    "Role of each column of the table",
                    ("column", "role", "values", "missing"),
                    _role_rows(self.survey),
                    n_text=3,
                ),
            ),
        )

    def _accuracy(self) -> ReportSection:
        from .report_figures import draw_observed
        from .report_page import (
            ReportSection,
            bullet_list,
            cell_table,
            figure_grid,
            paragraph,
        )

        header, rows = _markdown_cells(self.result.to_markdown())
        log1p = uses_log1p(self.survey, self.options)
        figures = [
            figure
            for model in (NETWORK_NAME, TREES_NAME)
            for figure in draw_observed(self.result, model, self.kinds, self.unit, log1p)
        ]
        failures = self.result.failures.drop_duplicates(["model", "error"]).itertuples()
        return ReportSection(
            "accuracy",
            "Accuracy",
            (
                paragraph(
                    "Each row was predicted once by a model that was fitted without it. Random "
                    "folds hold out single locations or sites and measure accuracy between "
                    "samples; block folds hold out whole areas and measure it away from samples."
                ),
                cell_table("Scores of out-of-fold predictions", header, rows, n_text=2),
                paragraph(
                    "± is one standard error, from a jackknife over blocks of locations: what "
                    "another survey of the same area and size would change."
                ),
                bullet_list(difference_lines(self.result)),
                bullet_list(
                    f"{failure.model} failed under {failure.folds} folds: {failure.error}"
                    for failure in failures
                ),
                figure_grid(figures),
            ),
        )

    def _calibration(self) -> ReportSection:
        from .report_figures import draw_reliability
        from .report_page import ReportSection, figure_grid, paragraph

        sentences = []
        for kind in self.kinds:
            scores = self._scores(kind)
            if NETWORK_NAME in scores.index and not np.isnan(scores["coverage"][NETWORK_NAME]):
                sentences.append(
                    f"Under {kind} folds, {100 * scores['coverage'][NETWORK_NAME]:.0f} % of the "
                    f"observed values are inside the {100 * self.result.coverage:g} % intervals of "
                    f"{NETWORK_NAME}."
                )
        return ReportSection(
            "calibration",
            "Calibration of the uncertainty",
            (
                paragraph(*sentences) if sentences else paragraph("No intervals were predicted."),
                figure_grid(draw_reliability(self.result, NETWORK_NAME, self.kinds)),
            ),
        )

    def _residuals(self) -> ReportSection:
        from ..metrics.moran import expected_morans_i
        from .report_figures import draw_residuals
        from .report_page import ReportSection, cell_table, figure_grid, paragraph

        expected = expected_morans_i(len(self.survey.y))
        rows = [
            (f"{kind} folds", str(model), f"{value:.3f}")
            for kind in self.kinds
            for model, value in self._scores(kind)["moran_i"].items()
        ]
        return ReportSection(
            "residuals",
            "Residuals",
            (
                paragraph(
                    "Moran's I measures whether residuals of neighboring samples are similar: "
                    f"{expected:.3f} is expected for independent ones, and positive values are "
                    "spatial structure that the model does not explain."
                ),
                cell_table("Moran's I of the residuals", ("folds", "model", "Moran's I"), rows, 2),
                figure_grid(draw_residuals(self.result, NETWORK_NAME, self.kinds, self.unit)),
            ),
        )

    def _applicability(self) -> ReportSection:
        from .report_area import distance_rows
        from .report_figures import draw_area, draw_distances
        from .report_page import ReportSection, cell_table, figure_grid, paragraph

        unit = {"metre": "m", "unit": ""}.get(
            self.survey.reference.unit, self.survey.reference.unit
        )
        rows = [
            (name, *(f"{value:.4g} {unit}".rstrip() for value in values))
            for name, *values in distance_rows(self.survey, self.splits, self.cells)
        ]
        kind = "block" if "block" in self.splits else self.kinds[0]
        frame = None if self.cells is None else self.cells.frame
        figures = [draw_distances(self.survey, self.splits[kind], kind, frame)]
        texts = ["Scores hold for locations that are as far from the samples as the held-out rows."]
        if self.area is None:
            texts.append(
                "Give the rasters of the covariates (--rasters) for the area of applicability."
            )
        else:
            texts.append(
                f"{100 * self.area.share_inside:.1f} % of the cells are inside the area of "
                "applicability (Meyer and Pebesma 2021), where location and covariates resemble "
                f"those of the samples: {', '.join(self.area.columns)}."
            )
            if self.area.left_out:
                texts.append(f"Without rasters: {', '.join(self.area.left_out)}.")
            figures += draw_area(self.area)
        return ReportSection(
            "applicability",
            "Where the model may be used",
            (
                paragraph(*texts),
                cell_table("Distance to the nearest sample", ("set", "median", "95 %"), rows),
                figure_grid(figures),
            ),
        )

    def _map(self) -> ReportSection:
        from .report_figures import draw_map_layers
        from .report_page import ReportSection, figure_grid, paragraph

        figures = draw_map_layers(self.soil)
        n_layers = len(self.soil.data_vars)
        more = f" The first {len(figures)} of {n_layers} layers." if len(figures) < n_layers else ""
        return ReportSection(
            "map", "Map", (paragraph(f"{self.options.map}.{more}"), figure_grid(figures))
        )

    def _settings(self) -> ReportSection:
        from .report_page import ReportSection, cell_table

        parts = []
        if self.facts is not None:
            parts.append(
                cell_table(
                    f"Model of {self.options.model.name}",
                    ("property", "value"),
                    list(self.facts.items()),
                    n_text=2,
                )
            )
        models = make_models(self.survey, self.options)
        for name in models:
            rows = _changed_parameters(models[name])
            if rows:
                caption = f"Parameters of the compared {name}; all others have default values"
                parts.append(cell_table(caption, ("parameter", "value"), rows, n_text=2))
        packages = [(name, _version_of(name)) for name in _REPORTED_PACKAGES]
        packages.insert(0, ("Python", platform.python_version()))
        parts.append(cell_table("Versions", ("package", "version"), packages, n_text=2))
        return ReportSection("settings", "Settings and versions", tuple(parts))

    def _citation(self) -> ReportSection:
        from .report_page import ReportSection, link, paragraph

        return ReportSection(
            "citation",
            "How to cite",
            (
                link("arXiv:2606.16580", _METHOD_URL, "The method, SpTGNN: ", "."),
                paragraph(
                    f"The software: sptgnn-sklearn developers, sptgnn-sklearn "
                    f"{_version_of('sptgnn-sklearn')}."
                ),
            ),
        )


def _as_pairs(lines: list[str]) -> list[tuple[str, str]]:
    """Return names and texts of lines such as "target       SOC: 1 to 9", joined if continued."""
    pairs: list[tuple[str, str]] = []
    for line in lines:
        name, text = line[:11].strip(), line[11:].strip()
        if line[11:13].strip():  # a longer name
            name, _, text = line.partition(": ")
        if name:
            pairs.append((name, text))
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}; {text}")
    return pairs


def _role_rows(survey: Survey) -> list[tuple[str, str, str, str]]:
    import pandas as pd

    roles, frame = survey.roles, survey.frame
    named = {roles.target: "target"} | dict.fromkeys(roles.coordinates, "coordinate")
    for role in ("time", "site", "noise_std", "campaign"):
        if getattr(roles, role) is not None:
            named[getattr(roles, role)] = role
    for label in roles.covariates:
        named[label] = "elevation, covariate" if label == roles.elevation else "covariate"
    units = frame.attrs.get("units", {})
    rows = []
    for label in [*named, *(label for label in roles.dropped if label not in named)]:
        column = frame[label]
        role = named.get(label, f"not used ({roles.dropped.get(label)})")
        if pd.api.types.is_numeric_dtype(column.dtype):
            digits = 8 if label in roles.coordinates else 5
            values = f"{column.min():.{digits}g} to {column.max():.{digits}g}"
            values = f"{values} {units.get(label, '')}".rstrip()
        else:
            values = f"{column.nunique()} different"
        rows.append((label, role, values, str(int(column.isna().sum()))))
    return rows


def _markdown_cells(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a Markdown table."""
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines()
    ]
    return lines[0], lines[2:]


def _changed_parameters(model: Any) -> list[tuple[str, str]]:
    defaults = type(model)().get_params(deep=False)
    return [
        (name, f"{value!r:.200}")
        for name, value in model.get_params(deep=False).items()
        if repr(value) != repr(defaults[name])
    ]


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
