"""Finding config files: a user's own, or those that come with the library, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from jaxmaze.errors import UserError

_PACKAGE = Path(__file__).parent.parent


def shipped() -> dict[str, Path]:
    """The config files that come with the library, by name."""
    # In a wheel they are inside the package (setup.py), in a checkout next to it.
    inside = _PACKAGE / "configs"
    folder = inside if inside.is_dir() else _PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


def find(name: str) -> Path:
    """The config file that ``name`` refers to.

    Args:
      name: a file; or ``NAME`` or ``configs/NAME.py`` for one that comes with the library, unless
        the user has a file of that name.

    Raises:
      UserError: if there is none; lists the available names.
    """
    file, known = Path(name), shipped()
    if file.is_file():
        return file
    if name in known:
        return known[name]
    if file.parent == Path("configs") and file.suffix == ".py" and file.stem in known:
        return known[file.stem]
    own = [p.name for p in (Path(f"{name}.py"),) if p.is_file()]
    close = own or difflib.get_close_matches(file.stem, known, n=1)
    hint = f"did you mean {close[0]}? Else " if close else ""
    raise UserError(
        f"config file {name} does not exist; {hint}give a file of your own, or a name that comes "
        f"with jaxmaze: {', '.join(known)}"
    )
