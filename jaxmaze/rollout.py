"""``python -m jaxmaze.rollout``: a policy plays episodes, which are counted, shown or recorded."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli, trust
from jaxmaze import config as config_lib
from jaxmaze.errors import UserError

USAGE = """Play episodes with a policy.

python -m jaxmaze.rollout --config=configs/lunar_lander.py --policy=heuristic --record
python -m jaxmaze.rollout --run=DIR --n_episodes=50"""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("config", None, "Config file that says which environment, or its name.")
    flags.DEFINE_string("run", None, "Folder of a run: its policy in its environment.")
    flags.DEFINE_boolean("trust", False, "Import code that the folder of --run names.")
    flags.DEFINE_string(
        "policy", None, "heuristic, random, a run's folder, or package.module:function."
    )
    flags.DEFINE_integer("n_episodes", None, "Number of episodes.", lower_bound=1)
    flags.DEFINE_integer(
        "seed", None, "Seed of the episodes; the configuration's if unset.", lower_bound=0
    )
    flags.DEFINE_integer("member", 0, "Which member of a run.", lower_bound=0)
    flags.DEFINE_boolean("deterministic", None, "The mode of a trained policy instead of samples.")
    flags.DEFINE_boolean("record", False, "Write the episodes to trajectory_data/.")
    flags.DEFINE_enum("render", None, ["human", "video"], "Show a window, or write videos.")
    flags.DEFINE_string(
        "workdir", None, "Folder to write; outputs/<config>-rollout/<time> if unset."
    )


def main(overrides: dict[str, object]) -> Path:
    """Run what the flags say; returns the folder."""
    from jaxmaze import api
    from jaxmaze.runs import run_folder

    if (FLAGS.config is None) == (FLAGS.run is None):
        raise UserError("give either --config=FILE (and --policy) or --run=DIR")
    changes: dict[str, object] = dict(overrides)
    for flag, field in (
        ("n_episodes", "rollout.n_episodes"),
        ("seed", "seed"),
        ("policy", "rollout.policy"),
        ("deterministic", "evaluation.deterministic"),
    ):
        if FLAGS[flag].value is not None:
            changes[field] = FLAGS[flag].value
    if FLAGS.run is not None:
        if FLAGS.policy is not None:
            raise UserError("--run says which policy; give no --policy with it")
        source = run_folder.delivering(Path(FLAGS.run))
        config = api.override(
            run_folder.load_config(source), changes | {"rollout.policy": str(source)}
        )
        # Of the teachers that its configuration names none is asked.
        config = api.override(config, {"dagger.policy": None})
        trust.check(config_lib.import_paths(config), source, FLAGS.trust, changes.values())
        name = "run"
    else:
        config = cli.config_from_flag(FLAGS.config, changes)
        name = cli.name_of(FLAGS.config)[0]
    if config.rollout.minari and not FLAGS.record:
        raise UserError("config.rollout.minari=True is for what is recorded; add --record")
    cli.prepare()
    return api.record(
        config,
        FLAGS.workdir or run_folder.default_workdir(name, "rollout"),
        save=FLAGS.record,
        render=FLAGS.render,
        member=FLAGS.member,
    ).folder


if __name__ == "__main__":
    define_flags()
    cli.run(main, USAGE)
