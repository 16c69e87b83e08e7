"""What is put around environments: wrappers, options of resets, skipped and stacked frames."""

import functools
import sys

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box

from jaxmaze import api
from jaxmaze.envs import environment, episodes, wrapping
from tests.count_env import HERE, Add, Count, Scale, config_of, first_obs, make_env, refused


def test_wrappers_are_applied_in_their_order_with_their_arguments():
    scale = (f"{HERE}:Scale", {"scale": 5.0})
    for wrappers, size in (
        ((scale, f"{HERE}:Add"), 16.0),
        ((f"{HERE}:Add", scale), 20.0),
        (("tests.count_env:Add", Add, lambda env: Scale(env, 10.0)), 50.0),
        (([f"{HERE}:Scale"], [f"{HERE}:Scale", {}]), 12.0),  # as JSON has them
    ):
        config = config_of(make=make_env, kwargs={"size": 3.0}, wrappers=wrappers)
        assert first_obs(config)[1] == size
        assert environment.describe(config).limit == 30
    timed = ("gymnasium.wrappers:TimeAwareObservation",)
    info = environment.describe(config_of(id="CartPole-v1", wrappers=timed))
    assert info.observation_space.shape == (5,) and environment.comes_with_gymnasium(info)
    mine = environment.describe(config_of(id="CartPole-v1", wrappers=(Add,)))
    assert not environment.comes_with_gymnasium(mine)


@pytest.mark.parametrize(
    "wrapper,words",
    [
        ("gymnasium.wrappers:Nope", ["env.wrappers", "has no 'Nope'"]),
        ((f"{HERE}:Scale", {"size": 3}), ["Scale cannot be put around", "'size'"]),
        (lambda env: None, ["<lambda>", "gave a NoneType", "gymnasium.Env"]),
        (lambda env: 1 / 0, ["ZeroDivisionError", "test_wrapping.py, line"]),
        ("gymnasium.wrappers:FlattenObservation:x", ["env.wrappers", "cannot be imported"]),
    ],
)
def test_wrappers_that_do_not_fit_are_one_line(wrapper, words):
    config = config_of(make=make_env, wrappers=(wrapper,))
    refused(lambda: environment.describe(config), *words)


def test_a_wrapped_environment_can_be_made_again_from_its_data(tmp_path, capsys):
    values = {
        "make": f"{HERE}:make_env",
        "kwargs": {"size": 3.0},
        "frame_skip": 2,
        "frame_stack": 2,
        "wrappers": ((f"{HERE}:Scale", {"scale": 5.0}), f"{HERE}:Alone"),
        "reset_options": {"number": 7.0},
    }
    config = api.make_config({"env": values})
    run = api.record(config, tmp_path / "run", policy="random", n_episodes=1)
    assert "no step limit" not in capsys.readouterr().out
    data = minari.MinariDataset(run.folder / "trajectory_data" / "data")
    (recorded,) = data
    again = data.recover_environment()
    np.testing.assert_array_equal(again.reset(seed=0)[0], recorded.observations[0])
    np.testing.assert_array_equal(again.step(1)[0], recorded.observations[1])
    info = environment.describe(environment.EnvConfig.of(run.config.env))
    assert info.limit == 30  # nobody can look into Alone, so that this is an upper bound
    assert len(recorded.rewards) == 15  # 30 steps, two for each action
    names = [w.name for w in data.env_spec.additional_wrappers]
    assert names == ["FrameSkip", "Scale", "Alone", "FrameStackObservation", "ResetOptions"]
    assert run.config.env.wrappers == (
        ["tests.count_env:Scale", {"scale": 5.0}],
        f"{HERE}:Alone",
    )


def test_every_reset_is_given_the_options_anew():
    config = config_of(make=make_env, reset_options={"number": 7.0})
    env = environment.make(config)
    for seed in range(3):  # Count takes it out of what it is given
        assert env.reset(seed=seed)[0][2] == 7.0
    info = environment.describe(config)
    seen = episodes.play_episodes(info, lambda obs: np.zeros(len(obs), int), range(3), 2, True)
    assert all(e.observations[0, 2] == 7.0 for e in seen)
    assert first_obs(config_of(make=make_env))[2] == -1.0


def test_a_skipped_frame_repeats_the_action_and_sums_the_rewards():
    env = environment.make(config_of(make=make_env, kwargs={"limit": 8}, frame_skip=3))
    env.reset(seed=0)
    steps = [env.step(0) for _ in range(3)]
    assert [float(s[1]) for s in steps] == [6.0, 15.0, 15.0]  # 1+2+3, 4+5+6, 7+8
    assert [s[0][0] for s in steps] == [3, 6, 8] and [s[3] for s in steps] == [False, False, True]
    assert wrapping.step_limit(env) == 3


def test_frames_are_stacked_and_the_limit_counts_actions():
    info = environment.describe(config_of(make=make_env, frame_skip=4, frame_stack=3))
    assert info.observation_space.shape == (3, 3) and info.limit == 8  # 30 / 4, rounded up
    both = config_of(make=make_env, max_episode_steps=10, frame_skip=4)
    assert (
        environment.describe(both).limit == 3
        and environment.registered_limit(environment.describe(both)) == 8
    )
    over_skip = functools.partial(gym.wrappers.TimeLimit, max_episode_steps=5)
    assert (
        environment.describe(config_of(make=make_env, frame_skip=4, wrappers=(over_skip,))).limit
        == 5
    )


class Film(Count):
    observation_space = Box(0, 255, (6, 8, 3), np.uint8)

    def obs(self):
        return np.full((6, 8, 3), self.steps, np.uint8)


def test_images_lose_their_colours():
    config = config_of(make=Film, max_episode_steps=9, grayscale=True, frame_stack=2)
    env = environment.make(config)
    assert env.observation_space == Box(0, 255, (2, 6, 8), np.uint8)
    assert env.reset(seed=0)[0].shape == (2, 6, 8)
    assert env.step(0)[0][:, 0, 0].tolist() == [0, 1]


def test_images_are_brought_to_a_size_where_there_is_opencv():
    pytest.importorskip("cv2")
    for resize, grayscale, shape in (((4, 5), False, (4, 5, 3)), ((4,), True, (4, 4))):
        fields = {"resize": resize, "grayscale": grayscale, "max_episode_steps": 9}
        env = environment.make(config_of(make=Film, **fields))
        assert env.observation_space == Box(0, 255, shape, np.uint8)
        assert env.reset(seed=0)[0].shape == shape


def test_what_is_for_images_says_so(monkeypatch):
    for field in ({"grayscale": True}, {"resize": (4, 4)}):
        config = config_of(make=make_env, **field)
        refused(lambda c=config: environment.make(c), f"env.{next(iter(field))} is for images")
    monkeypatch.setitem(sys.modules, "cv2", None)
    config = config_of(make=Film, resize=(4, 4))
    refused(lambda: environment.make(config), "env.resize", "pip install 'jaxmaze[image]'")


def test_the_registered_limit_is_known_where_a_wrapper_needs_one():
    timed = ("gymnasium.wrappers:TimeAwareObservation",)
    for factory, limit in ((f"{HERE}:Count", None), (f"{HERE}:make_env", 30)):
        config = config_of(make=factory, wrappers=timed, max_episode_steps=7)
        info = environment.describe(config)
        assert info.limit == 7
        assert environment.registered_limit(info) == limit
