"""``jaxmaze train``: the whole workflow, or one stage of it."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Record a teacher, clone it, fine-tune the clone, compare.

jaxmaze train --config=configs/lunar_lander.py[:RECIPE] [--config.FIELD=VALUE ...]
jaxmaze train --env=CartPole-v1[:STAGE] [--config.FIELD=VALUE ...]
jaxmaze train --resume=DIR"""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "config", None, "Config file or name, with a recipe behind a colon if wanted."
    )
    flags.DEFINE_string(
        "env", None, "Environment, in place of a file; with a stage behind a colon if wanted."
    )
    flags.DEFINE_string(
        "workdir", None, "Folder to write; outputs/<config>-<recipe>/<time> if unset."
    )
    flags.DEFINE_string("resume", None, "Folder of a run to go on with.")
    flags.DEFINE_boolean("trust", False, "Import code that the folder of --resume names.")


def main(overrides: dict[str, object]) -> Path:
    """Run what the flags say; returns the folder."""
    from jaxmaze import api
    from jaxmaze.runs import run_folder

    if FLAGS.resume is not None:
        given = (FLAGS.config, FLAGS.env, FLAGS.workdir)
        if any(flag is not None for flag in given) or overrides:
            raise UserError("--resume takes everything from the folder; give no other flag with it")
        cli.prepare()
        return api.resume(FLAGS.resume, trust=FLAGS.trust).folder
    config = cli.config_from_flags(FLAGS.config, FLAGS.env, overrides)
    cli.prepare()
    named = cli.name_of(FLAGS.config, FLAGS.env, config.stage)
    workdir = FLAGS.workdir or run_folder.default_workdir(*named)
    return api.train(config, workdir).folder


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE, fields=True)
