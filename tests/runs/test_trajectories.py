import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxmaze.core.spaces import Discrete
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import checks, splits, trajectories


@pytest.fixture(scope="module")
def info():
    return environment.describe(environment.EnvConfig("LunarLander-v3"))


def episode(info, length=5, index=0, **changes):
    rng = np.random.default_rng(index)
    values = dict(
        index=index,
        seed=100 + index,
        observations=rng.normal(size=(length + 1, 8)).astype(np.float32),
        actions=rng.integers(0, 4, length),
        rewards=rng.normal(size=length),
        terminated=index % 2 == 0,
    )
    return Episode(**(values | changes))


def test_what_is_written_is_read_back(info, tmp_path):
    episodes = [episode(info, 5 + i, i) for i in range(4)]
    written = trajectories.write(tmp_path / "d", episodes, info, {"policy": "test"})
    dataset = trajectories.read(tmp_path / "d", info)
    assert dataset.sha256 == written.sha256 and dataset.provenance == {"policy": "test"}
    for a, b in zip(episodes, dataset.episodes, strict=True):
        for name in ("observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.seed, a.terminated, a.index) == (b.seed, b.terminated, b.index)


def test_relative_paths_work(info, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trajectories.write(Path("a/b"), [episode(info)], info, {})
    assert trajectories.read("a/b", info).num_steps == 5


def test_minari_itself_can_load_it(info, tmp_path, monkeypatch):
    import minari

    episodes = [episode(info, 5 + i, i) for i in range(3)]
    trajectories.write(tmp_path / "trajectory_data-v0", episodes, info, {})
    dataset = minari.MinariDataset(tmp_path / "trajectory_data-v0" / "data")
    assert dataset.total_episodes == 3 and dataset.total_steps == 18
    first = next(iter(dataset.iterate_episodes()))
    assert first.observations.shape == (6, 8) and first.terminations[-1]
    assert dataset.env_spec.id == "LunarLander-v3"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert minari.load_dataset("trajectory_data-v0").total_steps == 18


def holed(shape, index, value=np.nan):
    """Zeros with one other number."""
    found = np.zeros(shape, np.float32)
    found[index] = value
    return found


BAD = {
    "no steps": (dict(length=0), "has no steps"),
    "too few observations": (
        dict(observations=np.zeros((5, 8), np.float32)),
        r"T \+ 1 observations",
    ),
    "too many rewards": (dict(rewards=np.zeros(6)), "6 rewards"),
    "another shape": (dict(observations=np.zeros((6, 4), np.float32)), "another environment"),
    "NaN": (dict(observations=holed((6, 8), (4, 7))), r"nan in observations\[7\] at step 4; no"),
    "NaN at the end": (dict(observations=holed((6, 8), (5, 0))), r"after the last step; no"),
    "infinite reward": (dict(rewards=-holed(5, 2, np.inf)), "-inf in rewards at step 2"),
    "NaN label": (dict(labels=holed(5, 3)), "nan in labels at step 3"),
    "the first of several": (
        dict(observations=holed((6, 8), (4, 7)), rewards=holed(5, 2)),
        "nan in rewards at step 2",
    ),
    "unknown action": (dict(actions=np.full(5, 4)), "actions from 4 to 4.*actions 0 to 3"),
    "real actions": (dict(actions=np.zeros((5, 2), np.float32)), "takes one integer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_episodes_are_refused_before_anything_is_written(info, tmp_path, case):
    changes, message = BAD[case]
    with pytest.raises(UserError, match=message):
        trajectories.write(tmp_path / "d", [episode(info, **changes)], info, {})
    assert not (tmp_path / "d").exists()


def test_continuous_actions_are_checked(tmp_path):
    info = environment.describe(environment.EnvConfig("LunarLander-v3", '{"continuous": true}'))
    good = episode(info, actions=np.zeros((5, 2), np.float32))
    checks.check(good, info, "x")
    with pytest.raises(UserError, match="outside the bounds"):
        checks.check(dataclasses.replace(good, actions=good.actions + 1.5), info, "x")
    with pytest.raises(UserError, match="takes 2 real numbers"):
        checks.check(dataclasses.replace(good, actions=np.zeros(5, int)), info, "x")


@pytest.fixture
def written(info, tmp_path):
    trajectories.write(tmp_path / "d", [episode(info, 5, i) for i in range(3)], info, {})
    return tmp_path / "d"


def damage(path, name, value):
    with h5py.File(path / "data" / "main_data.hdf5", "a") as file:
        del file[name]
        file[name] = value


def test_damaged_data_are_refused_on_reading(info, written):
    damage(written, "episode_1/rewards", np.full(5, np.nan))
    with pytest.raises(UserError, match="episode 1 has nan in rewards at step 0"):
        trajectories.read(written, info)


def test_changed_data_are_noticed(info, written):
    damage(written, "episode_1/rewards", np.ones(5))
    with pytest.raises(UserError, match="changed since it was recorded"):
        trajectories.read(written, info)


def test_data_of_another_environment_are_refused_by_their_spaces(info, tmp_path):
    import gymnasium as gym

    two = dataclasses.replace(info.spaces, action=Discrete(2))
    narrow = info._replace(action_space=gym.spaces.Discrete(2), spaces=two)
    few = episode(info, actions=np.array([0, 1, 1, 0, 1]))
    trajectories.write(tmp_path / "d", [few], narrow, {})
    with pytest.raises(UserError, match=r"another environment: it has .* 2 discrete actions, but"):
        trajectories.read(tmp_path / "d", info)


def test_flags_are_checked(info, written):
    damage(written, "episode_2/terminations", np.array([0, 1, 0, 0, 1], bool))
    with pytest.raises(UserError, match="episode 2 goes on after its end"):
        trajectories.read(written, info)
    damage(written, "episode_2/terminations", np.array([0, 1], bool))
    with pytest.raises(UserError, match="different lengths"):
        trajectories.read(written, info)


def test_what_is_no_data_set_is_refused(info, tmp_path, written):
    with pytest.raises(UserError, match="is not a folder"):
        trajectories.read(tmp_path / "nothing", info)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is empty"):
        trajectories.read(tmp_path / "empty", info)
    with pytest.raises(UserError, match="holds no Minari dataset"):
        trajectories.read(tmp_path, info)
    for kind, says in (("rollout", "played without --record"), ("bc", "it is a bc run")):
        (tmp_path / "config.json").write_text(json.dumps({"kind": kind}))
        with pytest.raises(UserError, match=f"holds no Minari dataset: .*{says}"):
            trajectories.read(tmp_path, info)
    (written / "data" / "main_data.hdf5").write_bytes(b"not hdf5")
    with pytest.raises(UserError, match="cannot be read as a Minari dataset"):
        trajectories.read(written, info)


def test_a_data_set_without_episodes_is_refused(info, written):
    path = written / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"total_episodes": 0}))
    with pytest.raises(UserError, match="without episodes"):
        trajectories.read(written, info)


def test_the_split_is_by_episode_and_differs_by_seed():
    masks = {tuple(splits.split(20, 25, seed)) for seed in range(10)}
    assert all(sum(mask) == 5 for mask in masks) and len(masks) > 5
    assert splits.split(3, 50, 0).sum() == 1
    assert splits.split(3, 0, 0).sum() == 0


@pytest.mark.parametrize("episodes,percentage,side", [(3, 10, "validate"), (3, 100, "train")])
def test_a_split_that_leaves_nothing_on_one_side_is_refused(episodes, percentage, side):
    with pytest.raises(UserError, match=f"leaves none to {side} on"):
        splits.split(episodes, percentage, 0)


def test_one_episode_cannot_be_split():
    with pytest.raises(UserError, match=r"of one episode.*set it to 0"):
        splits.split(1, 50, 0)


def test_rows_leave_out_the_last_observation(info):
    a, b = episode(info, 3, 0), episode(info, 2, 1)
    obs, actions, number = trajectories.rows([a, b], Discrete(4))
    np.testing.assert_array_equal(obs, np.concatenate([a.observations[:3], b.observations[:2]]))
    np.testing.assert_array_equal(actions, np.concatenate([a.actions, b.actions]))
    assert number.tolist() == [0, 0, 0, 1, 1]


def test_episodes_are_written_as_they_come(info, tmp_path, monkeypatch):
    monkeypatch.setattr(trajectories, "FILE_BATCH", 2)  # so that files are closed and opened
    episodes = [episode(info, 5 + i, i) for i in range(5)]
    taken = []

    def one_by_one():
        for e in episodes:
            taken.append(e.index)
            yield e

    digest = trajectories.write_each(tmp_path / "d", one_by_one(), info, {"policy": "test"})
    assert taken == list(range(5)) and digest == trajectories.fingerprint(episodes)
    dataset = trajectories.read(tmp_path / "d", info)
    assert dataset.sha256 == digest and dataset.num_steps == 35
    assert [e.seed for e in dataset.episodes] == [e.seed for e in episodes]


def test_a_bad_episode_among_those_that_come_is_refused(info, tmp_path):
    few = (episode(info, 5, i, **({"rewards": np.zeros(6)} if i == 2 else {})) for i in range(4))
    with pytest.raises(UserError, match=r"episode 2 has .* 6 rewards"):
        trajectories.write_each(tmp_path / "d", few, info, {})


def test_rows_are_the_device_s_own_without_a_copy(info):
    from jaxmaze.training import bc_learner

    obs, actions, _ = trajectories.rows([episode(info, 300, i) for i in range(3)], Discrete(4))
    data = bc_learner.rows_on_device(obs, actions)
    if next(iter(data.obs.devices())).platform == "cpu":
        assert data.obs.unsafe_buffer_pointer() == obs.ctypes.data
        assert data.action.unsafe_buffer_pointer() == actions.ctypes.data
    np.testing.assert_array_equal(data.obs, obs)
    np.testing.assert_array_equal(data.action, actions)


def test_a_fingerprint_tells_all_that_may_have_changed(info):
    whole = episode(info)
    others = [
        dataclasses.replace(whole, terminated=False),
        dataclasses.replace(whole, labels=whole.actions),
        *(
            dataclasses.replace(whole, **{name: getattr(whole, name)[::-1]})
            for name in ("observations", "actions", "rewards")
        ),
    ]
    digests = [trajectories.fingerprint([e]) for e in (whole, *others)]
    assert len(set(digests)) == 6 and digests[0] == trajectories.fingerprint([episode(info)])


def test_reading_makes_no_environment_of_a_stranger(info, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    code = f"import pathlib\npathlib.Path({str(marker)!r}).write_text('ran')\n"
    (tmp_path / "planted_env.py").write_text(code + "Env = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    trajectories.write(tmp_path / "d", [episode(info)], info, {})
    path = tmp_path / "d" / "data" / "metadata.json"
    about = json.loads(path.read_text())
    for name in ("observation_space", "action_space"):
        del about[name]
    path.write_text(json.dumps(about))
    assert len(trajectories.read(tmp_path / "d", info).episodes) == 1  # gymnasium's own
    about["env_spec"] = about["env_spec"].replace(
        "gymnasium.envs.box2d.lunar_lander:LunarLander", "planted_env:Env"
    )
    assert "planted_env" in about["env_spec"]
    path.write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"would run code \(planted_env:Env\)"):
        trajectories.read(tmp_path / "d", info)
    assert not marker.exists()
