import numpy as np
import pytest

from jaxmaze.core import seeding
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import iter_episodes, play_episodes
from jaxmaze.policies import resolve

LANDER = environment.EnvConfig("LunarLander-v3", max_episode_steps=150)


@pytest.fixture(scope="module")
def info():
    return environment.describe(LANDER)


def seeds(n):
    return seeding.episode_seeds(0, seeding.ROLLOUT, n)


def test_episodes_do_not_depend_on_how_many_environments_run_at_once(info):
    act = resolve("heuristic", info, 0)
    one = play_episodes(info, act, seeds(7), 1, record=True)
    many = play_episodes(info, act, seeds(7), 4, record=True)
    assert [e.index for e in many] == list(range(7))
    for a, b in zip(one, many, strict=True):
        assert a.seed == b.seed and a.terminated == b.terminated
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.rewards, b.rewards)


def test_an_episode_is_replayed_by_its_seed_and_actions(info):
    episode = play_episodes(info, resolve("heuristic", info, 0), seeds(3), 2, record=True)[2]
    env = environment.make(LANDER)
    obs, _ = env.reset(seed=episode.seed)
    assert len(episode.observations) == episode.length + 1
    for t, action in enumerate(episode.actions):
        np.testing.assert_array_equal(obs, episode.observations[t])
        obs, reward, terminated, truncated, _ = env.step(int(action))
        assert reward == episode.rewards[t]
    np.testing.assert_array_equal(obs, episode.observations[-1])
    assert (terminated or truncated) and terminated == episode.terminated


def test_each_episode_counts_once_whatever_its_length(info):
    # Random pilots crash at very different times; all N chosen episodes are played, none twice.
    ended = []
    episodes = play_episodes(
        info, resolve("random", info, 0), seeds(20), 8, on_episode=lambda e: ended.append(e.index)
    )
    assert sorted(ended) == list(range(20)) and len(episodes) == 20
    assert len({e.seed for e in episodes}) == 20
    assert ended != sorted(ended)  # shorter ones did end earlier


def test_episodes_come_in_order_while_others_still_run(info):
    ended = []
    episodes = iter_episodes(
        info, resolve("random", info, 0), seeds(20), 4, on_episode=lambda e: ended.append(e.index)
    )
    assert next(episodes).index == 0 and 0 in ended and len(ended) < 20
    assert [e.index for e in episodes] == list(range(1, 20))


def test_seeds_of_different_purposes_and_runs_do_not_meet():
    lists = [
        set(seeding.episode_seeds(root, stream, 300).tolist())
        for root in (0, 1, 2)
        for stream in (seeding.ROLLOUT, seeding.SELECTION, seeding.TEST)
    ]
    for i, a in enumerate(lists):
        for b in lists[i + 1 :]:
            assert len(a & b) <= 1
    assert (
        seeding.episode_seeds(5, seeding.TEST, 3).tolist()
        == seeding.episode_seeds(5, seeding.TEST, 9).tolist()[:3]
    )
