"""Files of others, as those libraries wrote them (tests/data/make.py), to data sets."""

import csv
import pickle

import gymnasium as gym
import numpy as np
import pytest

import jaxmaze
from jaxmaze.envs import given
from jaxmaze.errors import UserError
from jaxmaze.runs import trajectories
from tests.conftest import ROOT

DATA = ROOT / "tests" / "data"
SPACES = (gym.spaces.Box(-np.inf, np.inf, (4,), np.float32), gym.spaces.Discrete(2))
LENGTHS = (4, 6, 5)


@pytest.fixture(scope="module")
def truth():
    return np.load(DATA / "truth.npz")


def read(path, spaces=SPACES):
    return trajectories.read(path, given.info_of_spaces(spaces)).episodes


def same(path, truth, final=True, rewards=True):
    found = read(path)
    assert [e.length for e in found] == list(LENGTHS)
    for i, e in enumerate(found):
        known = e.length + final
        np.testing.assert_array_equal(e.observations[:known], truth[f"obs_{i}"][:known])
        np.testing.assert_array_equal(e.actions, truth[f"acts_{i}"])
        np.testing.assert_array_equal(e.rewards, rewards * truth[f"rews_{i}"])
        assert e.terminated == (i != 1)
    return found


@pytest.mark.parametrize("file", ["d3rlpy.h5", "d3rlpy_v1.h5"])
def test_d3rlpys_files(file, truth, tmp_path, capsys):
    same(jaxmaze.convert(DATA / file, tmp_path / "d", env=SPACES), truth, final=False)
    said = capsys.readouterr().out
    assert "3 episodes of 15 steps; 2 terminated, 1 truncated" in said and "repeat" in said
    assert "no end of their own" not in said


def test_imitations_folder(truth, tmp_path):
    pytest.importorskip("pyarrow")
    same(jaxmaze.convert(DATA / "imitation", tmp_path / "d", env=SPACES), truth)


def test_without_pyarrow_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"takes a package: pip install 'jaxmaze\[arrow\]'"):
        jaxmaze.convert(DATA / "imitation", tmp_path / "d", env=SPACES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", [None, "imitation"])
def test_imitations_older_file_whose_pickles_are_left_alone(format, truth, tmp_path):
    same(jaxmaze.convert(DATA / "imitation_old.npz", tmp_path / "d", format, env=SPACES), truth)


class Boom:
    """Whoever unpickles it is caught."""

    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('loaded').touch()",))


@pytest.mark.parametrize("name", ["x.npz", "x.pkl", "npz", "x.bin", "whole.npz"])
def test_pickles_are_never_loaded(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    boom = np.array([Boom()] * 3, object)
    source = tmp_path / name
    if name == "npz":
        source.mkdir()
        np.savez(source / "a.npz", obs=np.zeros((4, 4)), acts=boom)
    elif name == "x.npz":
        np.savez(source, obs=np.zeros((4, 4)), acts=boom)
    else:
        source.write_bytes(pickle.dumps(Boom()))
    format = "npz" if name == "x.bin" else None
    with pytest.raises(UserError, match="pickle"):
        jaxmaze.convert(source, tmp_path / "d", format, env=SPACES)
    assert not (tmp_path / "loaded").exists() and not (tmp_path / "d").exists()


def test_a_damaged_npz_is_told_from_one_with_pickles(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, obs=np.zeros((4, 4)), acts=np.zeros(3, int))
    content = whole.read_bytes()
    spoilt = bytearray(content)
    spoilt[200] ^= 1
    for name, bytes_given, words in (
        (
            "cut",
            content[: len(content) // 2],
            r"cut.npz: it is not an .npz file, or its end is mis",
        ),
        ("text", b"x,y", "text.npz: it is not an .npz file"),
        ("spoilt", bytes(spoilt), "spoilt.npz: it is damaged: Bad CRC-32 for file 'obs.npy'"),
    ):
        file = tmp_path / f"{name}.npz"
        file.write_bytes(bytes_given)
        with pytest.raises(UserError, match=words):
            jaxmaze.convert(file, tmp_path / "d", env=SPACES)
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(UserError, match="it is one array, not an"):
        jaxmaze.convert(tmp_path / "one.npz", tmp_path / "d", env=SPACES)
    assert not (tmp_path / "d").exists()


NAMES = {
    "gymnasium": ("observations", "actions", "rewards", "terminated", "truncated"),
    "imitation": ("obs", "acts", "rews", "done", "truncation"),
    "d4rl": ("observations", "actions", "rewards", "terminals", "timeouts"),
}


@pytest.mark.parametrize("names", NAMES)
def test_a_folder_of_npz_files(names, truth, tmp_path):
    (tmp_path / "npz").mkdir()
    obs, acts, rews, done, cut = NAMES[names]
    for i, n in enumerate(LENGTHS):
        flags = np.arange(n) == n - 1
        arrays = {
            obs: truth[f"obs_{i}"],
            acts: truth[f"acts_{i}"],
            rews: truth[f"rews_{i}"],
            done: flags & (i != 1),
            cut: flags & (i == 1),
            "seed": 7 + i,
        }
        np.savez(tmp_path / "npz" / f"episode_{i + 9}.npz", **arrays)  # 9, 10, 11
    found = same(jaxmaze.convert(tmp_path / "npz", tmp_path / "d", env=SPACES), truth)
    assert [e.seed for e in found] == [7, 8, 9]


def test_one_npz_file_with_all_episodes(truth, tmp_path):
    flat = {k: np.concatenate([truth[f"{k}_{i}"] for i in range(3)]) for k in ("acts", "rews")}
    obs = np.concatenate([truth[f"obs_{i}"][:-1] for i in range(3)])
    after = np.concatenate([truth[f"obs_{i}"][1:] for i in range(3)])
    done = np.zeros(15)
    done[[3, 14]] = 1
    np.savez(
        tmp_path / "all.npz", obs=obs, next_obs=after, **flat, dones=done, episode_ends=[4, 10, 15]
    )
    same(jaxmaze.convert(tmp_path / "all.npz", tmp_path / "d", env=SPACES), truth)


def test_an_npz_file_without_actions(tmp_path):
    np.savez(tmp_path / "x.npz", obs=np.zeros((4, 4)), images=np.zeros(3))
    with pytest.raises(UserError, match=r"x.npz: it has no actions; it has obs, images"):
        jaxmaze.convert(tmp_path / "x.npz", tmp_path / "d", env=SPACES)


HEADER = ("episode", "obs_a", "obs_b", "obs_c", "obs_d", "action", "reward", "terminated", "who")


def table(truth, final=True):
    """Rows of a table, each episode's final observation in one of its own if wanted."""
    rows = []
    for i, n in enumerate(LENGTHS):
        obs, acts, rews = (truth[f"{name}_{i}"] for name in ("obs", "acts", "rews"))
        for t in range(n):
            rows.append([f"e{i}", *obs[t], acts[t], rews[t], t == n - 1 and i != 1, "me"])
        if final:
            rows.append([f"e{i}", *obs[n], "", "", "", "me"])
    return rows


def write_csv(path, rows, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_a_table(truth, tmp_path):
    file = write_csv(tmp_path / "x.csv", table(truth))
    same(jaxmaze.convert(file, tmp_path / "d", env=SPACES), truth)


def test_a_table_with_names_of_its_own(truth, tmp_path):
    header = ("run", "x", "y", "vx", "vy", "thrust", "points", "crashed", "obs_who")
    file = write_csv(tmp_path / "x.csv", table(truth, final=False), header)
    path = jaxmaze.convert(
        file,
        tmp_path / "d",
        env=SPACES,
        observations=("x", "y", "v*"),
        actions="thrust",
        rewards="points",
        terminations="crashed",
        episodes="run",
    )
    same(path, truth, final=False)


@pytest.mark.parametrize("final", [True, False])
def test_a_table_whose_flags_tell_episodes_apart(final, truth, tmp_path):
    rows = [[*row[1:], row[0] == "e1" and row[6] != ""] for row in table(truth, final)]
    ends = [i for i, row in enumerate(rows) if row[-1] and rows[i + 1][-1] is False]
    for i, row in enumerate(rows):
        row[-1] = i in ends  # truncated at the last step of the second episode
    file = write_csv(tmp_path / "x.csv", rows, (*HEADER[1:], "truncated"))
    same(jaxmaze.convert(file, tmp_path / "d", env=SPACES), truth, final=final)


class Frame:
    """What of pandas's DataFrame is needed."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return self._columns[name]


def test_a_frame(truth, tmp_path):
    columns = dict(zip(HEADER, zip(*table(truth, final=False), strict=True), strict=True))
    for name in HEADER[1:-1]:
        columns[name] = np.array(columns[name])
    columns["episode"] = np.array(columns["episode"], object)
    same(jaxmaze.convert(Frame(columns), tmp_path / "d", env=SPACES), truth, final=False)


def broken(truth, change):
    rows = table(truth)
    change(rows)
    return rows


BAD_TABLES = {
    "text": (lambda r: r[2].__setitem__(1, "west"), "column 'obs_a', row 3: 'west' is no number"),
    "short": (lambda r: r[2].pop(), "row 4 has 8 cells, but 9 columns"),
    "mixed": (lambda r: r.append(["e0", 1, 1, 1, 1, 0, 0, 0, ""]), "rows of an episode are not to"),
    "goes on": (lambda r: r[1].__setitem__(7, True), "an episode goes on after the end in row 1"),
    "hole": (
        lambda r: r[2].__setitem__(3, ""),
        r"episode 0 has nan in observations\[2\] at step 2; no",
    ),
    "nothing": (lambda r: r.clear(), "has no rows"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_broken_table_is_one_line(case, truth, tmp_path):
    change, line = BAD_TABLES[case]
    file = write_csv(tmp_path / "x.csv", broken(truth, change))
    with pytest.raises(UserError, match=line):
        jaxmaze.convert(file, tmp_path / "d", env=SPACES)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({"observations": "position"}, "no column 'position' for observations; there are episode"),
        ({"rewards": "score"}, "no column 'score' for rewards"),
        ({"actions": ("act", "thrust")}, "no column 'act' for actions"),
    ],
)
def test_columns_that_are_not_there_are_named(names, line, truth, tmp_path):
    file = write_csv(tmp_path / "x.csv", table(truth))
    with pytest.raises(UserError, match=line):
        jaxmaze.convert(file, tmp_path / "d", env=SPACES, **names)


def test_formats_that_nobody_knows(tmp_path):
    (tmp_path / "x.dat").write_text("1")
    with pytest.raises(UserError, match="say which of npz, csv, imitation, d3rlpy it is"):
        jaxmaze.convert(tmp_path / "x.dat", tmp_path / "d", env=SPACES)
    with pytest.raises(UserError, match="format='xml' is not known"):
        jaxmaze.convert(tmp_path / "x.dat", tmp_path / "d", "xml", env=SPACES)
    with pytest.raises(UserError, match=r"x.dat cannot be read as d3rlpy's episodes"):
        jaxmaze.convert(tmp_path / "x.dat", tmp_path / "d", "d3rlpy", env=SPACES)
    with pytest.raises(UserError, match="does not exist"):
        jaxmaze.convert(tmp_path / "y.csv", tmp_path / "d", env=SPACES)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "state.json").write_text("{}")
    with pytest.raises(UserError):
        jaxmaze.convert(tmp_path / "hf", tmp_path / "d", env=SPACES)
