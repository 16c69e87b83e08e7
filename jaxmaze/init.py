"""``jaxmaze init FILE``: write a config file to start from."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from jaxmaze import cli
from jaxmaze.errors import UserError

USAGE = """Write a config file to begin with, for an environment.

jaxmaze init my_config.py --env=CartPole-v1 [--config.FIELD=VALUE ...]"""

EXAMPLE = "CartPole-v1"
FLAGS = flags.FLAGS


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("env", None, f"Environment: an id, or module:Name-v0; {EXAMPLE} if unset.")


def main(files: list[str], overrides: dict[str, object]) -> Path:
    """Write the one file in ``files``; returns it."""
    if len(files) != 1 or not files[0].endswith(".py"):
        raise UserError("give the one file to write: jaxmaze init my_config.py")
    if any(name.startswith("sweep.") for name in overrides):
        raise UserError("a config file has no sweep; give it when you train")
    file = Path(files[0])
    if file.exists():
        raise UserError(f"{file} exists already; give another name, or delete it first")
    from jaxmaze import api
    from jaxmaze import config as config_lib
    from jaxmaze.config import draft
    from jaxmaze.envs import environment
    from jaxmaze.policies import resolve
    from jaxmaze.runs import console, disk

    config = api.override({"env": {"id": FLAGS.env or EXAMPLE}}, overrides)
    settings = config_lib.to_settings(config)
    environment.quiet()
    info = environment.describe(environment.EnvConfig.of(settings.env), console.say)
    try:
        resolve(settings.rollout.policy, info, settings.seed)
        teacher = True
    except UserError:
        if "rollout.policy" in overrides:
            raise
        teacher = False
    chosen = {"env.kwargs" if n.startswith("env.kwargs.") else n for n in overrides}
    text = draft.text(info, config, chosen, teacher, file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with disk.whole(file) as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error}") from error
    console.say(f"{info.config.id} has {info.spaces.describe()}")
    if not teacher:
        console.say("note: no teacher is known for it, so the file trains from scratch with PPO")
    if FLAGS.env is None:
        console.say(f"note: put your own environment in the place of {EXAMPLE}")
    return file


if __name__ == "__main__":
    define_flags()
    given: list[str] = []
    cli.run(lambda overrides: main(given, overrides), USAGE, words=given)
