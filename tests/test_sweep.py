"""Grids of hyper-parameters: points train as they would alone, and each has a folder."""

import json

import numpy as np
import pytest

from jaxmaze import api, config
from jaxmaze.config import sweeps
from jaxmaze.runs import outcomes
from jaxmaze.training import evaluation
from tests.conftest import CONFIG, SMALL, command

GRID = {"sweep": {"learning_rate": (0.0, 1e-3), "entropy_coef": (0.0, 0.01)}}


def test_a_grid_has_every_combination_with_a_name_for_a_folder():
    grid = sweeps.grid(GRID["sweep"])
    assert list(grid) == [
        "entropy_coef=0,learning_rate=0",
        "entropy_coef=0,learning_rate=0.001",
        "entropy_coef=0.01,learning_rate=0",
        "entropy_coef=0.01,learning_rate=0.001",
    ]
    assert grid["entropy_coef=0.01,learning_rate=0"] == {"entropy_coef": 0.01, "learning_rate": 0.0}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    overrides = SMALL | {"stage": "ppo"} | GRID
    return api.train(api.load_config(CONFIG, overrides), tmp_path_factory.mktemp("sweep") / "run")


def test_each_point_is_a_run_that_is_the_same_alone(swept, tmp_path):
    name = "entropy_coef=0.01,learning_rate=0.001"
    point = api.open_run(swept.folder / name)
    assert point.config.ppo.learning_rate == 1e-3 and point.config.ppo.entropy_coef == 0.01
    alone = api.train(point.config, tmp_path / "alone")
    found, expected = (
        [json.loads(x) for x in (run.folder / "metrics.jsonl").read_text().splitlines()]
        for run in (alone, point)
    )
    assert [sorted(x) for x in found] == [sorted(x) for x in expected]
    # Before anything can drift apart by what the last bits of two programs decide.
    for a, b in zip(found, expected, strict=True):
        if a["step"] <= 128:
            numbers = {k: v for k, v in a.items() if isinstance(v, float)}
            assert numbers == pytest.approx({k: b[k] for k in numbers}, rel=1e-3, abs=1e-5)


def test_points_that_do_not_learn_are_not_trained(swept):
    still = swept.folder / "entropy_coef=0,learning_rate=0"
    lines = [json.loads(x) for x in (still / "metrics.jsonl").read_text().splitlines()]
    assert {x["split"] for x in lines} == {"eval"}
    means = {x["rollout_stats/reward/mean"] for x in lines if "rollout_stats/reward/mean" in x}
    assert len(means) == 1


def test_the_summary_names_the_best_and_lists_all(swept):
    summary = swept.summary
    assert summary["kind"] == "sweep" and set(summary["points"]) == set(summary["arms"])
    means = {n: p["evaluation"]["mean"] for n, p in summary["points"].items()}
    assert means[summary["best"]] == max(means.values())
    assert (swept.folder / "compare" / "report" / "comparison.png").exists()
    # The same command again computes nothing.
    written = (swept.folder / "summary.json").stat().st_mtime_ns
    assert api.train(swept.config, swept.folder).summary == summary
    assert (swept.folder / "summary.json").stat().st_mtime_ns == written


def seeds_of(folder):
    return set(outcomes.read_episodes(folder).seeds)


def test_points_are_judged_on_episodes_of_their_own_and_the_best_alone_plays_the_test(swept):
    test, points = evaluation.test_seeds(swept.config), swept.summary["points"]
    seen = {seeds for p in points for seeds in seeds_of(swept.folder / p)}
    on_the_way = evaluation.selection_seeds(swept.config, 100)
    assert seen == set(evaluation.sweep_seeds(swept.config)) and len(seen) == 3
    assert not seen & set(test) and not seen & set(on_the_way)
    assert seeds_of(swept.folder) == set(test)
    best = swept.folder / swept.summary["best"]
    assert [m["evaluation"]["mean"] for m in swept.summary["members"]] == pytest.approx(
        [api.evaluate(swept.config, api.load_policy(best, m))["mean"] for m in range(2)], abs=1e-3
    )


def test_no_policy_plays_the_test_episodes_before_the_best_is_chosen(small, recorded, tmp_path):
    test = set(evaluation.test_seeds(small).tolist())
    grid, played = {"learning_rate": (0.0, 1e-3)}, []

    class Spy(evaluation.Evaluator):
        def __call__(self, policies, seeds, *args):
            played.append(set(np.asarray(seeds).tolist()) & test)
            return super().__call__(policies, seeds, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "Evaluator", Spy)
        for stage in ("ppo", "bc"):
            played.clear()
            more = {"stage": stage, "sweep": grid, "bc.data": str(recorded.folder)}
            api.train(api.override(small, more), tmp_path / stage)
            assert played[-1] == test and not any(played[:-1]) and len(played) > 2


def test_cloning_can_be_swept_too(recorded, small, tmp_path):
    changes = {"stage": "bc", "bc.data": str(recorded.folder / "trajectory_data")}
    changes["sweep"] = {"learning_rate": (0.0, 1e-2)}
    run = api.train(api.override(small, changes), tmp_path / "run")
    losses = [
        [json.loads(x) for x in (run.folder / name / "metrics.jsonl").read_text().splitlines()]
        for name in run.summary["points"]
    ]
    first, second = (
        [x["imitation/policy_loss"] for x in lines if "imitation/policy_loss" in x]
        for lines in losses
    )
    assert np.ptp(first[1::2]) < 1e-6 < np.ptp(second[1::2])


@pytest.mark.parametrize(
    "recipe,flag,message",
    [
        ("ppo", "sweep.num_steps=64,128", "config.sweep.num_steps cannot be swept; these can:"),
        ("ppo", "sweep.gamma=0.9,1.5", "config.sweep.gamma has 1.5; each must be a number"),
        ("ppo", "sweep.gamma=0.9,high", "config.gamma=high is not valid"),
        ("ppo", "sweep.gamma=0.9,0.9", "must be different values"),
        ("ppo", "sweep.weight_decay=0,0.1", "cannot be swept in ppo"),
        ("workflow", "sweep.gamma=0.9,0.99", "works with the stages bc and ppo"),
    ],
)
def test_wrong_grids_are_one_line(recipe, flag, message, tmp_path):
    run = tmp_path / "run"
    done = command(
        "jaxmaze.train", f"--config={CONFIG}:{recipe}", f"--workdir={run}", f"--config.{flag}"
    )
    assert done.returncode == 2 and not run.exists()
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message.replace("config.gamma", "config.ppo.gamma") in done.stderr


def test_a_sweep_on_the_command_line_is_what_the_file_says(tmp_path):
    from jaxmaze import cli

    words = ["--config.sweep.learning_rate=1e-4,3e-4", "--config.sweep.target_kl=0.01,None"]
    _, found = cli.split_overrides(["train", *words])
    assert found == {"sweep.learning_rate": (1e-4, 3e-4), "sweep.target_kl": (0.01, None)}
    loaded = api.load_config(f"{CONFIG}:ppo", found)
    again = config.from_dict(config.to_dict(loaded))
    assert again.to_dict() == loaded.to_dict()
    assert dict(again.sweep) == {"learning_rate": (1e-4, 3e-4), "target_kl": (0.01, None)}
