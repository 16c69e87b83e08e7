"""The discount of runs that set none: found, printed, recorded, kept."""

import json
import shutil

import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.envs import environment
from jaxmaze.training import discount
from jaxmaze.training.handover import Demonstrations
from tests.conftest import SMALL, command, flags, goes_on_as, killed

TAKEN = ("env.max_episode_steps", "ppo.gamma")
TINY = {k: v for k, v in SMALL.items() if k not in TAKEN} | {"stage": "ppo"}


class Behind:
    """Stands for the demonstrations behind the runs."""

    def __init__(self, *sets):
        self.sets = sets

    def behind(self, config):
        return list(self.sets)


def demos(length, truncated):
    zeros = np.zeros(length)
    return Demonstrations(zeros, zeros, zeros, np.zeros(length, int), zeros[:1], truncated)


def found(env, tmp_path, *sets, **more):
    config = api.config_lib.to_settings(api.make_config(TINY | {"env.id": env, **more}))
    info = environment.describe(environment.EnvConfig.of(config.env))
    arms, rules = discount.settled({"a": (config, tmp_path / "a")}, info, Behind(*sets))
    return arms["a"][0].ppo.gamma, rules


@pytest.mark.parametrize(
    "env,gamma",
    [
        ("CartPole-v1", 0.998),  # a random policy drops the pole; each step pays the same
        ("BipedalWalker-v3", 0.999),  # it falls too, but few steps pay
        ("FrozenLake-v1", 0.99),  # it drowns, and no step pays
        ("Pendulum-v1", 0.95),  # nothing ends but by the limit
        ("MountainCar-v0", 0.995),  # no random policy arrives, but all rewards are equal
        ("LunarLander-v3", 0.999),
        ("CliffWalking-v1", 0.999),  # no limit
    ],
)
def test_environments_tell_by_a_few_tries_how_they_end(env, gamma, tmp_path):
    assert found(env, tmp_path)[0] == gamma


def test_demonstrations_that_end_tell_it_too(tmp_path):
    arrived, cut = demos(90, np.array([False])), demos(90, np.array([True]))
    env = "MountainCarContinuous-v0"  # random policies do not arrive; rewards differ
    assert found(env, tmp_path)[0] == 0.9899
    assert found(env, tmp_path, cut)[0] == round(1 - 10 / 900, 4)
    assert found(env, tmp_path, cut, arrived)[0] == round(1 - 1 / 900, 4)
    assert "longest demonstration" in found(env, tmp_path, arrived)[1]["a"]["discount"]["rule"]


@pytest.mark.parametrize(
    "env,gamma",
    [
        ("Hopper-v5", 0.99),  # it falls, and most steps pay, some more than others
        ("Walker2d-v5", 0.99),
        ("InvertedPendulum-v5", 0.999),  # all steps pay the same, but the last
    ],
)
def test_where_lasting_pays_a_tenth_of_the_limit_is_seen(env, gamma, tmp_path):
    pytest.importorskip("mujoco")
    assert found(env, tmp_path)[0] == gamma
    # Demonstrations that end do not say that an end is good.
    assert found(env, tmp_path, demos(300, np.array([False])))[0] == gamma


def test_a_discount_that_is_set_is_kept_and_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(discount, "_tried", lambda info, known: 1 / 0)
    assert found("CartPole-v1", tmp_path, **{"ppo.gamma": 0.9}) == (0.9, {})
    with pytest.raises(ZeroDivisionError):
        found("CartPole-v1", tmp_path)


@pytest.mark.slow
def test_it_is_printed_once_recorded_and_the_same_after_a_resume(tmp_path):
    settings = TINY | {"env.id": "CartPole-v1"}
    train = ["jaxmaze.train", "--env=CartPole-v1", *flags(settings)]
    done = command(*train, f"--workdir={tmp_path / 'whole'}")
    assert done.returncode == 0, done.stderr
    (line,) = [x for x in done.stdout.splitlines() if "discount" in x]
    rule = "1 - 1/500: episodes have at most 500 steps"
    assert line == f"discount 0.998 = {rule} (config.ppo.gamma sets another)"
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["config"]["ppo"]["gamma"] == 0.998
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert summary["discount"] == config["discount"]
    assert summary["discount"] == {"gamma": 0.998, "rule": rule}
    # The same command goes on where it was stopped, and so does --resume.
    killed(train, tmp_path / "cut", 2)
    shutil.copytree(tmp_path / "cut", tmp_path / "again")
    assert goes_on_as(tmp_path / "cut", tmp_path / "whole")["discount"] == summary["discount"]
    done = command(*train, f"--workdir={tmp_path / 'again'}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "again" / "summary.json").read_text())["discount"]
    # What sets it is another run, and says nothing of a rule.
    other = command(*train, "--config.ppo.gamma=0.9", f"--workdir={tmp_path / 'again'}")
    assert other.returncode == 2 and "gamma is 0.998 there and 0.9 here" in other.stderr


@pytest.mark.slow
def test_sweeps_set_it_or_leave_it(tmp_path):
    settings = TINY | {"env.id": "CartPole-v1", "members": 1, "sweep": {"gamma": (0.9, 0.99)}}
    run = api.train(api.make_config(settings), tmp_path / "gammas")
    for gamma in (0.9, 0.99):
        folder = run.folder / f"gamma={gamma}"
        assert json.loads((folder / "config.json").read_text())["config"]["ppo"]["gamma"] == gamma
        assert "discount" not in json.loads((folder / "summary.json").read_text())
