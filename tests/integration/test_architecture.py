"""Import directions between packages, read from the source code."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import sptgnn_sklearn

PACKAGE = "sptgnn_sklearn"
ROOT = Path(sptgnn_sklearn.__file__).parent

# Packages and modules of the package folder, lowest layer first. Each may import lower layers only.
LAYERS = [
    {"utils"},
    {"meta_estimators", "spatial"},
    {"table"},
    {"graph", "images", "metrics", "readers", "uncertainty"},
    {"datasets", "encoders", "maps", "model_selection", "network"},
    {"applicability", "estimation", "inspection", "training"},
    {"ensemble", "plotting"},
    {"baseline", "persistence"},
    {"regressor"},
    {"__init__", "cli"},
    {"__main__"},
]
LAYER = {package: depth for depth, layer in enumerate(LAYERS) for package in layer}
MOST_ENTRIES = 28

# The only modules that import a heavy library when they are imported. All other modules, and so the
# package root, splitters, metrics, plots and the command line, import none, not even indirectly.
HEAVY_PACKAGES = {"network", "persistence", "training"}
LIGHT_MODULES_OF_HEAVY_PACKAGES = {"network.config", "training.config"}
HEAVY_MODULES = {
    *("encoders.chip_cache", "encoders.finetuning", "encoders.terramind"),
    *("ensemble.fit", "ensemble.fitted"),
    *("utils.batching", "utils.codec", "utils.machine_code"),
}
# Heavy libraries and the only modules that import them outside of a function.
LIBRARIES: dict[str, set[str]] = {
    "dask": set(),
    "esda": set(),
    "geopandas": set(),
    "libpysal": set(),
    "mapie": set(),
    "matplotlib": set(),
    "numba": {"utils.machine_code"},
    "openpyxl": set(),
    "pyarrow": set(),
    "pyogrio": set(),
    "pyproj": set(),
    "rasterio": set(),
    "rioxarray": set(),
    "shapely": set(),
    "skgstat": set(),
    "skops": set(),
    "skorch": {"training.*"},
    "terratorch": set(),
    "torch": {f"{package}.*" for package in HEAVY_PACKAGES} | HEAVY_MODULES,
    "torch_geometric": set(),
    "torchvision": set(),
    "xarray": set(),
    "xgboost": {"persistence.*"},
}
# Parts of scikit-learn that take half a second together; estimators are constructed without them.
LIGHT_SKLEARN = {
    *("base", "compose", "dummy", "exceptions", "pipeline", "utils"),
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
    """An imported name and the function that contains the import."""

    module: str
    target: str
    name: str | None
    function: str | None
    typing_only: bool


def read_imports(module: str, source: str, is_package: bool = False) -> Iterator[Import]:
    """Yield all imports of a module, also those in functions and for type checkers."""

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
    entry
    for module, path in PATHS.items()
    for entry in read_imports(
        module,
        path.read_text(encoding="utf-8"),
        path.name == "__init__.py" and module != "__init__",
    )
]

# The names of a package are imported at their first use.
IMPORTS += [
    entry._replace(typing_only=True)
    for module, path in PATHS.items()
    if (stub := path.with_suffix(".pyi")).is_file()
    for entry in read_imports(module, stub.read_text(encoding="utf-8"), module != "__init__")
]


def package_of(module: str) -> str:
    return module.partition(".")[0]


def imported_module(entry: Import) -> str | None:
    """Return the imported module of this package; the package root counts as __init__."""
    if entry.target == PACKAGE:
        return entry.name if entry.name in PATHS else "__init__"
    if not entry.target.startswith(f"{PACKAGE}."):
        return None
    name = entry.target.removeprefix(f"{PACKAGE}.")
    return f"{name}.{entry.name}" if f"{name}.{entry.name}" in PATHS else name


def format_imports(imports: list[Import]) -> str:
    lines = [f"{entry.module} imports {entry.name or ''} from {entry.target}" for entry in imports]
    return "\n".join(sorted(set(lines)))


def reachable(module: str) -> set[str]:
    """Return the modules that are imported, directly or indirectly, when a module is imported."""
    modules: set[str] = set()
    pending = [module]
    while pending:
        current = pending.pop()
        targets = {
            target
            for entry in IMPORTS
            if entry.module == current and not entry.typing_only and entry.function is None
            if (target := imported_module(entry)) is not None
        }
        pending += targets - modules
        modules |= targets
    return modules


def test_every_package_has_a_layer():
    """A new package or module of the package folder has to be placed in LAYERS."""
    entries = {package_of(module) for module in PATHS}
    assert entries == set(LAYER)
    assert len(entries) <= MOST_ENTRIES


def test_packages_import_lower_layers_only():
    """No package imports one of the same or a higher layer, not even for type checkers."""
    violations = [
        entry
        for entry in IMPORTS
        if (target := imported_module(entry)) is not None
        if (source := package_of(entry.module)) != (imported := package_of(target))
        if LAYER[imported] >= LAYER[source]
    ]
    assert not violations, f"against the direction of LAYERS:\n{format_imports(violations)}"


def test_modules_have_no_import_cycles():
    """No module imports itself indirectly."""
    assert [module for module in PATHS if module in reachable(module)] == []


def test_modules_do_not_import_from_the_package_root():
    """Modules import a name from the module that defines it."""
    violations = [entry for entry in IMPORTS if imported_module(entry) == "__init__"]
    assert not violations, format_imports(violations)


def test_private_names_are_not_imported():
    """A name with a leading underscore is used only in the module that defines it."""
    violations = [
        entry
        for entry in IMPORTS
        if imported_module(entry) and entry.name and entry.name.startswith("_")
    ]
    assert not violations, format_imports(violations)


def test_top_level_names_are_unique():
    """No class, function or constant is defined in two modules."""
    modules_by_name: dict[str, list[str]] = {}
    for module, path in PATHS.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [getattr(node, "name", None)]
            if isinstance(node, ast.Assign):
                names = [name.id for name in node.targets if isinstance(name, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            for name in names:
                if name and not (name.startswith("__") and name.endswith("__")):
                    modules_by_name.setdefault(name, []).append(module)
    # ``T`` is a type variable, ``main`` the entry point of a module that runs as a script.
    duplicates = {
        name: modules
        for name, modules in modules_by_name.items()
        if len(modules) > 1 and name != "T"
    }
    assert duplicates == {}


@pytest.mark.parametrize("name", LIBRARIES)
def test_heavy_libraries_are_imported_in_one_place(name):
    """Heavy or optional libraries are imported in the modules listed, elsewhere in functions."""
    allowed = LIBRARIES[name]
    violations = [
        entry
        for entry in IMPORTS
        if package_of(entry.target) == name and not entry.typing_only and entry.function is None
        if entry.module not in allowed and f"{package_of(entry.module)}.*" not in allowed
    ]
    assert not violations, format_imports(violations)


def is_heavy(module: str) -> bool:
    """Return whether a heavy library is imported when a module is imported."""
    modules = reachable(module) | {module}
    return any(
        entry.module in modules and package_of(entry.target) in LIBRARIES
        for entry in IMPORTS
        if entry.function is None and not entry.typing_only
    )


def may_be_heavy(module: str) -> bool:
    """Return whether a module is listed as one that imports heavy libraries."""
    if module in PATHS and PATHS[module].name == "__init__.py":
        return False
    package = package_of(module) in HEAVY_PACKAGES
    return module in HEAVY_MODULES or (package and module not in LIGHT_MODULES_OF_HEAVY_PACKAGES)


def test_heavy_libraries_are_imported_by_the_modules_that_run_them():
    """All other modules are imported without; no module is listed in vain."""
    heavy = {module for module in PATHS if is_heavy(module)}
    assert {module for module in heavy if not may_be_heavy(module)} == set()
    assert heavy >= HEAVY_MODULES


def test_only_heavy_modules_are_imported_in_functions():
    """Other imports are at the top; the command line imports the modules of a subcommand."""
    violations = [
        entry
        for entry in IMPORTS
        if entry.function is not None and (target := imported_module(entry)) is not None
        if not is_heavy(target) and package_of(entry.module) != "cli"
    ]
    assert not violations, format_imports(violations)


@pytest.mark.parametrize("module", ["baseline", "regressor"])
def test_estimators_are_imported_without_most_of_scikit_learn(module):
    """Clustering, decomposition, imputation and metrics are imported where they run."""
    modules = reachable(module) | {module}
    violations = [
        entry
        for entry in IMPORTS
        if entry.module in modules and entry.function is None and not entry.typing_only
        if package_of(entry.target) == "sklearn" and entry.target.split(".")[1] not in LIGHT_SKLEARN
    ]
    assert not violations, format_imports(violations)


PACKAGES = sorted(name for name, path in PATHS.items() if path.name == "__init__.py")
# lazy_loader imports from the modules of the package only.
EAGER_PACKAGES = {"readers": {"sptgnn_sklearn.readers.tables", "sptgnn_sklearn.table.table_checks"}}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_their_names_lazily(package):
    """An __init__.py imports nothing but lazy_loader, which reads the names from __init__.pyi."""
    stub = PATHS[package].with_suffix(".pyi")
    allowed = {"lazy_loader"} if stub.is_file() else EAGER_PACKAGES.get(package, set())
    targets = {
        entry.target for entry in IMPORTS if entry.module == package and not entry.typing_only
    }
    assert targets == allowed
    if stub.is_file():
        module = importlib.import_module(
            PACKAGE if package == "__init__" else f"{PACKAGE}.{package}"
        )
        names = {entry.name for entry in IMPORTS if entry.module == package and entry.typing_only}
        assert set(module.__all__) == set(dir(module)) == names
        assert all(hasattr(module, name) for name in names)


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
    (entry,) = read_imports("cli", source)
    target = None if source.startswith("import sptgnn") else imported_module(entry)
    assert (target, entry.function, entry.typing_only) == expected


# Modules that the tests of another module cover.
WITHOUT_TEST_FILE = {
    "__main__": "runs cli.main; tests/cli/test_entry_point.py",
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
    """Rarely changed parameters belong to the nested parameter objects."""
    assert len(sptgnn_sklearn.SpTGNNRegressor().get_params(deep=False)) <= 28
