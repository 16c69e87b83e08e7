"""The pure part of the library imports nothing that could make it impure."""

import ast
from pathlib import Path

import pytest

import jaxmaze.core

FILES = sorted(Path(jaxmaze.core.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_core_draws_nothing_that_no_seed_was_given_for(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
            assert node.attr in ("default_rng", "SeedSequence", "Generator", "PCG64")
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("np.random."):
            assert node.args


def test_there_is_something_to_check():
    assert len(FILES) >= 8
