"""Environments that are made by functions; what is not understood is one line."""

import functools
import json
import os
import pickle
import sys
import types
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.envs import environment, episodes, importing, making, wrapping
from jaxmaze.envs.env_config import EnvConfig
from tests.count_env import (
    HERE,
    Count,
    Maker,
    Scale,
    config_of,
    first_obs,
    make_env,
    refused,
    variant,
)


@pytest.mark.parametrize(
    "make,text",
    [
        (f"{HERE}:make_env", f"{HERE}:make_env"),
        (make_env, f"{HERE}:make_env"),
        (Count, f"{HERE}:Count"),
        (lambda size: make_env(size), "tests.envs.test_making:<lambda>"),
        (functools.partial(make_env, limit=7), f"{HERE}:make_env(limit=7)"),
        (Maker(), f"{HERE}:Maker()"),
        (Maker().method, f"{HERE}:Maker().method"),
        (Maker.of_class, f"{HERE}:Maker.of_class"),
    ],
)
def test_whatever_makes_an_environment_makes_it_and_gives_it_its_name(make, text):
    takes_size = "method" not in text and "of_class" not in text
    fields = {"make": make, "max_episode_steps": 20, "kwargs": {"size": 3.0} if takes_size else {}}
    config = config_of(**fields)
    assert config.id == text and hash(config) == hash(config_of(**fields))
    info = environment.describe(config)
    assert info.spec.id and info.limit == (7 if "limit=7" in text else 20)
    assert first_obs(config)[1] == (3.0 if takes_size else 1.0)
    settings = api.override({"env": fields}, {"seed": 3})
    assert settings.env.make == make
    # As a run's folder keeps it: by its import path, where it has one.
    written = json.loads(json.dumps(environment.spec_dict(info)))
    assert written["entry_point"] == text and written["max_episode_steps"] == 20
    assert importing.nameless(text) == (
        importing.path_of(make) is None if callable(make) else False
    )


def test_what_has_a_name_is_sent_by_it():
    config = config_of(make=make_env, wrappers=(Scale, (Scale, {"scale": 3.0})))
    assert config.make == f"{HERE}:make_env"
    assert config.wrappers == ((f"{HERE}:Scale", "{}"), (f"{HERE}:Scale", '{"scale": 3.0}'))
    assert pickle.loads(pickle.dumps(config)) == config
    rebound = functools.wraps(make_env)(lambda: None)  # claims a name that is not its own
    assert config_of(make=rebound).make is rebound


def test_an_id_beside_make_is_only_what_it_is_called():
    info = environment.describe(config_of(make=make_env, id="no.such:Ball-v3"))
    assert info.config.id == info.spec.id == "no.such:Ball-v3"


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda: 3, ["<lambda>", "int", "must return one environment, a gymnasium.Env"]),
        (lambda: gym.make_vec("CartPole-v1", 2), ["CartPoleVectorEnv", "one environment"]),
        (lambda: 1 / 0, ["ZeroDivisionError", "test_making.py, line"]),
        (lambda size: Count(size), ["env.kwargs={}", "missing 1 required positional argument"]),
        (f"{HERE}:make_evn", ["has no 'make_evn'; did you mean 'make_env'?", "count_env.py"]),
        (f"{HERE}:HERE", ["is a str; it must be a function or a class"]),
        ("absent_module:make", ["no module 'absent_module'", "the current folder", "PYTHONPATH"]),
        ("__main__:make_env", ["was given in Python", "give it again"]),
        ("x:<lambda>", ["was given in Python", "give it again"]),
        ("_jaxmaze_config_mine:make", ["was given in Python", "give it again"]),
    ],
)
def test_what_makes_no_environment_is_one_line(make, words):
    refused(lambda: environment.describe(config_of(make=make)), *words)


def test_modules_are_searched_where_the_message_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(lambda: environment.describe(config_of(make="lost_env:make")), str(tmp_path))
    refused(lambda: environment.describe(config_of(id="Lost-v0")), str(tmp_path), "module:Name-v0")
    (tmp_path / "found_env.py").write_text(f"from {HERE} import make_env")
    assert environment.describe(config_of(make="found_env:make_env")).limit == 30
    config = api.make_config({"env": {"make": "found_env:make_env"}})
    lost = functools.partial(api.evaluate, config, "lost_teacher:act", 1)
    refused(lost, "lost_teacher", str(tmp_path), "the current folder")


@pytest.mark.parametrize(
    "fields,words",
    [
        ({}, ["env.id is not set", "env.make"]),
        ({"make": "my_env.py"}, ["env.make=my_env.py", "module:make_env"]),
        ({"make": 3}, ["env.make is 3", "module:name"]),
        ({"make": make_env, "wrappers": "x:y"}, ["env.wrappers is 'x:y'", "a tuple such as"]),
        ({"make": make_env, "wrappers": ("y",)}, ["env.wrappers has 'y'", "import path"]),
        ({"make": make_env, "wrappers": (("x:y", 3),)}, ["env.wrappers has ('x:y', 3)"]),
        ({"make": make_env, "wrappers": (("x:y", {}, 3),)}, ["env.wrappers has ('x:y', {}, 3)"]),
        ({"make": make_env, "resize": (1, 2, 3)}, ["env.resize is (1, 2, 3)", "(84,84)"]),
        ({"make": make_env, "resize": (84, 0)}, ["env.resize is (84, 0)"]),
        ({"make": make_env, "frame_stack": 0}, ["env.frame_stack is 0", "at least 1"]),
        ({"make": make_env, "reset_options": 3}, ["env.reset_options is 3"]),
    ],
)
def test_fields_of_the_wrong_form_are_one_line(fields, words):
    refused(lambda: api.override({"env": fields}, {}), *words)


def test_arguments_that_cannot_be_written_down_are_one_line():
    wrappers = (("gymnasium.wrappers:TransformReward", {"func": abs}),)
    refused(lambda: config_of(make=make_env, wrappers=wrappers), "env.wrappers", "lambda env:")
    refused(lambda: config_of(make=make_env, kwargs={"x": abs}), "env.kwargs must be numbers")
    refused(lambda: config_of(make=make_env, reset_options={"x": abs}), "env.reset_options must be")


def test_an_environment_without_a_limit_is_said_once_and_stopped(monkeypatch, capsys):
    monkeypatch.setattr(environment, "_noted", set())
    endless, short = variant(), variant(ends_at=40)
    info = [
        environment.describe(config_of(make=make, id=n))
        for make, n in ((endless, "A"), (short, "B"))
    ]
    environment.describe(config_of(make=endless, id="A"))
    out = capsys.readouterr().out
    assert out.count("A has no step limit") == 1 and out.count("env.max_episode_steps") == 2
    assert [i.limit for i in info] == [None, None]
    monkeypatch.setattr(wrapping, "LONGEST", 60)

    def play(i):
        return episodes.play_episodes(i, lambda obs: np.zeros(len(obs), int), range(3), 2)

    assert [e.length for e in play(info[1])] == [40] * 3  # it ends by itself
    refused(lambda: play(info[0]), "A has no step limit", "60 steps", "env.max_episode_steps")
    # A limit of the user's own may be as long as they like.
    long = environment.describe(config_of(make=endless, id="A", max_episode_steps=100))
    assert [e.length for e in play(long)] == [100] * 3


def test_gymnasiums_environments_that_always_end_are_not_spoken_of(monkeypatch, capsys):
    monkeypatch.setattr(environment, "_noted", set())
    monkeypatch.setattr(environment, "space_spec", lambda *_: None)
    for env_id in ("Blackjack-v1", "CartPole-v1", "CliffWalking-v1"):
        environment.describe(environment.EnvConfig(env_id))
    assert capsys.readouterr().out.count("has no step limit") == 1  # the cliff's may not end


def test_rendering_asks_for_a_render_mode():
    class Plain(gym.Env):
        """Without a constructor of its own, which says only that it takes no arguments."""

    for make in (make_env, Plain):
        config = config_of(make=make)
        refused(lambda c=config: environment.make(c, "rgb_array"), "takes no argument render_mode")


class Robot(gym.Env):
    """Has what gymnasium's MuJoCo environments have: a renderer with cameras."""

    metadata: ClassVar = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode=None, camera_id=None, cameras=("side", "track")):
        self.render_mode = render_mode
        model = types.SimpleNamespace(
            ncam=len(cameras), camera=lambda i: types.SimpleNamespace(name=cameras[i])
        )
        self.mujoco_renderer = types.SimpleNamespace(
            camera_id=-1 if camera_id is None else camera_id, model=model
        )


@pytest.mark.parametrize(
    ("kwargs", "mode", "camera"),
    [
        ({}, "rgb_array", 1),
        ({}, None, -1),
        ({"camera_id": 0}, "rgb_array", 0),
        ({"camera_id": -1}, "rgb_array", -1),  # a standing camera, if one asks for it
        ({"cameras": ["side", "top"]}, "rgb_array", -1),
        ({"cameras": []}, "rgb_array", -1),
    ],
)
def test_the_camera_follows_a_robot_unless_one_is_chosen(kwargs, mode, camera):
    made = making.make(EnvConfig("Robot", json.dumps(kwargs), make=Robot), mode)
    assert made.unwrapped.mujoco_renderer.camera_id == camera


def test_robots_of_gymnasium_are_followed():
    pytest.importorskip("mujoco")
    for name in ("Hopper-v5", "HalfCheetah-v5"):
        renderer = making.make(EnvConfig(name), "rgb_array").unwrapped.mujoco_renderer
        assert renderer.model.camera(renderer.camera_id).name == "track"


@pytest.mark.parametrize(
    ("screen", "library", "given", "drawn"),
    [
        (None, "libEGL.so.1", None, "egl"),
        (None, "libEGL.so.1", "osmesa", "osmesa"),
        (None, None, None, None),
        (":0", "libEGL.so.1", None, None),
    ],
)
def test_robots_are_drawn_without_a_screen(monkeypatch, screen, library, given, drawn):
    monkeypatch.setenv("MUJOCO_GL", "")  # so that what is set here is taken back
    for name, value in (("DISPLAY", screen), ("WAYLAND_DISPLAY", None), ("MUJOCO_GL", given)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(making.sys, "platform", "linux")
    monkeypatch.setattr(making.ctypes.util, "find_library", lambda name: library)
    making.make(EnvConfig("Robot", "{}", make=Robot))
    assert os.environ.get("MUJOCO_GL") == given  # nothing is drawn
    making.make(EnvConfig("Robot", "{}", make=Robot), "rgb_array")
    assert os.environ.get("MUJOCO_GL") == drawn


def test_pictures_ask_for_no_screen_where_there_is_none(monkeypatch):
    for name in (*making.SCREENS, making.SDL):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(making, "_set", set())
    monkeypatch.setattr(sys, "platform", "linux")
    cartpole = EnvConfig("CartPole-v1")
    making.make(cartpole).close()
    assert making.SDL not in os.environ
    making.make(cartpole, "rgb_array").close()
    assert os.environ[making.SDL] == "dummy"
    making.make(cartpole, "human").close()  # a window is to look for one again
    assert making.SDL not in os.environ
    monkeypatch.setenv(making.SDL, "dummy")  # the user's own
    making.make(cartpole, "rgb_array").close()
    making.make(cartpole, "human").close()
    assert os.environ[making.SDL] == "dummy"
    monkeypatch.delenv(making.SDL)
    monkeypatch.setenv("DISPLAY", ":0")
    making.make(cartpole, "rgb_array").close()
    assert making.SDL not in os.environ
