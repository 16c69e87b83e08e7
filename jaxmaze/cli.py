"""Code shared by the commands: parsing of overrides, and errors as one line.

Overrides of the form ``--config.section.field=value`` are checked here against the table of fields,
so that a wrong name or type gives one clear line; absl parses everything else.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import ml_collections
from absl import app, flags
from absl import logging as absl_logging

from jaxmaze import config as config_lib
from jaxmaze import interrupts
from jaxmaze.config import files, sweeps
from jaxmaze.config import help as help_lib
from jaxmaze.errors import UserError, WorkerError
from jaxmaze.runs import typed
from jaxmaze.training import compile_cache

PREFIX = "config."
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def run(
    main: Callable[[dict[str, object]], Path | None],
    usage: str,
    fields: bool = False,
    status: Callable[[Path], int] = lambda folder: 0,
    words: list[str] | None = None,
) -> None:
    """Run a command and exit: 0, 2 for errors that the user can fix, or 130 after Ctrl-C.

    Args:
      main: the command; takes the overrides and returns the folder it wrote, printed as the last
        line; None if it wrote nothing.
      usage: a short description for ``--help``; its first line is shown by ``jaxmaze --help``.
      fields: whether ``--help`` lists the fields of a configuration too.
      status: the exit code after a folder was written, if it is not always 0.
      words: collects the positional arguments; if None there may be none.
    """
    interrupts.quiet_start()
    overrides: dict[str, object] = {}

    own = sys.argv[0]  # where --help lists a command's flags
    flags.DEFINE_boolean("quiet", False, "Print errors and the last line only.", module_name=own)
    flags.DEFINE_boolean(
        "verbose", False, "Print details: each evaluation, times, tracebacks.", module_name=own
    )

    def parse(argv: list[str]) -> list[str]:
        typed.keep(_command(argv))
        rest, found = split_overrides(argv)
        try:
            flags.FLAGS.set_gnu_getopt(True)  # flags may follow positional arguments
            stray = flags.FLAGS(rest)[1:]
        except flags.Error as error:
            raise UserError(f"{error}{_meant(str(error))}; --help lists the flags") from error
        if words is not None:
            words.extend(stray)
        elif stray:
            raise UserError(_stray(stray[0]))
        overrides.update(found)
        _loudness()
        return argv[:1]

    sys.modules["__main__"].__doc__ = f"{usage}\n\n{help_lib.text()}" if fields else usage
    try:
        app.run(lambda _: _finish(main(overrides), status), flags_parser=parse)
    except UserError as error:
        if _verbose():
            traceback.print_exc()
        _fail(str(error), 2)
    except WorkerError as error:
        print(error.details, file=sys.stderr)
        _fail(str(error), 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        message = _cannot_write(error)
        if message is None:
            traceback.print_exc()
            _end(1)
        _fail(f"{message}; what was written before is whole", 1)
    except KeyboardInterrupt:
        _fail(_interrupted(), interrupts.CODE)


def _stray(word: str) -> str:
    """What is wrong with an argument that is no flag."""
    name = word.partition(":")[0]
    file = "config" in flags.FLAGS and (name.endswith(".py") or name in files.shipped())
    hint = f"did you mean --config={word}?" if file else "flags look like --name=value"
    return f"stray argument {word!r}; {hint}"


def _meant(error: str) -> str:
    """The field that a flag was meant to be, such as ``--ppo.learning_rate``."""
    found = re.search(r"Unknown command line flag '([\w.]+)'", error)
    return (
        f"; did you mean --{PREFIX}{found[1]}?" if found and found[1] in config_lib.FIELDS else ""
    )


def _interrupted() -> str:
    """What to do after Ctrl-C; names the folder, which is one of ours if no --workdir was given."""
    folder = typed.folder()
    if folder is None:
        return interrupts.AGAIN
    does = "goes on with it" if _goes_on(folder) else "starts it again"
    return f"interrupted; the same command with --workdir={folder} {does}"


def _goes_on(folder: Path) -> bool:
    """Whether a run that is started again goes on where it was; rollouts, for one, do not."""
    from jaxmaze import stages
    from jaxmaze.runs import run_folder

    with contextlib.suppress(UserError, KeyError):
        return stages.resumed(run_folder.read_config(folder)["kind"]) is True
    return False


def _loudness() -> None:
    """Print as much as the flags say."""
    if flags.FLAGS.quiet and flags.FLAGS.verbose:
        raise UserError("--quiet and --verbose exclude each other; give one of them")
    if flags.FLAGS.quiet or flags.FLAGS.verbose:
        from jaxmaze.runs import console

        console.loudness(flags.FLAGS.quiet, flags.FLAGS.verbose)


def _verbose() -> bool:
    """Whether details are asked for; not if the flags could not be read."""
    given = flags.FLAGS
    return given.is_parsed() and bool(given.verbose) and not given.quiet


def _command(argv: list[str]) -> str:
    """The command line as a user would type it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = spec.name.rpartition(".")[2] if spec is not None else Path(argv[0]).stem
    return shlex.join(["jaxmaze", name, *argv[1:]])


def _finish(folder: Path | None, status: Callable[[Path], int]) -> int:
    if folder is None:
        return 0
    print(folder, flush=True)
    return status(folder)


def _fail(message: str, code: int) -> NoReturn:
    """Print an error and exit at once."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    _end(code)


def _end(code: int) -> NoReturn:
    """Exit at once.

    Everything has been closed before. Only threads are left that compile programs which are no
    longer needed; waiting for them would take many seconds.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES)
"""System error codes for a file that cannot be written."""


def _cannot_write(error: BaseException | None) -> str | None:
    """The message for a file that could not be written; None for any other error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return f"{error.filename or 'a file'} cannot be written: {error.strerror}"
        for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):  # re-raised as text by libraries
            if os.strerror(code) in str(error):
                return f"a file cannot be written: {os.strerror(code)}"
        error = error.__cause__ or error.__context__
    return None


def split_overrides(argv: list[str]) -> tuple[list[str], dict[str, object]]:
    """Split ``--config.name=value`` and ``--config.name value`` from a command line.

    Returns:
      The remaining arguments, and the values by dotted name.

    Raises:
      UserError: for a name or a type that does not exist.
    """
    rest, found, i = [], {}, 0
    while i < len(argv):
        word = argv[i].lstrip("-")
        if i == 0 or not argv[i].startswith("-") or not word.startswith(PREFIX):
            rest.append(argv[i])
            i += 1
            continue
        name, equals, text = word.removeprefix(PREFIX).partition("=")
        config_lib.check_name(name)
        if not equals:
            if i + 1 >= len(argv):
                raise UserError(f"config.{name} has no value; write --config.{name}=VALUE")
            i += 1
            text = argv[i]
        found[name] = parse_value(name, text)
        i += 1
    return rest, found


def parse_value(name: str, text: str) -> object:
    """Parse the value of a field from its text.

    Raises:
      UserError: if there is no such field, or the value has the wrong type; ranges are checked
        later, with the whole configuration.
    """
    if name.startswith(config_lib.OPEN):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
    if name.startswith("sweep."):
        full = sweeps.full_name(name.removeprefix("sweep."))
        return tuple(parse_value(full, part.strip()) for part in text.strip("()").split(","))
    config_lib.check_name(name)
    field = config_lib.FIELDS[name]
    if field.optional and text == "None":
        return None
    if field.several:
        return _several(text)
    words = field.code or field.items is str
    if field.type is tuple and words and re.fullmatch(r"[\w.:,\s]+", text):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        if field.type is bool:
            return _BOOLEANS[text.lower()]
        if field.type is int:
            return int(text.replace("_", ""))
        if field.type is float:
            return float(text)
        if field.type in (tuple, dict):
            value = ast.literal_eval(text)
            if field.type is tuple and isinstance(value, int | list | str):
                value = tuple(value) if isinstance(value, list) else (value,)
            if not isinstance(value, field.type):
                raise ValueError(text)
            return value
    except (KeyError, TypeError, ValueError, SyntaxError):
        expected = config_lib.expected(name)
        raise UserError(f"config.{name}={text} is not valid; it must be {expected}") from None
    return text


def _several(text: str) -> str | tuple[str, ...]:
    """One string, or several: ``a,b`` or ``("a", "b")``. An existing folder with commas is one."""
    listed = text.startswith(("(", "[")) and text.endswith((")", "]"))
    if Path(text).exists() or not (listed or "," in text):
        return text
    inside = text[1:-1] if listed else text
    parts = [part.strip().strip("\"'") for part in inside.split(",")]
    return tuple(part for part in parts if part)


def config_if_given(
    config: str | None, env: str | None, overrides: dict[str, object]
) -> ml_collections.ConfigDict | None:
    """As :func:`config_from_flags`, for commands that mostly read it from a run; None without."""
    if config is None and env is None:
        if overrides:
            raise UserError(
                "--config.FIELD changes the configuration of --config=FILE or --env=ID; give one "
                "too"
            )
        return None
    return config_from_flags(config, env, overrides)


def config_from_flags(
    config: str | None, env: str | None, overrides: dict[str, object]
) -> ml_collections.ConfigDict:
    """The configuration that a command line asks for, fully checked.

    Args:
      config: the value of ``--config=FILE[:recipe]``.
      env: the value of ``--env=ID[:stage]``, which needs no file: the rest has default values.
      overrides: values by dotted name. If they are sufficient alone, as for cloning data without an
        environment, neither flag is needed.

    Raises:
      UserError: if there is none, it cannot be read, or it is not valid.
    """
    if config is not None and env is not None:
        raise UserError(
            "give either --config=FILE or --env=ID; --config.env.id=ID changes a file's environment"
        )
    if config is None and env is None and overrides.get("stage") != "bc":
        raise UserError(
            "--config is not set; give --env=ID with a gymnasium environment, --config=FILE with a "
            f"file of your own, or a name that comes with jaxmaze: {', '.join(files.shipped())}"
        )
    from jaxmaze import api

    if config is not None:
        return api.load_config(config, overrides)
    values: dict[str, object] = {}
    if env is not None:
        env_id, stage = _split_env(env)
        values = {"env": {"id": env_id}} | ({} if stage is None else {"stage": stage})
    return api.override(values, overrides)


def _split_env(flag: str) -> tuple[str, str | None]:
    """Id and stage of ``--env=ID[:stage]``; an id may have a colon of its own."""
    env_id, _, stage = flag.rpartition(":")
    if env_id and stage in config_lib.STAGES:
        return env_id, stage
    if re.search(r"-v\d+$", env_id):  # an id, not a module
        raise UserError(
            f"--env={flag}: there is no stage {stage!r}; choose one of "
            f"{', '.join(config_lib.STAGES)}"
        )
    return flag, None


def name_of(config: str | None, env: str | None, stage: str) -> tuple[str, str]:
    """The names for a command's folder: a file or an environment, and a recipe."""
    if config is not None:
        path, _, recipe = config.partition(":")
        return Path(path).stem, recipe or "workflow"
    if env is not None:
        return _split_env(env)[0].rpartition(":")[2].replace("/", "-"), stage
    return "data", stage


def prepare() -> None:
    """Configure the process before JAX starts: all cores as devices, quiet logs."""
    from jaxmaze.envs import environment
    from jaxmaze.training import compiled

    if not _verbose():
        # Orbax's threads log errors with a traceback, although the caller gets them in any case.
        absl_logging.set_verbosity(absl_logging.FATAL)
        logging.getLogger("jax").setLevel(logging.ERROR)
        environment.quiet()
    compiled.use_all_cores()
    compile_cache.enable()
