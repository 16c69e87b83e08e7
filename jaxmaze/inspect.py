"""``jaxmaze inspect DATA``: check whether recorded episodes are fit to learn from."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Look at recorded episodes: what is wrong with them, and what to do about it.

jaxmaze inspect DATA [--config=configs/lunar_lander.py] [--replay=10] [--workdir=DIR]

Exit code 1 if the data are unfit to learn from."""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "config", None, "Config file of the environment; the one that the data name if unset."
    )
    flags.DEFINE_string("env", None, "Environment, in place of a config file.")
    flags.DEFINE_integer(
        "replay", 10, "Episodes whose actions are played again in the environment.", lower_bound=0
    )
    flags.DEFINE_boolean("trust", False, "Import code that the data's folder names.")
    flags.DEFINE_string("workdir", None, "Folder to write; outputs/<data>-inspect/<time> if unset.")


def main(data: list[str], overrides: dict[str, object]) -> Path:
    """Inspect the one data set in ``data``; returns the folder written."""
    from jaxmaze import api

    if len(data) != 1:
        raise UserError("give one folder with recorded episodes: jaxmaze inspect DATA")
    config = cli.config_if_given(FLAGS.config, FLAGS.env, overrides)
    cli.prepare()
    return api.inspect(
        data[0], FLAGS.workdir, config=config, trust=FLAGS.trust, replay=FLAGS.replay
    ).folder


def unfit(folder: Path) -> int:
    """The exit code of an inspection: whether the data are unfit."""
    from jaxmaze.runs import run_folder

    return int(run_folder.summary(folder)["verdict"] == "unfit")


if __name__ == "__main__":
    define_flags()
    given: list[str] = []
    cli.run(lambda overrides: main(given, overrides), USAGE, status=unfit, words=given)
