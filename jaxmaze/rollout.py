"""``jaxmaze rollout``: play episodes with a policy; evaluate, show or record them."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli, trust
from jaxmaze import config as config_lib
from jaxmaze.errors import UserError

USAGE = """Play episodes with a policy.

jaxmaze rollout --config=configs/lunar_lander.py --policy=heuristic --record
jaxmaze rollout --env=CartPole-v1 --policy=my_teachers:balance --record
jaxmaze rollout --run=DIR --n_episodes=50"""

FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("config", None, "Config file that says which environment, or its name.")
    flags.DEFINE_string("env", None, "Environment, in place of a config file.")
    flags.DEFINE_string("run", None, "Folder of a run: its policy in its environment.")
    flags.DEFINE_boolean("trust", False, "Import code that the folder of --run names.")
    flags.DEFINE_string(
        "policy",
        None,
        "heuristic, random, human, a run's folder, sb3:model.zip, or package.module:function.",
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

    if (FLAGS.config is None and FLAGS.env is None) == (FLAGS.run is None):
        raise UserError(
            "give either --config=FILE or --env=ID (and --policy), or --run=DIR; where "
            "config.env.make makes the environment, --env=NAME is what it is called"
        )
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
        # A teacher in its configuration is not needed here.
        config = api.override(config, {"dagger.policy": None})
        trust.check(config_lib.import_paths(config), source, FLAGS.trust, changes.values())
        if not config_lib.to_settings(config).env.named:
            raise UserError(
                f"{source} was cloned without an environment; name one to play in with "
                "--config.env.id=ID"
            )
        name = "run"
    else:
        config = cli.config_from_flags(FLAGS.config, FLAGS.env, changes)
        name = cli.name_of(FLAGS.config, FLAGS.env, config.stage)[0]
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
