"""The handover: the audit's proof, what it stops, and what of the demonstrations comes over."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze import config as config_lib
from jaxmaze.core import discrete_actions, normalization
from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import NetworkSpec
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.policies import build_networks
from jaxmaze.runs import checkpoint, splits
from jaxmaze.training import audit, handover, ppo_learner
from tests.conftest import CONFIG, SMALL, command, flags


def ppo_config(small, clone, **changes):
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    return api.override(small, {"stage": "ppo", "ppo.init_from": str(clone), **fields})


def load(config):
    info = environment.describe(environment.EnvConfig.of(config.env))
    networks = build_networks(config, info.spaces)
    return handover.take(handover.read(config, networks), config, networks, info)


@pytest.fixture(scope="module")
def tuned(small, cloned, tmp_path_factory):
    """A fine-tuned run with everything that can come over from the clone."""
    config = ppo_config(
        small,
        cloned.folder,
        ppo__exploration="calibrated",
        ppo__critic_fit_epochs=2,
        ppo__cloning_coef=0.1,
        ppo__anchor_coef=0.1,
    )
    return api.train(config, tmp_path_factory.mktemp("tuned") / "run")


def test_the_audit_is_in_the_summary(tuned, cloned):
    figures = tuned.summary["audit"]
    assert figures["origin"] == str(cloned.folder)
    assert figures["states"] == 2 * audit.STATES and figures["held_out_demonstrations"]
    assert figures["max_log_prob_difference"] <= 1e-6
    assert figures["episodes"] == 2 * audit.EPISODES
    assert figures["return"] == figures["clone_return"]
    assert figures["max_return_difference"] == 0.0 and figures["difference"] == ""


def test_the_record_is_of_held_out_demonstrations(small, cloned, recorded):
    from jaxmaze.runs import trajectories

    info = environment.describe(environment.EnvConfig.of(small.env))
    dataset = trajectories.read(recorded.folder, info)
    record = audit.read(cloned.folder, cloned.policy().networks)
    for member in range(2):
        mask = splits.split(6, small.bc.validation_percentage, small.seed + member)
        held_out = [e for e, out in zip(dataset.episodes, mask, strict=True) if out]
        states = {o.tobytes() for e in held_out for o in e.observations[:-1].astype(np.float32)}
        assert {o.tobytes() for o in record.obs[member]} <= states
    networks, theirs, _ = checkpoint.load_best(cloned.folder)
    dist = networks.distribution(
        *(jax.tree.map(lambda x: x[1], t) for t in (theirs.params, theirs.obs_stats)), record.obs[1]
    )
    np.testing.assert_allclose(
        dist.log_prob(record.action[1]), record.log_prob[1], rtol=1e-4, atol=1e-5
    )


def tampered(cloned, tmp_path, **changes):
    """A copy of the clone whose record says something else."""
    folder = tmp_path / "tampered"
    shutil.copytree(cloned.folder, folder)
    record = audit.read(folder, cloned.policy().networks)
    record = record._replace(**{n: f(getattr(record, n)) for n, f in changes.items()})
    kept = {name: x for name, x in record._asdict().items() if x is not None}
    np.savez(folder / audit.FILE, **kept)
    return folder


def test_other_log_probabilities_stop(small, cloned, tmp_path):
    folder = tampered(cloned, tmp_path, log_prob=lambda x: x + 1e-3)
    with pytest.raises(UserError, match=r"differs: log-probabilities by 0.001.*audit=report"):
        load(ppo_config(small, folder))
    origin = load(ppo_config(small, folder, ppo__audit="report"))
    assert origin.figures["max_log_prob_difference"] == pytest.approx(1e-3, rel=0.01)
    assert "log-probabilities" in origin.figures["difference"]


def test_other_returns_stop(small, cloned, tmp_path):
    folder = tampered(cloned, tmp_path, returns=lambda x: x + 5)
    with pytest.raises(UserError, match=r"return on the same 10 episodes is .*acts differently"):
        load(ppo_config(small, folder))


def test_other_parameters_or_statistics_stop(small, cloned, tmp_path):
    folder = tampered(cloned, tmp_path, digest=lambda x: np.array("0" * 64))
    with pytest.raises(UserError, match="parameters or observation statistics are not those"):
        load(ppo_config(small, folder))


def test_a_changed_statistic_changes_the_log_probabilities(small, cloned):
    networks, theirs, _ = checkpoint.load_best(cloned.folder)
    record = audit.read(cloned.folder, cloned.policy().networks)
    same = audit.log_probs(networks, theirs, record.obs, record.action)
    np.testing.assert_array_equal(same, record.log_prob)
    shifted = theirs._replace(
        obs_stats=theirs.obs_stats._replace(mean=theirs.obs_stats.mean + 0.01)
    )
    moved = audit.log_probs(networks, shifted, record.obs, record.action)
    assert np.abs(moved - record.log_prob).max() > 1e-4


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("env.max_episode_steps", 100, "env.max_episode_steps is 200 there and 100 here"),
        ("env.kwargs.gravity", -9.0, "env.kwargs.gravity is -10.0 there and -9.0 here"),
        ("network.hidden_sizes", (8,), r"network.hidden_sizes=\(16, 16\), but this run has \(8,\)"),
        ("network.activation", "relu", "network.activation=tanh, but this run has relu"),
        (
            "env.kwargs.continuous",
            True,
            "4 discrete actions, but this run has observations .* 2 continuous",
        ),
    ],
)
def test_another_network_or_environment_is_named(small, cloned, field, value, line):
    changes = {field: value}
    if field.startswith("env.kwargs"):
        changes = {"env.kwargs": small.env.kwargs.to_dict() | {field.split(".")[2]: value}}
    config = api.override(ppo_config(small, cloned.folder), changes)
    with pytest.raises(UserError, match=line):
        load(config)


def test_arguments_that_only_one_spells_out_are_left_to_the_episodes(small, cloned):
    config = api.override(ppo_config(small, cloned.folder), {"env.kwargs": {"gravity": -10.0}})
    assert load(config).figures["difference"] == ""
    windy = api.override(
        ppo_config(small, cloned.folder), {"env.kwargs": {"gravity": -10.0, "turbulence_power": 2}}
    )
    assert "turbulence_power" in audit.env_difference(
        {"id": "x", "kwargs": {"turbulence_power": 1.5}},
        {"id": "x", "kwargs": windy.env.kwargs.to_dict()},
    )


def test_the_command_says_it_in_one_line(cloned):
    done = command(
        "jaxmaze.train",
        f"--config={CONFIG}:ppo",
        f"--config.ppo.init_from={cloned.folder}",
        *flags(SMALL),
        "--config.env.kwargs.gravity=-5.0",
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "env.kwargs.gravity is -10.0 there and -5.0 here" in done.stderr


def checkpoint_before_refit(run, networks):
    """The policies that validation chose, which the first of bc's two phases ends with."""
    with checkpoint.Checkpoints(run, read_only=True) as checkpoints:
        step = min(checkpoints.steps())
        template = checkpoint.blank_policies(networks, 2)
        return checkpoints._restore("best", checkpoints._ocp.args.StandardRestore(template), step)


def test_a_clone_that_is_unsure_of_itself_explores_enough(small, cloned, monkeypatch):
    own = load(ppo_config(small, cloned.folder, ppo__exploration="kept")).start["entropy"]
    assert (own > 0.5 * np.log(4)).all()  # trained for three epochs only
    unsure = load(ppo_config(small, cloned.folder))
    assert (unsure.start["temperature"] == 1).all()
    # It is cooled down if a share is asked for, and warmed up if it is surer than others.
    half = load(ppo_config(small, cloned.folder, ppo__start_exploration=0.5))
    assert (half.start["temperature"] < 1).all()
    monkeypatch.setattr(discrete_actions, "or_start", lambda share: share or 0.99)
    np.testing.assert_allclose(
        load(ppo_config(small, cloned.folder)).start["entropy"], 0.99 * np.log(4), atol=1e-3
    )


def test_exploration_is_kept_reset_or_calibrated(small, cloned, tuned):
    kept = load(ppo_config(small, cloned.folder, ppo__exploration="kept"))
    half = {"ppo__exploration": "reset", "ppo__start_exploration": 0.5}
    reset = load(ppo_config(small, cloned.folder, **half))
    assert (kept.start["temperature"] == 1).all() and kept.policies is kept.clones
    np.testing.assert_allclose(reset.start["entropy"], 0.5 * np.log(4), atol=1e-3)
    record = audit.read(cloned.folder, cloned.policy().networks)
    networks, theirs, _ = checkpoint.load_best(cloned.folder)
    calibrated = load(ppo_config(small, cloned.folder, ppo__exploration="calibrated"))

    # Calibrated on what the clones had not seen: before they were refitted to all episodes.
    np.testing.assert_array_equal(calibrated.start["temperature"], record.temperature)
    before_refit = checkpoint_before_refit(cloned.folder, networks)

    def likelihood(factor):
        params = jax.vmap(networks.temper)(before_refit.params, factor * record.temperature)
        warm = before_refit._replace(params=params)
        return audit.log_probs(networks, warm, record.obs, record.action).mean(1)

    for factor in (0.8, 1.25):
        assert (likelihood(np.float32(1.0)) > likelihood(np.float32(factor))).all()
    # What it does deterministically is the clone's, whatever the temperature.
    for origin in (reset, calibrated):
        for m in range(2):
            a, b = (jax.tree.map(lambda x, m=m: x[m], p) for p in (origin.policies, theirs))
            np.testing.assert_array_equal(
                networks.act(a, record.obs[m])[0], networks.act(b, record.obs[m])[0]
            )
    logged = [x for x in tuned.metrics() if "handover/temperature" in x]
    assert len(logged) == 1 and logged[0]["step"] == 0
    assert tuned.summary["audit"]["temperature"] == pytest.approx(logged[0]["handover/temperature"])


def test_exploration_is_a_share_of_what_masks_allow(tmp_path):
    """Of Taxi's six actions, four or five are allowed in most states."""
    few = {
        "members": 2,
        "rollout.n_episodes": 6,
        "bc.num_updates": 200,
        "bc.batch_size": 16,
        "bc.eval_every": 0,
    }
    config = api.make_config({"env.id": "Taxi-v4", "evaluation.episodes": 1, **few})
    data = api.record(config, tmp_path / "data", policy="benchmarks.results_envs:taxi")
    clone = api.clone(config, data, tmp_path / "clone")
    record = audit.read(clone.folder, clone.policy().networks)
    allowed = np.log(record.obs["action_mask"].sum(-1)).reshape(2, -1).mean(1)
    assert (allowed < 0.95 * np.log(6)).all()
    for share in (None, 0.3):
        found = load(ppo_config(config, clone.folder, ppo__start_exploration=share)).start
        np.testing.assert_allclose(found["entropy"], (share or 0.5) * allowed, atol=2e-3)


def test_exploration_is_measured_where_each_members_own_clone_was(small, monkeypatch):
    # Three members from two clones, which were shown states of their own.
    networks = Networks(Spaces(Observations.array(2), Discrete(4)), NetworkSpec((4,)))
    states = np.stack([np.full((5, 2), m, np.float32) for m in range(2)])
    record = audit.Record(states, *[np.zeros(2)] * 7)
    given = handover.Given(Path("there"), checkpoint.blank_policies(networks, 2), 2, record)
    seen = []

    def started(config, networks, clones, states, wanted):
        seen.append(states[0])
        return np.ones(3), clones.params, {"entropy": np.full(3, 9.0)}, np.zeros(3)

    monkeypatch.setattr(handover, "_started", started)
    monkeypatch.setattr(audit, "check", lambda *args: {})
    config = config_lib.to_settings(api.override(small, {"members": 3}))
    handover.take(given, config, networks, None)
    assert seen[0][:, 0, 0].tolist() == [0.0, 1.0, 0.0]


def test_what_comes_over_is_logged(tuned):
    lines = tuned.metrics()
    assert any("critic_fit/explained_variance" in x for x in lines if x["step"] == 0)
    learning = [x for x in lines if "ppo/clone_kl" in x]
    assert len(learning) == 6
    assert all("ppo/cloning_loss" in x and "ppo/critic_ready" in x for x in learning)
    kept = tuned.summary["members"][0]["selection"]
    assert kept["low"] < kept["mean"] < kept["high"]


def test_one_critic_is_told_in_the_singular():
    one, two = ppo_learner._replaced(1), ppo_learner._replaced(2)
    assert one.startswith("1 critic that was") and "clone's own" in one and "a new one" in one
    assert two.startswith("2 critics that were") and "clones' own" in two and "new ones" in two


def test_a_critic_that_explains_nothing_is_replaced_after_the_first_segment(
    small, cloned, tmp_path, monkeypatch, capsys
):
    """Told the opposite of the returns, 100 times as large, critics are sure and wrong."""
    honest = handover.discounted

    def wrong(demos, gamma):
        found = honest(demos, gamma)
        return found | {"reward_to_go": -100 * found["reward_to_go"]}

    monkeypatch.setattr(handover, "discounted", wrong)
    fields = {
        "ppo.num_steps": 128,
        "ppo.total_env_steps": 4 * 128 * 3,
        "ppo.critic_burn_in": 1,
        "ppo.critic_fit_epochs": 20,
    }
    run = api.train(api.override(ppo_config(small, cloned.folder), fields), tmp_path / "run")
    first, second = [x for x in run.metrics() if "ppo/mc_known" in x][:2]
    assert first["ppo/mc_known"] > 0.1 and first["ppo/mc_explained_variance"] <= 0
    assert "2 critics that were fitted to demonstrations explain nothing" in capsys.readouterr().out
    assert abs(second["ppo/value_mean"]) < 0.2 * abs(first["ppo/value_mean"])


def test_discounted_returns_by_hand():
    demos = handover.Demonstrations(
        obs=np.zeros((5, 1)),
        action=np.zeros(5),
        reward=np.array([1.0, 2.0, 4.0, 8.0, 16.0]),
        episode=np.array([0, 0, 0, 1, 1]),
        final_obs=np.zeros((2, 1)),
        truncated=np.array([False, True]),
    )
    returns = handover.discounted(demos, 0.5)
    np.testing.assert_allclose(returns["reward_to_go"], [1 + 1 + 1, 2 + 2, 4, 8 + 8, 16])
    np.testing.assert_allclose(returns["left"], [0, 0, 0, 0.25, 0.5])
    # PPO scales the same rewards by the same number.
    stats, zero = normalization.init_return_stats(1), np.zeros
    for rewards in ([1.0, 2.0, 4.0], [8.0, 16.0]):
        done = zero((len(rewards), 1))
        done[-1] = 1
        stats, _ = normalization.scale_rewards(stats, np.array(rewards)[:, None], done, 0.5)
    assert returns["scale"] == pytest.approx(float(np.sqrt(stats.stats.var)), rel=1e-4)
    assert returns["mean"] == pytest.approx(float(stats.stats.mean), rel=1e-4)


def test_demonstrations_that_are_gone_are_asked_for(small, cloned, recorded, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(cloned.folder, folder)
    raw = json.loads((folder / "config.json").read_text())
    raw["demonstrations"][0] |= {"path": str(tmp_path / "gone"), "beside": "../gone"}
    (folder / "config.json").write_text(json.dumps(raw))
    config = ppo_config(small, folder, ppo__cloning_coef=0.1)
    with pytest.raises(UserError, match=r"not at hand .*--config.bc.data=DIR"):
        api.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # The critic can do without.
    blind = api.override(config, {"ppo.cloning_coef": 0.0, "ppo.critic_fit_epochs": 2})
    run = api.train(blind, tmp_path / "run")
    assert not any("critic_fit/value_loss" in line for line in run.metrics())
    found = api.override(config, {"bc.data": str(recorded.folder)})
    info = environment.describe(environment.EnvConfig.of(found.env))
    first, second = handover.demonstrations(found, info, info.spaces.action)
    assert len(first[1].obs) == recorded.summary["env_steps"] and first[1] is second[1]


def test_demonstrations_that_have_changed_are_not_taken_for_the_clones(small, cloned, tmp_path):
    folder = tmp_path / "clone"
    shutil.copytree(cloned.folder, folder)
    raw = json.loads((folder / "config.json").read_text())
    raw["demonstrations"][0]["sha256"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(raw))
    config = ppo_config(small, folder, ppo__cloning_coef=0.1)
    info = environment.describe(environment.EnvConfig.of(config.env))
    with pytest.raises(UserError, match=r"has changed since .* was cloned from it; .*bc.data=DIR"):
        handover.demonstrations(config, info, info.spaces.action)


def test_a_tuned_run_is_a_start_too_and_its_demonstrations_are_the_clones(small, tuned):
    config = ppo_config(small, tuned.folder)
    figures = load(config).figures
    assert not figures["held_out_demonstrations"] and figures["difference"] == ""
    info = environment.describe(environment.EnvConfig.of(config.env))
    assert len(handover.demonstrations(config, info, info.spaces.action)[0][1].obs) > 100
    with pytest.raises(UserError, match="calibrated needs held-out demonstrations"):
        load(api.override(config, {"ppo.exploration": "calibrated"}))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"ppo.start_exploration": 0.0}, "above 0 and at most 1"),
        ({"ppo.anchor_target_kl": 0.1}, "anchor_coef, which is 0"),
    ],
)
def test_settings_that_contradict_each_other(small, changes, line):
    with pytest.raises(UserError, match=line):
        api.override(small, changes)


def test_data_sets_of_different_length_are_filled_up_without_weight():
    def demos(lengths):
        rows = sum(lengths)
        episode = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
        return handover.Demonstrations(
            np.full((rows, 2), float(rows), np.float32),
            np.zeros(rows, np.int32),
            np.ones(rows),
            episode,
            np.ones((len(lengths), 2), np.float32),
            np.zeros(len(lengths), bool),
        )

    short, long = demos([2, 3]), demos([4, 3, 2])
    own, shared = handover.returns([short, long], [1.0, 0.5])
    assert shared == {} and own["obs"].shape == (2, 9, 2) and own["final_obs"].shape == (2, 3, 2)
    assert own["weight"].tolist() == [[1] * 5 + [0] * 4, [1] * 9]
    assert own["reward_to_go"][0].tolist() == [2, 1, 3, 2, 1, 0, 0, 0, 0]
    assert own["reward_to_go"][1][:4].tolist() == [1.875, 1.75, 1.5, 1]
    own, shared = handover.returns([short, short], [1.0, 0.5])
    assert shared["obs"] is short.obs and "weight" not in own
    assert own["reward_to_go"][:, 0].tolist() == [2, 1.5]


def test_a_finished_run_is_found_finished_without_another_audit(small, tuned, monkeypatch):
    """And without taking anything over."""

    def forbidden(*_):
        raise AssertionError("taken over again")

    monkeypatch.setattr(handover, "take", forbidden)
    again = api.train(tuned.config, tuned.folder)
    assert again.summary == tuned.summary
    with pytest.raises(UserError, match="another configuration"):
        api.train(api.override(tuned.config, {"ppo.gamma": 0.5}), tuned.folder)
