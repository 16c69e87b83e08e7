"""``jaxmaze convert SOURCE``: convert recordings of other libraries to a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Convert recordings to a Minari data set.

jaxmaze convert SOURCE --config=configs/cartpole.py [--format=csv] [--workdir=DIR]

SOURCE is a CSV file, an .npz file or a folder of them, a folder that imitation saved, or a file
that d3rlpy dumped. No pickle is loaded."""

FLAGS = flags.FLAGS
COLUMNS = ("observations", "actions")
COLUMN = ("rewards", "terminations", "truncations", "episodes", "seeds")
TEXTS = ("format", "policy", "dataset_id", "author", "author_email", "code_permalink")


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("config", None, "Config file that says which environment, or its name.")
    flags.DEFINE_string("env", None, "Environment, in place of a config file.")
    flags.DEFINE_string("format", None, "csv, npz, imitation or d3rlpy; found out if unset.")
    for name in COLUMNS:
        flags.DEFINE_list(name, None, f"Columns of a table with {name}, by name or as obs_*.")
    for name in COLUMN:
        flags.DEFINE_string(name, None, f"Column of a table with {name}.")
    flags.DEFINE_boolean("clip_actions", False, "Clip actions outside their bounds.")
    flags.DEFINE_string("policy", None, "Who acted; for the record.")
    flags.DEFINE_string("dataset_id", None, "Minari id, such as cartpole/mine-v0.")
    flags.DEFINE_string("author", None, "Who made the data.")
    flags.DEFINE_string("author_email", None, "Their address.")
    flags.DEFINE_string("code_permalink", None, "Link to the code behind the data.")
    flags.DEFINE_string("workdir", None, "Folder to write; outputs/<config>-data/<time> if unset.")


def main(sources: list[str], overrides: dict[str, object]) -> Path:
    """Convert the sources on the command line; returns the folder written."""
    from jaxmaze import api
    from jaxmaze.runs import run_folder

    if len(sources) != 1:
        raise UserError("give one file or folder: jaxmaze convert SOURCE --config=FILE")
    config = cli.config_from_flags(FLAGS.config, FLAGS.env, overrides)
    cli.prepare()
    given: dict[str, Any] = {name: FLAGS[name].value for name in (*COLUMNS, *COLUMN, *TEXTS)}
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
    workdir = FLAGS.workdir or run_folder.default_workdir(
        cli.name_of(FLAGS.config, FLAGS.env, config.stage)[0], "data"
    )
    given["clip_actions"] = FLAGS.clip_actions
    return api.convert(sources[0], workdir, env=config, **given)


if __name__ == "__main__":
    define_flags()
    named: list[str] = []
    cli.run(lambda overrides: main(named, overrides), USAGE, words=named)
