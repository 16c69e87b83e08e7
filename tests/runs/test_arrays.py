"""Arrays of one's own, in every form in which they are taken, to a data set."""

import gymnasium as gym
import numpy as np
import pytest

import jaxmaze
from jaxmaze import api
from jaxmaze.envs import given
from jaxmaze.errors import UserError
from jaxmaze.runs import trajectories

DISCRETE = (gym.spaces.Box(-np.inf, np.inf, (3,), np.float32), gym.spaces.Discrete(4))
REAL = (gym.spaces.Box(0, 255, (2, 2), np.uint8), gym.spaces.Box(-1, 1, (1,), np.float32))
LENGTHS = (3, 1, 4)
ENDS = np.cumsum(LENGTHS)
ROWS = 8


def episodes(path, spaces=DISCRETE):
    dataset = trajectories.read(path, given.info_of_spaces(spaces))
    return dataset.episodes, dataset.provenance


def values(spaces=DISCRETE):
    rng = np.random.default_rng(0)
    observation, action = spaces
    observation.seed(0)
    each = [np.stack([observation.sample() for _ in range(n + 1)]) for n in LENGTHS]
    if isinstance(action, gym.spaces.Discrete):
        acts = [rng.integers(0, 4, n) for n in LENGTHS]
    else:
        acts = [rng.uniform(-1, 1, (n, 1)).astype(np.float32) for n in LENGTHS]
    return each, acts, [rng.normal(size=n) for n in LENGTHS]


def flags(*where):
    marks = np.zeros(ROWS, bool)
    marks[list(where)] = True
    return marks


def is_there(path, spaces=DISCRETE, final=True, terminated=(True, False, True)):
    obs, acts, rewards = values(spaces)
    found, _ = episodes(path, spaces)
    assert len(found) == 3
    for i, e in enumerate(found):
        steps = LENGTHS[i]
        np.testing.assert_array_equal(e.observations[: steps + final], obs[i][: steps + final])
        np.testing.assert_array_equal(e.actions, acts[i])
        np.testing.assert_array_equal(e.rewards, rewards[i])
        assert len(e.observations) == steps + 1
    assert tuple(e.terminated for e in found) == terminated


FORMS = {
    "lists": lambda o, a, r: dict(
        observations=o, actions=a, rewards=r, terminations=[True, False, True]
    ),
    "lists with flags a step": lambda o, a, r: dict(
        observations=o,
        actions=a,
        rewards=r,
        terminations=[[False, False, True], [False], [False, False, False, True]],
    ),
    "flat with lengths": lambda o, a, r: dict(
        observations=np.concatenate(o),
        actions=np.concatenate(a),
        rewards=np.concatenate(r),
        lengths=LENGTHS,
        terminations=[1, 0, 1],
    ),
    "flat with ends": lambda o, a, r: dict(
        observations=np.concatenate(o),
        actions=np.concatenate(a),
        rewards=np.concatenate(r)[:, None],
        episode_ends=ENDS,
        terminations=flags(2, 7),
    ),
    "flat with marks": lambda o, a, r: dict(
        observations=np.concatenate(o),
        actions=np.concatenate(a).tolist(),
        rewards=np.concatenate(r),
        episode_ends=flags(2, 3, 7),
        terminations=flags(2, 7),
    ),
    "flat with flags": lambda o, a, r: dict(
        observations=np.concatenate(o),
        actions=np.concatenate(a),
        rewards=np.concatenate(r),
        terminations=flags(2, 7),
        truncations=flags(3),
    ),
    "flat with next observations": lambda o, a, r: dict(
        observations=np.concatenate([x[:-1] for x in o]),
        next_observations=np.concatenate([x[1:] for x in o]),
        actions=np.concatenate(a),
        rewards=np.concatenate(r),
        terminations=flags(2, 7),
        truncations=flags(3),
    ),
}


@pytest.mark.parametrize("spaces", [DISCRETE, REAL], ids=["discrete", "real"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_data_set(form, spaces, tmp_path):
    path = jaxmaze.dataset(tmp_path / "d", env=spaces, **FORMS[form](*values(spaces)))
    assert path == tmp_path / "d"
    is_there(path, spaces)
    assert "final_observations" not in episodes(path, spaces)[1]


def test_final_observations_that_are_not_known_repeat_the_last_and_that_is_said(tmp_path, capsys):
    obs, acts, rewards = values()
    flat = dict(observations=np.concatenate([x[:-1] for x in obs]), actions=np.concatenate(acts))
    path = jaxmaze.dataset(
        tmp_path / "d",
        env=DISCRETE,
        **flat,
        rewards=np.concatenate(rewards),
        lengths=LENGTHS,
        terminations=[True, False, True],
    )
    is_there(path, final=False)
    for e in episodes(path)[0]:
        np.testing.assert_array_equal(e.observations[-1], e.observations[-2])
    said = capsys.readouterr().out
    assert "3 of them have no observation after the last step: the one before it is re" in said
    assert "1 of them has no end of its own: taken as truncated" in said


def test_without_rewards_nothing_that_needs_them_takes_the_data(tmp_path, capsys):
    obs, acts, _ = values()
    path = jaxmaze.dataset(
        tmp_path / "d", env=DISCRETE, observations=obs, actions=acts, seeds=[5, 6, 7]
    )
    found, provenance = episodes(path)
    assert "no rewards" in capsys.readouterr().out and provenance["rewards"] == "not recorded"
    assert [e.seed for e in found] == [5, 6, 7] and not any(e.rewards.any() for e in found)


def test_an_environment_may_be_named_in_many_ways(tmp_path):
    obs = [np.zeros((3, 4), np.float32)]
    env = gym.make("CartPole-v1")
    config = {"env": {"id": "CartPole-v1"}}
    for i, given_as in enumerate(("CartPole-v1", config, api.make_config(config), env)):
        path = jaxmaze.dataset(
            tmp_path / str(i), env=given_as, observations=obs, actions=[[0, 1]], rewards=[[1, 1]]
        )
        assert "CartPole-v1" in (path / "data" / "metadata.json").read_text()
    with pytest.raises(UserError, match="must be an environment's id, a configuration"):
        jaxmaze.dataset(tmp_path / "x", env=5, observations=obs, actions=[[0, 1]])


def test_observations_in_parts_are_dicts_of_arrays(tmp_path):
    obs, acts, rewards = values()
    try:
        spaces = (gym.spaces.Dict({"a": DISCRETE[0], "b": DISCRETE[0]}), DISCRETE[1])
        given.info_of_spaces(spaces)
    except UserError:
        pytest.skip("observations of parts are not supported yet")
    parts = {"b": np.concatenate(obs), "a": 2 * np.concatenate(obs)}
    path = jaxmaze.dataset(
        tmp_path / "d",
        env=spaces,
        observations=parts,
        actions=np.concatenate(acts),
        rewards=np.concatenate(rewards),
        lengths=LENGTHS,
    )
    found, _ = episodes(path, spaces)
    for i, e in enumerate(found):
        np.testing.assert_array_equal(e.observations["b"], obs[i])
        np.testing.assert_array_equal(e.observations["a"], 2 * obs[i])


def test_minari_loads_what_is_written(tmp_path, monkeypatch):
    import minari

    obs, acts, rewards = values()
    jaxmaze.dataset(
        tmp_path / "own" / "arrays-v2",
        env=DISCRETE,
        observations=obs,
        actions=acts,
        rewards=rewards,
        dataset_id="own/arrays-v2",
        author=("Ada", "Bo"),
        policy="me",
    )
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    loaded = minari.load_dataset("own/arrays-v2")
    assert loaded.total_steps == 8 and loaded.storage.metadata["author"] == {"Ada", "Bo"}
    np.testing.assert_array_equal(loaded[2].observations, obs[2])


def test_infinite_actions_are_not_clipped_and_a_part_is_named(tmp_path):
    spaces = gym.spaces.Dict({"a": DISCRETE[0], "b": gym.spaces.Box(-9, 9, (2, 2))})
    actions = gym.spaces.Dict({"gear": gym.spaces.Discrete(3), "turn": gym.spaces.Box(-1, 1, (2,))})
    obs = {"a": np.zeros((5, 3)), "b": np.zeros((5, 2, 2))}
    acts = {"gear": np.zeros(5, int), "turn": np.zeros((5, 2))}
    rest = {"env": (spaces, actions), "lengths": (2, 3), "clip_actions": True}
    acts["turn"][3, 1] = np.inf
    with pytest.raises(UserError, match=r"episode 1 has inf in actions\.turn\[1\] at step 1; no"):
        jaxmaze.dataset(tmp_path / "d", observations=obs, actions=acts, **rest)
    obs["b"][4, 0, 1] = np.nan
    acts["turn"][3, 1] = 0
    with pytest.raises(UserError, match=r"episode 1 has nan in observations\.b\[0, 1\] at step 2"):
        jaxmaze.dataset(tmp_path / "d", observations=obs, actions=acts, **rest)
    assert not (tmp_path / "d").exists()


def bad(**changes):
    obs, acts, rewards = values()
    good = dict(
        observations=np.concatenate(obs),
        actions=np.concatenate(acts),
        rewards=np.concatenate(rewards),
        lengths=LENGTHS,
    )
    return {k: v for k, v in (good | changes).items() if v is not None}


def poisoned(value):
    obs = np.concatenate(values()[0])
    obs[5, 1] = value
    return obs


BAD = {
    "NaN": (
        bad(observations=poisoned(np.nan)),
        r"episode 1 has nan in observations\[1\] after the last step; no",
    ),
    "shape": (bad(observations=np.zeros((11, 4))), r"observations of shape \(4,\).*\(3,\)"),
    "rows": (bad(observations=np.zeros((10, 3))), "observations have 10 rows.* give 8, or 11"),
    "rewards": (bad(rewards=np.zeros(9)), "rewards has 9 rows; it must have 8"),
    "lengths": (bad(lengths=(3, 1, 5)), "lengths must make episodes .* end at row 8.* not at 9"),
    "empty episode": (
        bad(lengths=(3, 0, 5)),
        "lengths leave episode 1 empty; each .* at least one",
    ),
    "no ends": (bad(lengths=None), "nothing tells where episodes end; give lengths"),
    "two ends": (bad(episode_ends=ENDS), "not both"),
    "no choice": (
        bad(actions=np.array([0, 1, 2, 3, np.nan, 0, 0, 0])),
        "episode 2: actions are to be of type int64, which nan at step 0 is not",
    ),
    "action": (bad(actions=np.full(8, 4)), "actions from 4 to 4.*actions 0 to 3"),
    "half an action": (
        bad(actions=np.full(8, 0.5)),
        "episode 0: actions are to be of type int64, which 0.5 at step 0",
    ),
    "texts": (bad(actions=np.full(8, "left")), "which are not numbers"),
    "ragged": (bad(observations=[[1, 2, 3], [1]]), "cannot be made an array"),
    "number": (bad(actions=3), "must be arrays with a row for each step"),
    "flags": (bad(terminations=flags(1)), "terminations are set before the last step of episode 0"),
    "seeds": (bad(seeds=[1, 2]), "seeds has 2 rows; it must have 3"),
    "id": (bad(dataset_id="mine"), "'mine' is not a Minari id; it must look like cartpole/expert"),
    "no steps": (bad(actions=np.zeros(0)), "at least one step"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_one_line_and_nothing_is_written(case, tmp_path):
    arrays, line = BAD[case]
    with pytest.raises(UserError, match=line) as error:
        jaxmaze.dataset(tmp_path / "d", env=DISCRETE, **arrays)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_bytes_that_would_change_are_refused(tmp_path):
    _, acts, _ = values(REAL)
    with pytest.raises(
        UserError, match=r"are to be of type uint8, which 300 in \[0, 0\] at step 0"
    ):
        jaxmaze.dataset(
            tmp_path / "d",
            env=REAL,
            observations=np.full((11, 2, 2), 300),
            lengths=LENGTHS,
            actions=np.concatenate(acts),
        )


def test_actions_outside_their_bounds_are_clipped_if_asked_for(tmp_path, capsys):
    obs, acts, rewards = values(REAL)
    beyond = [2 * a for a in acts]
    arrays = dict(env=REAL, observations=obs, actions=beyond, rewards=rewards)
    with pytest.raises(UserError, match=r"episode 0 has actions outside .* clip_actions=True"):
        jaxmaze.dataset(tmp_path / "d", **arrays)
    path = jaxmaze.dataset(tmp_path / "d", **arrays, clip_actions=True)
    found, provenance = episodes(path, REAL)
    outside = sum(int((np.abs(a) > 1).sum()) for a in beyond)
    assert provenance["clipped_steps"] == outside > 0
    assert f"actions of {outside} steps were outside" in capsys.readouterr().out
    for e, a in zip(found, beyond, strict=True):
        np.testing.assert_array_equal(e.actions, a.clip(-1, 1))


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not empty; give another folder"):
        jaxmaze.dataset(tmp_path, env=DISCRETE, **bad())
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
