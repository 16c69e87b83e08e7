"""Trust: code is imported on the user's own wish only, not on that of a folder's author.

A configuration can name code: a module that registers the environment (``env.id=module:Name-v0``),
or a function that is the teacher (``module:function``). On the command line, in a config file and
in a Python call the user has chosen that code. In a run's ``config.json`` the author of the folder
has chosen it, and importing it would run their code.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from jaxmaze.errors import UserError


def check(
    paths: Mapping[str, str], folder: Path, trust: bool, given: Iterable[object] = ()
) -> None:
    """Raise before an import path from a run's folder is imported without trust.

    Args:
      paths: the configuration's import paths by field, including the user's changes.
      folder: the run's folder.
      trust: whether the user trusts it.
      given: values given by the user; an import path among them is the user's own.

    Raises:
      UserError: one line that names the import path and what to do.
    """
    own = set(_texts(given))
    theirs = {k: v for k, v in paths.items() if v not in own}
    if not trust and theirs:
        field, path = next(iter(theirs.items()))
        raise UserError(
            f"{folder} names code to import, {field}={path}, which would run it: if you trust "
            "whoever made that folder, say so with --trust (in Python: trust=True), or give the "
            "same configuration yourself"
        )


def _texts(values: Iterable[object]) -> Iterator[str]:
    """All strings in values, also in nested tuples and lists."""
    for value in values:
        if isinstance(value, tuple | list):
            yield from _texts(value)
        else:
            yield str(value)


def refuse_runs(module: str) -> None:
    """Check that a module is not in or below a run's folder, without importing it.

    Raises:
      UserError: if it does.
    """
    for place in _places(module):
        for folder in (place, *place.parents):
            if _is_run(folder):
                raise UserError(
                    f"module {module} lies in the folder of a run, {folder}, from which nothing is "
                    "imported; keep code elsewhere"
                )


def _places(module: str) -> list[Path]:
    """The paths where Python would find a module and its parents, as far as it finds them."""
    places: list[Path] = []
    search: list[str] | None = None
    for name in module.split("."):
        # Look up the last name only, so that Python does not import the parents.
        spec = PathFinder.find_spec(name, search)
        if spec is None:
            break
        search = list(spec.submodule_search_locations or ())
        places += [Path(p).resolve() for p in (*search, spec.origin) if p]
    return places


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run's: it has a config.json that says so."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        values = json.loads((folder / "config.json").read_text())
        return isinstance(values.get("kind"), str) and "format" in values
    return False
