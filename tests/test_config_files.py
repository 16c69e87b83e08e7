"""Configs by file and by name, from a checkout and from a wheel, and dicts in their place."""

import subprocess
import sys
from pathlib import Path

import ml_collections
import pytest

import jaxmaze
from jaxmaze import api, config
from jaxmaze.config import files
from jaxmaze.config.sections.ppo import PPO, segment_steps
from jaxmaze.errors import UserError
from tests.conftest import CONFIG, HERE, ROOT, SMALL, command, flags
from tests.own import QUICK
from tests.own import write as write_own
from tests.test_cli import fails


def test_the_shipped_configs_are_found_by_name_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = api.load_config(f"{CONFIG}:guide").to_dict()
    for name in ("lunar_lander:guide", "configs/lunar_lander.py:guide"):
        assert api.load_config(name).to_dict() == expected
    there = {p.stem for p in (ROOT / "configs").glob("*.py")}
    assert set(files.shipped()) == there and "lunar_lander" in there


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    own = "def get_config():\n    return {'env': {'id': 'Mine-v0'}}\n"
    (tmp_path / "configs" / "lunar_lander.py").write_text(own)
    assert api.load_config("configs/lunar_lander.py").env.id == "Mine-v0"
    assert api.load_config("lunar_lander").env.id == "LunarLander-v3"


@pytest.mark.parametrize("name", ["lunar_landr", "lunar_lander.py", "configs/nowhere.py", "b/a.py"])
def test_a_wrong_name_lists_those_there_are(name, tmp_path):
    result = command("jaxmaze.train", f"--config={name}", cwd=tmp_path)
    fails(result, f"config file {name} does not exist", ", ".join(files.shipped()))
    assert ("did you mean lunar_lander?" in result.stderr) == name.startswith("lunar")


def test_a_name_without_its_ending_is_told_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(UserError, match=r"mine does not exist; did you mean mine\.py\?"):
        api.load_config("mine")


def test_a_command_takes_a_name(tmp_path):
    result = command(
        "jaxmaze.rollout", "--config=cartpole", "--policy=random", "--n_episodes=2", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("outputs/cartpole-rollout/")


def test_dicts_of_either_kind_do_as_configurations(tmp_path):
    partial = {"env": {"id": "CartPole-v1"}, "bc.num_epochs": 2}
    mixed = {"env": ml_collections.ConfigDict({"id": "CartPole-v1"}), "bc": {"num_epochs": 2}}
    whole = config.validate(partial)
    assert whole.bc.num_epochs == 2 and whole.ppo.gae_lambda == 0.95
    for given in (partial, mixed, ml_collections.ConfigDict(mixed)):
        assert jaxmaze.override(given, {}).to_dict() == whole.to_dict()
    small = {"env": {"id": "CartPole-v1"}} | SMALL
    data = jaxmaze.record(small, tmp_path / "data")
    clone = jaxmaze.clone(small, data, tmp_path / "clone")
    jaxmaze.fine_tune(small, clone, tmp_path / "tuned")
    jaxmaze.dagger(small, tmp_path / "asked")
    assert jaxmaze.evaluate(small, clone)["episodes"] == SMALL["evaluation.episodes"]
    train = small | {"stage": "bc", "bc.data": str(data.folder)}
    assert jaxmaze.train(train, tmp_path / "again").config.env.id == "CartPole-v1"


CALLS = {
    "override": lambda c: jaxmaze.override(c, {}),
    "overrides": lambda c: jaxmaze.override({}, c),
    "load_config": lambda c: jaxmaze.load_config("cartpole", c),
    "record": lambda c: jaxmaze.record(c, "x"),
    "clone": lambda c: jaxmaze.clone(c, "data", "x"),
    "dagger": lambda c: jaxmaze.dagger(c, "x"),
    "fine_tune": lambda c: jaxmaze.fine_tune(c, None, "x"),
    "evaluate": lambda c: jaxmaze.evaluate(c, "random"),
    "train": lambda c: jaxmaze.train(c, "x"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_function_takes_every_kind_of_configuration(name, monkeypatch, tmp_path):
    class Stop(Exception):
        """With the settings that a function has understood."""

    def stop(settings):
        raise Stop(config.to_dict(to_settings(settings)))

    to_settings = config.to_settings
    monkeypatch.setattr(config, "to_settings", stop)
    monkeypatch.chdir(tmp_path)
    nested = {"env": {"id": "CartPole-v1", "kwargs": {"render_mode": None}}, "bc": {"patience": 7}}
    dotted = {"env.id": "CartPole-v1", "env.kwargs": {"render_mode": None}, "bc.patience": 7}
    mixed = nested | {"env": ml_collections.ConfigDict(nested["env"])}
    kinds = [nested, dotted, mixed, ml_collections.ConfigDict(nested), jaxmaze.make_config(nested)]
    found = []
    for given in kinds:
        try:
            found.append(config.to_dict(CALLS[name](given)))
        except Stop as stopped:
            found.append(stopped.args[0])
    if name == "load_config":  # all of a whole configuration counts, as an override
        found[-1] |= {n: found[0][n] for n in ("members", "rollout")}
    assert all(values == found[0] for values in found)
    assert found[0]["bc"]["patience"] == 7 and found[0]["env"]["id"] == "CartPole-v1"


def test_a_run_stands_for_its_folder(cloned, small, tmp_path):
    config = jaxmaze.override(small, {"rollout.n_episodes": 1})
    jaxmaze.record(config, tmp_path / "played", policy=cloned, save=False)
    assert jaxmaze.open_run(tmp_path / "played").config.rollout.policy == str(cloned.folder)
    assert jaxmaze.open_run(jaxmaze.open_run(cloned)).folder == cloned.folder
    assert jaxmaze.load_policy(cloned).networks == cloned.policy().networks
    assert jaxmaze.export(cloned, tmp_path / "out", "npz") == tmp_path / "out"
    with pytest.raises(UserError, match="is finished already"):
        jaxmaze.resume(cloned)


@pytest.mark.parametrize("wrong", ["configs/lunar_lander.py", None, 3, ["stage"]])
def test_what_is_no_configuration_is_one_clear_line(wrong, tmp_path):
    for call in (
        lambda: jaxmaze.make_config(wrong),
        lambda: jaxmaze.override(wrong, {}),
        lambda: jaxmaze.override({}, wrong),
        lambda: jaxmaze.record(wrong, tmp_path / "x"),
        lambda: jaxmaze.clone(wrong, tmp_path, tmp_path / "x"),
        lambda: jaxmaze.dagger(wrong, tmp_path / "x"),
        lambda: jaxmaze.fine_tune(wrong, None, tmp_path / "x"),
        lambda: jaxmaze.evaluate(wrong, "random"),
        lambda: jaxmaze.train(wrong, tmp_path / "x"),
    ):
        with pytest.raises(UserError, match=r"must be a dict or a ConfigDict, not the .*load_conf"):
            call()
    assert not (tmp_path / "x").exists()


def test_a_dict_with_a_wrong_field_is_one_clear_line():
    with pytest.raises(UserError, match=r"did you mean config\.bc\.num_epochs"):
        jaxmaze.evaluate({"env": {"id": "CartPole-v1"}, "bc": {"num_epoch": 3}}, "random")
    with pytest.raises(UserError, match=r"env\.id is not set"):
        jaxmaze.evaluate({}, "random")


@pytest.mark.slow
def test_a_wheel_in_an_empty_folder_has_all_it_needs(tmp_path):
    source, wheels, site = tmp_path / "source", tmp_path / "wheels", tmp_path / "site"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in tracked.stdout.splitlines():  # a copy, so that nothing is built in the checkout
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    quiet = ("-q", "--no-deps")
    built = subprocess.run(
        [*pip, "wheel", *quiet, "-w", str(wheels), str(source)], capture_output=True, text=True
    )
    if "No matching distribution found for setuptools" in built.stderr:
        pytest.skip("no network: the build needs setuptools")
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", *quiet, "--target", str(site), str(wheel)], check=True)
    installed = {p.relative_to(site / "jaxmaze") for p in (site / "jaxmaze").rglob("*.py")}
    ours = {p.relative_to(ROOT / "jaxmaze") for p in (ROOT / "jaxmaze").rglob("*.py")}
    configs = {p.relative_to(ROOT) for p in (ROOT / "configs").glob("*.py")}
    assert installed == ours | configs and not (site / "configs").exists()
    page = Path("viewing", "page")
    files = {p.name for p in (ROOT / "jaxmaze" / page).iterdir()}
    assert {p.name for p in (site / "jaxmaze" / page).iterdir()} == files and len(files) > 4
    empty = tmp_path / "empty"
    empty.mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "jaxmaze.train", "--config=configs/cartpole.py:bc", *flags(SMALL)],
        cwd=empty,
        env=HERE | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    fails(result, "bc.data is not set")

    def jaxmaze(*words):  # the console command
        done = subprocess.run(
            [site / "bin" / "jaxmaze", *words],
            cwd=empty,
            env=HERE | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert any(line.startswith("  train ") for line in jaxmaze("--help"))
    jaxmaze("train", "--config=configs/cartpole.py", *flags(SMALL), "--workdir=whole")
    (write_own(empty) / "my_config.py").unlink()
    quick = flags(QUICK)
    jaxmaze(
        "init", "my_config.py", "--env=my_env:Ball-v0", "--config.rollout.policy=my_env:teacher"
    )
    taught = jaxmaze("rollout", "--config=my_config.py", "--record", "--n_episodes=20")[-1]
    cloned = jaxmaze("train", "--config=my_config.py:bc", *quick, f"--config.bc.data={taught}")[-1]
    jaxmaze("train", "--env=my_env:Ball-v0:ppo", *quick, f"--config.ppo.init_from={cloned}")
    jaxmaze("compare", cloned, taught)
    exported = jaxmaze("export", cloned, "--format=npz")[-1]
    assert (empty / exported / "read_policy.py").is_file()


@pytest.mark.parametrize(
    "fields, steps",
    [
        ({"total_env_steps": 300_000}, 128),
        ({"total_env_steps": 48 * 16 * 128}, 128),
        ({"total_env_steps": 48 * 16 * 128 - 1}, 64),
        ({"total_env_steps": 50_000}, 64),
        ({"total_env_steps": 1000}, 32),
        ({"total_env_steps": 50_000, "num_steps": 200, "batch_size": 100}, 200),
        ({"total_env_steps": 50_000, "num_envs": 1}, 128),
        # Minibatches of 64 divide 3 * 64 steps, but not 3 * 32.
        ({"total_env_steps": 1000, "num_envs": 3}, 64),
    ],
)
def test_a_small_budget_makes_short_segments(fields, steps):
    """Counted by hand: 48 iterations at least, if segments need not be shorter than 32 steps."""
    assert segment_steps(PPO(**fields)) == steps


def test_a_run_collects_segments_of_the_length_that_the_rule_gives(tmp_path):
    config = {
        "env": {"id": "CartPole-v1", "workers": 0},
        "stage": "ppo",
        "network": {"hidden_sizes": (8,)},
        "ppo": {"num_envs": 2, "total_env_steps": 256, "eval_episodes": 1, "playoff_episodes": 0},
        "evaluation": {"episodes": 1},
    }
    run = jaxmaze.train(config, tmp_path / "run")
    steps = [line["step"] for line in run.metrics() if "ppo/entropy" in line]
    assert steps == [64, 128, 192, 256]
