"""DAgger: what is asked, kept and learned, and that a killed run goes on to the bit."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze import config as config_lib
from jaxmaze.core.spaces import Discrete
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.policies import build_networks as networks_of
from jaxmaze.runs import run_folder, trajectories
from jaxmaze.stages import dagger
from jaxmaze.training import dagger_data, handover, ppo_arms, ppo_learner, ppo_update
from tests.conftest import CONFIG, SMALL, command, flags, goes_on_as, killed

OVERRIDES = SMALL | {
    "env.max_episode_steps": 60,
    "bc.num_epochs": 4,
    "bc.batch_size": 32,
    "dagger.rounds": 4,
    "dagger.n_episodes": 2,
    "dagger.beta_schedule": "exponential",
    "dagger.eval_episodes": 2,
    "dagger.playoff_episodes": 2,
}


@pytest.fixture(scope="module")
def config():
    return api.load_config(f"{CONFIG}:dagger", OVERRIDES)


@pytest.fixture(scope="module")
def taught(config, tmp_path_factory):
    return api.dagger(config, tmp_path_factory.mktemp("dagger") / "run")


def info_of(config):
    return environment.describe(environment.EnvConfig.of(config.env))


def test_every_state_is_labelled_by_the_teacher(config, taught):
    info = info_of(config)
    teacher = policies.resolve("heuristic", info, 0)
    for seed in (0, 1):
        data = trajectories.read(taught.folder / f"seed_{seed}", info)
        assert len(data.episodes) == 4 * 2
        for episode in data.episodes:
            np.testing.assert_array_equal(teacher(episode.observations[:-1]), episode.labels)
        obs, action, _ = trajectories.rows(data.episodes, Discrete(4))
        np.testing.assert_array_equal(teacher(obs), action)
        assert len(obs) == taught.summary["members"][seed]["labels"] == data.num_steps


def test_the_teacher_acts_with_probability_beta(config, taught):
    info = info_of(config)
    episodes = trajectories.read(taught.folder / "seed_0", info).episodes
    agreement = [
        np.concatenate([e.actions == e.labels for e in episodes[2 * r : 2 * r + 2]]).mean()
        for r in range(4)
    ]
    assert agreement[0] == 1.0 and max(agreement[2:]) < 1.0
    assert [dagger_data.beta(config, r) for r in range(4)] == [1.0, 0.5, 0.25, 0.125]
    linear = api.override(config, {"dagger.beta_schedule": "linear"})
    np.testing.assert_allclose(
        [dagger_data.beta(linear, r) for r in range(4)], [1, 2 / 3, 1 / 3, 0]
    )
    indicator = api.override(config, {"dagger.beta_schedule": "indicator"})
    assert [dagger_data.beta(indicator, r) for r in range(3)] == [1.0, 0.0, 0.0]


def test_the_mixture_draws_as_often_as_it_says(config, cloned):
    # A teacher that always does 3 and a clone that never does: what is done tells who did it.
    info = info_of(config)
    clone = cloned.policy(0)
    params = jax.tree.map(np.array, clone.policy.params)
    params["head"]["bias"][3] -= 1e3
    population = jax.tree.map(lambda x: x[None], clone.policy._replace(params=params))
    [episodes] = dagger_data.play(
        info,
        clone.networks,
        lambda obs: np.full(len(obs), 3),
        population,
        np.arange(12)[None],
        0.3,
        [np.random.default_rng(0)],
    )
    done = np.concatenate([e.actions for e in episodes])
    assert len(done) > 300 and (done == 3).mean() == pytest.approx(0.3, abs=0.06)
    assert all((e.labels == 3).all() for e in episodes)


def test_a_clone_is_told_once_where_its_episodes_begin(config, monkeypatch):
    told = []

    def modes(networks, population, obs, carry, begin):
        told.append(np.array(begin))
        return np.full((1, 3), 2), carry

    monkeypatch.setattr(dagger_data, "_modes", modes)
    info, seeds, rng = info_of(config), np.arange(3)[None], np.random.default_rng(0)
    networks = networks_of(config, info.spaces)
    teacher = lambda obs: np.full(len(obs), 3)  # noqa: E731
    dagger_data.play(info, networks, teacher, object(), seeds, 0.5, [rng])
    assert len(told) > 20 and (told[0] == 1).all() and not np.any(told[1:])


def test_the_data_say_where_they_come_from_and_minari_reads_them(config, taught):
    import minari

    folder = taught.folder / "seed_1" / "trajectory_data" / "data"
    dataset = minari.MinariDataset(folder)
    ours = trajectories.read(folder, info_of(config))
    for theirs, mine in zip(dataset.iterate_episodes(), ours.episodes, strict=True):
        np.testing.assert_array_equal(theirs.infos["teacher_action"], mine.labels)
        np.testing.assert_array_equal(theirs.actions, mine.actions)
    rounds = ours.provenance["rounds"]
    assert [r["beta"] for r in rounds] == [1.0, 0.5, 0.25, 0.125]
    assert rounds[0]["clone_sha256"] is None and len({r["clone_sha256"] for r in rounds}) == 4
    assert ours.provenance["policy"] == "heuristic" and "jax" in ours.provenance["versions"]
    assert not list(taught.folder.glob("seed_*/rounds"))


def test_it_can_be_cloned_from_fine_tuned_rolled_out_and_compared(config, taught, tmp_path):
    again = api.clone(config, taught.folder / "seed_0", tmp_path / "bc")
    assert again.summary["data"]["steps"] == taught.summary["members"][0]["labels"]
    tuned = api.fine_tune(config, taught, tmp_path / "ppo")
    assert tuned.summary["audit"]["difference"] == ""
    assert any("critic_fit/value_loss" in line for line in tuned.metrics())
    compared = api.compare([taught, tuned], tmp_path / "c").summary["arms"]
    assert len(compared["run"]["curve"]["env_steps"]) == 4
    assert api.evaluate(config, taught, 2)["episodes"] == 2


def test_each_member_learns_from_the_demonstrations_of_its_own_clone(config, taught, tmp_path):
    """Three members from two clones: data, the scale of rewards, and what is cloned further."""
    fields = {"stage": "ppo", "ppo.init_from": str(taught.folder), "members": 3}
    fields |= {"ppo.critic_fit_epochs": 2, "ppo.cloning_coef": 0.1}
    config = api.override(config, fields)
    info = info_of(config)
    data = [trajectories.read(taught.folder / f"seed_{m}", info).episodes for m in (0, 1, 0)]
    assert (data[0][0].observations[0] != data[1][0].observations[0]).any()
    demonstrated = ppo_arms.DemonstrationSets(info, info.spaces.action)
    demonstrated.add(config)
    assert demonstrated.of_member == [0, 1, 0] and len(demonstrated.sets) == 2
    networks = networks_of(config, info.spaces)
    origin = handover.take(handover.read(config, networks), config, networks, info)
    arm = ppo_arms.Arm("run", config, tmp_path, slice(0, 3), origin)
    updater = ppo_update.Updater([config], networks)
    learners = ppo_learner.Population([arm], networks, demonstrated, updater)
    learners.fit_critics()
    stats = learners.whole().return_stats.stats
    for m, episodes in enumerate(data):
        returns, gamma = [], config.ppo.gamma
        for e in episodes:
            total = 0.0
            for r in e.rewards:
                total = gamma * total + r
                returns.append(total)
        assert stats.mean[m] == pytest.approx(np.mean(returns), rel=1e-3)
        assert stats.var[m] == pytest.approx(np.var(returns), rel=1e-3)
        assert stats.count[m] == len(returns)
        first, count = (int(x[m]) for x in learners._hyper[-2:])
        shown = np.asarray(learners._demos.obs)[first : first + count]
        np.testing.assert_array_equal(
            shown, np.concatenate([e.observations[:-1] for e in episodes])
        )
    critics = learners.whole().value_params
    same = [np.array_equal(a[0], a[1]) for a in jax.tree.leaves(critics) if np.ptp(a[0])]
    assert same and not any(same)


def test_a_tuned_run_knows_the_demonstrations_of_each_of_its_members(config, taught, tmp_path):
    """Two clones, one run of three members from them, and one of four from those."""
    fields = {"stage": "ppo", "ppo.init_from": str(taught.folder), "members": 3}
    tuned = config_lib.to_settings(api.override(config, fields))
    own = handover.sources_of(tuned)
    folder = tmp_path / "tuned"
    data = run_folder.about_demonstrations(folder, own)
    run_folder.claim(folder, {"kind": "ppo"}, demonstrations=data)
    again = handover.sources_of(tuned.replace("ppo", init_from=str(folder)).replace(members=4))
    # The fourth goes on from the first, and so from the first clone.
    seeds = [Path(source.paths[0]).name for source in again]
    assert seeds == [f"seed_{taught.config.seed + m}" for m in (0, 1, 0, 0)]
    fewer = handover.sources_of(tuned.replace(members=1))
    assert [Path(s.paths[0]).name for s in fewer] == [f"seed_{taught.config.seed}"]


def test_metrics_are_by_labels(taught):
    steps = [x["step"] for x in taught.metrics() if "dagger/labels" in x]
    labels = [x["dagger/labels"] for x in taught.metrics() if "dagger/labels" in x]
    assert len(steps) == 4 and steps == sorted(set(steps))
    np.testing.assert_allclose(steps, labels, atol=0.5)
    assert taught.summary["labels"] == labels[-1]
    assert taught.summary["kind"] == "dagger"


def test_members_are_the_runs_of_their_seeds(config, taught, tmp_path):
    alone = api.dagger(api.override(config, {"seed": 1, "members": 1}), tmp_path / "run")
    ours, theirs = (
        trajectories.read(run.folder / "seed_1", info_of(config)).episodes
        for run in (alone, taught)
    )
    for a, b in zip(ours, theirs, strict=True):  # those that clones have played too
        np.testing.assert_array_equal(a.observations, b.observations)
    assert len({e.observations[-1].tobytes() for e in ours}) == 8


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_each_member_takes_the_gradient_steps_that_are_set(config, tmp_path, monkeypatch, memory):
    """Whatever the number of its rows, and of those that pad them; the rate decays over them."""
    steps = []
    fit = dagger._Trainer._fit

    def counted(self):
        epochs = self.fitter.epochs

        def of_steps(*static):
            program = epochs(*static)

            def run(*arguments):
                done = program(*arguments)
                steps[-1] = np.asarray(done[0].opt_state.count)
                *_, hyper, _ = arguments
                np.testing.assert_array_equal(hyper.decay_epochs, hyper.num_epochs)  # to its end
                return done

            return run

        steps.append(None)
        monkeypatch.setattr(self.fitter, "epochs", of_steps)
        means = fit(self)
        monkeypatch.setattr(self.fitter, "epochs", epochs)
        assert all((x != 0).all() for x in means.values())  # of a pass that was made, for all
        return means

    monkeypatch.setattr(dagger._Trainer, "_fit", counted)
    wanted = {"bc.num_epochs": None, "bc.num_updates": 300, "dagger.rounds": 3}
    small = {"network.memory": memory, "bc.sequence_length": 16, "env.max_episode_steps": None}
    done = api.dagger(api.override(config, wanted | small), tmp_path / "run")
    rows = [member["labels"] for member in done.summary["members"]]
    assert len(set(rows)) > 1 and len(steps) == 3
    np.testing.assert_allclose(np.stack(steps), 300, rtol=0.15)  # whole passes


def test_a_random_teacher_answers_the_same_after_a_resume(config, tmp_path):
    fields = {"dagger.policy": "random", "members": 1, "dagger.rounds": 2}
    whole = api.train(api.override(config, fields), tmp_path / "whole")
    teachers = [
        dagger_data.teacher_of(api.override(config, fields), info_of(config), r)(np.zeros((9, 8)))
        for r in (0, 0, 1)
    ]
    np.testing.assert_array_equal(teachers[0], teachers[1])
    assert (teachers[0] != teachers[2]).any() and whole.summary["kind"] == "dagger"


@pytest.mark.parametrize("at", [1, 5])
def test_killed_at_any_moment_it_goes_on_to_the_bit(taught, tmp_path, at):
    folder = tmp_path / "run"
    arguments = ["jaxmaze.train", f"--config={CONFIG}:dagger", *flags(OVERRIDES)]
    killed(arguments, folder, at)
    goes_on_as(folder, taught.folder)  # the members' blocks have the data's SHA-256


def test_a_lost_summary_is_made_again(taught, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(taught.folder, folder)
    (folder / "summary.json").unlink()
    assert api.resume(folder).summary["members"] == taught.summary["members"]


def test_a_teacher_that_cannot_be_asked_is_one_line(config, recorded, tmp_path):
    for folder in (recorded.folder, recorded.folder / "trajectory_data"):
        with pytest.raises(UserError, match=r"cannot be asked .*heuristic.*recipe bc"):
            api.dagger(config, tmp_path / "run", policy=folder)
    done = command(
        "jaxmaze.train", f"--config={CONFIG}:dagger", f"--config.dagger.policy={recorded.folder}"
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "is a rollout, which cannot be asked" in done.stderr
    with pytest.raises(UserError, match=r"neither a teacher .*nor a run's folder"):
        api.dagger(config, tmp_path / "run", policy="heuristics")
    other = api.override(config, {"env.id": "CartPole-v1", "env.kwargs": {}})
    with pytest.raises(UserError, match=r"trained for observations \(8,\)"):
        clone = api.clone(config, recorded, tmp_path / "clone")
        api.dagger(other, tmp_path / "run", policy=clone)
    assert not (tmp_path / "run").exists()
