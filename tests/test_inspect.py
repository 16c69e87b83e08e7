"""The dataset doctor: each way in which data can be broken turns its own check, and no other."""

import json
import shutil

import gymnasium as gym
import h5py
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

import jaxmaze
from jaxmaze.errors import UserError
from jaxmaze.inspection import figures
from tests.conftest import command

BOX = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
THREE, REAL = gym.spaces.Discrete(3), gym.spaces.Box(-1, 1, (2,), np.float32)
WATTS = gym.spaces.Box(-1500, 1500, (2,), np.float32)


def teacher(obs, space=THREE):
    """What is done in observations ``[T, 3]``; the third number does not matter."""
    if space is THREE:
        return 1 + (obs[:, 0] > 0.5).astype(np.int64) - (obs[:, 1] > 0.5)
    return np.clip(np.stack([obs[:, 0], obs[:, 1]], 1) / 4, -0.9, 0.9).astype(np.float32)


def episode(number, space=THREE, act=teacher, change=lambda obs: obs):
    """One whole episode."""
    rng = np.random.default_rng(number)
    steps = int(rng.integers(40, 60))
    obs = change(np.cumsum(rng.normal(size=(steps + 1, 3)), 0).astype(np.float32) / 4)
    last = np.zeros(steps, bool)
    last[-1] = True
    return {
        "seed": number,
        "observations": obs,
        "actions": act(obs[:-1], space),
        "rewards": rng.normal(1, 0.1, steps),
        "terminations": last if number % 2 else last & False,
        "truncations": last & False if number % 2 else last,
    }


def store(folder, episodes, obs_space=BOX, action_space=THREE, **more):
    """A Minari dataset as others write it: without a checksum, here without an environment."""
    folder.mkdir(parents=True, exist_ok=True)
    spaces = obs_space, action_space
    storage = MinariStorage.new(folder, *spaces, data_format="hdf5", jpeg_encoding=False, **more)
    storage.update_episodes(EpisodeBuffer(**e) for e in episodes)
    return folder


def verdicts(folder, workdir=None, **more):
    """The whole verdict, and that of each check."""
    summary = jaxmaze.inspect(folder, workdir or folder.parent / "inspected", **more).summary
    return summary["verdict"], {name: c["verdict"] for name, c in summary["checks"].items()}


def of(space=THREE, **more):
    return [episode(i, space, **more) for i in range(24)]


def changed(index, key, value, space=THREE):
    """Whole episodes, one of which has another array."""
    episodes = of(space)
    episodes[index][key] = value(episodes[index][key])
    return episodes


def poke(at, value):
    def change(array):
        array = array.copy()
        array[at] = value
        return array

    return change


def frozen(obs):
    obs = obs.copy()
    obs[10:16] = obs[10]
    return obs


def drifting(episodes):
    for i, e in enumerate(episodes):
        e["observations"][:, 2] += i / 4
    return episodes


def stump():
    """The last two steps of an episode, with a return like others'."""
    last = {k: v if k == "seed" else v[-2:] for k, v in episode(30).items()}
    return last | {"observations": episode(30)["observations"][-3:], "rewards": np.full(2, 22.0)}


def coarse(obs):
    """Observations that recur."""
    return obs.round().clip(-2, 2)


def dithering(obs, space):
    """A teacher that does not look."""
    return np.random.default_rng(len(obs)).integers(0, 3, len(obs))


def hasty(obs, space):
    """A teacher that does not look in some of its steps."""
    looks = np.random.default_rng(0).random(len(obs)) < 0.7
    return np.where(looks, teacher(obs), dithering(obs, space))


def noisy(obs, space):
    return np.random.default_rng(len(obs)).uniform(-0.9, 0.9, (len(obs), 2)).astype(np.float32)


DEFECTS = {
    "observations are missing": (
        "structure",
        "unfit",
        THREE,
        lambda: changed(3, "observations", lambda x: x[:-2]),
    ),
    "rewards are missing": (
        "structure",
        "unfit",
        THREE,
        lambda: changed(3, "rewards", lambda x: x[:-1]),
    ),
    "it goes on after its end": (
        "structure",
        "unfit",
        THREE,
        lambda: changed(3, "terminations", poke(5, True)),
    ),
    "another shape": (
        "structure",
        "unfit",
        THREE,
        lambda: changed(3, "observations", lambda x: x[:, :2]),
    ),
    "NaN in an observation": (
        "numbers",
        "unfit",
        THREE,
        lambda: changed(3, "observations", poke((5, 2), np.nan)),
    ),
    "an infinite reward": (
        "numbers",
        "unfit",
        THREE,
        lambda: changed(3, "rewards", poke(5, np.inf)),
    ),
    "NaN in an action": (
        "numbers",
        "unfit",
        REAL,
        lambda: changed(3, "actions", poke((5, 0), np.nan), REAL),
    ),
    "a failure": ("returns", "warning", THREE, lambda: changed(3, "rewards", poke(-1, -500.0))),
    "a stump": ("lengths", "warning", THREE, lambda: [*of(), stump()]),
    "one episode": ("lengths", "warning", REAL, lambda: of(REAL)[:1]),
    "no end": ("ends", "warning", THREE, lambda: changed(3, "terminations", lambda x: x & False)),
    "a copy": ("duplicate episodes", "warning", THREE, lambda: [*of(), episode(3)]),
    "a frozen sensor": ("duplicate steps", "warning", THREE, lambda: of(change=frozen)),
    "an unused action": (
        "actions",
        "warning",
        THREE,
        lambda: of(act=lambda *a: teacher(*a).clip(0, 1)),
    ),
    "one action": ("actions", "unfit", THREE, lambda: of(act=lambda *a: teacher(*a) * 0)),
    "a number that is constant": (
        "actions",
        "warning",
        REAL,
        lambda: of(REAL, act=lambda *a: teacher(*a) * np.array([1, 0], np.float32)),
    ),
    "no such action": ("bounds", "unfit", THREE, lambda: changed(3, "actions", poke(5, 7))),
    "a little outside": (
        "bounds",
        "warning",
        REAL,
        lambda: changed(3, "actions", poke((5, 1), 1.01), REAL),
    ),
    "other units": ("bounds", "unfit", REAL, lambda: of(REAL, act=lambda *a: teacher(*a) * 100)),
    "shares of the range": ("bounds", "warning", WATTS, lambda: of(WATTS)),
    "on the bounds": (
        "bounds",
        "warning",
        REAL,
        lambda: of(REAL, act=lambda o, s: np.sign(o[:, :2])),
    ),
    "a constant feature": (
        "features",
        "warning",
        THREE,
        lambda: of(change=lambda o: o * [1, 1, 0]),
    ),
    "drift": ("drift", "warning", THREE, lambda: drifting(of())),
    "it does not look": ("determinism", "unfit", THREE, lambda: of(act=dithering, change=coarse)),
    "it looks at times": ("determinism", "warning", THREE, lambda: of(act=hasty, change=coarse)),
    "noise": ("determinism", "unfit", REAL, lambda: of(REAL, act=noisy, change=coarse)),
}


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take longest, and have tests of their own."""
    monkeypatch.setattr(figures, "ALL", {})


@pytest.fixture(scope="module", params=[THREE, REAL], ids=["choices", "numbers"])
def whole(request, tmp_path_factory):
    return store(tmp_path_factory.mktemp("whole") / "data", of(request.param), BOX, request.param)


def test_whole_data_are_ok(whole):
    verdict, each = verdicts(whole)
    assert verdict == "ok" and set(each.values()) == {"ok", "skipped"}
    assert sorted(name for name, v in each.items() if v == "skipped") == ["checksum", "replay"]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_turns_its_own_check_and_no_other(defect, tmp_path, undrawn):
    check, wanted, space, make = DEFECTS[defect]
    verdict, each = verdicts(store(tmp_path / "data", make(), BOX, space))
    assert verdict == wanted and each.pop(check) == wanted
    assert set(each.values()) <= {"ok", "skipped"}, each


def test_large_numbers_are_told_as_such(tmp_path, undrawn):
    acts = of(WATTS, act=lambda *a: teacher(*a) * 1500)
    folder = store(tmp_path / "data", acts, BOX, WATTS)
    checks = jaxmaze.inspect(folder, tmp_path / "inspected").summary["checks"]
    low, high = (f(e["actions"][:, 0] for e in acts) for f in (lowest, highest))
    assert f"action[0] from {low:,.0f} to {high:,.0f}" in checks["actions"]["says"]
    assert checks["bounds"]["verdict"] == "ok"


def lowest(parts):
    return min(float(x.min()) for x in parts)


def highest(parts):
    return max(float(x.max()) for x in parts)


def test_the_same_step_with_another_outcome_is_no_copy(tmp_path, undrawn):
    def meet_again(obs):
        obs[::10] = 0.3
        return obs

    summary = jaxmaze.inspect(
        store(tmp_path / "data", of(change=meet_again)), tmp_path / "a"
    ).summary
    assert summary["checks"]["duplicate steps"]["copies"] == 0
    assert summary["checks"]["determinism"]["recurring"] > 100


def test_observations_that_nearly_recur_are_compared_across_episodes(tmp_path, undrawn):
    def near(obs):
        return obs.clip(-1, 1) + 1e-3 * np.sin(999 * obs)

    for i, (act, wanted) in enumerate([(teacher, "ok"), (dithering, "unfit")]):
        episodes = [episode(k, THREE, act, near) for k in range(100)]
        each = verdicts(store(tmp_path / str(i) / "data", episodes))[1]
        assert each["determinism"] == wanted


def test_an_episode_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, undrawn):
    data = store(tmp_path / "data", of())
    with h5py.File(data / "main_data.hdf5", "a") as file:
        del file["episode_5/actions"]
        for key in ("observations", "actions", "rewards", "terminations", "truncations"):
            whole = file[f"episode_7/{key}"][:]
            del file[f"episode_7/{key}"]
            file[f"episode_7/{key}"] = whole[: int(key == "observations")]
    run = jaxmaze.inspect(data, tmp_path / "inspected")
    check = run.summary["checks"]["structure"]
    assert check["verdict"] == "unfit" and check["broken"] == 2
    assert "episode 5: it cannot be read" in check["says"]
    assert check["problems"][1] == "episode 7: it has no steps"
    assert sum(run.summary["checks"]["ends"][end] for end in ("terminated", "truncated")) == 22


def test_what_was_changed_since_it_was_recorded_is_unfit(recorded, tmp_path, undrawn):
    shutil.copytree(recorded.folder, tmp_path / "run")
    assert verdicts(tmp_path / "run", tmp_path / "a")[1]["checksum"] == "ok"
    with h5py.File(tmp_path / "run/trajectory_data/data/main_data.hdf5", "a") as file:
        file["episode_2/rewards"][3] += 1e-3
    verdict, each = verdicts(tmp_path / "run", tmp_path / "b", replay=0)
    assert verdict == each.pop("checksum") == "unfit"
    assert "unfit" not in each.values()


# The environment.


def test_a_rollout_is_played_again_and_a_shifted_one_is_noticed(recorded, tmp_path, undrawn):
    run = jaxmaze.inspect(recorded, tmp_path / "a", replay=3)
    replay = run.summary["checks"]["replay"]
    assert replay["verdict"] == "ok" and replay["episodes"] == 3 and replay["steps"] > 100
    shutil.copytree(recorded.folder, tmp_path / "run")
    with h5py.File(tmp_path / "run/trajectory_data/data/main_data.hdf5", "a") as file:
        file["episode_1/observations"][7, 2] += 1e-3
        file["episode_4"].attrs["seed"] += 1
    replay = jaxmaze.inspect(tmp_path / "run", tmp_path / "b").summary["checks"]["replay"]
    assert replay["verdict"] == "warning" and replay["differ"] == [1, 4]
    assert replay["first"]["differs_at"] == 7 and "from step 7 on" in replay["says"]


def minari(folder, env, count=12, limit=None):
    """A dataset by Minari alone, of an environment with nested actions or observations or none."""
    made, episodes = gym.make(env, max_episode_steps=limit), []
    for seed in range(count):
        rng, done = np.random.default_rng(seed), False
        obs, taken, rewards = [made.reset(seed=seed)[0]], [], []
        while not done:
            taken.append(rng.integers(made.action_space.n))
            found, reward, terminated, truncated, _ = made.step(taken[-1])
            done = terminated or truncated
            obs.append(found)
            rewards.append(reward)
        ends = np.arange(1, len(taken) + 1) == len(taken)
        parts = (
            [np.array(x) for x in zip(*obs, strict=True)]
            if isinstance(found, tuple)
            else np.array(obs)
        )
        episodes.append(
            {
                "seed": seed,
                "observations": tuple(parts) if isinstance(found, tuple) else parts,
                "actions": np.array(taken),
                "rewards": np.array(rewards, np.float64),
                "terminations": ends & terminated,
                "truncations": ends & truncated,
            }
        )
    spaces = made.observation_space, made.action_space
    return store(folder, episodes, *spaces, env_spec=made.spec)


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1", "Blackjack-v1", "Taxi-v4"])
def test_other_spaces_are_read_and_played_again_from_minaris_own_specification(
    env, tmp_path, undrawn
):
    data = minari(tmp_path / "data", env, limit=30)
    summary = jaxmaze.inspect(data, tmp_path / "inspected").summary
    replay = summary["checks"]["replay"]
    assert replay["verdict"] == "ok" and replay["environment"] == env and replay["episodes"] == 10
    assert summary["checks"]["structure"]["verdict"] == "ok"


def test_code_that_data_name_is_imported_only_if_trusted(tmp_path, monkeypatch, undrawn):
    marker = tmp_path / "marker"
    (tmp_path / "planted.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from gymnasium.envs.classic_control import CartPoleEnv as Mine\n"
    )
    monkeypatch.chdir(tmp_path)
    data = minari(tmp_path / "data", "CartPole-v1")
    about = json.loads((data / "metadata.json").read_text())
    spec = json.loads(about["env_spec"])
    spec |= {"id": "Mine-v0", "entry_point": "planted:Mine"}
    (data / "metadata.json").write_text(json.dumps(about | {"env_spec": json.dumps(spec)}))
    skipped = jaxmaze.inspect(data, tmp_path / "a").summary["checks"]["replay"]
    assert skipped["verdict"] == "skipped" and "--trust" in skipped["says"]
    assert not marker.exists()
    # A configuration of one's own needs none.
    own = jaxmaze.inspect(data, tmp_path / "b", config={"env": {"id": "CartPole-v1"}}).summary
    assert own["checks"]["replay"]["verdict"] == "ok" and not marker.exists()
    trusted = jaxmaze.inspect(data, tmp_path / "c", trust=True).summary["checks"]["replay"]
    assert trusted["verdict"] == "ok" and marker.exists()
    # Nor is an environment made to find out its spaces.
    marker.unlink()
    del about["observation_space"]
    (data / "metadata.json").write_text(json.dumps(about | {"env_spec": json.dumps(spec)}))
    with pytest.raises(UserError, match="does not say its spaces"):
        jaxmaze.inspect(data, tmp_path / "d")
    assert not marker.exists()


def test_code_that_a_run_names_is_imported_only_if_trusted(
    recorded, tmp_path, monkeypatch, undrawn
):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "marker"
    (tmp_path / "sown.py").write_text(f"open({str(marker)!r}, 'w').close()")
    shutil.copytree(recorded.folder, tmp_path / "run")
    about = json.loads((tmp_path / "run/config.json").read_text())
    about["config"]["env"]["id"] = "sown:Mine-v0"
    (tmp_path / "run/config.json").write_text(json.dumps(about))
    replay = jaxmaze.inspect(tmp_path / "run", tmp_path / "a").summary["checks"]["replay"]
    assert replay["verdict"] == "skipped" and "--trust" in replay["says"] and not marker.exists()
    jaxmaze.inspect(tmp_path / "run", tmp_path / "b", trust=True)
    assert marker.exists()


def test_images_and_nested_observations_are_read(tmp_path, undrawn):
    space = gym.spaces.Dict(
        {"camera": gym.spaces.Box(0, 255, (24, 24, 3), np.uint8), "speed": gym.spaces.Box(-9, 9)}
    )
    rng = np.random.default_rng(0)

    def seen(e):
        steps = len(e["observations"])
        images = rng.integers(0, 255, (steps, 24, 24, 3)).astype(np.uint8)
        return e | {"observations": {"camera": images, "speed": e["observations"][:, :1]}}

    data = store(tmp_path / "data", map(seen, of()), space)
    run = jaxmaze.inspect(data, tmp_path / "inspected")
    assert run.summary["verdict"] == "ok"
    assert run.summary["checks"]["features"]["features"] == 2


# The command.


@pytest.mark.slow
def test_the_command_ends_with_its_folder_and_says_unfit_by_its_exit_code(tmp_path):
    good = store(tmp_path / "good", of())
    bad = store(tmp_path / "bad", DEFECTS["NaN in an observation"][3]())
    for data, code in ((good, 0), (bad, 1)):
        done = command("jaxmaze.inspect", data, f"--workdir={data}-out", cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert done.stdout.splitlines()[-1] == f"{data}-out"
        report = tmp_path / f"{data.name}-out" / "report"
        figures = ("returns", "lengths", "actions", "features")
        names = {f"{figure}.{kind}" for figure in figures for kind in ("png", "svg", "csv")}
        assert {p.name for p in report.iterdir()} == names | {"index.html", "log.jsonl"}
        assert json.loads((report.parent / "summary.json").read_text())["kind"] == "inspect"
    assert "unfit to learn from, because of numbers" in done.stdout
    done = command("jaxmaze.inspect", "--workdir", tmp_path / "again", good, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "again/summary.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give one folder"),
        (["a", "b"], "give one folder"),
        (["nowhere"], "nowhere is not a folder"),
        (["."], "holds no Minari dataset"),
        ([".", "--config.env.id=X"], "give one too"),
        ([".", "--nonsense=1"], "nonsense"),
    ],
)
def test_wrong_words_are_one_line(words, says, tmp_path):
    (tmp_path / "file").touch()
    done = command("jaxmaze.inspect", *words, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and says in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
