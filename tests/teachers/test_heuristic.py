import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.box2d.lunar_lander import heuristic

from jaxmaze.envs import gymnasium as backend
from jaxmaze.errors import UserError
from jaxmaze.teachers.heuristic import lunar_lander, make


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
    with pytest.raises(UserError, match=r"no heuristic is known for CartPole-v1.*LunarLander"):
        make(backend.describe(backend.EnvConfig("CartPole-v1")), 0)
