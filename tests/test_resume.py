"""Going on with a run: after a crash, with other versions, damaged, or with nothing left to do."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, run_folder
from tests.conftest import command
from tests.test_cli import fails


@pytest.fixture(scope="module")
def tuned(small, tmp_path_factory):
    """A finished ppo run with checkpoints at iterations 3 and 6, the last."""
    config = api.override(small, {"env.max_episode_steps": 40, "stage": "ppo"})
    return api.train(config, tmp_path_factory.mktemp("tuned") / "run")


def edit(path, change):
    """Change a JSON file."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def copied(run, folder):
    """A copy of a run's folder that may be damaged."""
    shutil.copytree(run.folder, folder)
    return folder


def unfinished(run, folder):
    """A copy of a run's folder that was stopped before its summary."""
    (copied(run, folder) / "summary.json").unlink()
    return folder


def check_same(resumed, run):
    """The same run to the bit."""
    assert resumed.metrics() == run.metrics()
    assert resumed.summary["members"] == run.summary["members"]
    jax.tree.map(np.testing.assert_array_equal, resumed.policy(1).policy, run.policy(1).policy)


def contents(folder):
    """All files below a folder."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_finished_run_has_nothing_left_to_do(tuned, cloned, tmp_path):
    before = contents(tuned.folder)
    result = command("jaxmaze.train", f"--resume={tuned.folder}")
    mean = tuned.summary["evaluation"]["mean"]
    fails(
        result,
        f"{tuned.folder} is finished already (768 environment steps a seed, mean return "
        f"{mean:.1f}); nothing is left to do",
        f"--config.ppo.init_from={tuned.folder}",
        f"{tuned.folder}/summary.json",
    )
    assert result.returncode == 2
    assert contents(tuned.folder) == before
    with pytest.raises(UserError, match=r"finished already \(mean return .*fine-tune it"):
        api.resume(cloned)
    workflow = copied(tuned, tmp_path / "workflow")
    edit(workflow / "config.json", lambda c: c.update(kind="workflow"))
    with pytest.raises(UserError, match=r"finished already \(.*mean return .*fine-tuned arm"):
        api.resume(workflow)


def test_rollouts_and_comparisons_are_not_resumed(recorded, tuned, tmp_path):
    with pytest.raises(UserError, match="is a rollout, which is not resumed; record it again"):
        api.resume(recorded)
    compared = api.compare([tuned], tmp_path / "compared")
    with pytest.raises(UserError, match="is a comparison, which is not resumed; compare its runs"):
        api.resume(compared)


@pytest.mark.parametrize("number", [None, run_folder.FORMAT - 1, run_folder.FORMAT + 1])
def test_a_folder_in_another_format_is_left_alone(number, cloned, small, recorded, tmp_path):
    run = copied(cloned, tmp_path / "run")

    def change(values):
        values["format"] = number
        if number is None:
            del values["format"]
        values["versions"]["jaxmaze"] = "0.0.7"
        values["config"]["bc"]["magic"] = 1  # of which another version may have many

    edit(run / "config.json", change)
    before = contents(run)
    another = rf"in another format .*not {run_folder.FORMAT}\), this"
    line = rf"^{run} was written by jaxmaze 0\.0\.7 {another}"
    config = cloned.config
    for attempt in (
        lambda: api.resume(run),
        lambda: api.open_run(run),
        lambda: api.load_policy(run),
        lambda: api.train(config, run),
        lambda: api.fine_tune(small, run, tmp_path / "tuned"),
        lambda: api.compare([run], tmp_path / "compared"),
        lambda: run_folder.load_config(run),
        lambda: run_folder.claim(run, run_folder.identity(config, "bc")),
    ):
        with pytest.raises(UserError, match=line):
            attempt()
    assert contents(run) == before
    assert not (tmp_path / "tuned").exists()
    if number is None:
        fails(command("jaxmaze.train", f"--resume={run}"), "0.0.7 in another format")
        fails(command("jaxmaze.rollout", f"--run={run}"), "0.0.7 in another format")


def test_settings_of_another_version_are_told_with_what_to_do(cloned, recorded, tmp_path):
    line = r"has other settings .*config\.bc\.magic .*made by jaxmaze 0\.9\.9.* use it with"

    def change(values):
        values["config"]["bc"]["magic"] = 1
        values["versions"]["jaxmaze"] = "0.9.9"

    run, data = (copied(of, tmp_path / name) for of, name in ((cloned, "a"), (recorded, "b")))
    for folder in (run, data):
        edit(folder / "config.json", change)
    for attempt in (run_folder.load_config, api.view, api.video):
        with pytest.raises(UserError, match=line):
            attempt(run)
    (why,) = api.view(data).notes()
    assert why.startswith("no pictures") and re.search(line, why)


def test_a_config_of_something_else_is_told_apart(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "another tool\'s"}')
    with pytest.raises(UserError, match="is not a run's configuration: it has no 'kind'"):
        api.resume(tmp_path)


def test_other_versions_and_a_half_written_checkpoint_are_gone_on_from(tuned, tmp_path, capsys):
    run = unfinished(tuned, tmp_path / "run")
    edit(run / "config.json", lambda c: c["versions"].update(jax="0.0.1", numpy="1.0"))
    half = run / "checkpoints" / "6.orbax-checkpoint-tmp"
    (run / "checkpoints" / "6").rename(half)
    shutil.rmtree(half / "best")
    (half / "state").rename(half / "state.orbax-checkpoint-tmp")
    (run / "checkpoints" / "7.orbax-checkpoint-tmp-1700000000").mkdir()
    check_same(api.resume(run), tuned)
    here = run_folder.versions()
    notes = [x for x in capsys.readouterr().out.splitlines() if x.startswith("note: ")]
    assert notes == [
        f"note: {run} was begun with jax 0.0.1 (now {here['jax']}), numpy 1.0 (now "
        f"{here['numpy']}); the result may differ in the last bits from an uninterrupted run's"
    ]
    assert run_folder.version_note(run) == ""  # finished now


def test_the_same_versions_are_not_worth_a_note(tuned, tmp_path):
    assert run_folder.version_note(unfinished(tuned, tmp_path / "run")) == ""
    assert run_folder.version_note(tmp_path / "nothing") == ""


def test_a_run_killed_before_its_first_checkpoint_starts_at_the_beginning(tuned, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(tuned.folder / "config.json", run)
    lines = (tuned.folder / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(lines[: len(lines) // 3])
    check_same(api.resume(run), tuned)


def files(step, item):
    """All files of arrays of a checkpoint's item; which of them are needed depends on timing."""
    return sorted((step / item).rglob("d/*"))


def arrays(step, item):
    """The largest of them: it holds arrays that are needed."""
    return max(files(step, item), key=lambda p: p.stat().st_size)


def cut(path):
    """Leave a third of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


DAMAGE = {
    "array cut": lambda step, item: [cut(path) for path in files(step, item)],
    "array missing": lambda step, item: arrays(step, item).unlink(),
    "all arrays missing": lambda step, item: (step / item / "manifest.ocdbt").unlink(),
    "arrays' description cut": lambda step, item: cut(step / item / "_METADATA"),
    "item missing": lambda step, item: shutil.rmtree(step / item),
    "meta cut": lambda step, _: cut(step / "meta" / "metadata"),
    "meta missing": lambda step, _: (step / "meta" / "metadata").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["bc", "ppo"])
def test_a_damaged_checkpoint_hands_nothing_over(
    kind, damage, cloned, tuned, small, tmp_path, capfd
):
    run = copied({"bc": cloned, "ppo": tuned}[kind], tmp_path / "run")
    step = max((run / "checkpoints").glob("[0-9]*"), key=lambda p: int(p.name))
    DAMAGE[damage](step, "best")
    before = contents(run)
    advice = "delete that folder to use the checkpoint before it, 3"
    for attempt in (
        lambda: api.load_policy(run),
        lambda: api.fine_tune(small, run, tmp_path / "next"),
    ):
        with pytest.raises(UserError) as caught:
            attempt()
        line = str(caught.value)
        assert line.startswith(f"the checkpoint {step} cannot be read: ") and "\n" not in line
        assert line.endswith(f"; {advice}") and len(line) < 600
        if damage == "all arrays missing":  # found before Orbax reads, which is noisy at times
            assert "there are no arrays in best" in line
    assert contents(run) == before and not (tmp_path / "next").exists()
    assert capfd.readouterr().err == ""  # no thread of the storage prints its own tracebacks
    shutil.rmtree(step)
    api.load_policy(run)
    shutil.rmtree(run / "checkpoints" / "3" / "best")
    with pytest.raises(UserError, match="there is none before it, so train the run anew"):
        api.load_policy(run)


@pytest.mark.parametrize("damage", ["array cut", "array missing", "all arrays missing"])
def test_damage_is_found_before_orbax_reads(damage, tuned, tmp_path):
    step = copied(tuned, tmp_path / "run") / "checkpoints" / "6"
    for item in ("state", "best"):
        checkpoint._check_files(step / item)
        DAMAGE[damage](step, item)
        with pytest.raises(ValueError, match=r"lost its file|Error reading|byte range|no arrays"):
            checkpoint._check_files(step / item)


@pytest.mark.parametrize("damage", ["array cut", "array missing"])
def test_a_damaged_checkpoint_is_not_gone_on_from(damage, tuned, tmp_path, capfd):
    run = unfinished(tuned, tmp_path / "run")
    step = run / "checkpoints" / "6"
    DAMAGE[damage](step, "state")
    before = contents(run / "checkpoints")
    with pytest.raises(UserError, match=rf"^the checkpoint {step} cannot be read.*before it, 3$"):
        api.resume(run)
    assert contents(run / "checkpoints") == before
    assert capfd.readouterr().err == ""
    if damage == "array cut":
        shutil.rmtree(step)  # as the line says
        check_same(api.resume(run), tuned)
