"""A person as teacher: keys and sticks are fed as events, the window is a dummy."""

import json
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze.envs import environment, making
from jaxmaze.errors import UserError
from jaxmaze.runs import trajectories
from jaxmaze.teachers.person import keys, session
from tests.conftest import HERE

pygame = pytest.importorskip("pygame")
CONFIG = {"env": {"id": "MountainCar-v0", "max_episode_steps": 12}}


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setattr(making, "_set", set())  # that of this test is the user's own
    yield
    pygame.quit()


def key(name, down=True):
    code = pygame.key.key_code(name)
    return pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, key=code)


def stick(axis, value):
    return pygame.event.Event(pygame.JOYAXISMOTION, axis=axis, value=value, instance_id=0)


def up(name):
    return key(name, False)


@pytest.fixture
def feed(monkeypatch):
    """Lets events happen, one list a frame, and counts the frames."""
    frames = []

    def script(*steps):
        left = list(steps)

        def tick(clock, fps):
            frames.append(pygame.display.get_caption()[0])
            assert len(frames) < 500, "the person has gone"
            if left:
                for event in left.pop(0)():
                    pygame.event.post(event)

        monkeypatch.setattr(session, "tick", tick)
        return frames

    return script


def press(*names):
    return lambda: [key(n) for n in names]


def release(*names):
    return lambda: [up(n) for n in names]


def wait(frames):
    return [lambda: []] * frames


def play(tmp_path, config=CONFIG, n_episodes=1):
    run = api.record(config, tmp_path / "run", policy="human", n_episodes=n_episodes)
    info = environment.describe(environment.EnvConfig.of(api.make_config(config).env))
    return run, trajectories.read(run.folder, info).episodes


def replayed(episode, env):
    """The same observations again, from the seed and the actions."""
    obs, _ = env.reset(seed=episode.seed)
    seen = [obs]
    for action in episode.actions:
        seen.append(env.step(action)[0])
    np.testing.assert_array_equal(np.array(seen), episode.observations)


def test_keys_are_recorded_as_the_actions_that_they_mean(tmp_path, feed):
    # The environment's own keys: left is 0, right 2, neither or both 1.
    feed(
        *wait(3),  # nothing happens before a key
        press("left"),
        *wait(2),
        press("right"),
        release("left"),
        *wait(2),
        release("right"),
        *wait(20),
        press("space"),
    )
    run, (episode,) = play(tmp_path)
    assert episode.actions.tolist() == [0, 0, 0, 1, 2, 2, 2, 1, 1, 1, 1, 1]
    assert not episode.terminated and episode.rewards.tolist() == [-1] * 12
    replayed(episode, gym.make("MountainCar-v0"))
    assert run.summary["evaluation"]["episodes"] == 1 and run.config.rollout.policy == "human"


def test_an_episode_is_redone_thrown_away_or_ends_it_all(tmp_path, feed):
    whole = wait(13)
    frames = feed(
        press("space"),
        *wait(4),
        press("r"),  # again, in the middle
        press("right"),
        *whole,
        release("right"),
        press("r"),  # again, after the end
        press("left"),
        *whole,
        release("left"),
        press("space"),  # kept
        press("space"),
        *wait(3),
        press("x"),  # thrown away in the middle
        press("space"),
        *whole,
        press("x"),  # thrown away after the end
        press("space"),
        *whole,
        press("return"),  # kept
        press("space"),
        *wait(2),
        press("escape"),  # stops, in the middle
    )
    run, episodes = play(tmp_path, n_episodes=8)
    seeds = [e["seed"] for e in map(json.loads, (run.folder / "episodes.jsonl").open())]
    expected = api.record(CONFIG, tmp_path / "all", policy="random", n_episodes=8)
    listed = [json.loads(x)["seed"] for x in (expected.folder / "episodes.jsonl").open()]
    assert seeds == [listed[0], listed[3]] == [e.seed for e in episodes]
    assert set(episodes[0].actions.tolist()) == {0} and set(episodes[1].actions.tolist()) == {1}
    assert run.summary["evaluation"]["episodes"] == 2
    assert any("episode 5 of 8: press a key" in title for title in frames)
    assert any("return -12.0: space keeps it" in title for title in frames)


def test_escape_after_an_episode_keeps_it(tmp_path, feed):
    feed(press("space"), *wait(13), press("escape"))
    assert len(play(tmp_path, n_episodes=5)[1]) == 1


def test_nothing_kept_is_said_and_leaves_no_data(tmp_path, feed):
    feed(press("space"), lambda: [pygame.event.Event(pygame.QUIT)])
    with pytest.raises(UserError, match="no episode was kept"):
        play(tmp_path)
    assert not (tmp_path / "run" / "trajectory_data").exists()
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_stick_steers_in_proportion(tmp_path, feed):
    config = {"env": {"id": "Pendulum-v1", "max_episode_steps": 6}}
    feed(
        press("space"),
        lambda: [stick(0, -0.75)],
        lambda: [stick(0, 0.5)],
        lambda: [stick(0, 0.1)],
        press("left"),
        *wait(5),
        press("space"),
    )
    _, (episode,) = play(tmp_path, config)
    np.testing.assert_allclose(episode.actions[:, 0], [0, 1.5, -1, 0, 2, 2])


def test_a_stick_is_keys_where_actions_are_discrete(tmp_path, feed):
    feed(
        press("space"),
        lambda: [stick(0, -0.9)],
        lambda: [stick(0, 0.9)],
        lambda: [stick(0, 0.4)],
        lambda: [pygame.event.Event(pygame.JOYHATMOTION, value=(-1, 0), hat=0)],
        *wait(12),
        lambda: [pygame.event.Event(pygame.JOYBUTTONDOWN, button=0)],
    )
    _, (episode,) = play(tmp_path)
    assert episode.actions.tolist()[:6] == [1, 0, 2, 1, 0, 0]


def info_of(env, **kwargs):
    return environment.describe(environment.EnvConfig(env, json.dumps(kwargs)))


def test_known_environments_have_keys():
    pygame.display.init()
    lander = keys.find(info_of("LunarLander-v3"), {}, None)
    assert [int(lander.action(p)) for p in ({}, {"left": 1}, {"left": 1, "up": 1}, {})] == [
        0,
        1,
        2,
        0,
    ]
    cart = keys.find(info_of("CartPole-v1"), {}, None)  # no action is none: the last goes on
    assert [int(cart.action(p)) for p in ({"right": 1}, {}, {"left": 1}, {})] == [1, 1, 0, 0]
    free = keys.find(info_of("LunarLander-v3", continuous=True), {}, None)
    assert free.action({"up": 1.0, "left": 0.5}).tolist() == [1, -0.5]
    assert free.action({"left": 1.0, "right": 1.0}).tolist() == [0, 0]
    assert free.action({}).tolist() == [0, 0]
    for env in ("Acrobot-v1", "Pendulum-v1", "MountainCarContinuous-v0"):
        found = keys.find(info_of(env), {}, None)
        assert not np.array_equal(found.action({"left": 1.0}), found.action({"right": 1.0}))


def test_keys_may_be_given(tmp_path, feed):
    config = {"env": {"id": "BipedalWalker-v3", "max_episode_steps": 3}}
    with pytest.raises(UserError, match=r"no keys are known for BipedalWalker-v3.*keyboard="):
        play(tmp_path, config)
    given = {"a": [1, 0, 0, 0], "d": [0, 0.5, 0, 0], "a+d": [0, 0, 0, -1]}
    feed(press("a"), press("d"), release("a"), *wait(5), press("space"))
    _, (episode,) = play(tmp_path, config | {"rollout": {"keyboard": given}})
    assert episode.actions.tolist() == [[1, 0, 0, 0], [0, 0, 0, -1], [0, 0.5, 0, 0]]
    for bad, words in (
        ({"a": [1, 0]}, "'a' means"),
        ({"a": 1}, "'a' means"),
        ({"a": [2, 0, 0, 0]}, "'a' means"),
        ({"r": [1, 0, 0, 0]}, "r cannot be an action's"),
        ({"nokey": [1, 0, 0, 0]}, "there is no key 'nokey'"),
    ):
        with pytest.raises(UserError, match=words):
            keys.find(info_of("BipedalWalker-v3"), bad, None)
    for bad in ({"a": 4}, {"a": 0.5}, {"a": "b"}, {"a": -1}):
        with pytest.raises(UserError, match=r"'a' means.*4 discrete actions"):
            keys.find(info_of("LunarLander-v3"), bad, None)


def test_a_person_is_not_asked_by_programs(tmp_path):
    config = api.make_config(CONFIG)
    for ask in (
        lambda: policies.resolve("human", info_of("MountainCar-v0"), 0),
        lambda: api.evaluate(config, "human"),
        lambda: api.dagger(config, tmp_path / "dagger", policy="human"),
        lambda: api.train(api.override(config, {"rollout.policy": "human"}), tmp_path / "run"),
    ):
        with pytest.raises(UserError, match=r"a person plays in a rollout.*--record.*bc.data"):
            ask()
    with pytest.raises(UserError, match="not for a person"):
        api.record(CONFIG | {"rollout": {"epsilon": 0.1}}, tmp_path / "noise", policy="human")
    with pytest.raises(UserError, match="leave --render out"):
        api.record(CONFIG, tmp_path / "video", policy="human", render="video")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("driver", [{}, {"SDL_VIDEODRIVER": "there-is-none"}])
def test_without_a_screen_it_is_said(tmp_path, driver):
    environ = {k: v for k, v in HERE.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environ.pop("SDL_VIDEODRIVER", None)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "jaxmaze.rollout",
            "--config=cartpole",
            "--policy=human",
            f"--workdir={tmp_path}/run",
        ],
        env=environ | driver | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    # The library that opens windows may have said something of its own before.
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "needs a screen" in done.stderr.splitlines()[-1] and not (tmp_path / "run").exists()
