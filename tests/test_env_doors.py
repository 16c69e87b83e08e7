"""Environments of one's own through the commands and in Python: made, wrapped, sent, trusted."""

import functools
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxmaze import api, cli, config, trust
from jaxmaze.envs import environment, workers
from jaxmaze.envs.envpool import EnvpoolCollector
from jaxmaze.errors import UserError
from jaxmaze.training import audit
from tests import count_env, own
from tests.conftest import HERE, command, flags
from tests.count_env import Scale, config_of, make_env, refused
from tests.envs.test_workers import everything, setup
from tests.test_cli import fails
from tests.test_trust import refused as untrusted

NOTE = "runs in this process, not in workers"
MORE = '''

def make_env(limit=30, spin=0.0):
    return gym.wrappers.TimeLimit(Ball(lambda x: 1.0 - x * x), limit)


class Slower(gym.Wrapper):
    """Hands on what it is given, and says so in a file."""

    def __init__(self, env, name="made"):
        super().__init__(env)
        open(name, "w").close()


class Dies(Ball):
    played = 0

    def step(self, action):
        self.played += 1
        if self.played > 5:
            raise RuntimeError("the gearbox is on fire")
        return super().step(action)


class Old(Ball):
    def step(self, action):
        return super().step(action)[:4]
'''
CONFIG = """
def get_config(recipe="workflow"):
    return {
        "stage": recipe,
        "env": {"make": "my_file:make_env", "wrappers": ["my_file:Slower"]},
        "rollout": {"policy": "my_file:teacher"},
    }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a user's own functions, wrapper, teacher and config."""
    folder = tmp_path_factory.mktemp("doors")
    (folder / "my_file.py").write_text(own.CLASS + MORE)
    (folder / "my_config.py").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def recorded(folder):
    """What the command records there, in workers' reach."""
    done = command(
        "jaxmaze.rollout",
        "--config=my_config.py",
        "--n_episodes=4",
        "--record",
        "--workdir=data",
        "--config.env.wrappers=(('my_file:Slower', {'name': 'put'}),)",
        "--config.env.reset_options.low=0.5",
        "--config.env.frame_skip=2",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done, folder / "data"


def test_a_command_makes_wraps_and_records_what_it_is_told(folder, recorded):
    done, run = recorded
    assert "my_file:make_env: 4 episodes of my_file:teacher" in done.stdout
    assert "no step limit" not in done.stdout and (folder / "put").exists()
    values = json.loads((run / "config.json").read_text())["config"]["env"]
    assert values["make"] == "my_file:make_env" and values["id"] is None
    assert values["wrappers"] == [["my_file:Slower", {"name": "put"}]]
    assert values["reset_options"] == {"low": 0.5}
    metadata = json.loads((run / "trajectory_data" / "data" / "metadata.json").read_text())
    about = json.loads(metadata["jaxmaze_provenance"])["env"]
    assert about["entry_point"] == "my_file:make_env"
    slower = about["additional_wrappers"][1]
    assert slower["entry_point"] == "my_file:Slower" and slower["kwargs"] == {"name": "put"}
    # The fields are the run's identity.
    other = command(
        "jaxmaze.rollout",
        "--config=my_config.py",
        "--n_episodes=4",
        "--record",
        "--workdir=data",
        cwd=folder,
    )
    fails(other, "data holds a run with another configuration", "env.wrappers")


WRONG = {
    "module": ("make=absent:make", ["no module 'absent'", "the current folder"]),
    "name": ("make=my_file:make_evn", ["has no 'make_evn'", "did you mean 'make_env'?"]),
    "no function": ("make=my_file", ["env.make=my_file", "module:make_env"]),
    "old": ("make=my_file:Old", ["my_file:Old: step() returned 4 values", "gymnasium wants"]),
    "wrapper": ("wrappers=my_file:Slow,x:y", ["env.wrappers=my_file:Slow", "has no 'Slow'"]),
    "no wrapper": ("wrappers=5", ["env.wrappers has '5'", "import path"]),
    "images": ("grayscale=True", ["env.grayscale is for images"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_fields_are_one_line(case, folder, capsys):
    text, words = WRONG[case]
    done = command(
        "jaxmaze.rollout",
        "--config=my_config.py",
        f"--config.env.{text}",
        f"--workdir={case}",
        cwd=folder,
    )
    fails(done, *words)
    assert done.returncode == 2 and not (folder / case).exists()


def test_what_raises_in_the_midst_of_training_names_itself_in_this_process_too(folder):
    quick = own.QUICK | {"env.workers": 0, "members": 1}
    done = command(
        "jaxmaze.train",
        "--config=my_config.py:ppo",
        "--config.env.make=my_file:Dies",
        *flags(quick),
        "--workdir=dies",
        cwd=folder,
    )
    assert done.returncode == 1 and "raise RuntimeError" in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: the environment my_file:Dies failed in step(): RuntimeError")
    assert "the gearbox is on fire (my_file.py, line" in line


@pytest.mark.parametrize(
    "text,value",
    [
        ("a:b", ("a:b",)),
        ("a.b:C, d:E", ("a.b:C", "d:E")),
        ("('a:b', ('c:d', {'x': 2.0}))", ("a:b", ("c:d", {"x": 2.0}))),
        ("['a:b']", ("a:b",)),
        ("'a:b'", ("a:b",)),
        ("()", ()),
    ],
)
def test_wrappers_on_the_command_line(text, value):
    assert cli.parse_value("env.wrappers", text) == value


def test_sizes_and_options_on_the_command_line():
    assert cli.parse_value("env.resize", "(84, 96)") == (84, 96)
    assert cli.parse_value("env.resize", "84") == (84,)
    assert cli.parse_value("env.resize", "None") is None
    assert cli.parse_value("env.make", "None") is None
    assert cli.parse_value("env.reset_options.low", "-0.5") == -0.5
    made = api.override({"env": {"id": "X-v0"}}, {"env.reset_options.low": 1})
    assert api.override(made, {"env.reset_options.high": 2}).env.reset_options.to_dict() == {
        "low": 1,
        "high": 2,
    }
    with pytest.raises(UserError, match="nested too deeply"):
        api.override(made, {"env.reset_options.a.b": 2})


def test_functions_and_their_arguments_survive_every_door():
    wrappers = (Scale, (Scale, {"scale": 3.0}), "x:y", ("x:y", {"a": {"b": 2}}))
    values = {"env": {"make": make_env, "wrappers": wrappers}}
    made = api.override(config.validate(config.make_config(values)), {"seed": 1})
    for found in (made.env, config.to_settings(made).env, config.to_settings(made.to_dict()).env):
        assert found.make is make_env and found.wrappers == wrappers
    written = config.to_dict(made)
    assert written == config.to_dict(config.to_settings(made))
    here = "tests.count_env"
    assert written["env"]["make"] == f"{here}:make_env"
    assert written["env"]["wrappers"] == [
        f"{here}:Scale",
        [f"{here}:Scale", {"scale": 3.0}],
        "x:y",
        ["x:y", {"a": {"b": 2}}],
    ]
    # Read back it is the same environment, and needs nobody's trust to be described.
    again = config.from_dict(json.loads(json.dumps(written)))
    assert environment.EnvConfig.of(again.env) == environment.EnvConfig.of(made.env)


def same_in_workers(env):
    """Whether an environment is sent to workers, and does there what it does here."""
    setting = setup(env)
    segments, evaluated = everything(2, *setting)
    expected, here = everything(0, *setting)
    assert evaluated == here
    for a, b in zip(segments, expected, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a.rollout, b.rollout)
    with workers.Pool(setting[0], setting[1], 2) as pool:
        return len(pool._workers) == 2


def test_what_can_be_imported_is_sent_to_workers(capsys):
    wrapped = (
        Scale,
        ("tests.count_env:Scale", {"scale": 0.5}),
        "gymnasium.wrappers:NormalizeReward",
    )
    make = functools.partial(make_env, limit=20)  # has no path, and can be sent all the same
    assert same_in_workers(
        config_of(make=make, wrappers=wrapped[:2], reset_options={"number": 3.0})
    )
    assert NOTE not in capsys.readouterr().out


@pytest.mark.parametrize(
    "fields,why",
    [
        ({"make": lambda: make_env()}, "has no name that another could import"),
        ({"make": make_env, "wrappers": (lambda env: Scale(env),)}, "has no name"),
    ],
)
def test_what_cannot_be_sent_runs_here_and_is_said_once(fields, why, capsys, monkeypatch):
    monkeypatch.setattr(workers, "_noted", set())
    for _ in range(2):
        assert not same_in_workers(config_of(max_episode_steps=20, **fields))
    out = capsys.readouterr().out
    assert out.count(NOTE) == 1 and why in out and "given as module:name" in out


SCRIPT = """
import os

import jaxmaze
from my_file import Ball, make_env, teacher


def here(limit=30):
    return make_env(limit)


if __name__ == "__main__":
    config = jaxmaze.override({"env": {"make": here}}, SMALL | {"env.workers": 2, "members": 1})
    if not os.path.exists("script/data"):
        jaxmaze.record(config, "script/data", policy=teacher)
    jaxmaze.clone(config, "script/data", "script/clone")
"""
NAME = "__main__:here"


@pytest.mark.slow
def test_a_function_of_a_script_is_used_and_has_to_be_given_again(folder):
    (folder / "script.py").write_text(f"SMALL = {own.QUICK}\n" + SCRIPT)

    def run():
        return subprocess.run(
            [sys.executable, "script.py"], cwd=folder, env=HERE, capture_output=True, text=True
        )

    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(NOTE) == 1 and "its code is in the script or notebook" in done.stdout
    written = json.loads((folder / "script" / "clone" / "config.json").read_text())
    assert written["config"]["env"]["make"] == NAME
    again = run()  # the same script gives it again
    assert "script/clone is finished already" in again.stdout, again.stderr
    (folder / "script" / "clone" / "summary.json").unlink()
    for arguments in (
        ("jaxmaze.train", "--resume=script/clone"),
        ("jaxmaze.rollout", "--run=script/clone", "--n_episodes=1"),
    ):
        done = command(*arguments, cwd=folder)
        fails(done, "env.make=__main__:here was given in Python", "give it again")
        assert done.returncode == 2


FLAT = "gymnasium.wrappers:FlattenObservation"


@pytest.fixture
def theirs(folder, recorded, tmp_path):
    """A stranger's rollout beside a user's own modules, which leave a file when they are used."""
    _, run = recorded
    shutil.copytree(run, tmp_path / "outputs" / "theirs")
    marker = tmp_path / "marker"
    code = f"open({str(marker)!r}, 'w').close()\n" + (folder / "my_file.py").read_text()
    (tmp_path / "my_file.py").write_text(code)
    path = tmp_path / "outputs" / "theirs" / "config.json"

    def names(**fields):
        values = json.loads(path.read_text())
        values["config"]["env"] |= fields
        path.write_text(json.dumps(values))

    return tmp_path, marker, names


@pytest.mark.parametrize(
    "fields,path",
    [
        ({"wrappers": []}, "env.make=my_file:make_env"),
        ({"make": None, "id": "CartPole-v1"}, "env.wrappers[0]=my_file:Slower"),
        ({"make": NAME, "wrappers": [FLAT, "my_file:Slower"]}, "env.wrappers[1]=my_file:Slower"),
    ],
)
def test_code_that_a_run_names_is_not_imported_without_trust(theirs, fields, path):
    folder, marker, names = theirs
    names(**fields)
    values = json.loads((folder / "outputs" / "theirs" / "config.json").read_text())
    arguments = ("jaxmaze.rollout", "--run=outputs/theirs", "--n_episodes=1", "--workdir=out")
    untrusted(command(*arguments, cwd=folder), marker, "--trust", path)
    found = config.import_paths(config.from_dict(values["config"]))
    assert dict([path.split("=")]).items() <= found.items()
    # A folder that is called like it changes nothing: it is imported all the same.
    (folder / path.partition("=")[2]).mkdir()
    untrusted(command(*arguments, cwd=folder), marker, "--trust", path)


def test_gymnasiums_own_wrappers_need_no_trust_and_what_is_given_is_the_users_own(
    tmp_path, monkeypatch
):
    own_ones = ["gymnasium.wrappers:TimeAwareObservation", ["gymnasium.wrappers:ClipReward", {}]]
    made = config.from_dict({"env": {"id": "CartPole-v1", "wrappers": own_ones}})
    assert config.import_paths(made) == {}
    for path in (
        "gymnasium.wrappers:RecordVideo",  # writes where it is told to
        "gymnasium.wrappers:os.system",
        "gymnasium.wrappers.rendering:os",
        "gymnasium_evil.wrappers:X",
        "gymnasium:make",
    ):
        made = config.from_dict({"env": {"id": "CartPole-v1", "wrappers": [own_ones[0], path]}})
        assert config.import_paths(made) == {"env.wrappers[1]": path}
        with pytest.raises(UserError, match=r"env\.wrappers\[1\].*--trust"):
            trust.check(config.import_paths(made), tmp_path, trust=False)
        given = ((path, {}),), "env.id", 3
        trust.check(config.import_paths(made), tmp_path, trust=False, given=given)
    (tmp_path / "config.json").write_text('{"kind": "bc", "format": 3}')
    monkeypatch.delitem(sys.modules, "planted", raising=False)  # of another test
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    sys.path.insert(0, str(tmp_path))
    try:
        for fields in ({"make": "planted:make"}, {"make": make_env, "wrappers": ("planted:W",)}):
            refused(
                lambda f=fields: environment.make(config_of(**f)), "lies in the folder of a run"
            )
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(
    "fields",
    [
        {"make": make_env},
        {"wrappers": ("gymnasium.wrappers:NormalizeReward",)},
        {"reset_options": {"low": 0.0}},
        {"frame_skip": 2},
        {"frame_stack": 2},
    ],
)
def test_envpool_takes_environments_as_they_are(fields):
    info = environment.describe(config_of(id="CartPole-v1", **fields))
    with pytest.raises(UserError, match=f"envpool cannot do env.{next(iter(fields))}"):
        EnvpoolCollector.check(info)


HERS = {"make": make_env, "wrappers": ["tests.count_env:Scale"], "frame_skip": 2}


@pytest.mark.parametrize(
    "fields,words",
    [
        ({"make": count_env.Count}, "env.make is 'tests.count_env:make_env' there"),
        ({"make": None, "id": "CartPole-v1"}, "env.make is 'tests.count_env:make_env' there"),
        ({"wrappers": ()}, "env.wrappers is "),
        ({"wrappers": ((Scale, {"scale": 3.0}),)}, "env.wrappers is "),
        ({"frame_skip": 1}, "env.frame_skip is 2 there and 1 here"),
        ({"reset_options": {"number": 3.0}}, "env.reset_options is {} there"),
        ({"wrappers": (Scale,), "id": "Mine-v0"}, ""),  # spelled otherwise
    ],
)
def test_an_environment_that_is_wrapped_otherwise_is_another_one(fields, words):
    there, here = (
        config.to_dict(config.make_config({"env": values}))["env"]
        for values in (HERS, HERS | fields)
    )
    found = audit.env_difference(there, here)
    assert found.startswith(words) and (found or not words)
    # What runs have written that knew nothing of these fields.
    old = {"id": "CartPole-v1", "kwargs": {}, "max_episode_steps": None}
    new = config.to_dict(config.make_config({"env": {"id": "CartPole-v1"}}))["env"]
    assert audit.env_difference(old, new) == "" == audit.env_difference(new, old)
