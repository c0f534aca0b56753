"""The shape of the house: what may import what, and when."""

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*ROOT.glob("features/**/*.py"), *ROOT.glob("pipeline/**/*.py")])
HEAVY = {
    "tensorflow", "keras", "sklearn", "pandas", "matplotlib", "pyarrow", "skimage", "openTSNE", "umap",
    "starlette", "uvicorn", "prometheus_client", "fsspec", "s3fs", "gcsfs", "azure", "aiohttp",
    "torch", "timm", "onnx", "onnxruntime", "skl2onnx", "numba",
}  # fmt: skip
# Modules about one library, which are themselves imported only when used.
ENGINES = (
    "features/engines", "features/backbones/torch_network.py", "features/decoding/resampling.py", "features/transformer.py", "pipeline/classifiers/estimators", "pipeline/serving",
    "pipeline/exporting",
)  # fmt: skip


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


# The rooms of `pipeline`, from the top down: a module imports from its own room and those below.
ROOMS = (
    "__main__", "api", "commands", "stages", "serving", "exporting", "predictors", "reports", "advice", "search", "networks",
    "classifiers", "maps", "datasets", "results", "statistics", "data", "config", "command_lines",
)  # fmt: skip


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path) for path in MODULES}


def imported_modules(path: Path) -> set[str]:
    """The modules of ours that a module imports anywhere in it, for types and in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in NAMES else node.module for name in names}
    return found & NAMES


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_features_never_imports_pipeline(path):
    found = imports(ast.parse(path.read_text()))
    if name(path).startswith("features/"):
        assert not {module for module in found if module.split(".")[0] == "pipeline"}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if name(path).startswith("pipeline/")], ids=name
)
def test_imports_run_downwards(path):
    module = dotted(path)
    room = ROOMS.index(module.split(".")[1]) if "." in module else -1
    for other in imported_modules(path):
        top, _, rest = other.partition(".")
        assert top == "features" or ROOMS.index(rest.split(".")[0]) >= room, other


def test_no_modules_import_each_other_in_a_circle():
    sorter = TopologicalSorter({dotted(path): imported_modules(path) for path in MODULES})
    sorter.prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize(
    "path", [path for path in MODULES if not name(path).startswith(ENGINES)], ids=name
)
def test_heavy_packages_are_imported_only_when_used(path):
    tree = ast.parse(path.read_text())
    typing_only = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    top = ast.Module([node for node in tree.body if node not in typing_only], [])
    for node in ast.walk(top):
        if isinstance(node, ast.FunctionDef):
            node.body = []
    assert not {module.split(".")[0] for module in imports(top)} & HEAVY


@pytest.mark.parametrize("package", ["features", "pipeline"])
def test_importing_a_package_is_light(package):
    code = f"import sys, {package}; print([n for n in {sorted(HEAVY)} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("package", ["features", "pipeline"])
def test_public_names_are_there(package):
    module = importlib.import_module(package)
    for public in module.__all__:
        assert getattr(module, public).__doc__
        assert public in dir(module)


def test_an_unknown_name_is_an_attribute_error():
    import features
    import pipeline

    with pytest.raises(AttributeError, match="no attribute 'extrac'"):
        features.extrac  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'classifi'"):
        pipeline.classifi  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_files_stay_readable(path):
    assert len(path.read_text().splitlines()) <= 400


# Where Arrow opens a Parquet file; `new_predictions` reads what `predict` has just written.
PARQUET = ("features/storage/parquet_guard.py", "pipeline/results/new_predictions.py")


@pytest.mark.parametrize("path", [path for path in MODULES if name(path) not in PARQUET], ids=name)
def test_parquet_files_are_opened_by_the_guard_alone(path):
    tree = ast.parse(path.read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"ParquetFile", "read_parquet", "read_table", "read_schema", "read_metadata"}
