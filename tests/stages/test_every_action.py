"""Environments that take every kind of action, or give masks, from recording to fine-tuning."""

import json

import gymnasium as gym
import jax
import minari
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import trajectories
from tests import action_env
from tests.conftest import SMALL, command, goes_on_as, killed

TINY = {k: v for k, v in SMALL.items() if k != "env.max_episode_steps"} | {
    "rollout.n_episodes": 12,
    "members": 1,
    "bc.num_epochs": 10,
    "bc.learning_rate": 1e-2,
    "bc.batch_size": 16,
    "ppo.num_steps": 16,
    "ppo.total_env_steps": 256,
}
EVERYTHING = api.make_config(
    TINY
    | {
        "env.id": "tests.action_env:Everything-v0",
        "rollout.policy": "tests.action_env:everything",
        "network.squash_actions": True,
    }
)
MASKED = api.make_config(
    TINY | {"env.id": "tests.action_env:Masked-v0", "rollout.policy": "tests.action_env:rightwards"}
)


def logged(run):
    return {name for line in run.metrics() for name in line}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    return api.record(EVERYTHING, tmp_path_factory.mktemp("everything") / "run")


@pytest.fixture(scope="module")
def clone(everything, tmp_path_factory):
    return api.clone(EVERYTHING, everything, tmp_path_factory.mktemp("clone") / "run")


def test_recorded_actions_are_in_the_environments_space(everything):
    dataset = minari.MinariDataset(everything.folder / "trajectory_data" / "data")
    space = gym.make("tests.action_env:Everything-v0").action_space
    assert dataset.action_space == space
    episode = dataset[0]
    for t in range(10):
        taken = jax.tree.map(lambda x, t=t: x[t], episode.actions)
        assert taken["steer"][0].dtype == np.float64 and taken["gear"].dtype == np.int64
        assert all(taken[n] in space[n] for n in ("gear", "lamps", "tools"))
    wanted = action_env.everything(episode.observations[:10])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), episode.actions, wanted)


def test_recorded_actions_come_back_with_their_checksum(everything):
    info = environment.describe(environment.EnvConfig.of(EVERYTHING.env))
    dataset = trajectories.read(everything.folder, info)
    assert len(dataset.episodes) == 12 and dataset.num_steps == 120
    obs, rows, _ = trajectories.rows(dataset.episodes, info.spaces.action)
    assert rows.shape == (120, 12) and rows.dtype == np.float32
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        info.spaces.action.to_env(rows),
        action_env.everything(obs),
    )


@pytest.mark.slow
def test_a_clone_of_every_kind_gets_most_of_it_right(clone):
    logs = logged(clone)
    for name in ("gear.discrete_accuracy", "lamps.multi_binary_accuracy_all", "steer.1.box"):
        assert any(name in line for line in logs), name
    info = environment.describe(environment.EnvConfig.of(EVERYTHING.env))
    random = api.evaluate(EVERYTHING, "random")["mean"]
    assert clone.summary["evaluation"]["mean"] > random + 5
    policy = clone.policy()
    obs = np.random.default_rng(0).uniform(-1, 1, (5, 3)).astype(np.float32)
    for actions in (policy(obs), policy(obs, seed=1)):
        assert info.spaces.action.problem(actions, "") == ""
        assert actions["steer"][0].shape == (5, 2, 1) and actions["gear"].min() >= -1
    jax.tree.map(np.testing.assert_array_equal, policy(obs, seed=1), policy(obs, seed=1))


@pytest.mark.slow
def test_dagger_labels_every_kind(tmp_path):
    run = api.dagger(EVERYTHING, tmp_path / "dagger")
    info = environment.describe(environment.EnvConfig.of(EVERYTHING.env))
    (episodes,) = [trajectories.read(run.folder / "seed_0", info).episodes]
    assert len(episodes) == 4
    for e in episodes:
        labels = action_env.everything(e.observations[:-1])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), e.labels, labels)
    # The teacher acts in the first round, the clone in the second.
    same = [np.allclose(e.actions["steer"][0], e.labels["steer"][0]) for e in episodes]
    assert same == [True, True, False, False]


@pytest.mark.slow
def test_fine_tuning_every_kind_resumes_to_the_bit(clone, tmp_path):
    config = TINY | {"members": 2, "env.id": EVERYTHING.env.id, "ppo.init_from": str(clone.folder)}
    config |= {"network.squash_actions": True}
    (tmp_path / "config.py").write_text(f"def get_config(recipe=''):\n    return {config!r}\n")
    train = ["jaxmaze.train", f"--config={tmp_path / 'config.py'}", "--config.stage=ppo"]
    done = command(*train, f"--workdir={tmp_path / 'whole'}")
    assert done.returncode == 0, done.stderr
    killed(train, tmp_path / "cut", 2)
    summary = goes_on_as(tmp_path / "cut", tmp_path / "whole", "--trust")
    assert np.isfinite(summary["evaluation"]["mean"])


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return api.record(MASKED, tmp_path_factory.mktemp("masked") / "run")


@pytest.mark.slow
def test_masks_go_with_the_data_through_cloning_and_fine_tuning(masked, tmp_path):
    # The environment stops at an action that its mask forbids.
    dataset = minari.MinariDataset(masked.folder / "trajectory_data" / "data")
    assert set(dataset.observation_space.spaces) == {"observation", "action_mask"}
    assert 0 < dataset[0].observations["action_mask"].mean() < 1
    clone = api.clone(MASKED, masked, tmp_path / "clone")
    tuned = api.fine_tune(MASKED, clone, tmp_path / "tuned")
    loaded = api.load_policy(tuned)
    obs = {
        "observation": np.array([[0.0, 1.0], [3.0, 5.0]], np.float32),
        "action_mask": np.array([[0, 0, 0, 1], [1, 0, 0, 0]]),
    }
    np.testing.assert_array_equal(loaded(obs), [4, 1])
    np.testing.assert_array_equal(loaded(obs, seed=3), [4, 1])
    figures = json.loads((tuned.folder / "summary.json").read_text())
    assert np.isfinite(figures["evaluation"]["mean"])


def test_demonstrations_that_their_masks_forbid_are_one_line(masked, tmp_path):
    with pytest.raises(UserError, match=r"episode \d has action 4 at step .*action_mask forbids"):
        lenient = api.override(MASKED, {"env.kwargs": {"strict": False}})
        api.record(lenient, tmp_path / "a", policy=action_env.reckless)
    info = environment.describe(environment.EnvConfig.of(MASKED.env))
    good = trajectories.read(masked.folder, info).episodes[0]
    blocked = dict(good.observations, action_mask=good.observations["action_mask"].copy())
    blocked["action_mask"][1] = 0
    bad = Episode(0, 0, blocked, good.actions, good.rewards, True)
    with pytest.raises(UserError, match="leaves no action at step 1"):
        trajectories.write(tmp_path / "b", [bad], info, {})


def test_data_without_the_masks_that_the_environment_has_are_one_line(masked, tmp_path):
    without = api.override(MASKED, {"env.action_masks": False, "rollout.policy": "random"})
    without = api.override(
        without, {"env.kwargs": {"how": "none", "strict": False}, "rollout.n_episodes": 2}
    )
    data = api.record(without, tmp_path / "data")
    with pytest.raises(UserError, match="action_masks=False leaves the masks out"):
        api.clone(MASKED, data, tmp_path / "clone")


PENDULUM = api.make_config(
    TINY | {"env.id": "Pendulum-v1", "env.max_episode_steps": 20, "rollout.policy": "random"}
)


@pytest.mark.slow
def test_squashed_actions_are_cloned_at_their_bounds(tmp_path):
    config = api.override(PENDULUM, {"network.squash_actions": True, "rollout.n_episodes": 4})
    data = api.record(config, tmp_path / "data", policy=lambda obs: np.sign(obs[:, 2:]) * 2.0)
    clone = api.clone(config, data, tmp_path / "clone")  # all at their bounds
    assert clone.policy().networks.spec.squash_actions
    obs = np.array([[1.0, 0.0, 3.0], [1.0, 0.0, -3.0]], np.float32)
    (up,), (down,) = clone.policy()(obs)
    assert 1 < up <= 2 and -2 <= down < -1
    assert (np.abs(clone.policy()(obs, seed=0)) <= 2).all()
    with pytest.raises(UserError, match="squash_actions=True, but this run has False"):
        api.fine_tune(PENDULUM, clone, tmp_path / "other")


def test_actions_without_bounds_are_not_squashed(tmp_path):
    gym.register("Endless-v0", "tests.stages.test_every_action:Endless", max_episode_steps=5)
    config = api.override(PENDULUM, {"network.squash_actions": True})
    config = api.override(config, {"env.id": "Endless-v0", "env.max_episode_steps": 5})
    with pytest.raises(UserError, match=r"squash_actions needs bounds .* dimension 1 goes from 0"):
        api.fine_tune(config, None, tmp_path / "run")


class Endless(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(np.array([-1, 0], np.float32), np.array([1, np.inf], np.float32))

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}
