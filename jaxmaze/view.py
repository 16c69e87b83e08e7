"""``jaxmaze view DATA|RUN``: look at episodes in a browser."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Look at episodes in a browser: pictures, actions, what policies would do.

jaxmaze view DATA [--policies=RUN,RUN] [--config=configs/lunar_lander.py]
jaxmaze view RUN                      episodes that its policy plays
jaxmaze view DATA|RUN DATA|RUN        two side by side, on the same seeds
jaxmaze view DATA --export=page.html  one file that needs no server"""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_list("policies", [], "Runs whose policies are shown beside what was done.")
    flags.DEFINE_string(
        "config", None, "Config file of the environment; the one that the data name if unset."
    )
    flags.DEFINE_string("env", None, "Environment, in place of a config file.")
    flags.DEFINE_integer(
        "n_episodes",
        10,
        "Episodes that a run's policy plays, and that an exported page holds.",
        lower_bound=1,
    )
    flags.DEFINE_boolean("trust", False, "Import code that the data's or the run's folder names.")
    flags.DEFINE_string("export", None, "File to write instead of serving, page.html.")
    flags.DEFINE_integer(
        "port",
        0,
        "Port on 127.0.0.1; 8765 or any other if unset.",
        lower_bound=0,
        upper_bound=65535,
    )
    flags.DEFINE_boolean("open", False, "Open the page in the browser.")


def main(data: list[str], overrides: dict[str, object]) -> Path | None:
    """Show what the words name; returns the file if one is written."""
    from jaxmaze import api
    from jaxmaze.runs import console

    if not 1 <= len(data) <= 2:
        raise UserError(
            "give one or two folders with recorded episodes or of runs: jaxmaze view DATA"
        )
    config = cli.config_if_given(FLAGS.config, FLAGS.env, overrides)
    cli.prepare()
    viewer = api.view(
        *data,
        policies=FLAGS.policies,
        config=config,
        trust=FLAGS.trust,
        n_episodes=FLAGS.n_episodes,
    )
    for note in viewer.notes():
        console.say(f"note: {note}")
    if FLAGS.export is not None:
        return viewer.save(FLAGS.export)
    viewer.serve(FLAGS.port, FLAGS.open)
    return None


if __name__ == "__main__":
    define_flags()
    given: list[str] = []
    cli.run(lambda overrides: main(given, overrides), USAGE, words=given)
