"""Images and other observations than vectors, from recording to fine-tuning."""

import contextlib

import gymnasium as gym
import h5py
import jax
import numpy as np
import pytest

from jaxmaze import UserError, api
from jaxmaze.core.types import Policy
from jaxmaze.envs import environment
from jaxmaze.envs.actors import ActorConfig
from jaxmaze.envs.collectors import rollout_shapes
from jaxmaze.envs.workers import Pool
from jaxmaze.policies import build_networks
from jaxmaze.runs import trajectories
from jaxmaze.training import bc_learner
from tests.conftest import SMALL

IMAGES = {
    **SMALL,
    "members": 1,
    "env.id": "tests.image_env:Dot-v0",
    "env.max_episode_steps": None,
    "rollout.policy": "tests.image_env:teacher",
    "rollout.n_episodes": 12,
    "bc.batch_size": 32,
    "bc.num_epochs": 12,
    "bc.learning_rate_schedule": "constant",
    "bc.eval_every": 0,
    "bc.refit": False,
    "ppo.total_env_steps": 384,
}


def config(**changes):
    return api.make_config({**IMAGES, **changes})


def mixed():
    return config(**{"env.kwargs": {"mixed": True}})


def info_of(settings):
    return environment.describe(environment.EnvConfig.of(api.make_config(settings).env))


@pytest.mark.parametrize("kwargs", [{}, {"mixed": True}])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_segment_holds_bytes_that_the_environment_gave(kwargs, workers):
    settings = config(**{"env.kwargs": kwargs})
    info = info_of(settings)
    networks = build_networks(settings, info.spaces)
    policy = Policy(networks.init_policy(np.random.SeedSequence(0)), networks.init_stats())
    policies = jax.tree.map(lambda x: np.stack([x, x]), policy)
    actor = ActorConfig(info.config, networks, (3, 4), 2, 2)
    with contextlib.closing(Pool(actor, info, workers)) as pool:
        pool.reset(0)
        rollout = pool.begin(policies, 0, 25)().rollout
    shapes = rollout_shapes("gymnasium", networks, (2, 25, 2))
    jax.tree.map(lambda x, y: (x.dtype, x.shape) == (y.dtype, y.shape) or 1 / 0, rollout, shapes)
    image = rollout.obs["image"] if kwargs else rollout.obs
    after = rollout.next_obs["image"] if kwargs else rollout.next_obs
    assert image.dtype == after.dtype == np.uint8 and image.shape == (2, 25, 2, 24, 24, 1)
    assert set(np.unique(image)) == {0, 255} and (image.sum((3, 4, 5)) == 9 * 255).all()
    # An episode is 20 steps long: what follows its last is its own end, then another begins.
    np.testing.assert_array_equal(after[:, :19], image[:, 1:20])
    assert (after[:, 19] != image[:, 20]).any()
    columns = (image[..., 0].max(3).argmax(3), after[..., 0].max(3).argmax(3))
    assert (abs(columns[0] - columns[1]) <= 1).all()
    # The policy acted on these very pixels.
    for m in range(2):
        obs = jax.tree.map(lambda x, m=m: x[m], rollout.obs)
        dist = networks.distribution(policy.params, policy.obs_stats, obs)
        log_prob = dist.log_prob(rollout.action[m])
        np.testing.assert_allclose(log_prob, rollout.log_prob[m], atol=1e-5)


def test_images_are_bytes_on_disk_and_on_the_device(tmp_path):
    settings = config(**{"rollout.n_episodes": 3})
    run = api.record(settings, tmp_path / "run")
    with h5py.File(next((tmp_path / "run").rglob("main_data.hdf5"))) as file:
        stored = file["episode_0"]["observations"]
        assert stored.dtype == np.uint8 and stored.shape == (21, 24, 24, 1)
    info = info_of(settings)
    data = trajectories.read(run.folder, info)
    obs, action, _ = trajectories.rows(data.episodes, info.spaces.action)
    assert obs.dtype == np.uint8 and obs.shape == (60, 24, 24, 1)
    rows = bc_learner.rows_on_device(obs, action)
    assert rows.obs.dtype == np.uint8
    env = gym.make("Dot-v0")
    first, _ = env.reset(seed=data.episodes[0].seed)
    np.testing.assert_array_equal(obs[0], first)


@pytest.mark.slow
def test_a_clone_learns_from_pictures_and_is_fine_tuned(tmp_path):
    settings = config()
    data = api.record(settings, tmp_path / "data")
    clone = api.clone(settings, data, tmp_path / "clone")
    assert clone.summary["evaluation"]["mean"] > 17  # of 20; chance is 10
    policy = api.load_policy(clone.folder)
    assert policy.networks.spec.encoder == "nature"
    env = gym.make("Dot-v0")
    obs = np.stack([env.reset(seed=i)[0] for i in range(40)])
    left = obs[..., 0].max(1).argmax(1) < 11
    assert (policy(obs) == left).mean() > 0.9
    np.testing.assert_array_equal(policy(obs.tolist()), policy(obs))
    with pytest.raises(ValueError, match="uint8"):
        policy(obs / 255.0)
    tuned = api.fine_tune(settings, clone, tmp_path / "tuned")
    assert tuned.summary["evaluation"]["mean"] > 17
    shown = [x for x in tuned.metrics() if "ppo/approx_kl" in x]
    assert shown and all(np.isfinite(x["ppo/approx_kl"]) for x in shown)


WORKFLOWS = {
    "FrozenLake-v1": {"env.id": "FrozenLake-v1", "rollout.policy": "random"},
    "Blackjack-v1": {"env.id": "Blackjack-v1", "rollout.policy": "random"},
    "images and more": {"env.kwargs": {"mixed": True}, "network.encoder": "mlp"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_whole_workflow(name, tmp_path):
    changes = {"bc.num_epochs": 2, "bc.batch_size": 4, "ppo.num_epochs": 1} | WORKFLOWS[name]
    run = api.train(config(**changes, stage="workflow"), tmp_path / "run")
    assert set(run.summary["arms"]) >= {"from_scratch", "pretrained"}
    policy = api.load_policy(run.folder)
    env = gym.make(changes.get("env.id", "Dot-v0"), **changes.get("env.kwargs", {}))
    obs = [env.reset(seed=i)[0] for i in range(3)]
    batch = jax.tree.map(lambda *x: np.stack(x), *obs)  # as the environment gives them
    assert env.action_space.contains(policy(batch)[0].astype(env.action_space.dtype))
    dagger = config(**changes, stage="dagger")
    labelled = api.train(dagger, tmp_path / "dagger")
    assert np.isfinite(labelled.summary["evaluation"]["mean"])


def test_an_encoder_that_does_not_fit_is_said():
    settings = config(**{"env.id": "CartPole-v1", "network.encoder": "nature"})
    with pytest.raises(UserError, match=r"network.encoder=nature is for images .* mlp or auto"):
        build_networks(settings, info_of(settings).spaces)
    assert build_networks(config(), info_of(config()).spaces).spec.encoder == "nature"
    assert build_networks(mixed(), info_of(mixed()).spaces).spec.encoder == "nature"


def test_data_out_of_range_and_of_others_are_refused():
    info = info_of(config(**{"env.id": "FrozenLake-v1"}))
    obs = np.arange(14, 17)
    assert "16, not an integer from 0 to 15" in info.spaces.obs.problem(obs, "FrozenLake-v1")
    others = [info_of(config(**{"env.id": name})) for name in ("Taxi-v4", "CartPole-v1")]
    assert all(other.spaces != info.spaces for other in others)
    assert "one of 16" in info.spaces.describe()
