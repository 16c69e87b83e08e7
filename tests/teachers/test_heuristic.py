import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.bipedal_walker import BipedalWalkerHeuristics
from gymnasium.envs.box2d.lunar_lander import heuristic

from jaxmaze import policies
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.errors import UserError
from jaxmaze.teachers.controllers.bipedal_walker import BipedalWalker
from jaxmaze.teachers.heuristic import (
    acrobot,
    cart_pole,
    lunar_lander,
    make,
    mountain_car,
    pendulum,
)


def visited_states(continuous: bool, count: int) -> tuple[np.ndarray, list]:
    """States that a noisy pilot meets, and the published controller's actions there."""
    rng = np.random.default_rng(0)
    env = gym.make("LunarLander-v3", continuous=continuous)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    states, actions = [], []
    for _ in range(count):
        action = heuristic(env, obs)
        states.append(obs)
        actions.append(action)
        step = env.action_space.sample() if rng.random() < 0.3 else action
        obs, _, terminated, truncated, _ = env.step(step)
        if terminated or truncated:
            obs, _ = env.reset()
    return np.array(states), actions


@pytest.mark.parametrize("continuous", [False, True])
def test_equals_the_published_controller_action_by_action(continuous):
    states, actions = visited_states(continuous, 20_000)
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(90_000, 8)).astype(np.float32) * 0.5
    drawn[:, 6:] = rng.random((90_000, 2)) < 0.2
    env = gym.make("LunarLander-v3", continuous=continuous)
    actions += [heuristic(env, s) for s in drawn]
    states = np.concatenate([states, drawn])
    assert len(states) >= 100_000
    np.testing.assert_array_equal(lunar_lander(states, continuous), np.array(actions))


def test_other_environments_have_none_and_are_told_so():
    with pytest.raises(
        UserError, match=r"no heuristic is known for CarRacing-v3.*LunarLander"
    ) as e:
        make(environment.describe(environment.EnvConfig("CarRacing-v3")), 0)
    for instead in ("my_module:function", "sb3:model.zip", "run", "human", "random"):
        assert instead in str(e.value)


@pytest.mark.parametrize(
    "env_id,at_least,at_most",
    [
        ("CartPole-v1", 280, 330),
        ("Acrobot-v1", -100, -75),
        ("MountainCar-v0", -122, -117),
        ("MountainCarContinuous-v0", 89, 90),
        ("Pendulum-v1", -310, -200),
    ],
)
def test_our_own_controllers_return_what_they_state(env_id, at_least, at_most):
    """Decent, and with room above: both bounds are what the docstrings promise."""
    info = environment.describe(environment.EnvConfig(env_id))
    act = policies.checked(policies.resolve("heuristic", info, 0), info)
    episodes = play_episodes(info, act, list(range(60)), 20)
    mean = np.mean([e.rewards.sum() for e in episodes])
    assert at_least <= mean <= at_most


@pytest.mark.parametrize("function,size", [(cart_pole, 4), (acrobot, 6)])
def test_a_batch_is_its_rows(function, size):
    obs = np.random.default_rng(0).normal(size=(1000, size)).astype(np.float32)
    actions = function(obs)
    assert actions.shape == (1000,) and actions.dtype == np.int64
    assert len(np.unique(actions)) == 2
    np.testing.assert_array_equal(actions, [function(row[None])[0] for row in obs])


def test_cart_pole_pushes_where_the_pole_leans_and_turns():
    states = [
        [0, 0, 0.1, 0],  # leans right
        [0, 0, -0.1, 0],  # leans left
        [0, 0, 0.1, -0.04],  # leans right, but turns left: 0.1 - 0.12 < 0
        [0, 0, 0.1, -0.03],  # turns too slowly: 0.1 - 0.09 > 0
        [2, 1, -0.1, 0],  # blind to the cart
    ]
    assert cart_pole(np.array(states)).tolist() == [1, 0, 0, 1, 0]


def test_acrobot_pumps_and_starts_from_rest():
    states = [
        [1, 0, 1, 0, 0, 0],  # hangs still
        [1, 0, 1, 0, 0, 0.5],
        [1, 0, 1, 0, 0, -0.5],
        [1, 0, 1, 0, 3, -0.5],  # the shoulder does not matter
    ]
    assert acrobot(np.array(states)).tolist() == [2, 2, 0, 0]


def test_the_mountain_cars_are_pushed_where_they_roll():
    obs = np.array([[-0.5, 0.01], [-0.5, -0.01], [0.3, 0.0]])
    assert mountain_car(obs).tolist() == [2, 0, 2]
    throttle = mountain_car(obs, True)
    assert throttle.tolist() == [[1], [-1], [1]] and throttle.dtype == np.float32


def test_the_pendulum_is_swung_up_and_held():
    def at(angle, speed):
        return [np.cos(angle), np.sin(angle), speed]

    torques = pendulum(np.array([at(np.pi, 1), at(np.pi, -1), at(0.1, 0), at(-0.1, 0), at(0, 0)]))
    assert torques.dtype == np.float32 and torques.shape == (5, 1)
    # With the swing, harder than the bounds; then against the lean: 10 * 0.1.
    np.testing.assert_allclose(torques[:, 0], [2, -2, -1, 1, 0], atol=1e-6)
    # With more energy than it takes to stand, it is braked: 15 * 2 - 0.5 * 8**2 = -2.
    np.testing.assert_allclose(pendulum(np.array([at(np.pi, 8)])), [[-0.2]], atol=1e-5)


def test_the_walker_equals_the_published_one_action_by_action():
    env, ours = gym.make("BipedalWalker-v3"), BipedalWalker()
    rng, phases = np.random.default_rng(0), set()
    for seed in range(6):
        obs, _ = env.reset(seed=seed)
        ours.reset(seed)
        theirs, over = BipedalWalkerHeuristics(), False
        while not over:
            expected = theirs.step_heuristic(obs)
            np.testing.assert_array_equal(ours.act(obs), expected)
            phases.add((theirs.state, theirs.moving_leg))
            noise = 0.3 * rng.standard_normal(4) * (seed > 2)
            obs, _, terminated, truncated, _ = env.step(np.clip(expected + noise, -1, 1))
            over = terminated or truncated
    assert len(phases) == 6
