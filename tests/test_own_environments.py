"""Environments that come with nobody's package: modules, scripts, classes and lambdas of a user."""

import importlib
import json
import subprocess
import sys

import gymnasium as gym
import jax
import minari
import numpy as np
import pytest
from gymnasium.envs.registration import WrapperSpec

from jaxmaze import api
from jaxmaze.envs import environment, workers
from jaxmaze.errors import UserError
from tests import own
from tests.conftest import HERE, command, flags, goes_on_as, killed
from tests.envs.test_workers import everything, setup
from tests.test_cli import fails

SMALL = flags(own.QUICK)
NOTE = "runs in this process, not in workers"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with nothing but a user's own environment, teacher and config."""
    return own.write(tmp_path_factory.mktemp("own"))


@pytest.fixture
def balls(folder, monkeypatch):
    """The user's module, imported here; the registry is as before afterwards."""
    monkeypatch.syspath_prepend(folder)
    before = dict(gym.registry)
    yield importlib.reload(importlib.import_module("my_env"))
    gym.registry.clear()
    gym.registry.update(before)


def test_the_whole_workflow_in_a_folder_of_ones_own(folder, tmp_path):
    train = ("jaxmaze.train", "--config=my_config.py", *SMALL, "--config.env.workers=2")
    done = command(*train, "--workdir=whole", cwd=folder)
    assert done.returncode == 0 and NOTE not in done.stdout, done.stderr
    summary = own.summary(folder / "whole")
    assert summary["kind"] == "workflow" and len(summary["arms"]["pretrained"]["members"]) == 2
    rollout = (folder / "whole" / "rollout" / "episodes.jsonl").read_text()
    assert "terminated" in rollout and "truncated" in rollout
    shown = command("jaxmaze.rollout", "--run=whole", "--n_episodes=2", "--trust", cwd=folder)
    assert shown.returncode == 0 and "2 episodes of" in shown.stdout, shown.stderr
    given = command(
        "jaxmaze.rollout",
        "--run=whole",
        "--n_episodes=2",
        "--config.env.id=my_env:Ball-v0",
        cwd=folder,
    )
    assert given.returncode == 0, given.stderr
    teacher = ("whole/bc", "--teacher=whole/teacher", "--trust")
    compared = command("jaxmaze.compare", *teacher, cwd=folder)
    assert compared.returncode == 0 and "cannot be asked" not in compared.stdout, compared.stderr
    # From elsewhere: which module, and where it was looked for.
    lost = command("jaxmaze.rollout", f"--run={folder / 'whole'}", "--trust", cwd=tmp_path)
    fails(lost, "there is no module 'my_env'", str(tmp_path), "PYTHONPATH")


def test_a_killed_run_goes_on_in_its_folder_and_says_where_it_looks_elsewhere(folder, tmp_path):
    train = ["jaxmaze.train", "--config=my_config.py:ppo", *SMALL, "--config.env.workers=2"]
    done = command(*train, "--workdir=ppo", cwd=folder)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    killed(train, run, 4, cwd=folder)
    elsewhere = command("jaxmaze.train", f"--resume={run}", "--trust", cwd=tmp_path)
    fails(elsewhere, "'my_env'", str(tmp_path))
    goes_on_as(run, folder / "ppo", "--trust", cwd=folder)


def test_modules_are_found_in_the_current_folder_however_the_command_is_started(folder):
    train = ("jaxmaze.train", "--config=my_config.py:ppo", *SMALL, "--config.env.workers=2")
    result = subprocess.run(
        [sys.executable, "-m", *train, "--workdir=safe"],
        cwd=folder,
        text=True,
        capture_output=True,
        env=HERE | {"PYTHONSAFEPATH": "1"},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr


SCRIPT = """
def wrapped(**kwargs):
    return gym.wrappers.TransformReward(Ball(**kwargs), lambda r: 2 * r)


if __name__ == "__main__":
    limit = dict(max_episode_steps=30)
    gym.register("Text-v0", "__main__:Ball", **limit)
    gym.register("Class-v0", Ball, kwargs=dict(reward=lambda x: 2 - x), **limit)
    gym.register("Wrapped-v0", lambda **kwargs: wrapped(**kwargs), **limit)

    import jaxmaze

    for name in ("Text", "Class", "Wrapped"):
        config = jaxmaze.override(SMALL, {"env.id": f"{name}-v0", "env.workers": 2})
        data = jaxmaze.record(config, f"{name}/data", policy=teacher)
        clone = jaxmaze.clone(config, data, f"{name}/clone")
    tuned = jaxmaze.fine_tune(config, clone, f"{name}/tuned")
    print(jaxmaze.evaluate(config, tuned))
"""
SPECS = {
    "Text": ("__main__:Ball", {}),
    "Class": ("__main__:Ball", {"reward": "__main__:<lambda>"}),
    "Wrapped": ("__main__:<lambda>", {}),
}


def test_a_script_registers_what_no_other_process_can_make(tmp_path):
    script = own.CLASS + f"\n\nSMALL = {own.QUICK}\n" + SCRIPT
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=HERE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(NOTE) == 3  # once each, whatever is done with it
    assert done.stdout.count("its code is in the script or notebook itself") == 3
    for name, (entry_point, kwargs) in SPECS.items():
        data = tmp_path / name / "data" / "trajectory_data" / "data"
        metadata = json.loads((data / "metadata.json").read_text())
        provenance = json.loads(metadata["jaxmaze_provenance"])["env"]
        for about in (json.loads(metadata["env_spec"]), provenance):
            assert about["id"] == f"{name}-v0" and about["entry_point"] == entry_point
            assert about["max_episode_steps"] == 30 and about["kwargs"] == kwargs
        dataset = minari.MinariDataset(data)
        assert dataset.total_episodes == 20 and dataset.env_spec.id == f"{name}-v0"
    (wrapper,) = dataset.env_spec.additional_wrappers
    assert wrapper.name == "TransformReward" and wrapper.kwargs is None
    assert provenance["additional_wrappers"][0]["kwargs"] == {
        "func": "__main__:wrapped.<locals>.<lambda>"
    }


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


def test_what_a_module_registers_is_sent_to_workers_whatever_it_is(balls):
    assert same_in_workers(environment.EnvConfig("my_env:Ball-v0"))
    # By a class, and with a wrapper that is part of the registration.
    half = WrapperSpec("ClipReward", "gymnasium.wrappers:ClipReward", dict(max_reward=0.9))
    gym.register("Class-v0", balls.Ball, max_episode_steps=20, additional_wrappers=(half,))
    assert same_in_workers(environment.EnvConfig("Class-v0"))
    env = environment.make(environment.EnvConfig("Class-v0"))
    env.reset(seed=0)
    assert env.step(1)[1] == 0.9


def test_an_id_that_was_registered_anew_is_that_one_in_workers_too(balls):
    gym.register("CartPole-v1", balls.Ball, max_episode_steps=20)
    assert same_in_workers(environment.EnvConfig("CartPole-v1"))


def test_workers_kept_from_another_folder_do_not_search_it(tmp_path, monkeypatch, balls):
    config, info, _ = setup()
    with workers.Pool(config, info, 2):
        pass  # gymnasium's own: these workers are kept
    own.write(tmp_path, env_id="there:Ball-v0", entry="'there:Ball'")
    (tmp_path / "my_env.py").rename(tmp_path / "there.py")
    monkeypatch.chdir(tmp_path)
    assert same_in_workers(environment.EnvConfig("there:Ball-v0"))


def test_a_lambda_of_a_module_is_imported_by_workers(folder, tmp_path, monkeypatch):
    own.write(tmp_path, entry="lambda: Ball(lambda x: x)", env_id="lambdas:Ball-v0")
    (tmp_path / "my_env.py").rename(tmp_path / "lambdas.py")
    monkeypatch.syspath_prepend(tmp_path)
    assert same_in_workers(environment.EnvConfig("lambdas:Ball-v0"))


def test_what_is_made_up_here_is_not_sent(balls, capsys):
    unnamed = gym.register("Unnamed-v0", lambda: balls.Ball(), max_episode_steps=20)
    assert unnamed is None
    assert not same_in_workers(environment.EnvConfig("Unnamed-v0"))
    out = capsys.readouterr().out
    assert out.count(NOTE) == 1 and "<lambda> has no name that another could import" in out
    made_up = type("Ball", (balls.Ball,), {"__module__": "made_up"})
    sys.modules["made_up"] = type(sys)("made_up")
    sys.modules["made_up"].Ball = made_up
    try:
        gym.register("MadeUp-v0", "made_up:Ball", max_episode_steps=20)
        assert not same_in_workers(environment.EnvConfig("MadeUp-v0"))
        assert "would not find its module 'made_up'" in capsys.readouterr().out
    finally:
        del sys.modules["made_up"]


ASTRAY = "import gymnasium as gym; gym.register('Xyz-v0', 'no_such_module:Env')"


@pytest.mark.parametrize(
    "env_id,text,words",
    [
        ("absent:X-v0", None, ["no module 'absent'", "the current folder", "PYTHONPATH"]),
        ("thing.absent:X-v0", "", ["no module 'thing", "the current folder"]),
        ("needs:X-v0", "import no_such_package", ["module needs needs 'no_such_package'"]),
        ("raises:X-v0", "1 / 0", ["raises cannot be imported: ZeroDivisionError"]),
        ("empty:Xyz-v0", "", ["Xyz", "empty registers no such environment"]),
        ("Xyz-v0", None, ["Xyz", "module:Name-v0"]),
        ("astray:Xyz-v0", ASTRAY, ["'no_such_module'", "the current folder"]),
    ],
)
def test_what_cannot_be_imported_is_one_clear_line(
    env_id, text, words, tmp_path, monkeypatch, balls
):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / f"{env_id.split(':')[0].split('.')[0]}.py").write_text(text)
    before = list(sys.path)
    with pytest.raises(UserError) as caught:
        environment.describe(environment.EnvConfig(env_id))
    assert sys.path == before
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    if "the current folder" in words:
        assert str(tmp_path) in message


def test_the_limit_is_the_registered_one_however_the_id_is_written(balls):
    for env_id, limit in (("my_env:Ball-v0", 30), ("CartPole", 500), ("CartPole-v1", 500)):
        config = environment.EnvConfig(env_id, max_episode_steps=7)
        assert environment.registered_limit(environment.describe(config)) == limit


def test_a_handover_to_another_limit_is_still_noticed(balls, tmp_path):
    values = {"env.id": "my_env:Ball-v0", "rollout.policy": "my_env:teacher"} | own.QUICK
    config = api.make_config(values | {"env.workers": 0})
    clone = api.clone(config, api.record(config, tmp_path / "data"), tmp_path / "clone")
    api.fine_tune(config, clone, tmp_path / "tuned")
    with pytest.raises(UserError, match="max_episode_steps is 30 there and 20 here"):
        api.fine_tune(
            api.override(config, {"env.max_episode_steps": 20}), clone, tmp_path / "other"
        )
