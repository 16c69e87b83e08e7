"""The commands as a user types them, right and wrong, on the real environment."""

import json
import math
import subprocess
import sys

import pytest

from jaxmaze import cli, config
from jaxmaze.errors import UserError
from tests.conftest import CONFIG, ROOT, SMALL, command, flags

TRAIN = ("jaxmaze.train", f"--config={CONFIG}", *flags(SMALL))


def fails(result, *words):
    """Exit code 1 or 2, one line on stderr that holds the words, and no traceback."""
    assert result.returncode in (1, 2), (result.returncode, result.stdout, result.stderr)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])


WRONG_FLAGS = {
    "name": (["--config.bc.learing_rate=1"], ["bc.learing_rate", "bc.learning_rate"]),
    "section": (["--config.bcc.learning_rate=1"], ["bcc.learning_rate", "is not a field"]),
    "no section": (
        ["--config.checkpoint.x=1"],
        ["the sections are bc, ", "outside of them stage"],
    ),
    "whole section": (["--config.bc=1"], ["bc is a section"]),
    "type": (["--config.bc.learning_rate=fast"], ["bc.learning_rate=fast", "a number"]),
    "integer": (["--config.ppo.num_envs=1.5"], ["ppo.num_envs=1.5", "an integer"]),
    "range": (["--config.bc.validation_percentage=120"], ["validation_percentage", "at most 100"]),
    "negative": (["--config.ppo.learning_rate=-1"], ["ppo.learning_rate", "at least 0"]),
    "not a number": (["--config.ppo.gamma=nan"], ["ppo.gamma", "at most 1"]),
    "choice": (["--config.bc.best_by=luck"], ["bc.best_by", "return"]),
    "sizes": (["--config.network.hidden_sizes=(64,-1)"], ["hidden_sizes", "positive integers"]),
    "boolean": (["--config.bc.refit=maybe"], ["bc.refit=maybe", "True or False"]),
    "no value": (["--config.seed"], ["config.seed has no value"]),
    "batch": (["--config.ppo.batch_size=100"], ["ppo.batch_size=100", "divisor"]),
    "burn-in": (["--config.ppo.critic_burn_in=100000"], ["critic_burn_in", "no iteration"]),
    "steps": (["--config.ppo.total_env_steps=10"], ["total_env_steps=10"]),
    "stray": (["lunar"], ["stray argument 'lunar'"]),
    "stray file": (["my_config.py:bc"], ["did you mean --config=my_config.py:bc?"]),
    "stray name": (["cartpole"], ["did you mean --config=cartpole?"]),
    "flag": (["--wrokdir=x"], ["wrokdir"]),
    "field without config": (
        ["--ppo.learning_rate=1"],
        ["'ppo.learning_rate'", "did you mean --config.ppo.learning_rate?"],
    ),
    "no configuration": (
        [f"--config={ROOT / 'tests' / 'own.py'}"],
        ["own.py has no function get_config", "jaxmaze init"],
    ),
    "retired": (["--config.env.id=LunarLander-v2"], ["LunarLander-v2", "LunarLander-v3"]),
    "unknown environment": (["--config.env.id=Lunarlander-v3"], ["Lunarlander"]),
    "unknown module": (["--config.env.id=no_module:X-v0"], ["no_module"]),
    "retired elsewhere": (
        ["--config.env.id=HalfCheetah-v3", "--config.env.kwargs={}"],
        ["HalfCheetah-v3", "cannot be made"],
    ),
    "env value": (["--config.env.kwargs.gravity=5"], ["gravity", "cannot be made"]),
    "env set": (["--config.env.kwargs.gravity={1,2}"], ["env.kwargs must be"]),
    "nested": (["--config.env.kwargs.a.b=1"], ["nested too deeply"]),
    "dict": (["--config.env.kwargs={[]:1}"], ["env.kwargs", "a set of arguments"]),
    "long folder": (["--workdir=" + 300 * "x"], ["--workdir"]),
    "env argument": (["--config.env.kwargs.windy=1"], ["windy"]),
    "unsupported space": (
        ["--config.env.id=tests.image_env:Words-v0", "--config.env.kwargs={}"],
        ["Text", "ObservationWrapper"],
    ),
    "heuristic": (
        ["--config.env.id=BipedalWalkerHardcore-v3", "--config.env.kwargs={}"],
        ["no heuristic"],
    ),
    "policy": (["--config.rollout.policy=nobody"], ["nobody", "heuristic, human, random"]),
    "too few episodes": (
        ["--config.rollout.n_episodes=1"],
        ["validation_percentage", "leaves none"],
    ),
}


@pytest.mark.parametrize("case", WRONG_FLAGS)
def test_wrong_flags_are_one_clear_line(case, tmp_path):
    arguments, words = WRONG_FLAGS[case]
    fails(command(*TRAIN, f"--workdir={tmp_path / 'run'}", *arguments), *words)


def test_wrong_files_and_folders_are_one_clear_line(recorded, cloned, tmp_path):
    fails(command("jaxmaze.train"), "--config is not set")
    fails(command("jaxmaze.train", "--config=nowhere.py"), "nowhere.py does not exist")
    fails(command("jaxmaze.train", f"--config={CONFIG}:gide"), "gide", "guide")
    fails(command("jaxmaze.train", f"--resume={tmp_path}"), "not a run's folder")
    fails(command("jaxmaze.rollout"), "--config=FILE", "--run=DIR")
    fails(command("jaxmaze.rollout", f"--run={recorded.folder}"), "no checkpoint")
    fails(command("jaxmaze.rollout", f"--run={cloned.folder}", "--member=7"), "members 0 to 1")
    fails(command("jaxmaze.compare"), "folders of finished runs")
    fails(command("jaxmaze.compare", tmp_path), "not a run's folder")
    bc = ("jaxmaze.train", f"--config={CONFIG}:bc", *flags(SMALL))
    ppo = ("jaxmaze.train", f"--config={CONFIG}:ppo", *flags(SMALL))
    fails(command(*bc), "bc.data is not set")
    fails(command(*bc, f"--config.bc.data={tmp_path}"), "is empty")
    data = f"--config.bc.data={recorded.folder}"
    fails(command(*bc, data, "--config.bc.batch_size=100000"), "bc.batch_size=100000 is larger")
    fails(
        command(*bc, data, "--config.env.id=CartPole-v1", "--config.env.kwargs={}"),
        "another environment",
    )
    fails(command(*ppo, f"--config.ppo.init_from={recorded.folder}"), "no checkpoint")
    origin = f"--config.ppo.init_from={cloned.folder}"
    fails(command(*ppo, origin, "--config.network.hidden_sizes=(8,)"), "network.hidden_sizes")
    fails(command(*ppo, origin, "--config.env.kwargs.continuous=True"), "4 discrete actions")


def test_a_folder_with_another_run_is_left_as_it_is(cloned, recorded):
    before = (cloned.folder / "summary.json").read_bytes()
    arguments = (
        "jaxmaze.train",
        f"--config={CONFIG}:bc",
        *flags(SMALL),
        f"--config.bc.data={recorded.folder}",
        f"--workdir={cloned.folder}",
    )
    fails(command(*arguments, "--config.bc.learning_rate=0.5"), "another configuration", "0.5")
    assert (cloned.folder / "summary.json").read_bytes() == before
    again = command(*arguments)  # the very same run: finished, nothing is done again
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip().splitlines()[-1] == str(cloned.folder)
    assert (cloned.folder / "summary.json").read_bytes() == before


def test_a_rejected_start_does_not_take_the_folder(tmp_path):
    run = f"--workdir={tmp_path / 'run'}"
    for wrong in ("env.id=LunarLander-v2", "rollout.policy=nobody", "rollout.n_episodes=1"):
        fails(command(*TRAIN, run, f"--config.{wrong}"))
        assert not (tmp_path / "run").exists(), wrong


def test_damaged_runs_are_one_clear_line(cloned, tmp_path):
    import shutil

    def damaged(name, text):
        run = tmp_path / name
        shutil.copytree(cloned.folder, run)
        (run / name).write_text(text)
        return run

    run = damaged("config.json", "[]")
    fails(command("jaxmaze.rollout", f"--run={run}"), "config.json is damaged")
    run = damaged("summary.json", '{"kind": "bc", "members": []}')
    fails(command("jaxmaze.compare", run), "summary.json")
    run = tmp_path / "emptied"
    shutil.copytree(cloned.folder, run)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    fails(command("jaxmaze.rollout", f"--run={run}"), "no whole checkpoint")
    run = tmp_path / "truncated"
    shutil.copytree(cloned.folder, run)
    for payload in run.glob("checkpoints/*/best/**/*"):
        if payload.is_file():
            payload.write_bytes(payload.read_bytes()[:10])
    fails(command("jaxmaze.rollout", f"--run={run}"), "cannot be read")


def test_an_environment_that_raises_shows_its_own_traceback(tmp_path):
    result = command(
        "jaxmaze.train",
        f"--config={CONFIG}:ppo",
        *flags(SMALL),
        "--config.env.workers=2",
        "--config.env.id=tests.broken_env:Broken-v0",
        "--config.env.kwargs={}",
        f"--workdir={tmp_path / 'run'}",
    )
    assert result.returncode == 1
    assert "raise RuntimeError" in result.stderr
    line = result.stderr.strip().splitlines()[-1]
    failed = "failed in step(): RuntimeError: the gearbox is on fire (broken_env.py, line"
    assert line.startswith(f"error: the environment Broken-v0 {failed}")


def test_rollout_command_writes_what_it_promises(tmp_path):
    run = tmp_path / "run"
    result = command(
        "jaxmaze.rollout",
        f"--config={CONFIG}",
        "--policy=heuristic",
        "--n_episodes=3",
        "--record",
        f"--workdir={run}",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == str(run)
    for word in ("count", "median", "mean", "std", "step count", "actions"):
        assert word in result.stdout
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and {"seed", "return", "length", "end"} <= set(lines[0])
    summary = json.loads((run / "summary.json").read_text())
    assert summary["kind"] == "rollout" and summary["evaluation"]["episodes"] == 3
    assert summary["evaluation"]["mean"] == pytest.approx(sum(x["return"] for x in lines) / 3)
    assert (run / "trajectory_data" / "data" / "main_data.hdf5").exists()


def test_a_video_is_written_and_is_a_film(tmp_path):
    run = tmp_path / "run"
    result = command(
        "jaxmaze.rollout",
        f"--config={CONFIG}",
        "--policy=random",
        "--n_episodes=1",
        "--render=video",
        f"--workdir={run}",
        "--config.env.max_episode_steps=20",
    )
    assert result.returncode == 0, result.stderr
    import imageio_ffmpeg

    (film,) = (run / "videos").glob("*.mp4")
    about = next(imageio_ffmpeg.read_frames(str(film)))
    assert (about["size"], about["fps"]) == ((600, 400), 50.0)
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p")
    assert imageio_ffmpeg.count_frames_and_secs(str(film))[0] == 21


def test_a_policy_from_a_module_is_used_and_checked(tmp_path):
    (tmp_path / "pilots.py").write_text(
        "import numpy as np\n"
        "def still(obs):\n    return np.zeros(len(obs), int)\n"
        "def wild(obs):\n    return np.full(len(obs), 9)\n"
    )
    base = ("jaxmaze.rollout", f"--config={CONFIG}", "--n_episodes=2")
    good = command(*base, "--policy=pilots:still", cwd=tmp_path)
    assert good.returncode == 0 and "0: 100.0 %" in good.stdout, good.stderr
    (tmp_path / "typo.py").write_text("def f(:\n")
    fails(command(*base, "--policy=typo:f", cwd=tmp_path), "typo:f", "SyntaxError")
    fails(command(*base, "--policy=pilots:wild", cwd=tmp_path), "actions from 9 to 9")
    fails(command(*base, "--policy=pilots:absent", cwd=tmp_path), "no function 'absent'")


def test_overrides_are_read_by_type():
    words = "prog --config.seed=7 --config.bc.refit False --config.network.hidden_sizes=(8,) --x=1"
    rest, found = cli.split_overrides(words.split())
    assert rest == ["prog", "--x=1"]
    assert found == {"seed": 7, "bc.refit": False, "network.hidden_sizes": (8,)}
    assert cli.parse_value("env.max_episode_steps", "None") is None
    assert cli.parse_value("env.action_names", "left,right") == ("left", "right")
    assert cli.parse_value("env.action_names", "('to the left', 'right')")[0] == "to the left"
    assert cli.parse_value("ppo.learning_rate", "3e-4") == 3e-4
    assert cli.parse_value("env.kwargs.wind", "0.5") == 0.5
    with pytest.raises(UserError, match="an integer"):
        cli.parse_value("seed", "x")
    with pytest.raises(UserError, match=r"did you mean config\.ppo\.gamma\?"):
        cli.parse_value("ppo.gama", "0.9")


def test_a_configuration_survives_being_written_and_read():
    whole = config.validate(config.make_config({"env.id": "CartPole-v1", "seed": 3}))
    assert whole.bc.max_grad_norm == math.inf
    back = config.from_dict(json.loads(json.dumps(config.to_dict(whole))))
    assert back.to_dict() == whole.to_dict()
    named = config.make_config({"env.id": "CartPole-v1", "bc.data": "Infinity/rollout"})
    assert config.from_dict(config.to_dict(named)).bc.data == "Infinity/rollout"


def test_the_slurm_script_trains_the_seed_of_its_task(tmp_path):
    import os
    import subprocess
    import sys

    environment = os.environ | {
        "SLURM_ARRAY_TASK_ID": "7",
        "SLURM_ARRAY_JOB_ID": "12",
        "PYTHON": sys.executable,
    }
    script = [ROOT / "launch" / "slurm_array.sh", f"{CONFIG}:ppo", *flags(SMALL)]
    result = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    run = tmp_path / "outputs" / "array-12" / "seed-7"
    summary = json.loads((run / "summary.json").read_text())
    assert [m["seed"] for m in summary["members"]] == [7, 8]


def test_help_lists_every_field_and_does_not_wait_for_jax():
    from jaxmaze.config import FIELDS

    script = (
        "import sys, runpy\n"
        "sys.argv = ['train', '--help']\n"
        "try:\n"
        "    runpy.run_module('jaxmaze.train', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    loaded = {'jax', 'flax', 'optax', 'gymnasium', 'orbax'} & set(sys.modules)\n"
        "    print('loaded:', sorted(loaded), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert "loaded: []" in done.stderr, done.stderr
    for name, field in FIELDS.items():
        assert f"--config.{name}=" in done.stdout and field.help.split()[0] in done.stdout


def test_the_page_of_settings_is_of_these_settings():
    from jaxmaze.config import help as help_lib

    assert (ROOT / "docs" / "settings.md").read_text() == help_lib.markdown(), (
        "python -m jaxmaze.config > docs/settings.md"
    )


def test_choices_are_what_there_is():
    from jaxmaze.config import FIELDS
    from jaxmaze.core.encoders import ACTIVATIONS
    from jaxmaze.envs.collectors import BACKENDS

    assert set(FIELDS["network.activation"].choices) == set(ACTIVATIONS)
    assert set(FIELDS["env.backend"].choices) == set(BACKENDS)


def test_a_stage_that_is_misspelt_behind_an_id_is_named():
    with pytest.raises(UserError, match="--env=CartPole-v1:bcc: there is no stage 'bcc'; choose"):
        cli.name_of(None, "CartPole-v1:bcc", "workflow")
    assert cli.name_of(None, "CartPole-v1:bc", "workflow")[0] == "CartPole-v1"
    assert cli.name_of(None, "my_env:Ball-v0:ppo", "workflow") == ("Ball-v0", "workflow")
    assert cli.name_of(None, "my_env:Ball-v0", "workflow") == ("Ball-v0", "workflow")
