"""Rooms: what may import what. Arrows run down only, and nothing hides in a function to run up."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxmaze
from jaxmaze.__main__ import commands

PACKAGE = Path(jaxmaze.__file__).parent
FLOORS = (
    ("errors", "interrupts"),
    ("trust",),
    ("core",),
    ("envs",),
    ("config",),
    ("teachers",),
    ("runs",),
    ("inspection",),
    ("policies",),
    ("training",),
    ("viewing", "reporting"),
    ("videos",),
    ("stages", "exports"),
    ("handle",),
    ("loading",),
    ("api",),
    ("cli",),
    tuple(commands()),
    ("__main__",),
)
"""From the lowest to the highest: a module imports from floors below, or from its own room.

Commands are those that ``jaxmaze --help`` lists.
"""
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
PURE = {
    "__future__",
    "chex",
    "collections",
    "dataclasses",
    "flax",
    "functools",
    "jax",
    "math",
    "numpy",
    "optax",
    "types",
    "typing",
}
STARTS_FAST = {*commands(), "cli"}
"""Commands, which load what is slow to load once they need it: ``--help`` must not wait for JAX."""


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = [name for name in FILES if name != "jaxmaze"]


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """Each module that a module imports, and whether it does so inside a function."""
    tree = ast.parse(FILES[name].read_text())
    inside = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in FILES else str(node.module), node in inside


def ours(name: str) -> list[tuple[str, bool]]:
    return [(found, inside) for found, inside in imports(name) if found.startswith("jaxmaze.")]


def room(name: str) -> str:
    return name.split(".")[1]


def test_every_room_has_its_floor():
    assert {room(name) for name in MODULES} == set(FLOOR)
    assert len(MODULES) > 50


@pytest.mark.parametrize("name", MODULES)
def test_no_import_runs_upwards(name):
    for found, _ in ours(name):
        mine, theirs = room(name), room(found)
        assert mine == theirs or FLOOR[theirs] < FLOOR[mine], f"{name} imports {found}"


def test_no_import_runs_in_a_circle():
    graph = {name: [found for found, _ in ours(name) if found != name] for name in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) not in STARTS_FAST])
def test_nothing_of_ours_is_imported_inside_a_function(name):
    assert not [found for found, inside in ours(name) if inside]


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "core"])
def test_core_imports_only_jax_and_itself(name):
    for found, _ in imports(name):
        assert found.split(".")[0] in PURE or found.startswith("jaxmaze.core"), found


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) != "envs"])
def test_backends_are_imported_where_experience_comes_from(name):
    assert not {found.split(".")[0] for found, _ in imports(name)} & {"gymnasium", "envpool"}


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "stages"])
def test_stages_do_not_import_each_other(name):
    if name.split(".")[-1] not in ("stages", "workflow", "sweep", "curve"):
        assert not [found for found, _ in ours(name) if room(found) == "stages"]


PRINT = {"jaxmaze.__main__", "jaxmaze.cli", "jaxmaze.config.__main__", "jaxmaze.viewing.server"}
"""They print what was asked for; all else is a note, which ``--quiet`` leaves out."""


@pytest.mark.parametrize("name", [name for name in MODULES if name not in PRINT])
def test_notes_are_said_by_the_console_alone(name):
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "print", f"{name}, line {node.lineno}: say it by runs/console"
            # What is below the console is told by what to say its notes.
            told = called != "environment.describe" or ast.unparse(node).endswith(", console.say)")
            assert told, f"{name}, line {node.lineno}: give it console.say"


MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60
LONGER = {
    "jaxmaze.cli:run",
    "jaxmaze.core.bc:epoch",
    "jaxmaze.core.bc_sequences:epoch",
    "jaxmaze.runs.arrays:dataset",
    "jaxmaze.stages.bc:run",
    "jaxmaze.stages.rollout:run",
    "jaxmaze.training.audit:check",
    "jaxmaze.viewing.server:application",
}
"""Functions that are longer, most by their docstrings. None may join them, nor grow beyond 70."""


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_are_short(name):
    text = FILES[name].read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            known = f"{name}:{node.name}" in LONGER
            assert (lines > MOST_LINES_OF_A_FUNCTION) is known, f"{node.name} has {lines} lines"
            assert lines <= 70


def test_few_modules_lie_at_the_top_beside_the_commands():
    lying = {path.stem for path in PACKAGE.glob("*.py")} - set(commands())
    assert len(lying) <= 10, lying
    assert len(commands()) <= 12 and all(len(about) < 80 for about in commands().values())


def test_commands_do_not_import_each_other():
    for name in commands():
        assert not [found for found, _ in ours(f"jaxmaze.{name}") if room(found) in commands()]
