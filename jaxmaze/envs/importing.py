"""Import paths, ``module:name``: loading the code they name, and finding the path of code.

Nothing slow is imported here: the commands read configurations before they load JAX.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import operator
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from jaxmaze import trust
from jaxmaze.errors import UserError

Code: TypeAlias = Callable[..., object]
"""A function, a class or a callable object."""
CONFIG_MODULE = "_jaxmaze_config_"
"""Name prefix of the modules of config files, which cannot be imported from."""


def searched() -> str:
    """A readable description of where modules are searched."""
    return f"{Path.cwd()}, the current folder"


@contextlib.contextmanager
def current_folder_first() -> Iterator[None]:
    """Let imports find modules in the current folder, however this process was started."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a module may change the path
            sys.path.remove(here)


def text(code: Code | str) -> str:
    """The name of code: ``module:name``, with its arguments if it has any bound."""
    if isinstance(code, str):
        return code
    if isinstance(code, functools.partial):
        given = [*map(repr, code.args), *(f"{k}={v!r}" for k, v in code.keywords.items())]
        written = f"{text(code.func)}({', '.join(given)})"
        return re.sub(r" at 0x[0-9a-f]+", "", written)  # without the address, which varies
    owner = getattr(code, "__self__", None)
    if isinstance(code, types.MethodType) and not isinstance(owner, type):
        return f"{text(type(owner))}().{code.__name__}"
    if hasattr(code, "__qualname__"):
        return f"{code.__module__}:{code.__qualname__}"
    return f"{text(type(code))}()"


def nameless(path: str) -> bool:
    """Whether a path only describes code that was given in Python, and cannot be imported.

    This holds for lambdas, nested functions, objects, and code of a script, a notebook or a config
    file.
    """
    module, _, name = path.partition(":")
    here_only = module == "__main__" or module.startswith(CONFIG_MODULE)
    return here_only or not re.fullmatch(r"[\w.]+", name)


def path_of(code: Code) -> str | None:
    """The import path of code; None if it has none."""
    path = text(code)
    if nameless(path):
        return None
    module, _, name = path.partition(":")
    try:
        found = operator.attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        return None
    same = found is code or (isinstance(found, types.MethodType) and found == code)
    return path if same else None


def of_gymnasium(path: str) -> bool:
    """Whether a path names one of gymnasium's own wrappers that writes no files."""
    found = re.fullmatch(r"gymnasium\.wrappers:([A-Za-z]\w*)", path)
    return found is not None and found[1] != "RecordVideo"


def wrapping(entry: object) -> tuple[Code | str, Mapping[str, object]]:
    """The wrapper and arguments of an entry of ``env.wrappers``.

    Raises:
      UserError: if it is not an import path or a wrapper, nor one of these with arguments.
    """
    code: object = entry
    kwargs: object = {}
    if isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) in (1, 2):
        code, kwargs = entry[0], entry[1] if len(entry) == 2 else {}
    path = isinstance(code, str) and ":" in code
    if not (path or callable(code)) or not isinstance(kwargs, Mapping):
        raise UserError(
            f"config.env.wrappers has {entry!r}; each must be an import path such as "
            "'my_file:MyWrapper', or a pair of one and its arguments: "
            "('my_file:MyWrapper', {'scale': 2.0})"
        )
    return code, kwargs  # type: ignore[return-value]


def import_module(module: str, named: str) -> types.ModuleType:
    """Import a module; the current folder is searched first.

    Args:
      module: its name.
      named: the setting that names it, for error messages: ``"env.id=my_env:Ball-v0"``.

    Raises:
      UserError: if the module does not exist, is in a run's folder, needs a missing module, or
        raises.
    """
    if module not in sys.modules:
        trust.refuse_runs(module)
    try:
        with current_folder_first():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module}.".startswith(f"{missing}."):
            raise UserError(
                f"{named}: there is no module {missing!r} in {searched()}, nor among the installed "
                "packages; start in the folder that holds it, or add that folder to PYTHONPATH"
            ) from error
        raise UserError(
            f"{named}: its module {module} needs {missing!r}, which is neither in {searched()}, "
            "nor installed"
        ) from error
    except Exception as error:  # Whatever a user's module raises.
        raise UserError(
            f"{named}: its module {module} cannot be imported: {type(error).__name__}: "
            f"{first_line(error)}{place(error)}"
        ) from error


def load(path: str, field: str) -> Code:
    """Load the code that a path names.

    Args:
      path: ``module:name``.
      field: the field that has this value, for error messages.

    Raises:
      UserError: if it cannot be imported, or is not callable.
    """
    if nameless(path):
        raise UserError(
            f"config.{field}={path} was given in Python and cannot be imported: give it again "
            "there, with the same configuration and folder, as in jaxmaze.train(config, folder), "
            "or as config=config to jaxmaze.compare, inspect, video or view"
        )
    module_name, _, name = path.partition(":")
    module = import_module(module_name, f"{field}={path}")
    try:
        found = operator.attrgetter(name)(module)
    except AttributeError:
        close = difflib.get_close_matches(name, vars(module), n=1)
        where = getattr(module, "__file__", None) or "a built-in module"
        raise UserError(
            f"{field}={path}: {module_name} ({where}) has no {name!r}"
            + (f"; did you mean {close[0]!r}?" if close else "")
        ) from None
    if not callable(found):
        raise UserError(
            f"{field}={path} is a {type(found).__name__}; it must be a function or a class"
        )
    return found


def first_line(error: BaseException) -> str:
    """The first line of an exception's message."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def told(error: BaseException) -> str:
    """An exception in a line: its type, and the first line of its message if it has one."""
    name, text = type(error).__name__, first_line(error)
    return name if text == name else f"{name}: {text}"


def place(error: BaseException) -> str:
    """A readable location in the user's code where an exception was raised; empty if unknown."""
    found, trace = "", error.__traceback__
    while trace is not None:  # the innermost frame of the user's code
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_file() and not _installed(file):
            found = f" ({file.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found or (place(error.__cause__) if error.__cause__ is not None else "")


def _installed(file: Path) -> bool:
    """Whether a file belongs to jaxmaze, Python or an installed package."""
    parts = file.resolve().parts
    own = Path(__file__).resolve().parents[1]
    python = Path(importlib.__file__).resolve().parents[1]
    installed = "site-packages" in parts or "dist-packages" in parts
    return installed or own in file.resolve().parents or python in file.resolve().parents
