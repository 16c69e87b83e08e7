"""The list of mutants keeps up with the code; whether they are noticed is seen by hand."""

import ast

import pytest

from tests.mutants import ROOT, Mutant, load


def test_every_mutant_can_be_made():
    mutants = load()
    assert len(mutants) >= 70 and len({m.id for m in mutants}) == len(mutants)
    for mutant in mutants:
        mutated = mutant.apply(ROOT)
        assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse((ROOT / mutant.file).read_text()))
        compile(mutated, mutant.file, "exec")
        assert mutant.tests
        for test in mutant.tests:
            path, *name = test.split("::")
            assert (ROOT / path).is_file()
            assert not name or f"def {name[0]}(" in (ROOT / path).read_text()


def test_an_entry_whose_text_is_gone_or_twice_there_is_stale():
    file = "jaxmaze/core/losses.py"
    for old, count in (("no such text", 0), ("weight", "[1-9]+")):
        with pytest.raises(ValueError, match=f"the text stands {count}.* times in {file}"):
            Mutant("id", file, old, "x", ()).apply(ROOT)
