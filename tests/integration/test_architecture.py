"""Import directions between packages, read from the source code."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import sptgnn_sklearn

PACKAGE = "sptgnn_sklearn"
ROOT = Path(sptgnn_sklearn.__file__).parent

# Packages and modules of the package folder, lowest layer first. Each may import lower layers only.
LAYERS = [
    {"meta_estimators", "utils"},
    {"spatial"},
    {"table"},
    {"graph", "images", "metrics", "uncertainty"},
    {"datasets", "encoders", "maps", "model_selection", "network"},
    {"applicability", "inspection", "plotting", "training"},
    {"ensemble"},
    {"baseline", "persistence"},
    {"regressor"},
    {"__init__", "cli"},
    {"__main__"},
]
LAYER = {package: depth for depth, layer in enumerate(LAYERS) for package in layer}
MOST_ENTRIES = 28

# Packages and modules that work without torch.
FREE_OF_TORCH = {
    *("applicability", "baseline", "datasets", "graph", "inspection", "maps", "meta_estimators"),
    *("metrics", "model_selection", "plotting", "spatial", "table", "uncertainty"),
}
# Libraries and the only modules or functions that import them.
LIBRARIES = {
    "esda": set(),
    "libpysal": set(),
    "mapie": {"uncertainty.conformal"},
    "numba": {"utils.jit"},
    "pyproj": {"spatial.*"},
    "rasterio": {"images.geotiff_writer", "model_selection.prediction_area"},
    "shapely": {"model_selection.prediction_area"},
    "skgstat": {"model_selection.block_size"},
    "torch_geometric": {"graph.knn_graph"},
    "xgboost": {"ensemble.base_regressor", "persistence.*"},
}
# Steps without tables and estimators. NetworkConfig is a parameter object of scikit-learn.
WITHOUT = {
    "network": {"pandas", "sklearn"},
    "training": {"pandas", "sklearn"},
    "graph": {"pandas", "sklearn"},
    "uncertainty": {"pandas", "torch"},
}

PARAMETER_TOOLS = {"sklearn.base", "sklearn.utils", "sklearn.utils._param_validation"}


class Import(NamedTuple):
    """An imported name and the function in which the import stands."""

    module: str
    target: str
    name: str | None
    function: str | None
    typing_only: bool


def read_imports(module: str, source: str, is_package: bool = False) -> Iterator[Import]:
    """All imports of a module, also those in functions and for type checkers."""

    def walk(node, function, typing_only) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, None, function, typing_only)
            elif isinstance(child, ast.ImportFrom):
                folder = [PACKAGE, *module.split(".")]
                folder = folder if is_package else folder[:-1]
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


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


PATHS = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
IMPORTS = [
    found
    for module, path in PATHS.items()
    for found in read_imports(
        module,
        path.read_text(encoding="utf-8"),
        path.name == "__init__.py" and module != "__init__",
    )
]


def package_of(module: str) -> str:
    return module.partition(".")[0]


def inner(found: Import) -> str | None:
    """The module of this package that is imported; the package root counts as __init__."""
    if found.target == PACKAGE:
        return found.name if found.name in PATHS else "__init__"
    if not found.target.startswith(f"{PACKAGE}."):
        return None
    name = found.target.removeprefix(f"{PACKAGE}.")
    return f"{name}.{found.name}" if f"{name}.{found.name}" in PATHS else name


def listing(found: list[Import]) -> str:
    lines = [f"{one.module} imports {one.name or ''} from {one.target}" for one in found]
    return "\n".join(sorted(set(lines)))


def reachable(module: str) -> set[str]:
    """The modules that are imported, directly or indirectly, when a module is imported."""
    found: set[str] = set()
    todo = [module]
    while todo:
        current = todo.pop()
        targets = {
            target
            for one in IMPORTS
            if one.module == current and not one.typing_only and one.function is None
            if (target := inner(one)) is not None
        }
        todo += targets - found
        found |= targets
    return found


def test_every_package_has_a_layer():
    """A new package or module of the package folder has to be placed in LAYERS."""
    entries = {package_of(module) for module in PATHS}
    assert entries == set(LAYER)
    assert len(entries) <= MOST_ENTRIES


def test_packages_import_lower_layers_only():
    """No arrow from a lower package to a higher one, also not for type checkers."""
    wrong = [
        found
        for found in IMPORTS
        if (target := inner(found)) is not None
        if (here := package_of(found.module)) != (there := package_of(target))
        if LAYER[there] >= LAYER[here]
    ]
    assert not wrong, f"against the direction of LAYERS:\n{listing(wrong)}"


def test_modules_have_no_import_cycles():
    """No module reaches itself."""
    assert [module for module in PATHS if module in reachable(module)] == []


def test_modules_do_not_import_from_the_package_root():
    """The root gathers names for users; inside, a name comes from the module that defines it."""
    wrong = [found for found in IMPORTS if inner(found) == "__init__"]
    assert not wrong, listing(wrong)


def test_private_names_are_not_imported():
    """A name with a leading underscore is used in its own module only."""
    wrong = [one for one in IMPORTS if inner(one) and one.name and one.name.startswith("_")]
    assert not wrong, listing(wrong)


def test_top_level_names_are_unique():
    """No class, function or constant is defined in two modules."""
    places: dict[str, list[str]] = {}
    for module, path in PATHS.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [getattr(node, "name", None)]
            if isinstance(node, ast.Assign):
                names = [name.id for name in node.targets if isinstance(name, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if name and not (name.startswith("__") and name.endswith("__")):
                    places.setdefault(name, []).append(module)
    # ``T`` is a type variable, ``main`` the entry point of a module that runs as a script.
    twice = {name: found for name, found in places.items() if len(found) > 1 and name != "T"}
    assert twice == {}


@pytest.mark.parametrize("name", LIBRARIES)
def test_optional_libraries_are_imported_in_one_place(name):
    """Heavy or optional libraries are imported in the modules listed, elsewhere in functions."""
    allowed = LIBRARIES[name]
    wrong = [
        found
        for found in IMPORTS
        if package_of(found.target) == name and not found.typing_only and found.function is None
        if found.module not in allowed and f"{package_of(found.module)}.*" not in allowed
    ]
    assert not wrong, listing(wrong)


@pytest.mark.parametrize("package", WITHOUT)
def test_packages_do_not_import_libraries_of_other_steps(package):
    """Tables end where arrays begin, and tensors know no tables."""
    wrong = [
        one
        for one in IMPORTS
        if package_of(one.module) == package and package_of(one.target) in WITHOUT[package]
        if one.function is None and one.target not in PARAMETER_TOOLS
    ]
    assert not wrong, listing(wrong)


@pytest.mark.parametrize("package", sorted(FREE_OF_TORCH))
def test_packages_for_tables_do_not_import_torch(package):
    """Splitters, metrics and plots do not load torch, also not indirectly."""
    modules = {module for module in PATHS if package_of(module) == package}
    modules |= {found for module in modules for found in reachable(module)}
    assert not [
        one
        for one in IMPORTS
        if one.module in modules and package_of(one.target) == "torch"
        if one.function is None and not one.typing_only
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from .table.schema import X", ("table.schema", None, False)),
        ("from sptgnn_sklearn.table.schema import X", ("table.schema", None, False)),
        ("from .table import schema", ("table.schema", None, False)),
        ("import sptgnn_sklearn.table", (None, None, False)),
        ("from . import cli", ("cli", None, False)),
        ("from . import SpTGNNRegressor", ("__init__", None, False)),
        ("from sptgnn_sklearn import SpTGNNRegressor", ("__init__", None, False)),
        ("def f():\n  if x:\n    from .table import schema", ("table.schema", "f", False)),
        ("if TYPE_CHECKING:\n  from .table import schema", ("table.schema", None, True)),
        ("class A:\n  def f(self):\n    import torch.nn", (None, "f", False)),
    ],
)
def test_imports_are_read_in_every_form(source, expected):
    """Relative and absolute imports, of modules and names, in functions and for type checkers."""
    (found,) = read_imports("cli", source)
    target = None if source.startswith("import sptgnn") else inner(found)
    assert (target, found.function, found.typing_only) == expected


# Modules that the tests of another module cover.
WITHOUT_TEST_FILE = {
    "__main__": "runs cli.main; tests/test_cli.py",
}
TESTS = Path(__file__).resolve().parents[1]


def test_every_module_has_a_test_file():
    """The test file of a module is at the mirrored path, but for a few listed modules."""
    modules = {name for name, path in PATHS.items() if path.name != "__init__.py"}
    missing = {
        name
        for name in modules
        if not (
            TESTS / Path(*name.split(".")[:-1]) / f"test_{name.rpartition('.')[2]}.py"
        ).is_file()
    }
    assert missing == set(WITHOUT_TEST_FILE)
    assert len(WITHOUT_TEST_FILE) <= 10


def test_modules_are_short():
    """A module has at most 600 lines, that of the estimator 800."""
    lines = {name: path.read_text("utf-8").count("\n") for name, path in PATHS.items()}
    assert lines.pop("regressor") <= 800
    assert {name: count for name, count in lines.items() if count > 600} == {}


def test_estimators_have_few_parameters():
    """What few users set belongs to the nested parameter objects."""
    assert len(sptgnn_sklearn.SpTGNNRegressor().get_params(deep=False)) <= 28
