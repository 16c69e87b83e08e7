"""Teachers that give good actions at first, and something else in the middle of an episode."""

import re

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.errors import UserError
from tests import own
from tests.conftest import command
from tests.test_cli import fails

S = gym.spaces
KINDS = {
    "Discrete": S.Discrete(2),
    "Box": S.Box(-1, 1, (2,)),
    "MultiDiscrete": S.MultiDiscrete([2, 3]),
    "MultiBinary": S.MultiBinary(3),
    "Dict": S.Dict({"gear": S.Discrete(2), "turn": S.Box(-1, 1, (2,))}),
}
TAKES = {
    "Discrete": "2 discrete actions",
    "Box": "2 continuous actions",
    "MultiDiscrete": "2 choices at once",
    "MultiBinary": "3 binary actions",
    "Dict": "gear: 2 discrete actions",
}
BAD_AT = 3


class Counts(gym.Env):
    """Observes how many steps have been taken; takes actions of any kind."""

    observation_space = S.Box(0, 100, (1,), np.float32)

    def __init__(self, kind):
        self.action_space = KINDS[kind]

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(1, self.steps, np.float32), 1.0, False, False, {}


def config(kind, num_envs):
    env = {"make": Counts, "kwargs": {"kind": kind}, "max_episode_steps": 6}
    return {"env": env, "rollout": {"num_envs": num_envs}}


def good(kind, rows=None):
    zero = KINDS[kind]
    shape = () if rows is None else (rows,)

    def of(space):
        return np.zeros(shape + space.shape, space.dtype)

    return {k: of(v) for k, v in zero.items()} if kind == "Dict" else of(zero)


def batch(kind, bad):
    return lambda obs: bad if (obs[:, 0] >= BAD_AT).any() else good(kind, len(obs))


def one(kind, bad):
    def teacher(obs):
        assert obs.shape == (1,)
        return bad if obs[0] >= BAD_AT else good(kind)

    return teacher


class Remembers:
    def __init__(self, kind, bad):
        self.kind, self.bad = kind, bad

    def reset(self, seed):
        self.steps = -1

    def act(self, obs):
        self.steps += 1
        return self.bad if self.steps >= BAD_AT else good(self.kind)


class Model:
    """Recurrent: it gives a state with its actions."""

    def __init__(self, kind, bad):
        self.kind, self.bad = kind, bad

    def predict(self, obs, state=None, episode_start=None, deterministic=True):
        if self.bad is not None and obs[0, 0] >= BAD_AT:
            return self.bad
        return good(self.kind, len(obs)), np.ones(len(obs))


FORMS = {"batch": batch, "one": one, "object": Remembers}
BAD = {
    "text": ("left", r"gave a str \('left'\), which is no number"),
    "nothing": (None, "gave None, which is no number"),
    "shape": (np.zeros((5, 7)), r"\(5, 7\)|no dict"),
    "ragged": ([[1, 2], [3]], "gave a list"),
    "unknown part": ({"gear": 0, "brake": 1}, "dict|brake|no turn"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_action_is_one_line_that_names_teacher_and_step(kind, form, bad, tmp_path):
    given, words = BAD[bad]
    teacher = FORMS[form](kind, given)
    with pytest.raises(UserError, match=words) as error:
        api.record(config(kind, 1), tmp_path / "run", policy=teacher, n_episodes=2)
    line = str(error.value)
    assert re.match(rf"episode 0 \(seed \d+\), step {BAD_AT}: policy tests\.teachers\.", line)
    assert "\n" not in line and TAKES[kind] in line
    assert not (tmp_path / "run" / "trajectory_data").exists()


def test_a_part_that_is_wrong_is_named(tmp_path):
    wrong = {"gear": 0, "turn": np.zeros(3)}
    with pytest.raises(UserError, match=r"step 3: .* gave turn: shape \(3,\) instead of \(2,\)"):
        api.record(config("Dict", 1), tmp_path / "a", policy=one("Dict", wrong), n_episodes=1)
    wrong = {"gear": "first", "turn": np.zeros(2)}
    with pytest.raises(UserError, match=r"step 3: .* gave gear: a str \('first'\)"):
        api.record(config("Dict", 1), tmp_path / "b", policy=one("Dict", wrong), n_episodes=1)


@pytest.mark.parametrize("bad", [None, "left", (None, None), 0, (0, 1, 2)])
def test_a_model_that_remembers_is_told_too(bad, tmp_path):
    model = Model("Discrete", bad)
    if bad is None:
        api.record(config("Discrete", 2), tmp_path / "run", policy=model, n_episodes=2)
        return
    with pytest.raises(UserError, match=r"^episode 0 \(seed \d+\), step 3: policy .*Model.* gave "):
        api.record(config("Discrete", 2), tmp_path / "run", policy=model, n_episodes=2)


def later(kind, bad):
    """Bad in the second of two environments only, whose episodes begin with 10."""
    return lambda obs: bad if obs[0] == BAD_AT + 10 else good(kind)


class Shifted(Counts):
    """Counts on from 10 in every other episode's environment."""

    made = 0

    def __init__(self, kind):
        super().__init__(kind)
        type(self).made += 1
        self.first = 10 * (self.made % 2)

    def reset(self, *, seed=None, options=None):
        self.steps = self.first
        return np.full(1, self.steps, np.float32), {}


def test_the_episode_is_the_one_of_the_environment_that_asked(tmp_path):
    values = config("Discrete", 2)
    values["env"]["make"] = Shifted
    for bad, words in (
        ("left", "gave a str"),
        (7, r"gave actions from 0 to 7, but .* has actions 0 to 1"),
        (np.nan, "gave actions that are NaN"),
    ):
        with pytest.raises(UserError, match=words) as error:
            api.record(values, tmp_path / "run", policy=later("Discrete", bad), n_episodes=4)
        assert re.match(r"episode [01] \(seed \d+\), step 3: policy tests", str(error.value))


def test_a_batch_that_is_wrong_as_a_whole_names_all_that_asked(tmp_path):
    with pytest.raises(UserError, match=r"^a step of episodes 0, 1, 2: policy .* gave None"):
        api.record(config("Box", 3), tmp_path / "run", policy=batch("Box", None), n_episodes=6)


@pytest.mark.slow
def test_dagger_and_evaluation_say_so_too(tmp_path):
    values = config("Discrete", 2) | {"evaluation": {"episodes": 3}}
    for call in (
        lambda teacher: api.evaluate(values, teacher),
        lambda teacher: api.dagger(values, tmp_path / "dagger", policy=teacher),
    ):
        with pytest.raises(UserError, match=r"step 3: policy .* gave a str"):
            call(one("Discrete", "left"))


TEACHER = """

calls = 0


def odd(obs):
    global calls
    calls += 1
    return "left" if calls > 12 else np.zeros(len(obs), int)
"""


@pytest.mark.slow
def test_the_command_ends_with_one_line(tmp_path):
    own.write(tmp_path)
    with (tmp_path / "my_env.py").open("a") as file:
        file.write(TEACHER)
    rollout = ("jaxmaze.rollout", "--env=my_env:Ball-v0", "--policy=my_env:odd", "--record")
    done = command(*rollout, "--n_episodes=4", "--workdir=run", cwd=tmp_path)
    fails(done, "policy my_env:odd gave a str ('left')", "episodes 0, 1, 2, 3")
    assert not (tmp_path / "run" / "trajectory_data").exists()
