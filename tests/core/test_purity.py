"""The pure part of the library imports nothing that could make it impure."""

import ast
from pathlib import Path

import pytest

import jaxmaze.core

ALLOWED = {
    "__future__",
    "collections",
    "dataclasses",
    "flax",
    "functools",
    "jax",
    "math",
    "numpy",
    "optax",
    "typing",
}
FILES = sorted(Path(jaxmaze.core.__path__[0]).glob("*.py"))


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_core_imports_only_jax_and_itself(path):
    for name in imports(path):
        assert name.split(".")[0] in ALLOWED or name.startswith("jaxmaze.core"), name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_core_draws_nothing_that_no_seed_was_given_for(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
            assert node.attr in ("default_rng", "SeedSequence", "Generator")
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("np.random."):
            assert node.args


def test_there_is_something_to_check():
    assert len(FILES) >= 8
