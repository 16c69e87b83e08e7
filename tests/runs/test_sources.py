"""Where demonstrations come from, and what is taken of them."""

import dataclasses
import json
import sys
import types

import gymnasium as gym
import h5py
import numpy as np
import pytest

from jaxmaze import api, loading
from jaxmaze.config.sections.bc import BC
from jaxmaze.envs import environment, given
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs import filters, run_folder, sources, trajectories

REAL = given.info_of_spaces(
    (gym.spaces.Box(-np.inf, np.inf, (2,), np.float32), gym.spaces.Box(-1, 1, (2,), np.float32))
)


def episode(index, reward=1.0, length=4, low=-1.0, high=1.0, **changes):
    rng = np.random.default_rng(index)
    values = dict(
        index=index,
        seed=100 + index,
        observations=rng.normal(size=(length + 1, 2)).astype(np.float32),
        actions=rng.uniform(low, high, (length, 2)).astype(np.float32),
        rewards=np.full(length, reward),
        terminated=True,
    )
    return Episode(**(values | changes))


def write(folder, *episodes):
    trajectories.write(folder, episodes, REAL, {"policy": "test"})
    return str(folder)


@pytest.fixture
def data(tmp_path):
    """Two data sets: returns 0, 4, 8, 12, 16 and 40, 44."""
    first = write(tmp_path / "first", *(episode(i, float(i)) for i in range(5)))
    return first, write(tmp_path / "second", *(episode(i, float(i)) for i in (10, 11)))


def read(*paths, quiet=True, **fields):
    return sources.read(BC(data=tuple(paths), **fields), REAL, quiet)


def test_one_data_set_is_taken_as_it_is(data):
    alone = trajectories.read(data[0], REAL)
    for section in (BC(data=data[0]), BC(data=(data[0],), data_weights=(3.0,))):
        taken = sources.read(section, REAL)
        assert taken.sha256 == alone.sha256 and taken.row_weights() is None
        assert [e.seed for e in taken.episodes] == [100, 101, 102, 103, 104]


def test_several_are_joined_in_their_order(data):
    both = read(*data)
    assert [e.seed for e in both.episodes] == [100, 101, 102, 103, 104, 110, 111]
    assert [e.index for e in both.episodes] == list(range(7))
    assert both.weights is None and both.num_steps == 28
    first, second = both.provenance["sources"]
    assert first["path"] == data[0] and second["episodes"] == 2 and second["policy"] == "test"
    assert both.sha256 != read(*reversed(data)).sha256
    assert both.sha256 == read(*data, data_weights=(2, 2)).sha256


def test_weights_are_of_steps_and_have_a_mean_of_one(data):
    both = read(*data, data_weights=(1.0, 3.0))
    weight = both.row_weights()
    assert weight.shape == (28,) and weight.mean() == pytest.approx(1)
    np.testing.assert_allclose(weight[20:], 3 * weight[0], rtol=1e-6)
    assert both.sha256 != read(*data).sha256
    # They go with their episodes, whichever remain.
    some = read(*data, data_weights=(1.0, 3.0), seeds=(104, 110))
    assert some.weights.tolist() == [1.0, 3.0]


def test_filters_one_by_one(data):
    def seeds(**fields):
        return [e.seed - 100 for e in read(*data, **fields).episodes]

    assert seeds(min_return=16.0) == [4, 10, 11] and seeds(min_return=16.1) == [10, 11]
    assert seeds(seeds=(111, 101)) == [1, 11]
    assert seeds(top_fraction=0.4) == [4, 10, 11]  # 2.8 episodes, so 3
    assert seeds(first_n=2) == [0, 1]
    assert read(*data, first_n=2).sha256 != read(*data, first_n=3).sha256


def test_filters_in_their_order(data):
    left = read(*data, min_return=4.0, top_fraction=0.5, first_n=2)
    assert [e.seed - 100 for e in left.episodes] == [4, 10] and [
        e.index for e in left.episodes
    ] == [0, 1]
    line = left.remarks[-1]
    assert "bc.min_return=4, bc.top_fraction=0.5, bc.first_n=2: 2 of 7 episodes remain" in line
    assert "(8 of 28 steps)" in line and left.sha256 != read(*data).sha256


def test_what_remains_is_said_once(data, capsys):
    read(data[0], first_n=3, quiet=False)
    assert capsys.readouterr().out == "bc.first_n=3: 3 of 5 episodes remain (12 of 20 steps)\n"
    read(data[0], first_n=3)
    assert capsys.readouterr().out == ""


def test_seeds_that_no_episode_has_are_named(data):
    (line,) = read(data[0], seeds=(101, 7, *range(102, 110))).remarks
    assert line.startswith("bc.seeds=(101,7,102,103,104,...): 4 of 5 episodes remain")
    assert line.endswith("; none has the seed 7 or 105 or 106 or 107 or 108")


def test_ties_in_the_top_fraction_go_to_the_first(tmp_path):
    same = write(tmp_path / "d", *(episode(i) for i in range(10)))
    assert [e.seed for e in read(same, top_fraction=0.3).episodes] == [100, 101, 102]


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"min_return": 99.0}, r"min_return=99 leaves none of the 5 .* returns are from 0 to 16"),
        ({"seeds": (7,)}, r"seeds=\(7\) leaves none .* seeds are 100, 101, 102, 103, 104"),
    ],
)
def test_nothing_left_is_one_line(data, fields, line):
    with pytest.raises(UserError, match=line):
        read(data[0], **fields)


def test_returns_that_nobody_knows_filter_nothing(data):
    blind = dataclasses.replace(
        trajectories.read(data[0], REAL), provenance={"rewards": filters.NO_REWARDS}
    )
    with pytest.raises(UserError, match=r"bc.top_fraction needs the episodes' rewards"):
        filters.apply(blind, BC(data=data[0], top_fraction=0.5))
    assert len(filters.apply(blind, BC(data=data[0], first_n=2)).episodes) == 2


def beyond(folder):
    """Two episodes of 4 steps; in three of the steps an action is outside -1 and 1."""
    path = write(folder, episode(0), episode(1))
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        file["episode_0/actions"][1, 0] = 1.25
        file["episode_1/actions"][2:] = -1.1875
    metadata = folder / "data" / "metadata.json"
    raw = json.loads(metadata.read_text())
    del raw["jaxmaze_sha256"]  # another library wrote it
    metadata.write_text(json.dumps(raw))
    return path


def test_actions_outside_their_bounds_are_clipped_if_asked_for(tmp_path):
    path = beyond(tmp_path / "d")
    with pytest.raises(
        UserError,
        match=r"in 3 of 8 steps \(37.5 %\), by up to 0.25; clip them with .*clip_actions=True",
    ):
        read(path)
    clipped = read(path, clip_actions=True)
    assert clipped.remarks == (
        f"{path}: actions outside their bounds in 3 of 8 steps (37.5 %), by up to 0.25 are clipped",
    )
    first, second = clipped.episodes
    assert first.actions[1, 0] == 1 and (second.actions[2:] == -1).all()
    assert first.actions.dtype == np.float32
    assert clipped.sha256 == trajectories.fingerprint(clipped.episodes)


def test_clipping_mends_nothing_else(tmp_path):
    path = beyond(tmp_path / "d")
    for value in (np.nan, np.inf):  # an infinite one is beyond its bounds too
        with h5py.File(tmp_path / "d" / "data" / "main_data.hdf5", "a") as file:
            file["episode_0/actions"][2] = value
        for clip in (False, True):
            with pytest.raises(
                UserError, match=rf"episode 0 has {value} in actions\[0\] at step 2"
            ):
                read(path, clip_actions=clip)


def test_what_is_within_its_bounds_is_left_alone(data):
    assert read(data[0], clip_actions=True).sha256 == read(data[0]).sha256


def test_an_episode_without_an_end_is_said_to_be_cut(tmp_path):
    write(tmp_path / "d", episode(0), episode(1), episode(2))
    with h5py.File(tmp_path / "d" / "data" / "main_data.hdf5", "a") as file:
        file["episode_1/terminations"][-1] = False
    dataset = trajectories_read_changed(tmp_path / "d")
    assert [e.terminated for e in dataset.episodes] == [True, False, True]
    assert len(dataset.remarks) == 1
    assert "1 of 3 episodes neither terminates nor is truncated" in dataset.remarks[0]


def trajectories_read_changed(folder):
    """What is read of a data set whose checksum another library did not write."""
    metadata = folder / "data" / "metadata.json"
    raw = json.loads(metadata.read_text())
    raw.pop("jaxmaze_sha256")
    metadata.write_text(json.dumps(raw))
    return trajectories.read(folder, REAL)


def test_an_id_is_found_below_minaris_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    write(tmp_path / "root" / "ball" / "expert-v0", episode(0))
    assert sources.locate("ball/expert-v0") == tmp_path / "root" / "ball" / "expert-v0"
    assert read("ball/expert-v0").num_steps == 4
    # A folder of that name is meant first.
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ball" / "expert-v0", episode(0), episode(1))
    assert read("ball/expert-v0").num_steps == 8


def test_without_the_variable_minaris_own_root_is_searched(tmp_path, monkeypatch):
    from minari.storage.datasets_root_dir import get_dataset_path

    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".minari" / "datasets" / "ball" / "expert-v0", episode(0))
    assert sources.locate("ball/expert-v0") == get_dataset_path("ball/expert-v0")
    assert read("ball/expert-v0").num_steps == 4


def no_network(monkeypatch, tmp_path):
    """As with the package that downloads, and a place that cannot be found."""
    module = types.ModuleType("huggingface_hub")
    module.constants = types.SimpleNamespace(ENDPOINT="https://nowhere.invalid")
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.delenv("MINARI_REMOTE", raising=False)


def test_without_a_network_there_is_a_clear_line(tmp_path, monkeypatch):
    no_network(monkeypatch, tmp_path)
    with pytest.raises(UserError) as error:
        read("D4RL/door/human-v2")
    line = str(error.value)
    assert "D4RL/door/human-v2 is neither a folder nor a Minari data set in" in line
    assert str(tmp_path) in line and "nowhere.invalid cannot be reached" in line


def test_without_the_package_that_downloads_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.delenv("MINARI_REMOTE", raising=False)
    with pytest.raises(UserError, match=r"pip install 'jaxmaze\[download\]'"):
        read("D4RL/door/human-v2")


def test_what_is_not_there_is_downloaded(tmp_path, monkeypatch, capsys):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    monkeypatch.setenv("MINARI_REMOTE", "gcp://somewhere")

    def download(name):
        write(tmp_path / "root" / name, episode(0))

    monkeypatch.setattr(minari, "download_dataset", download)
    assert read("ball/expert-v0").num_steps == 4
    assert "downloading the Minari data set ball/expert-v0" in capsys.readouterr().out
    monkeypatch.setattr(minari, "download_dataset", lambda name: 1 / 0)
    assert read("ball/expert-v0").num_steps == 4  # from the disk


def test_what_was_taken_is_kept_for_those_who_want_it_again(data, tmp_path):
    section = BC(data=data, data_weights=(1.0, 2.0), clip_actions=True, seeds=(100, 110))
    dataset = sources.read(section, REAL, True)
    source = sources.source(section, dataset)
    (tmp_path / "run").mkdir()
    entries = json.loads(json.dumps(run_folder.about_demonstrations(tmp_path / "run", [source])))
    config = {"format": run_folder.FORMAT, "kind": "bc", "demonstrations": entries}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    (found,) = run_folder.demonstrations(tmp_path / "run")
    again = sources.read(sources.section_of(found.paths, json.loads(found.taken)), REAL, True)
    assert found.sha256 == again.sha256 == dataset.sha256
    assert again.weights.tolist() == [1.0, 2.0]


def test_one_data_set_is_recorded_as_ever(data, tmp_path):
    dataset = sources.read(BC(data=data[0]), REAL, True)
    (entry,) = run_folder.about_demonstrations(
        tmp_path, [sources.source(BC(data=data[0]), dataset)]
    )
    assert entry == {"path": data[0], "beside": "first", "sha256": dataset.sha256}


@pytest.mark.parametrize("taken", [{"learning_rate": 1.0}, {"min_return": "x"}, {"seeds": 5}])
def test_a_damaged_record_is_refused(data, taken):
    with pytest.raises(UserError, match="is damaged"):
        sources.section_of(data, taken)


def test_relative_folders_become_absolute_and_ids_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here-v0").mkdir()
    config = api.make_config(
        {"env": {"id": "CartPole-v1"}, "bc": {"data": ("here-v0", "ball/expert-v0", "gone")}}
    )
    found = loading.absolute(config).bc.data
    assert found == (str(tmp_path / "here-v0"), "ball/expert-v0", str(tmp_path / "gone"))
    assert loading.absolute(api.override(config, {"bc.data": "here-v0"})).bc.data == found[0]


def test_environment_is_what_the_data_must_fit(data):
    info = environment.describe(environment.EnvConfig("CartPole-v1"))
    with pytest.raises(UserError, match="another environment"):
        sources.read(BC(data=data[0]), info)
