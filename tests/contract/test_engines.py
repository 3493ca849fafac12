"""Every engine is an ``Engine``: the same names with the same arguments, and the page asks for nothing else."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from backend.engine import Elsewhere, Engine, LocalEngine
from backend.rays.engine import RayEngine
from tests.app.fakes import FakeEngine

COMPONENTS = Path(__file__).resolve().parents[2] / "components"
MEMBERS = {name: value for name, value in vars(Engine).items() if not name.startswith("_")}


@pytest.mark.parametrize("engine", [LocalEngine, RayEngine, FakeEngine])
@pytest.mark.parametrize("name", MEMBERS)
def test_an_engine_has_every_name_of_the_protocol_with_its_arguments(engine: type, name: str) -> None:
    ours, wanted = inspect.getattr_static(engine, name), MEMBERS[name]
    assert isinstance(ours, property) is isinstance(wanted, property)
    if not isinstance(wanted, property):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(wanted).parameters)
    assert (ours.__doc__ or "").strip()


@pytest.mark.parametrize("path", sorted(COMPONENTS.glob("*.py")), ids=lambda path: path.stem)
def test_the_page_asks_an_engine_for_nothing_else(path: Path) -> None:
    asked = {node.attr for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)
             and (isinstance(node.value, ast.Name) and node.value.id == "engine"
                  or isinstance(node.value, ast.Attribute) and node.value.attr == "_engine")}
    assert asked <= set(MEMBERS) | {name for name in vars(Elsewhere) if not name.startswith("_")}


def test_every_name_of_the_protocol_is_used_by_the_page() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in COMPONENTS.glob("*.py"))
    assert [name for name in MEMBERS if f"engine.{name}" not in sources] == []
