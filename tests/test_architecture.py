"""The direction of imports, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import sptgnn_sklearn

PACKAGE = "sptgnn_sklearn"
ROOT = Path(sptgnn_sklearn.__file__).parent

# A module may import modules of the layers above its own and no others.
LAYERS = [
    {"devices"},
    {"images.__init__", "images.files", "images.modalities", "images.store"},
    {"images.chips", "images.rasters", "images.terramind"},
    {"images.imagery", "images.members", "images.simulation"},
    {"images.archive", "images.embedder"},
    {"compiling", "saving.container"},
    {"saving.encoding", "saving.trees"},
    {"boxtree"},
    {"search"},
    {"base", "blocks", "calibration", "conformal", "dissimilarity", "geography", "importance"}
    | {"random_fields", "stacking", "targets", "values"},
    {"columns", "covariates", "delegation", "folds"},
    {"images.extraction"},
    {"images.transformer", "inspection.attention", "inspection.ingredients"},
    {"autocorrelation", "datasets", "features", "model_selection.survey", "roles", "rows"}
    | {"summary", "validation"},
    {"model_selection.area", "model_selection.block_size", "model_selection.blocking"}
    | {"model_selection.environment", "model_selection.leaving"}
    | {"applicability", "edges", "graph", "holdout", "joint", "metrics.accuracy"}
    | {"metrics.quantiles", "metrics.uncertainty"},
    {"judgement", "metrics.mixtures", "metrics.scorers", "model_selection.matching"},
    {"inspection.groups", "inspection.local", "metrics.__init__", "model_selection.__init__"},
    {"inspection.__init__"},
    {"kernels"},
    {"aggregation"},
    {"network"},
    {"inference", "losses", "optimisation"},
    {"callbacks", "training_graph"},
    {"checkpoints", "faults"},
    {"training"},
    {"ensemble"},
    {"fitting"},
    {"saving.pieces", "saving.privacy"},
    {"saving.models"},
    {"saving.__init__"},
    {"baseline", "regressor"},
    {"maps.expectation", "maps.grid"},
    {"maps.source"},
    {"maps.cells", "maps.opening"},
    {"maps.layers", "maps.planning"},
    {"maps.parts", "maps.running"},
    {"maps.files"},
    {"maps.mapping"},
    {"maps.__init__"},
    {"comparison"},
    {"plotting.canvas"},
    {"plotting.maps"},
    {"plotting.agreement", "plotting.fitted", "plotting.folds"},
    {"plotting.displays", "plotting.models"},
    {"plotting.__init__"},
    {"cli"},
    {"__init__", "__main__"},
]

# Libraries that belong in one room each: the only modules that may import them at their top.
ROOMS = {
    "torch": {"network", "losses", "inference", "training", "ensemble", "fitting", "regressor"}
    | {"images.terramind", "images.members", "images.archive", "optimisation", "callbacks"}
    | {"aggregation", "devices", "training_graph"}
    | {"checkpoints", "faults", "saving.encoding", "saving.pieces", "saving.privacy"},
    "numba": {"compiling"},
    "torch_geometric": set(),
    "skorch": {"training", "callbacks", "checkpoints", "faults", "optimisation"},
    "xgboost": {"base", "saving.pieces", "saving.privacy", "saving.trees"},
    "pyproj": {"geography"},
    "esda": set(),
    "libpysal": set(),
    "mapie": set(),
    "matplotlib": set(),
    "rasterio": set(),
    "shapely": set(),
    "skgstat": set(),
    "terratorch": set(),
    "xarray": set(),
}

# The only functions that may import such a library when they are called.
LAZY_ROOMS = {
    "mapie": {"conformal.conformal_limits"},
    "torch": {"graph.to_hetero_data"},
    "torch_geometric": {"graph.to_hetero_data"},
    "rasterio": {"images.files.import_rasterio", "model_selection.area._of_raster"},
    "shapely": {"model_selection.area._of_geometry", "model_selection.area._shape"},
    "skgstat": {"model_selection.block_size.suggest_block_size"},
}

# Beyond the tables there are arrays only, and beyond the arrays tensors only.
WITHOUT = {
    "pandas": {"base", "edges", "ensemble", "features", "geography", "graph", "holdout"}
    | {"calibration", "conformal", "dissimilarity", "joint", "judgement", "stacking"}
    | {"inference", "losses", "network", "random_fields", "rows", "targets", "training"}
    | {"aggregation", "boxtree", "fitting", "kernels", "search", "summary", "training_graph"},
    "sklearn": {"columns", "edges", "graph", "holdout", "inference", "losses", "network"}
    | {"calibration", "covariates", "dissimilarity", "joint", "judgement", "stacking"}
    | {"random_fields", "rows", "targets", "training", "values"}
    | {"aggregation", "boxtree", "fitting", "kernels", "search", "training_graph"},
}

# What a user may want without a network.
FREE_OF_TORCH = {"applicability", "autocorrelation", "baseline", "comparison", "datasets"} | {
    "inspection.__init__",
    "maps.__init__",
    "metrics.__init__",
    "model_selection.__init__",
    "plotting.__init__",
    "roles",
}


class Import(NamedTuple):
    """One imported name, and where."""

    module: str  # that imports
    target: str  # dotted name of the module that is imported
    name: str | None  # taken from it
    function: str | None  # in which the import stands
    typing_only: bool


def read_imports(module: str, source: str) -> Iterator[Import]:
    """All imports of a module, with those in functions and for type checkers."""

    def walk(node, function, typing_only) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, None, function, typing_only)
            elif isinstance(child, ast.ImportFrom):
                # One dot is the folder of the module, each more the folder around it.
                folder = [PACKAGE, *module.split(".")[:-1]]
                base = ".".join(folder[: len(folder) + 1 - child.level]) if child.level else ""
                target = ".".join(filter(None, [base, child.module]))
                for alias in child.names:
                    yield Import(module, target, alias.name, function, typing_only)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from walk(child, function or child.name, typing_only)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from walk(ast.Module(child.body, []), function, True)
                yield from walk(ast.Module(child.orelse, []), function, typing_only)
            else:
                yield from walk(child, function, typing_only)

    yield from walk(ast.parse(source), None, False)


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("*.py"))
}
IMPORTS = [found for module, source in MODULES.items() for found in read_imports(module, source)]
LAYER = {module: depth for depth, layer in enumerate(LAYERS) for module in layer}


def inner(found: Import) -> str | None:
    """The module of this package that is imported; its root counts as __init__."""
    if found.target == PACKAGE:
        return found.name if found.name in MODULES else "__init__"
    if not found.target.startswith(PACKAGE):
        return None
    name = found.target.removeprefix(f"{PACKAGE}.")
    return name if name in MODULES else f"{name}.__init__"


def library(found: Import) -> str:
    return found.target.partition(".")[0]


def say(found: list[Import]) -> str:
    lines = [
        f"{one.module}{f' (in {one.function})' if one.function else ''} imports {one.target}"
        for one in found
    ]
    return "\n".join(sorted(set(lines)))


def reachable(module: str) -> set[str]:
    """The modules of this package that importing one of them imports."""
    found: set[str] = set()
    todo = [module]
    while todo:
        current = todo.pop()
        targets = {inner(one) for one in IMPORTS if one.module == current and not one.typing_only}
        todo += targets - found - {None}
        found |= targets - {None}
    return found


def test_every_module_has_a_layer():
    """A new module needs a place: put it into the first layer below all that it imports."""
    unplaced = sorted(set(MODULES) - set(LAYER))
    assert not unplaced, f"place these modules in LAYERS of {Path(__file__).name}: {unplaced}"
    gone = sorted(set(LAYER) - set(MODULES))
    assert not gone, f"these modules of LAYERS are no more: {gone}"
    assert sum(map(len, LAYERS)) == len(LAYER), "a module stands in two layers"


def test_imports_go_up_the_layers_only():
    """No module knows those that are built on it, or its own neighbours."""
    wrong = [
        found
        for found in IMPORTS
        if {target := inner(found), found.module} <= set(LAYER)
        if LAYER[target] >= LAYER[found.module]
    ]
    assert not wrong, f"against the direction of LAYERS:\n{say(wrong)}"


def test_imports_have_no_cycles():
    """No module reaches itself, whatever the layers say."""
    circles = [module for module in MODULES if module in reachable(module)]
    assert not circles, f"in a cycle: {circles}"


def test_nobody_imports_from_the_root():
    """The root gathers names for users; inside, every name comes from where it lives."""
    wrong = [found for found in IMPORTS if inner(found) == "__init__"]
    assert not wrong, f"import from the module, not from the package:\n{say(wrong)}"


def test_nobody_takes_private_names():
    """A name with an underscore is its module's own."""
    wrong = [one for one in IMPORTS if inner(one) and one.name and one.name.startswith("_")]
    assert not wrong, f"private names:\n{say(wrong)}"


@pytest.mark.parametrize("name", ROOMS)
def test_libraries_stay_in_their_rooms(name):
    """Each heavy or optional library is imported where it belongs only, and late elsewhere."""
    wrong = [
        found
        for found in IMPORTS
        if library(found) == name and not found.typing_only and found.module not in ROOMS[name]
        if found.function is None or name in LAZY_ROOMS
        if f"{found.module}.{found.function}" not in LAZY_ROOMS.get(name, ())
    ]
    assert not wrong, f"{name} belongs in {sorted(ROOMS[name])} only:\n{say(wrong)}"


@pytest.mark.parametrize("name", WITHOUT)
def test_tables_and_tensors_keep_apart(name):
    """Pandas ends where arrays begin, and scikit-learn knows nothing of the network."""
    wrong = [one for one in IMPORTS if library(one) == name and one.module in WITHOUT[name]]
    assert not wrong, f"no {name} here:\n{say(wrong)}"


@pytest.mark.parametrize("module", sorted(FREE_OF_TORCH))
def test_some_modules_work_without_a_network(module):
    """Not by a detour either do these import a module that imports torch."""
    assert not (reachable(module) | {module}) & ROOMS["torch"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from .columns import Table", ("columns", None, False)),
        ("from sptgnn_sklearn.columns import Table", ("columns", None, False)),
        ("import sptgnn_sklearn.columns", ("columns", None, False)),
        ("from . import columns", ("columns", None, False)),
        ("from . import Table", ("__init__", None, False)),
        ("from sptgnn_sklearn import Table", ("__init__", None, False)),
        ("import sptgnn_sklearn", ("__init__", None, False)),
        ("def f():\n  if x:\n    from .columns import Table", ("columns", "f", False)),
        ("if TYPE_CHECKING:\n  from .columns import Table", ("columns", None, True)),
        ("class A:\n  def f(self):\n    import torch.nn", (None, "f", False)),
    ],
)
def test_imports_are_read_in_every_form(source, expected):
    """The reader itself: relative and absolute, of modules and names, late and for types."""
    (found,) = read_imports("cli", source)
    assert (inner(found), found.function, found.typing_only) == expected
