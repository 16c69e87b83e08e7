"""Names of parts that HDF5 cannot hold: written encoded, read back as they are."""

import dataclasses
import json

import gymnasium as gym
import h5py
import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.envs import part_names
from jaxmaze.envs.environment import of_spaces
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.inspection.recordings import Recorded, Recordings
from jaxmaze.runs import trajectories
from tests.conftest import SMALL

SLASHES = "tests.runs.slashed_env:Slashed-v0"
ODD = ("walker/height", "walker", ".", "..", "...", "50%", "%2F", "%", "a/b%2Fc", "ü")


def number():
    return gym.spaces.Box(-9, 9, (1,), np.float32)


def space_of(names):
    inner = {"x/y": number(), "x": gym.spaces.Tuple([number(), gym.spaces.Discrete(3)])}
    return gym.spaces.Dict({name: number() for name in names} | {"in": gym.spaces.Dict(inner)})


def sampled(space, steps):
    """``[T, ...]`` values of a space."""
    if isinstance(space, gym.spaces.Dict):
        return {name: sampled(part, steps) for name, part in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(sampled(part, steps) for part in space.spaces)
    return np.stack([space.sample() for _ in range(steps)])


def written(folder, names):
    space = space_of(names)
    space.seed(0)
    info = of_spaces(space, space)
    episodes = []
    for i in range(3):
        obs, actions, labels = (sampled(space, 4 + extra) for extra in (1, 0, 0))
        episodes.append(Episode(i, i, obs, actions, np.ones(4), False, labels))
    trajectories.write(folder, episodes, info, {})
    return info, episodes


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("name", ODD)
def test_every_name_has_a_form_of_its_own_that_hdf5_holds(name, tmp_path):
    form = part_names.encode(name)
    assert part_names.decode(form) == name
    assert len({part_names.encode(n) for n in ODD}) == len(ODD)
    with h5py.File(tmp_path / "file", "w") as file:
        file[form] = [1]
        assert list(file) == [form]


def test_episodes_with_odd_names_are_read_back_as_they_were(tmp_path):
    info, episodes = written(tmp_path / "d", ODD)
    dataset = trajectories.read(tmp_path / "d", info)
    recordings = Recordings(tmp_path / "d")
    assert recordings.spaces == (info.observation_space, info.action_space)
    for a, b, c in zip(episodes, dataset.episodes, recordings, strict=True):
        same((a.observations, a.actions, a.labels), (b.observations, b.actions, b.labels))
        assert isinstance(c, Recorded) and set(c.labels) == set(c.actions)
        same((a.observations, a.actions), (c.seen, c.taken))
    assert trajectories.info_of(tmp_path / "d").spaces == info.spaces


def test_minari_reads_odd_names_in_their_encoded_form(tmp_path):
    import minari

    _, episodes = written(tmp_path / "d", ODD)
    dataset = minari.MinariDataset(tmp_path / "d" / "data")
    first = next(iter(dataset.iterate_episodes()))
    found = first.observations["walker%2Fheight"], first.actions["in"]["x%2Fy"]
    expected = episodes[0].observations["walker/height"], episodes[0].actions["in"]["x/y"]
    same(found, expected)
    assert set(first.observations) == set(dataset.observation_space.spaces)


def test_files_of_plain_names_are_not_changed(tmp_path):
    info = of_spaces(*(gym.spaces.Dict({"50%2F": number(), "a b": number()}),) * 2)
    values = sampled(info.observation_space, 5)
    one = Episode(0, 0, values, jax.tree.map(lambda x: x[1:], values), np.ones(4), False)
    trajectories.write(tmp_path / "d", [one], info, {})
    metadata = json.loads((tmp_path / "d" / "data" / "metadata.json").read_text())
    assert "jaxmaze_keys" not in metadata and "50%2F" in metadata["observation_space"]
    (read,) = trajectories.read(tmp_path / "d", info).episodes
    same(read.observations, dataclasses.replace(one).observations)


def test_names_that_minari_wrote_as_they_are_are_refused_by_name(tmp_path):
    info, _ = written(tmp_path / "d", ODD)
    file = tmp_path / "d" / "data" / "metadata.json"
    metadata = json.loads(file.read_text())
    from minari.serialization import serialize_space

    metadata["observation_space"] = serialize_space(info.observation_space)
    del metadata["jaxmaze_keys"]
    file.write_text(json.dumps(metadata))
    for read in (lambda p: trajectories.read(p, info), Recordings):
        with pytest.raises(UserError, match=r"a part named .*record it again"):
            read(tmp_path / "d")


BAD = {
    "": "the key '' is empty",
    "a\0b": r"the key 'a\\x00b' .* null byte",
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_no_file_holds_are_refused_before_anything_is_played(name):
    bad, good = gym.spaces.Dict({name: number()}), gym.spaces.Discrete(2)
    for spaces in ((bad, good), (number(), bad)):
        with pytest.raises(UserError, match=BAD[name]):
            of_spaces(*spaces)


def test_two_parts_of_one_dotted_name_are_refused():
    space = gym.spaces.Dict({"a.b": number(), "a": gym.spaces.Dict({"b": number()})})
    with pytest.raises(UserError, match="two parts of one name"):
        of_spaces(space, gym.spaces.Discrete(2))


@pytest.mark.slow
def test_an_environment_with_slashes_is_recorded_cloned_exported_and_looked_at(tmp_path):
    config = api.make_config(
        SMALL
        | {
            "env": {"id": SLASHES, "workers": 0},
            "members": 1,
            "bc.num_epochs": 1,
            "bc.batch_size": 16,
        }
    )
    teacher = "tests.runs.slashed_env:teacher"
    recorded = api.record(config, tmp_path / "recorded", policy=teacher, n_episodes=4)
    clone = api.clone(config, recorded, tmp_path / "clone")
    assert api.export(clone, tmp_path / "exported").is_dir()
    found = api.inspect(recorded, tmp_path / "inspected", config=config)
    assert found.summary["verdict"] != "unfit"
    page = api.view(recorded, config=config).save(tmp_path / "page.html")
    assert "walker/height" in page.read_text()
