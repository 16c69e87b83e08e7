"""Cloning several data sets, filtered and weighted, and PPO that takes the same data again."""

import json
import shutil

import numpy as np
import pytest

from jaxmaze import api, cli
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.policies import build_networks
from jaxmaze.runs import sources
from jaxmaze.training import bc_data, handover
from tests.conftest import CONFIG, SMALL, command, flags

TAKEN = {"bc.data_weights": (3.0, 1.0), "bc.top_fraction": 0.5, "bc.clip_actions": True}


@pytest.fixture(scope="module")
def data(recorded, tmp_path_factory):
    """Two data sets: six episodes, and the same moved elsewhere."""
    copy = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(recorded.folder / "trajectory_data", copy)
    return recorded.folder, copy


@pytest.fixture(scope="module")
def cloned_of_both(small, data, tmp_path_factory):
    config = api.override(small, TAKEN | {"members": 1, "bc.eval_every": 0})
    return api.clone(config, data, tmp_path_factory.mktemp("both") / "run")


def test_the_run_says_what_it_was_cloned_from(cloned_of_both, data):
    about = cloned_of_both.summary["data"]
    first, second = about["sources"]
    assert about["episodes"] == 6 and first["episodes"] == second["episodes"] == 6
    assert (first["weight"], second["weight"]) == (3, 1) and first["policy"] == "heuristic"
    (entry,) = json.loads((cloned_of_both.folder / "config.json").read_text())["demonstrations"]
    assert entry["path"] == [str(path) for path in data] and entry["sha256"] == about["sha256"]
    assert entry["taken"] == {
        "data_weights": [3.0, 1.0],
        "top_fraction": 0.5,
        "clip_actions": True,
    }


def test_weights_reach_the_loss(small, data):
    config = api.override(small, {"bc.data": tuple(map(str, data)), **TAKEN})
    settings = api.config_lib.to_settings(config)
    info = environment.describe(environment.EnvConfig.of(settings.env))
    dataset = sources.read(settings.bc, info, quiet=True)
    problem = bc_data.prepare(settings, dataset, build_networks(settings, info.spaces))
    weight, (half,) = np.asarray(problem.data.weight), {dataset.num_steps // 2}
    np.testing.assert_allclose(weight[:half], 1.5)
    np.testing.assert_allclose(weight[half:], 0.5)


def test_ppo_takes_the_demonstrations_as_the_clone_did(small, cloned_of_both, data):
    changes = {"stage": "ppo", "ppo.init_from": str(cloned_of_both.folder)}
    settings = api.config_lib.to_settings(api.override(small, changes))
    info = environment.describe(environment.EnvConfig.of(settings.env))
    (sha256, demos), _ = handover.demonstrations(settings, info, info.spaces.action)
    about = cloned_of_both.summary["data"]
    assert sha256 == about["sha256"] and len(demos.action) == about["steps"]
    assert set(np.round(demos.weight, 4).tolist()) == {1.5, 0.5}
    # What is named anew is taken as the configuration at hand says.
    named = api.override(api.override(small, changes), {"bc.data": str(data[0]), "bc.first_n": 2})
    (_, few), _ = handover.demonstrations(
        api.config_lib.to_settings(named), info, info.spaces.action
    )
    assert few.weight is None and len(few.final_obs) == 2


def test_data_that_have_changed_are_noticed_though_filtered(small, cloned_of_both, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(cloned_of_both.folder, folder)
    raw = json.loads((folder / "config.json").read_text())
    raw["demonstrations"][0]["taken"]["top_fraction"] = 0.9
    (folder / "config.json").write_text(json.dumps(raw))
    config = api.override(small, {"stage": "ppo", "ppo.init_from": str(folder)})
    settings = api.config_lib.to_settings(config)
    info = environment.describe(environment.EnvConfig.of(settings.env))
    with pytest.raises(UserError, match=r"has changed since .* was cloned from it"):
        handover.demonstrations(settings, info, info.spaces.action)


@pytest.mark.slow
def test_fine_tuning_goes_on_cloning_with_weights(small, cloned_of_both, tmp_path):
    more = {"members": 1, "ppo.cloning_coef": 0.1, "ppo.critic_fit_epochs": 1}
    run = api.fine_tune(api.override(small, more), cloned_of_both, tmp_path / "run")
    assert any("ppo/cloning_loss" in line for line in run.metrics())
    (entry,) = json.loads((run.folder / "config.json").read_text())["demonstrations"]
    assert entry["taken"]["data_weights"] == [3.0, 1.0]


def test_a_critic_is_not_fitted_to_rewards_that_nobody_knows(small, tmp_path):
    import jaxmaze

    path = jaxmaze.dataset(
        tmp_path / "d", env=small, observations=[np.zeros((4, 8))] * 2, actions=[[0, 1, 2]] * 2
    )
    config = api.override(small, {"stage": "ppo", "bc.data": str(path), "ppo.critic_fit_epochs": 1})
    info = environment.describe(environment.EnvConfig.of(small.env))
    with pytest.raises(UserError, match=r"has no rewards to fit a critic to; .*fit_epochs=0"):
        handover.demonstrations(api.config_lib.to_settings(config), info, info.spaces.action)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", "a"),
        ("a,b", ("a", "b")),
        ("(a, b)", ("a", "b")),
        ('("a","b")', ("a", "b")),
        ("['a']", ("a",)),
        ("cartpole/sb3-v0,b", ("cartpole/sb3-v0", "b")),
        ("None", None),
    ],
)
def test_data_sets_on_a_command_line(text, value):
    assert cli.parse_value("bc.data", text) == value


def test_a_folder_with_a_comma_in_its_name_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=1,b=2").mkdir()
    assert cli.parse_value("bc.data", "a=1,b=2") == "a=1,b=2"


WRONG = {
    "weights": (
        {"bc.data": "a,b", "bc.data_weights": "(1,)"},
        "1 weights, but config.bc.data name",
    ),
    "weight": ({"bc.data": "a,b", "bc.data_weights": "1,0"}, "must be a tuple of numbers above 0"),
    "fraction": ({"bc.top_fraction": "0"}, "bc.top_fraction is 0.0; it must be a number above 0"),
    "number": ({"bc.first_n": "0"}, "bc.first_n is 0; it must be an integer of at least 1"),
    "seeds": ({"bc.seeds": "(1,'x')"}, "bc.seeds is (1, 'x'); it must be a tuple of integers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_one_line(case):
    fields, line = WRONG[case]
    parsed = {name: cli.parse_value(name, text) for name, text in fields.items()}
    with pytest.raises(UserError) as error:
        api.override({"env": {"id": "CartPole-v1"}}, parsed)
    assert line in str(error.value)


@pytest.mark.slow
def test_tables_and_arrays_are_cloned_as_a_user_would_type_it(tmp_path):
    rows = ["episode,obs_x,obs_v,obs_a,obs_w,action,reward,terminated"]
    rng = np.random.default_rng(0)
    for episode in range(4):
        for t in range(20):
            x = rng.uniform(-0.05, 0.05, 4)
            rows.append(f"{episode},{','.join(map(str, x))},{int(x[2] > 0)},1,{t == 19}")
    (tmp_path / "log.csv").write_text("\n".join(rows))
    done = command(
        "jaxmaze.convert", "log.csv", "--config=cartpole", "--workdir", "table", cwd=tmp_path
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "table", done.stderr
    assert "4 episodes of 80 steps; 4 terminated, 0 truncated" in done.stdout
    few = {k: v for k, v in SMALL.items() if not k.startswith("env.")} | {"bc.eval_every": 0}
    done = command(
        "jaxmaze.train",
        "--config=cartpole:bc",
        *flags(few | {"members": 1}),
        "--config.bc.data=table,table",
        "--config.bc.data_weights=2,1",
        "--config.bc.first_n=6",
        "--config.bc.batch_size=16",
        "--workdir=clone",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "bc.first_n=6: 6 of 8 episodes remain (120 of 160 steps)" in done.stdout
    assert (tmp_path / "clone" / "summary.json").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "give one file or folder"),
        (("a.csv", "b.csv"), "give one file or folder"),
        (("a.csv",), "a.csv does not exist"),
        (("a.csv", "--frmt=csv"), "frmt"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(arguments, line, tmp_path):
    done = command("jaxmaze.convert", *arguments, f"--config={CONFIG}", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ") and line in done.stderr
