"""``jaxmaze video RUN...``: policies side by side on one seed, as MP4 and GIF."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Make a video of policies side by side on one seed: MP4 and GIF.

jaxmaze video WORKFLOW                teacher, clone and fine-tuned
jaxmaze video RUN RUN ... [--teacher=ROLLOUT|NAME] [--labels=NAME,NAME]
jaxmaze video RUN --output=film.gif   one file

The seed is that of the first test episode unless --episode=N or --seed=N says another. A single
run's video is written to its folder, RUN/videos/, and shown in its report."""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_integer("seed", None, "Seed of the episode.", lower_bound=0)
    flags.DEFINE_integer(
        "episode", None, "Which test episode instead, counted from 0.", lower_bound=0
    )
    flags.DEFINE_string(
        "teacher", None, "Shown first: a teacher's name, or the folder of a rollout or a run."
    )
    flags.DEFINE_list("labels", [], "What the policies are called, in their order.")
    flags.DEFINE_integer("member", 0, "Which member of each run.", lower_bound=0)
    flags.DEFINE_string("output", None, "File to write, .mp4 or .gif.")
    flags.DEFINE_string("workdir", None, "Folder to write MP4 and GIF to.")
    flags.DEFINE_float(
        "fps", None, "Steps a second; the environment's if unset.", lower_bound=1, upper_bound=1000
    )
    flags.DEFINE_integer(
        "width", None, "Width in pixels; 320 a picture if unset.", upper_bound=4096
    )
    flags.DEFINE_integer("max_steps", None, "Cut episodes off after so many.", lower_bound=1)
    flags.DEFINE_string(
        "config", None, "Config file of the environment; the one that the runs name if unset."
    )
    flags.DEFINE_string("env", None, "Environment, in place of a config file.")
    flags.DEFINE_boolean("trust", False, "Import code that the runs' folders name.")


def main(runs: list[str], overrides: dict[str, object]) -> Path:
    """Make the video of the runs that the words name; returns the file."""
    from jaxmaze import api

    if not runs:
        raise UserError("give the folders of runs: jaxmaze video RUN ...")
    if FLAGS.seed is not None and FLAGS.episode is not None:
        raise UserError("give --seed or --episode, not both")
    config = cli.config_if_given(FLAGS.config, FLAGS.env, overrides)
    cli.prepare()
    return api.video(
        *runs,
        seed=FLAGS.seed,
        episode=FLAGS.episode or 0,
        teacher=FLAGS.teacher,
        labels=FLAGS.labels,
        member=FLAGS.member,
        output=FLAGS.output,
        workdir=FLAGS.workdir,
        fps=FLAGS.fps,
        width=FLAGS.width,
        max_steps=FLAGS.max_steps,
        config=config,
        trust=FLAGS.trust,
    )


if __name__ == "__main__":
    define_flags()
    given: list[str] = []
    cli.run(lambda overrides: main(given, overrides), USAGE, words=given)
