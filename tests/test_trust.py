"""A run's folder is data: what it names is not imported unless its reader says so."""

import json
import shutil

import pytest

from jaxmaze import api, trust
from jaxmaze.errors import UserError
from tests.conftest import command

PLANTED = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
import gymnasium
gymnasium.register("Planted-v0", "gymnasium.envs.box2d:LunarLander", max_episode_steps=50)
def teacher(obs):
    pathlib.Path({marker!r}).write_text("ran")
    return obs[:, 0].astype(int) * 0
"""


@pytest.fixture
def world(tmp_path, cloned):
    """A folder with a stranger's run in ``outputs/theirs`` and what plants code in it."""
    theirs, marker = tmp_path / "outputs" / "theirs", tmp_path / "marker"
    shutil.copytree(cloned.folder, theirs)
    code = PLANTED.format(marker=str(marker))
    (theirs / "evil.py").write_text(code)
    (tmp_path / "mine.py").write_text(code)

    def names(field, path, **more):
        config = json.loads((theirs / "config.json").read_text()) | more
        config["config"]["stage"] = config["kind"]
        section, leaf = field.split(".")
        config["config"][section][leaf] = path
        (theirs / "config.json").write_text(json.dumps(config))

    return tmp_path, theirs, marker, names


def refused(done, marker, *words):
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("module", ["outputs.theirs.evil", "mine"])
def test_rollout_does_not_import_what_a_run_names(world, module):
    folder, _, marker, names = world
    names("env.id", f"{module}:Planted-v0")
    arguments = ["jaxmaze.rollout", "--run=outputs/theirs", "--n_episodes=1", "--workdir=out"]
    refused(command(*arguments, cwd=folder), marker, "--trust", f"env.id={module}:Planted-v0")
    trusting = command(*arguments, "--trust", cwd=folder)
    given = [f"--config.env.id={module}:Planted-v0"]
    if module == "mine":  # the reader's own module, wherever they say so
        assert trusting.returncode == 0 and marker.exists(), trusting.stderr
        marker.unlink()
        again = command(*arguments[:-1], "--workdir=again", *given, cwd=folder)
        assert again.returncode == 0 and marker.exists(), again.stderr
    else:  # from below a run's folder nothing is imported at all
        for done in (trusting, command(*arguments, *given, cwd=folder)):
            refused(done, marker, "lies in the folder of a run")


@pytest.mark.parametrize(
    "path", ["os:system", "mine:teacher", "outputs.theirs.evil:teacher", "sb3:model.zip"]
)
def test_resume_does_not_call_what_a_run_names(world, path):
    folder, theirs, marker, names = world
    names("rollout.policy", path, kind="workflow")
    (theirs / "summary.json").unlink()
    done = command("jaxmaze.train", "--resume=outputs/theirs", cwd=folder)
    refused(done, marker, "--trust", path)
    names("rollout.policy", "heuristic")
    names("dagger.policy", path, kind="dagger")
    done = command("jaxmaze.train", "--resume=outputs/theirs", cwd=folder)
    refused(done, marker, "--trust", path)
    if "theirs" in path:
        done = command("jaxmaze.train", "--resume=outputs/theirs", "--trust", cwd=folder)
        refused(done, marker, "lies in the folder of a run")


def test_what_starts_from_a_run_or_plays_its_policy_imports_nothing(world, small, recorded):
    _, theirs, marker, names = world
    for field, path in (("env.id", "mine:X-v0"), ("rollout.policy", "mine:teacher")):
        names(field, path)
        assert api.load_policy(theirs)
        with pytest.raises(
            UserError, match=r"trained in another environment|not finished|holds a run"
        ):
            api.fine_tune(small, theirs, theirs)
        with pytest.raises(UserError):
            api.resume(theirs)
    assert not marker.exists()


def test_a_teacher_that_is_not_trusted_is_not_asked(world, cloned, recorded, monkeypatch):
    folder, _, marker, _ = world
    monkeypatch.chdir(folder)
    shutil.copytree(recorded.folder, "teacher")
    config = json.loads((folder / "teacher" / "config.json").read_text())
    config["config"]["rollout"]["policy"] = "mine:teacher"
    (folder / "teacher" / "config.json").write_text(json.dumps(config))
    arguments = ["jaxmaze.compare", str(cloned.folder), "--teacher=teacher"]
    done = command(*arguments, "--workdir=a", cwd=folder)
    assert done.returncode == 0 and "--trust" in done.stdout and not marker.exists(), done.stderr
    done = command(*arguments, "--workdir=b", "--trust", cwd=folder)
    assert done.returncode == 0 and marker.exists(), done.stderr


def test_a_teacher_at_hand_does_not_make_a_strangers_environment(world, monkeypatch):
    folder, theirs, marker, names = world
    monkeypatch.chdir(folder)
    names("env.id", "mine:Planted-v0")
    arguments = ["jaxmaze.compare", "outputs/theirs", "--teacher=random"]
    refused(command(*arguments, "--workdir=a", cwd=folder), marker, "--trust", "mine:Planted-v0")
    with pytest.raises(UserError, match="--trust"):
        api.compare([theirs], folder / "b", teacher=lambda obs: obs)
    assert not marker.exists()
    done = command(*arguments, "--workdir=c", "--trust", cwd=folder)
    assert done.returncode == 0 and marker.exists(), done.stderr


def test_modules_are_located_without_importing_them(tmp_path, monkeypatch):
    run = tmp_path / "outputs" / "run" / "deep" / "package"
    run.mkdir(parents=True)
    (run / "module.py").write_text("raise SystemExit('imported')")
    (tmp_path / "outputs" / "run" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    trust.refuse_runs("outputs.run.deep.package.module")  # not yet a run
    trust.refuse_runs("no.such.module")
    trust.refuse_runs("json.decoder")
    (tmp_path / "outputs" / "run" / "config.json").write_text('{"kind": "bc", "format": 2}')
    for name in ("outputs.run", "outputs.run.deep.package.module", "outputs.run.deep.other"):
        with pytest.raises(UserError, match="lies in the folder of a run"):
            trust.refuse_runs(name)


def test_a_module_below_a_runs_folder_is_refused_however_python_finds_it(tmp_path, monkeypatch):
    run = tmp_path / "run"
    (run / "code").mkdir(parents=True)
    (run / "code" / "planted_below.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(run / "code"))
    trust.refuse_runs("planted_below")  # not yet a run
    (run / "config.json").write_text('{"kind": "bc", "format": 2}')
    with pytest.raises(UserError, match="planted_below lies in the folder of a run"):
        trust.refuse_runs("planted_below")
