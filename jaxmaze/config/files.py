"""Config files: a user's own, or one of those that come with the library, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from jaxmaze.errors import UserError

_PACKAGE = Path(__file__).parent.parent


def shipped() -> dict[str, Path]:
    """The config files that come with the library, by name."""
    # In a wheel they lie in the package (setup.py), in a checkout beside it: there is one source.
    inside = _PACKAGE / "configs"
    folder = inside if inside.is_dir() else _PACKAGE.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("[!_]*.py"))}


def find(name: str) -> Path:
    """The config file that ``name`` means.

    Args:
      name: a file; or ``NAME`` or ``configs/NAME.py`` for one that comes with the library, where no
        file of the user's is called so.

    Raises:
      UserError: if there is none; lists the names there are.
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
