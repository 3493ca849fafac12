"""Who may import whom: read from the source, imports inside functions included.

If a test here fails, the design is wrong, not the test.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([ROOT / "app.py", *(ROOT / "backend").rglob("*.py"), *(ROOT / "components").rglob("*.py")])
LINES_MAX, FUNCTION_MAX, APP_MAX = 400, 60, 60

UI = {"gradio", "gradio_client", "fastapi", "starlette", "uvicorn", "plotly"}
HEAVY = {"torch", "transformers", "safetensors", "captum"}

# From the bottom up; a module may import its own layer and those below it. The longest prefix counts.
LAYERS = (
    ("backend.errors", "backend.events", "backend.settings"),
    ("backend.canvas", "backend.noise", "backend.shapes"),
    ("backend.decoders", "backend.measures", "backend.models", "backend.tasks", "backend.sampling"),
    ("backend",),
    ("backend.engine", "backend.crowd", "backend.store", "backend.rays"),
    ("backend.__main__", "backend.reference", "backend.training"),
    ("components",),
    ("app",),
)
STANDARD_ONLY = LAYERS[0]
SEEN_BY_PAGE = (
    "canvas", "comparing", "crowd", "engine", "ensemble", "errors", "events", "explanations", "forks", "holding", "requests", "settings", "store", "template",
)
"""Modules of ``backend`` that ``components`` may import, besides catalogues, their bases and checkers."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Return the modules that ``path`` imports when it runs; what only a type checker reads is left out."""
    return tuple(_imports(tree_of(path)))


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        for child in node.orelse:
            yield from _imports(child)
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "Imports are absolute."
        for alias in node.names:
            longer = ROOT.joinpath(*node.module.split("."), alias.name)
            yield f"{node.module}.{alias.name}" if longer.with_suffix(".py").is_file() or longer.is_dir() else node.module
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def layer(module: str) -> int:
    """Return the height of one of our modules, from the longest name that begins its own."""
    found = [(len(prefix), height) for height, prefixes in enumerate(LAYERS) for prefix in prefixes
             if module == prefix or module.startswith(prefix + ".")]
    return max(found)[1]


def ours(module: str) -> bool:
    return module.split(".")[0] in ("app", "backend", "components")


def outside(module: str) -> str:
    return module.split(".")[0]


every_source = pytest.mark.parametrize("path", SOURCES, ids=name_of)


@every_source
def test_imports_point_downwards(path: Path) -> None:
    module = name_of(path)
    upwards = [used for used in imports_of(path) if ours(used) and layer(used) > layer(module)]
    assert upwards == [] or module == "backend"  # the package's front door loads names when they are asked for


@every_source
def test_the_backend_does_not_know_the_page(path: Path) -> None:
    if not name_of(path).startswith("backend"):
        return
    assert not [used for used in imports_of(path) if outside(used) in UI | {"components", "app"}]


@every_source
def test_the_page_does_not_know_tensors(path: Path) -> None:
    if not name_of(path).startswith("components") or name_of(path) == "components.handlers":
        return
    assert not [used for used in imports_of(path) if outside(used) in HEAVY]


@every_source
def test_the_page_sees_events_catalogues_and_the_engine_only(path: Path) -> None:
    if not name_of(path).startswith("components"):
        return
    for used in imports_of(path):
        if used.startswith("backend."):
            assert used.split(".")[1] in SEEN_BY_PAGE or used.split(".")[-1] in ("catalogue", "base"), used


@pytest.mark.parametrize("module", STANDARD_ONLY)
def test_the_schema_needs_the_standard_library_only(module: str) -> None:
    path = ROOT / (module.replace(".", "/") + ".py")
    foreign = [used for used in imports_of(path) if used not in STANDARD_ONLY and outside(used) not in sys.stdlib_module_names]
    assert foreign == []


def listed(package: str) -> set[str]:
    """Return the modules that a catalogue lists: one decoder or one measure each."""
    return {used for used in imports_of(ROOT / "backend" / package / "catalogue.py")
            if used.startswith(f"backend.{package}.") and not used.endswith(".base")}


@pytest.mark.parametrize("package", ["decoders", "measures"])
def test_decoders_and_measures_know_neither_each_other_nor_a_model(package: str) -> None:
    other = {"decoders": "measures", "measures": "decoders"}[package]
    for path in sorted((ROOT / "backend" / package).glob("*.py")):
        for used in imports_of(path):
            assert not used.startswith(f"backend.{other}") or used == f"backend.{other}.base", (name_of(path), used)
            assert used == "backend.models.base" or not used.startswith("backend.models"), (name_of(path), used)
            assert outside(used) != "transformers", (name_of(path), used)
            if name_of(path) in listed(package):
                assert used not in listed(package), (name_of(path), used)


def test_every_decoder_and_measure_is_in_its_catalogue() -> None:
    for package, shared in (("decoders", {"schedules", "caches"}), ("measures", set())):
        files = {name_of(path) for path in (ROOT / "backend" / package).glob("*.py")}
        used = {item for path in (ROOT / "backend" / package).glob("*.py") for item in imports_of(path)}
        unlisted = files - listed(package) - {f"backend.{package}{end}" for end in ("", ".base", ".catalogue")}
        assert unlisted <= used, f"Nothing uses {unlisted - used}."


@every_source
def test_only_training_imports_training(path: Path) -> None:
    if name_of(path).startswith("backend.training"):
        return
    assert not [used for used in imports_of(path) if used.startswith("backend.training")]


@every_source
def test_nothing_unpickles_prints_or_asserts(path: Path) -> None:
    assert not {outside(used) for used in imports_of(path)} & {"pickle", "dill", "cloudpickle", "joblib"}
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        assert not isinstance(node, ast.ExceptHandler) or node.type is not None, f"bare except, line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            allowed = {"print"} if path.name == "__main__.py" else set()
            assert node.func.id not in {"print", "eval", "exec", "__import__"} - allowed, f"line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            assert (owner, node.func.attr) not in {("torch", "load"), ("torch", "manual_seed")}, f"line {node.lineno}"


def test_a_yield_never_stands_inside_a_mode_that_belongs_to_a_thread() -> None:
    modes = {"no_grad", "inference_mode", "autocast", "enable_grad"}
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.With):
                named = {part.attr for item in node.items for part in ast.walk(item.context_expr) if isinstance(part, ast.Attribute)}
                inside = [part for part in ast.walk(node) if isinstance(part, ast.Yield | ast.YieldFrom)]
                assert not (named & modes and inside), f"{name_of(path)}, line {node.lineno}"


@every_source
def test_modules_and_functions_stay_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= (APP_MAX if path.name == "app.py" else LINES_MAX)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION_MAX, f"{node.name} has {node.end_lineno - node.lineno + 1} lines"


@every_source
def test_every_module_and_public_name_says_what_it_is(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree) or not tree.body
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name}, line {node.lineno}"
