"""``jaxmaze COMMAND``: commands by name, environments without a file, a file to begin with."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import __main__ as commands
from jaxmaze import api, cli
from jaxmaze import init as init_command
from jaxmaze.errors import UserError
from tests.conftest import HERE, SMALL, command, flags
from tests.test_cli import fails

TINY = {k: v for k, v in SMALL.items() if k != "env.max_episode_steps"}


def test_help_lists_all_commands_at_once():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['jaxmaze']\n"
        "runpy.run_module('jaxmaze', run_name='__main__')\n"
        "assert not {'jax', 'numpy', 'absl', 'gymnasium'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", code], env=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert shown == sorted(commands.commands())
    assert {"train", "rollout", "compare", "export", "init"} <= set(shown)
    assert "  rollout  Play episodes with a policy.\n" in done.stdout


@pytest.mark.parametrize("name", commands.commands())
def test_a_command_is_the_module_of_its_name(name):
    done, same = command("jaxmaze", name, "--help"), command(f"jaxmaze.{name}", "--help")
    assert done.stdout == same.stdout and commands.commands()[name] in done.stdout
    assert f"jaxmaze {name} " in done.stdout and "python -m" not in done.stdout.split("\n\n")[1]
    assert done.returncode == same.returncode


def test_a_wrong_command_is_one_line():
    fails(command("jaxmaze", "trian"), "no command 'trian'", "did you mean train?", "compare, ")
    fails(command("jaxmaze", "api"), "no command 'api'")
    fails(command("jaxmaze", "train", "--wrokdir=x"), "wrokdir")
    assert command("jaxmaze", "--version").stdout == "jaxmaze 0.1.0\n"


@pytest.mark.parametrize(
    "name", ["compare", "convert", "export", "init", "inspect", "report", "video", "view"]
)
def test_what_is_missing_is_said_as_a_command_is_typed(name):
    done = command("jaxmaze", name)
    fails(done, f": jaxmaze {name} ")
    assert "python -m" not in done.stderr


def test_flags_and_other_words_come_in_any_order(tmp_path):
    done = command("jaxmaze", "compare", "a", "--workdir", "w", "b", "--nosuch", cwd=tmp_path)
    fails(done, "nosuch")
    fails(command("jaxmaze", "compare", "--workdir", "w", "a", cwd=tmp_path), "a is not a folder")


def test_an_environment_takes_the_place_of_a_file():
    read = cli.config_from_flags
    plain = api.override({"env": {"id": "CartPole-v1"}}, {})
    assert read(None, "CartPole-v1", {}).to_dict() == plain.to_dict()
    config = read(None, "my_env:Ball-v0:ppo", {"ppo.gamma": 0.9})
    assert (config.env.id, config.stage, config.ppo.gamma) == ("my_env:Ball-v0", "ppo", 0.9)
    assert read(None, "Ball-v0", {"stage": "dagger"}).stage == "dagger"
    assert read(None, "my_env:Ball-v0", {}).env.id == "my_env:Ball-v0"
    assert read(None, None, {"stage": "bc"}).env.id is None
    with pytest.raises(UserError, match="either --config=FILE or --env=ID"):
        read("cartpole", "CartPole-v1", {})
    with pytest.raises(UserError, match=r"--config is not set; give --env=ID.*cartpole"):
        read(None, None, {})
    assert cli.name_of(None, "ALE/Pong-v5:ppo", "ppo") == ("ALE-Pong-v5", "ppo")
    assert cli.name_of(None, "my_env:Ball-v0", "workflow") == ("Ball-v0", "workflow")
    assert cli.name_of("configs/mine.py:guide", None, "workflow") == ("mine", "guide")


def test_train_and_rollout_take_an_environment_alone(tmp_path):
    run = ("jaxmaze", "train", "--env=CartPole-v1:ppo", *flags(TINY))
    done = command(*run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("outputs/CartPole-v1-ppo/")
    done = command("jaxmaze", "rollout", "--env=CartPole-v1", "--n_episodes=2", cwd=tmp_path)
    assert "2 episodes of heuristic" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1].startswith("outputs/CartPole-v1-rollout/")
    fails(command("jaxmaze", "rollout", "--env=CartPole-v1", "--run=x"), "or --run=DIR")
    fails(command("jaxmaze", "train", "--env=CartPole-v1", "--resume=x"), "no other flag")
    fails(
        command("jaxmaze", "train", "--env=FrozenLake-v1:workflow", cwd=tmp_path),
        *("no heuristic is known", "config.rollout.policy", "--env=ID:ppo"),
    )


class Endless(gym.Env):
    """Images, continuous actions, and no end."""

    observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.zeros((8, 8, 3), np.uint8), {}

    def step(self, action):
        return np.zeros((8, 8, 3), np.uint8), 0.0, False, False, {}


@pytest.fixture
def endless(monkeypatch):
    spec = gym.envs.registration.EnvSpec("Endless-v0", entry_point=Endless)
    monkeypatch.setitem(gym.registry, "Endless-v0", spec)


def written(folder, monkeypatch, env, name="mine.py", **overrides):
    """What init writes, and the configurations that it stands for: as it is, and uncommented."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(init_command, "FLAGS", type("Flags", (), {"env": env}))
    assert init_command.main([name], overrides) == init_command.Path(name)
    text = (folder / name).read_text()
    (folder / "all.py").write_text(text.replace('# "', '"'))
    return text, api.load_config(name), api.load_config("all.py")


def test_init_writes_a_file_whose_comments_are_the_defaults(tmp_path, monkeypatch):
    text, config, everything = written(tmp_path, monkeypatch, "CartPole-v1")
    wanted = {"env.id": "CartPole-v1", "members": 3}
    assert config.to_dict() == everything.to_dict() == api.make_config(wanted).to_dict()
    one = written(tmp_path, monkeypatch, "Pendulum-v1", name="swing.py")[0]
    assert "Actions: 1 continuous action from -2 to 2." in one
    assert text.startswith('"""CartPole-v1: 500 steps an episode at most.\n')
    assert "Observations: (4,). Actions: 2 discrete actions." in text
    assert '\n            "policy": "heuristic",' in text and '# "hidden_sizes": (64, 64),' in text
    assert max(map(len, text.splitlines())) <= 100
    for recipe in ("bc", "dagger", "ppo"):
        assert f"jaxmaze train --config=mine.py:{recipe}" in text
        assert api.load_config(f"mine.py:{recipe}").stage == recipe
    with pytest.raises(UserError, match=r"mine\.py exists already"):
        init_command.main(["mine.py"], {})
    assert (tmp_path / "mine.py").read_text() == text


def test_init_looks_at_the_environment(tmp_path, monkeypatch, endless, capsys):
    given = {"env.kwargs.gravity": 'a "b"', "seed": 3, "members": 5, "bc.max_grad_norm": np.inf}
    monkeypatch.setattr(Endless, "__init__", lambda self, gravity: None)
    text, config, everything = written(tmp_path, monkeypatch, "Endless-v0", **given)
    assert config.env.max_episode_steps == 1000 and "it has no limit of its own" in text
    assert config.stage == "ppo" and '# "policy": "my_teachers:act",' in text
    assert "images: nature" in text and "try 0 with continuous actions" in text
    assert config.env.kwargs.gravity == 'a "b"' and config.bc.max_grad_norm == np.inf
    assert config.members == 5 and config.seed == 3
    everything.rollout.policy = "heuristic"
    assert everything.to_dict() == config.to_dict()
    assert "no teacher is known" in capsys.readouterr().out


def test_wrong_words_for_init_are_one_line(tmp_path):
    fails(command("jaxmaze", "init", cwd=tmp_path), "give the one file to write")
    fails(command("jaxmaze", "init", "x.txt", cwd=tmp_path), "give the one file to write")
    fails(command("jaxmaze", "init", "x.py", "--env=Nowhere-v0", cwd=tmp_path), "Nowhere")
    fails(command("jaxmaze", "init", "x.py", "--config.sweep.gamma=0.9", cwd=tmp_path), "sweep")
    missing = "--config.rollout.policy=nobody:act"
    fails(command("jaxmaze", "init", "x.py", missing, cwd=tmp_path), "nobody:act")
    assert not list(tmp_path.iterdir())
