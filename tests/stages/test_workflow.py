"""The whole workflow on small budgets: what it writes, and that it can be taken up again."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze import config as config_lib
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint, metrics
from jaxmaze.stages import ppo, workflow
from jaxmaze.training import evaluation, ppo_arms
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return api.train(small, tmp_path_factory.mktemp("workflow") / "run")


def test_every_stage_has_its_folder_and_files(finished):
    for stage in ("rollout", "bc", "compare", *(f"ppo/{arm}" for arm in workflow.ARMS)):
        folder = finished.folder / stage
        assert (folder / "config.json").exists() and (folder / "summary.json").exists(), stage
        assert list(folder.glob("events.out.tfevents.*")), stage
    assert (finished.folder / "compare" / "report" / "comparison.png").stat().st_size > 10_000
    assert (finished.folder / "rollout" / "trajectory_data" / "data" / "metadata.json").exists()


def test_a_clone_learns_at_a_lower_rate_than_a_new_policy(finished):
    """As where no rate is set: 3e-4 from a clone, 5e-4 from scratch."""
    for arm, wanted in (("pretrained", 3e-4), ("from_scratch", 5e-4)):
        rates = [
            line["ppo/learning_rate"]
            for line in metrics.read(finished.folder / "ppo" / arm)
            if "ppo/learning_rate" in line
        ]
        assert max(rates) == pytest.approx(wanted), arm


def test_the_summary_keeps_its_promises(finished, small):
    summary = finished.summary
    assert summary["kind"] == "workflow" and set(summary["arms"]) == set(workflow.ARMS)
    assert summary["teacher"]["evaluation"]["episodes"] == 3
    for arm in summary["arms"].values():
        assert {"iqm", "iqm_low", "iqm_high", "members", "curve"} <= set(arm)
        assert arm["iqm_low"] <= arm["iqm"] <= arm["iqm_high"]
        curve = arm["curve"]
        assert curve["env_steps"] == [0, 384, 768]
        assert all(len(curve[k]) == 3 for k in ("iqm", "low", "high"))
        assert [m["seed"] for m in arm["members"]] == [0, 1]
        assert all(
            m["env_steps"] == 768 and m["evaluation"]["episodes"] == 3 for m in arm["members"]
        )


def test_arms_with_learning_rate_zero_do_not_change(finished):
    for arm in ("random_lr0", "pretrained_lr0"):
        curve = finished.summary["arms"][arm]["curve"]["iqm"]
        assert len(set(curve)) == 1
    clone = api.Run(finished.folder / "bc")
    frozen = api.Run(finished.folder / "ppo" / "pretrained_lr0")
    for m in range(2):
        theirs, ours = clone.policy(m), frozen.policy(m)
        # The same but for one temperature, by which the last layer is divided.
        shared = [p.policy.params["encoder"] for p in (theirs, ours)]
        jax.tree.map(np.testing.assert_array_equal, *shared)
        temperature = frozen.summary["audit"]["temperature"]
        ratio = [p.policy.params["head"]["kernel"] for p in (theirs, ours)]
        np.testing.assert_allclose(ratio[0] / ratio[1], (ratio[0] / ratio[1])[0, 0], rtol=1e-4)
        assert temperature > 0
        jax.tree.map(np.testing.assert_array_equal, theirs.policy.obs_stats, ours.policy.obs_stats)
        assert (
            clone.summary["members"][m]["evaluation"] == frozen.summary["members"][m]["evaluation"]
        )


def test_fine_tuning_starts_at_the_clone(finished):
    audit = finished.summary["audit"]
    assert audit["max_log_prob_difference"] <= 1e-6 and audit["return"] == audit["clone_return"]
    curves = [finished.summary["arms"][a]["curve"]["iqm"] for a in ("pretrained", "pretrained_lr0")]
    assert curves[0][0] == curves[1][0]


def test_tensorboard_and_metrics_tell_the_same(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for stage in ("bc", "ppo/pretrained"):
        board = EventAccumulator(str(finished.folder / stage), size_guidance={"scalars": 0})
        board.Reload()
        lines = metrics.read(finished.folder / stage)
        logged = {}
        for line in lines:
            for name, value in line.items():
                if "/" in name:
                    logged.setdefault(f"{line['split']}/{name}", []).append((line["step"], value))
                if name == "rollout_stats/reward/mean":  # by its usual name too
                    logged.setdefault(f"{line['split']}/return", []).append((line["step"], value))
        assert set(board.Tags()["scalars"]) == set(logged)
        for tag, points in logged.items():
            events = board.Scalars(tag)
            assert [e.step for e in events] == [p[0] for p in points], tag
            np.testing.assert_allclose([e.value for e in events], [p[1] for p in points], rtol=1e-5)
        assert board.Histograms("train/actions")
    bc = {f"{x['split']}/{n}" for x in metrics.read(finished.folder / "bc") for n in x if "/" in n}
    for split in ("train", "eval"):
        for name in ("accuracy", "loss", "entropy", "l2_norm", "grad_norm"):
            prefix = "discrete_" if name == "accuracy" else "policy_"
            assert f"{split}/imitation/{prefix}{name}" in bc
    images = EventAccumulator(str(finished.folder / "compare"))
    images.Reload()
    assert images.Tags()["images"] == ["compare/returns"]


def test_a_policy_by_its_folder_alone_is_the_one_that_was_evaluated(finished, small):
    run = finished.folder / "ppo" / "pretrained"
    config = api.Run(run).config
    for member in range(2):
        policy = api.load_policy(run, member)
        result = api.evaluate(config, policy)
        expected = api.Run(run).summary["members"][member]["evaluation"]
        assert result["mean"] == pytest.approx(expected["mean"], rel=1e-6)
    obs = np.random.default_rng(0).normal(size=(5, 8))
    assert policy(obs).shape == (5,) and policy(obs).dtype.kind == "i"
    np.testing.assert_array_equal(policy(obs, seed=1), policy(obs, seed=1))
    with pytest.raises(ValueError, match=r"takes a batch \[N, 8\]"):
        policy(obs[0])
    with pytest.raises(UserError, match="members 0 to 1"):
        api.load_policy(run, 2)


def test_a_workflow_goes_on_at_the_first_unfinished_stage(finished, small, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(finished.folder, copy)
    for stage in ("ppo/pretrained", "compare", "."):
        (copy / stage / "summary.json").unlink()
    untouched = (copy / "bc" / "summary.json").stat().st_mtime_ns
    again = api.train(small, copy)
    assert (copy / "bc" / "summary.json").stat().st_mtime_ns == untouched
    for arm in workflow.ARMS:
        a, b = finished.summary["arms"][arm], again.summary["arms"][arm]
        assert a["curve"] == b["curve"] and a["iqm"] == b["iqm"]
    lines = [json.dumps(x) for x in metrics.read(copy / "ppo" / "pretrained")]
    assert lines == [json.dumps(x) for x in metrics.read(finished.folder / "ppo" / "pretrained")]


def test_interrupted_fine_tuning_goes_on_to_the_bit(finished, small, tmp_path, monkeypatch):
    config = api.override(
        small,
        {
            "stage": "ppo",
            "ppo.init_from": str(finished.folder / "bc"),
            "env.max_episode_steps": 40,
            "ppo.audit": "report",
            "ppo.critic_fit_epochs": 2,
            "ppo.cloning_coef": 0.1,
            "ppo.anchor_coef": 0.1,
            "ppo.anchor_target_kl": 0.01,
        },
    )
    whole = api.train(config, tmp_path / "whole")
    log, count = ppo._Trainer._log_training, []

    def failing(self, *args):
        count.append(1)
        if len(count) == 5:  # after the checkpoint at iteration 3, and one iteration more
            raise KeyboardInterrupt
        log(self, *args)

    monkeypatch.setattr(ppo._Trainer, "_log_training", failing)
    with pytest.raises(KeyboardInterrupt):
        api.train(config, tmp_path / "broken")
    assert not (tmp_path / "broken" / "summary.json").exists()
    resumed = api.resume(tmp_path / "broken")
    assert len(count) == 5 + 3
    assert [json.dumps(x) for x in resumed.metrics()] == [json.dumps(x) for x in whole.metrics()]
    jax.tree.map(np.testing.assert_array_equal, resumed.policy(1).policy, whole.policy(1).policy)
    for a, b in zip(resumed.summary["members"], whole.summary["members"], strict=True):
        assert a == b


def test_a_crash_between_the_arms_saves_is_gone_on_from(finished, small, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(finished.folder, copy)
    for arm in workflow.ARMS:
        (copy / "ppo" / arm / "summary.json").unlink()
    for stage in ("compare", "."):
        (copy / stage / "summary.json").unlink()
    # One arm has no checkpoint yet, the others have.
    shutil.rmtree(copy / "ppo" / "pretrained" / "checkpoints")
    again = api.train(small, copy)
    for arm in workflow.ARMS:
        ours, theirs = (r.summary["arms"][arm]["members"] for r in (again, finished))
        assert ours == theirs


def test_a_crash_after_the_last_save_loses_no_line(finished, tmp_path):
    config = api.override(
        finished.config,
        {"stage": "ppo", "ppo.init_from": str(finished.folder / "bc")},
    )
    whole = api.train(config, tmp_path / "whole")

    script = (
        "import os\n"
        "from jaxmaze import api, cli\n"
        "from jaxmaze.stages import ppo\n"
        "def killed(self, *_):\n"
        "    self.files.wait()\n"
        "    os.kill(os.getpid(), 9)\n"
        "ppo._Trainer.finish = killed\n"
        "cli.prepare()\n"
        f"api.train(api.Run({str(whole.folder)!r}).config, {str(tmp_path / 'broken')!r})\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == -9
    resumed = api.resume(tmp_path / "broken")
    assert [json.dumps(x) for x in resumed.metrics()] == [json.dumps(x) for x in whole.metrics()]
    assert any("playoff/best" in x for x in whole.metrics())


def test_the_anchor_of_a_run_decays_over_the_fraction_that_was_asked_for(finished, tmp_path):
    fields = {
        "stage": "ppo",
        "ppo.init_from": str(finished.folder / "bc"),
        "ppo.anchor_coef": 0.4,
        "ppo.anchor_fraction": 0.5,
        "ppo.critic_burn_in": 0,
        "ppo.total_env_steps": 8 * 128,
    }
    run = api.train(api.override(finished.config, fields), tmp_path / "run")
    logged = [x["ppo/anchor_coef"] for x in run.metrics() if "ppo/anchor_coef" in x]
    np.testing.assert_allclose(logged, 0.4 * np.array([1, 0.75, 0.5, 0.25, 0, 0, 0, 0]), atol=1e-6)


def test_runs_that_differ_in_the_program_do_not_train_together(small, tmp_path):
    other = api.override(small, {"ppo.anchor_schedule": "constant"})
    with pytest.raises(UserError, match=r"need the same ppo\.anchor_schedule"):
        ppo.run_arms({"a": (small, tmp_path / "a"), "b": (other, tmp_path / "b")})


def test_the_first_probabilities_equal_the_clones(finished, tmp_path, monkeypatch):
    clone = finished.folder / "bc"
    fields = {"stage": "ppo", "ppo.init_from": str(clone), "ppo.exploration": "kept"}
    config = api.override(api.Run(clone).config, fields)
    info = environment.describe(environment.EnvConfig.of(config.env))
    networks, theirs, _ = checkpoint.load_best(clone)
    started = []
    monkeypatch.setattr(ppo._Trainer, "train", lambda self: started.append(self))
    monkeypatch.setattr(ppo._Trainer, "finish", lambda *_: {"run": {}})
    ppo.run(config, tmp_path / "run")
    policy = started[0].population.policies()
    obs = np.random.default_rng(0).normal(size=(2, 500, 8)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def logits(policy, obs):
        return networks.distribution(policy.params, policy.obs_stats, obs).logits

    np.testing.assert_array_equal(logits(policy, obs), logits(theirs, obs))
    assert info.spaces == networks.spaces


def test_checkpoints_are_at_least_two_episodes_apart(small):
    small = config_lib.to_settings(small)
    assert ppo_arms.checkpoint_every(small, 40) == 3  # 3 x 32 steps
    assert ppo_arms.checkpoint_every(small, 200) == 15
    assert ppo_arms.checkpoint_every(small, None) == 63


def test_a_workflow_stands_for_its_fine_tuned_arm(finished, tmp_path):
    arm = finished.folder / "ppo" / "pretrained"
    compared = api.compare([finished], tmp_path / "c").summary["arms"]
    expected = finished.summary["arms"]["pretrained"]["curve"]
    assert compared["pretrained"]["curve"] == expected | {"teacher": None}
    jax.tree.map(
        np.testing.assert_array_equal, api.load_policy(finished).policy, api.load_policy(arm).policy
    )


def test_a_finished_rollout_is_not_taken_for_another(finished, small, tmp_path):
    config = api.override(small, {"rollout.policy": str(finished.folder / "bc")})
    first = api.record(config, tmp_path / "r", member=0).summary
    assert api.record(config, tmp_path / "r", member=0).summary == first
    with pytest.raises(UserError, match="another configuration"):
        api.record(config, tmp_path / "r", member=1)


def test_diverged_cloning_stops_with_a_line(small, recorded, tmp_path):
    config = api.override(small, {"bc.learning_rate": 1e38})
    with pytest.raises(UserError, match=r"cloning diverged.*lower config\.bc\.learning_rate"):
        api.clone(config, recorded, tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()


def test_compare_makes_the_same_from_finished_runs(finished, tmp_path):
    folders = [finished.folder / "ppo" / arm for arm in workflow.ARMS]
    compared = api.compare(folders, tmp_path / "c", teacher=finished.folder / "teacher")
    for arm in workflow.ARMS:
        ours, theirs = compared.summary["arms"][arm], finished.summary["arms"][arm]
        assert ours["curve"] == theirs["curve"] and ours["iqm"] == theirs["iqm"]
    with_clone = api.compare([finished.folder / "bc", folders[0]], tmp_path / "d")
    assert set(with_clone.summary["arms"]) == {"bc", "random_lr0"}


def test_an_unchanged_policy_is_not_played_again(finished, monkeypatch):
    _, policies, _ = checkpoint.load_best(finished.folder / "bc")
    calls = []

    class FakePool:
        class config:
            seeds = (0, 1)

        def evaluate(self, policies, seeds, deterministic, active):
            calls.append(active.tolist())
            return [
                evaluation_result
                for m in np.flatnonzero(active)
                for evaluation_result in [_result(m, e) for e in range(len(seeds))]
            ]

    evaluator = evaluation.Evaluator(FakePool(), True)
    seeds = np.arange(4)
    first = evaluator(policies, seeds)
    again = evaluator(policies, seeds)
    assert calls == [[True, True]] and first == again
    changed = jax.tree.map(np.array, policies)
    jax.tree.leaves(changed.params)[0][1] += 1
    evaluator(changed, seeds)
    evaluator(changed, seeds + 1)
    assert calls[1:] == [[False, True], [True, True]]


def test_policies_that_are_alike_are_played_once_if_nothing_is_drawn(finished):
    _, policies, _ = checkpoint.load_best(finished.folder / "bc")
    alike = jax.tree.map(lambda x: np.asarray(x)[[0, 1, 0]], policies)
    calls = []

    class FakePool:
        class config:
            seeds = (0, 1, 2)

        def evaluate(self, policies, seeds, deterministic, active):
            calls.append(active.tolist())
            return [_result(m, e) for m in np.flatnonzero(active) for e in range(len(seeds))]

    means = [r.returns.mean() for r in evaluation.Evaluator(FakePool(), True)(alike, np.arange(4))]
    assert calls == [[True, True, False]] and means == [1.5, 2.5, 1.5]
    evaluator = evaluation.Evaluator(FakePool(), True)
    only = evaluator(alike, np.arange(4), np.array([False, False, True]))
    assert calls[1:] == [[False, False, True]] and only[0].returns.mean() == 3.5
    evaluation.Evaluator(FakePool(), False)(alike, np.arange(4))
    assert calls[2:] == [[True, True, True]]


def _result(member, episode):
    from jaxmaze.envs.actors import EpisodeResult

    return EpisodeResult(int(member), episode, float(member + episode), 10, True)


def test_gains_are_differences_on_the_same_episodes(finished, small):
    """Everything in the table, made again from policies played one by one."""
    summary, folder = finished.summary, finished.folder
    config = api.override(small, {"rollout.policy": "heuristic"})
    test = evaluation.test_seeds(config)
    info = environment.describe(environment.EnvConfig.of(config.env))

    def returns(policy, seeds):
        return np.array([e.episode_return for e in play_episodes(info, policy, seeds, 4)])

    heuristic = policies.resolve("heuristic", info, 0)
    teacher = returns(heuristic, test)
    tuned = np.stack([returns(api.load_policy(folder, m), test) for m in range(2)])
    cloned = np.stack([returns(api.load_policy(folder / "bc", m), test) for m in range(2)])
    found = summary["arms"]["pretrained"]
    assert found["iqm"] == pytest.approx(tuned.mean(), abs=1e-3)
    assert found["gain"]["iqm"] == pytest.approx((tuned - teacher).mean(), abs=1e-3)
    assert summary["gain_on_clone"]["iqm"] == pytest.approx((tuned - cloned).mean(), abs=1e-3)
    assert summary["teacher"]["evaluation"]["mean"] == pytest.approx(teacher.mean())
    # The curve, its teacher and the selection are of other episodes, all of the same.
    chosen = evaluation.selection_seeds(config, 2)
    assert not set(chosen) & set(test)
    assert found["curve"]["teacher"] == pytest.approx(returns(heuristic, chosen).mean())
    frozen = summary["arms"]["pretrained_lr0"]["curve"]["iqm"][0]
    still = np.stack([returns(api.load_policy(folder / "bc", m), chosen) for m in range(2)])
    assert frozen == pytest.approx(still.mean(), abs=1e-3)


def test_a_teacher_that_cannot_be_asked_is_compared_where_it_has_played(finished, small, tmp_path):
    run = finished.folder / "ppo" / "pretrained"
    own = api.record(small, tmp_path / "own", policy=lambda obs: np.zeros(len(obs), int))
    summary = api.compare([run], tmp_path / "c", teacher=own).summary
    assert summary["arms"]["pretrained"]["gain"] is None
    assert summary["teacher"]["evaluation"]["mean"] == own.summary["evaluation"]["mean"]
    # One that can plays the run's episodes, whatever it has on record.
    other = api.record(api.override(small, {"seed": 5}), tmp_path / "other")
    found = api.compare([run], tmp_path / "d", teacher=other).summary
    expected = finished.summary
    assert found["teacher"]["evaluation"] == expected["teacher"]["evaluation"]
    assert found["arms"]["pretrained"]["gain"] == expected["arms"]["pretrained"]["gain"]
    with pytest.raises(UserError, match="is not a rollout"):
        api.compare([run], tmp_path / "e", teacher=finished.folder / "bc")
