"""Cloning data whose environment is not at hand, and what can be done with such a clone."""

import json
import shutil

import jax
import numpy as np
import pytest

import jaxmaze
from jaxmaze import api
from jaxmaze.errors import UserError
from tests.conftest import CONFIG, SMALL, command
from tests.test_cli import fails

ALONE = {k: v for k, v in SMALL.items() if not k.startswith("env.")}


@pytest.fixture(scope="module")
def alone(recorded, tmp_path_factory):
    """A clone of recorded episodes, made without a word about their environment."""
    return jaxmaze.clone(ALONE, recorded, tmp_path_factory.mktemp("alone") / "run")


def test_a_clone_is_what_it_would_be_with_the_environment(alone, small, recorded, tmp_path):
    other = jaxmaze.clone(jaxmaze.override(small, {"bc.eval_every": 0}), recorded, tmp_path / "x")
    for member in range(2):
        a, b = (jaxmaze.load_policy(run, member).policy for run in (alone, other))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    ours, theirs = alone.summary, other.summary
    assert set(theirs) - set(ours) == {"evaluation"} and set(ours) - set(theirs) == {"validation"}
    assert [m["best_epoch"] for m in ours["members"]] == [
        m["best_epoch"] for m in theirs["members"]
    ]
    loss = "imitation/policy_loss"
    logged = {x["step"]: x["members"][loss] for x in alone.metrics() if x["split"] == "eval"}
    for i, member in enumerate(ours["members"]):
        assert member["validation"]["policy_loss"] == logged[member["best_epoch"]][i]
    mean = np.mean([m["validation"]["policy_loss"] for m in ours["members"]])
    assert ours["validation"]["policy_loss"] == pytest.approx(mean)
    assert not [x for x in alone.metrics() if "rollout_stats/reward/mean" in x]
    assert not (alone.folder / "episodes.jsonl").exists()
    with np.load(alone.folder / "audit.npz") as mine, np.load(other.folder / "audit.npz") as its:
        assert mine["returns"].shape == (2, 0) and its["returns"].shape == (2, 10)
        np.testing.assert_array_equal(mine["log_prob"], its["log_prob"])


def test_it_goes_on_where_it_stopped(alone, tmp_path):
    run = shutil.copytree(alone.folder, tmp_path / "run")
    for name in ("summary.json", "audit.npz"):
        (run / name).unlink()
    again = jaxmaze.resume(run).summary
    assert again["members"] == alone.summary["members"]
    assert (run / "audit.npz").read_bytes() == (alone.folder / "audit.npz").read_bytes()


def test_ppo_takes_it_over_once_an_environment_is_named(alone, small, tmp_path, capsys):
    tuned = jaxmaze.fine_tune(small, alone, tmp_path / "tuned")
    audit = tuned.summary["audit"]
    assert (audit["episodes"], audit["states"], audit["difference"]) == (0, 1024, "")
    assert audit["max_log_prob_difference"] == 0.0 and "return" not in audit
    assert "was cloned without an environment, so only its log-prob" in capsys.readouterr().out
    assert tuned.summary["evaluation"]["episodes"] == 2 * SMALL["evaluation.episodes"]


def test_its_log_probabilities_are_compared_all_the_same(alone, small, tmp_path):
    run = shutil.copytree(alone.folder, tmp_path / "run")
    with np.load(run / "audit.npz") as file:
        record = dict(file)
    record["log_prob"][1, 3] += 1e-3
    np.savez(run / "audit.npz", **record)
    with pytest.raises(UserError, match=r"log-probabilities by 0\.001, more than 1e-06"):
        jaxmaze.fine_tune(small, run, tmp_path / "tuned")
    with pytest.raises(UserError, match=r"observations .* but this run has observations"):
        jaxmaze.fine_tune(ALONE | {"env.id": "CartPole-v1"}, alone, tmp_path / "tuned")


def test_what_needs_episodes_says_what_is_missing(alone, recorded, tmp_path):
    with pytest.raises(UserError, match=r"cloned without an environment.*jaxmaze rollout --run"):
        jaxmaze.compare([alone], tmp_path / "compared")
    fails(
        command("jaxmaze.rollout", f"--run={alone.folder}"), "name one to play in", "config.env.id"
    )
    data = {"bc.data": str(recorded.folder), "stage": "bc"}
    for changes, words in (
        ({"bc.best_by": "return"}, "bc.best_by=return needs an environment"),
        ({"sweep": {"learning_rate": (1e-3, 1e-2)}}, "config.sweep compares returns"),
        ({"stage": "ppo"}, r"env\.id is not set.*ppo plays in it"),
        ({"stage": "dagger"}, r"env\.id is not set.*dagger plays in it"),
        ({"bc.data": None}, r"bc\.data is not set"),
        ({"bc.data": str(tmp_path)}, "is empty"),
    ):
        with pytest.raises(UserError, match=words):
            jaxmaze.train(ALONE | data | changes, tmp_path / "run")
    for call in (
        lambda: jaxmaze.record(ALONE | data, tmp_path / "run"),
        lambda: jaxmaze.evaluate(ALONE | data, alone),
    ):
        with pytest.raises(UserError, match=r"env\.id is not set, and this needs an environment"):
            call()
    assert not list(tmp_path.iterdir())


def test_its_policy_acts_plays_and_is_exported(alone, small, tmp_path):
    assert jaxmaze.load_policy(alone, 1)(np.zeros((3, 8))).shape == (3,)
    assert jaxmaze.evaluate(small, alone)["episodes"] == SMALL["evaluation.episodes"]
    jaxmaze.export(alone, tmp_path / "out", "npz", member=1)
    assert json.loads((tmp_path / "out" / "policy.json").read_text())["proof"]["states"] == 512
    played = command(
        "jaxmaze.rollout",
        f"--run={alone.folder}",
        "--config.env.id=LunarLander-v3",
        "--n_episodes=1",
        f"--workdir={tmp_path / 'played'}",
    )
    assert played.returncode == 0, played.stderr
    jaxmaze.compare([tmp_path / "played"], tmp_path / "compared")


def test_without_held_out_episodes_nothing_is_claimed(recorded, tmp_path, capsys):
    config = ALONE | {"bc.validation_percentage": 0.0}
    summary = jaxmaze.clone(config, recorded, tmp_path / "run").summary
    assert "validation" not in summary and "evaluation" not in summary
    assert "nothing tells how good it is" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_needs_no_config(recorded, tmp_path):
    words = ("jaxmaze.train", "--config.stage=bc", "--config.bc.num_epochs=2")
    data = f"--config.bc.data={recorded.folder}"
    done = command(*words, data, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / done.stdout.splitlines()[-1]
    assert run.parent == tmp_path / "outputs" / "data-bc" and "validation loss" in done.stdout
    assert api.open_run(run).summary["validation"]["discrete_accuracy"] > 0
    fails(command(*words, f"--config={CONFIG}", data, "--config.env.id=Nowhere-v0"), "Nowhere")
