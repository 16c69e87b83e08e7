"""What the stages hand to what they are made of: statistics, episodes, iterations, members."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxmaze import api
from jaxmaze import config as config_lib
from jaxmaze.core import seeding
from jaxmaze.core.spaces import Discrete
from jaxmaze.envs.episodes import Episode
from jaxmaze.envs.workers import Pool
from jaxmaze.runs import outcomes
from jaxmaze.stages import compare, ppo
from jaxmaze.training import dagger_data, evaluation
from jaxmaze.training.ppo_learner import Population
from tests.conftest import CONFIG, ROOT, SMALL

PPO = {"stage": "ppo", "ppo.exploration": "kept"}


def saved(folder):
    """The training state in a run's last checkpoint, as it is on disk: nested dicts and lists."""
    steps = sorted((folder / "checkpoints").iterdir(), key=lambda p: int(p.name))
    return ocp.StandardCheckpointer().restore((steps[-1] / "state").resolve())


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def as_saved(policy):
    return {"params": policy.params, "obs_stats": policy.obs_stats._asdict()}


def check_equal(ours, theirs):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def fine_tuned(small, cloned, tmp_path_factory):
    """PPO from the clone, as from scratch, with a learning rate above 0."""
    changes = {"ppo.critic_burn_in": 1, "ppo.learning_rate": 1e-3}
    config = api.override(small, PPO | changes)
    frozen = api.override(config, {"ppo.observation_statistics": "frozen"})
    folder = tmp_path_factory.mktemp("fine_tuned")
    return (
        api.fine_tune(frozen, cloned, folder / "pretrained"),
        api.fine_tune(config, None, folder / "from_scratch"),
    )


def test_a_clone_keeps_its_statistics_to_the_bit_while_it_learns(cloned, fine_tuned):
    state = saved(fine_tuned[0].folder)[0]
    for member in range(2):
        clone = cloned.policy(member).policy
        for kept in (state["policy"], state["average"]):
            for ours, theirs in zip(
                leaves(kept["obs_stats"]), leaves(clone.obs_stats), strict=True
            ):
                np.testing.assert_array_equal(ours[member], theirs)
            assert all(
                (ours[member] != theirs).any()
                for ours, theirs in zip(leaves(kept["params"]), leaves(clone.params), strict=True)
            )


def test_from_scratch_the_statistics_are_those_of_all_that_was_seen(fine_tuned):
    state = saved(fine_tuned[1].folder)[0]
    count, *_ = leaves(state["policy"]["obs_stats"])
    steps = fine_tuned[1].summary["members"][0]["env_steps"]
    assert steps == 768 and count.tolist() == [steps, steps]
    assert np.asarray(state["iteration"]).tolist() == [6, 6]
    assert np.asarray(state["return_stats"]["stats"]["count"]).tolist() == [steps, steps]


@pytest.fixture(scope="module")
def together(small, cloned, tmp_path_factory):
    """Three arms in one program: one that stays as it is, the clone's, and one from scratch."""
    changes = {"ppo.critic_burn_in": 1, "ppo.learning_rate": 1e-3}
    config = api.override(small, PPO | changes)
    still = api.override(config, {"ppo.learning_rate": 0.0})
    origin = {"ppo.init_from": str(cloned.folder), "ppo.observation_statistics": "frozen"}
    folder = tmp_path_factory.mktemp("together")
    configs = {
        "still": api.override(still, origin),
        "pretrained": api.override(config, origin),
        "from_scratch": config,
    }
    ppo.run_arms({name: (c, folder / name) for name, c in configs.items()})
    return {name: folder / name for name in configs}


def test_arms_that_train_together_stay_their_own(together, cloned, fine_tuned):
    states = {name: saved(folder)[0] for name, folder in together.items()}
    for member in range(2):
        clone = leaves(cloned.policy(member).policy.params)
        for ours, theirs in zip(leaves(states["still"]["policy"]["params"]), clone, strict=True):
            np.testing.assert_array_equal(ours[member], theirs)
    assert np.asarray(states["still"]["iteration"]).tolist() == [0, 0]
    for name, alone in zip(("pretrained", "from_scratch"), fine_tuned, strict=True):
        assert np.asarray(states[name]["iteration"]).tolist() == [6, 6]
        burnt_in = np.asarray(states[name]["burn_in"]).tolist()
        assert burnt_in == [1, 1] if name == "pretrained" else burnt_in == [0, 0]
        for a, b in zip(leaves(states[name]), leaves(saved(alone.folder)[0]), strict=True):
            np.testing.assert_allclose(a, b, rtol=0.05, atol=0.05)
        assert all((x[0] != x[1]).any() for x in leaves(states[name]["policy"]["params"]))


def test_averaging_changes_what_is_evaluated_and_nothing_that_is_learned(small, judged, tmp_path):
    states = []
    for decay in (0.9, 0.0):
        config = api.override(small, PPO | {"ppo.average_decay": decay})
        judged.clear()
        run = api.train(config, tmp_path / str(decay))
        states.append(saved(run.folder)[0])
        on_the_way, last, best = (as_saved(judged.policies[call]) for call in (2, -2, -1))
        check_equal(on_the_way, states[-1]["average"])
        check_equal(last, states[-1]["average"])
        check_equal(best, as_saved(judged.policies[0]))
    check_equal(states[0]["policy"], states[1]["policy"])
    assert any((a != b).any() for a, b in zip(*(leaves(s["average"]) for s in states), strict=True))


def test_members_from_scratch_start_as_their_seeds_say(small, judged, tmp_path):
    api.train(api.override(small, PPO), tmp_path / "both")
    first = judged.policies[0].params
    kernels = [x for x in leaves(first) if x.ndim == 3]
    assert kernels and all((k[0] != k[1]).any() and k.any() for k in kernels)
    judged.clear()
    api.train(api.override(small, PPO | {"seed": 1, "members": 1}), tmp_path / "second")
    for alone, both in zip(leaves(judged.policies[0].params), leaves(first), strict=True):
        np.testing.assert_array_equal(alone[0], both[1])


def test_return_accumulators_start_anew_with_the_environments(small, judged, tmp_path, monkeypatch):
    seen, reset = [], Population.reset_environments

    def spy(self):
        before = np.array(self._state.return_stats.accumulator)
        reset(self)
        seen.append((before, np.array(self._state.return_stats.accumulator)))

    monkeypatch.setattr(Population, "reset_environments", spy)
    api.train(api.override(small, PPO | {"env.max_episode_steps": 20}), tmp_path / "run")
    assert len(seen) == 2  # at iterations 0 and 3
    assert seen[1][0].any() and not any(after.any() for _, after in seen)


class Judged(list):
    """Seeds that each evaluation was given, and the ``policies`` they were for."""

    def __init__(self):
        self.policies = []

    def clear(self):
        super().clear()
        self.policies.clear()


@pytest.fixture
def judged(monkeypatch):
    """Which seeds each evaluation was given; every evaluation seems worse than the one before.

    So the first policy stays the best, and there is something to play off at the end.
    """
    asked = Judged()

    def fake(self, policies, seeds, wanted=None):
        asked.append(np.array(seeds).tolist())
        asked.policies.append(jax.tree.map(np.array, jax.device_get(policies)))
        members = len(self._collector.config.seeds) if wanted is None else int(np.sum(wanted))
        returns = -100.0 * len(asked) + np.arange(len(seeds)) % 2
        one = outcomes.Evaluation(returns, np.ones(len(seeds), int))
        return [one] * members

    monkeypatch.setattr(evaluation.Evaluator, "__call__", fake)
    return asked


def check_seeds(asked, config, on_the_way, played_off):
    """Selection on the way, a play-off on others, the test on others again."""
    section = {"ppo": config.ppo, "dagger": config.dagger}[config.stage]
    way = evaluation.selection_seeds(config, section.eval_episodes).tolist()
    test = evaluation.test_seeds(config).tolist()
    assert asked[:on_the_way] == [way] * on_the_way
    assert asked[-2:] == [test] * 2 and len(test) == config.evaluation.episodes
    between = asked[on_the_way:-2]
    if not played_off:
        assert not between
        return
    # Two candidates and the last in the first round, the better one and the last in the second.
    first, second = between[0], between[-1]
    assert between == [first] * 3 + [second] * 2
    assert len(first) + len(second) == section.playoff_episodes
    everything = [*way, *first, *second, *test, *evaluation.sweep_seeds(config).tolist()]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("episodes", [7, 0])
def test_ppo_judges_on_the_way_plays_off_and_tests_on_different_episodes(
    small, judged, tmp_path, monkeypatch, episodes
):
    iterations, begin = [], Pool.begin

    def spy(self, policies, iteration, num_steps):
        iterations.append((iteration, num_steps))
        return begin(self, policies, iteration, num_steps)

    monkeypatch.setattr(Pool, "begin", spy)
    config = api.override(small, PPO | {"ppo.playoff_episodes": episodes, "evaluation.episodes": 5})
    run = api.train(config, tmp_path / "run")
    check_seeds(judged, config, 3, episodes > 0)
    assert iterations == [(i, 32) for i in range(6)]
    assert run.summary["members"][0]["selection"]["env_steps"] == 0  # the first was the best
    # A comparison finds each where it belongs; every evaluation was 100 below the one before.
    arm = compare.load(run.folder)
    assert arm.best.seeds.tolist() == arm.last.seeds.tolist() == sorted(judged[-1])
    count = len(judged)
    means = [arm.curve.returns[0].mean(), arm.last.returns.mean(), arm.best.returns.mean()]
    np.testing.assert_allclose(means, [-99.5, -100 * (count - 1) + 0.4, -100 * count + 0.4])
    assert arm.curve.seeds.tolist() == judged[0] and arm.curve.returns.shape == (3, 2, 2)
    assert arm.curve.env_steps.tolist() == [0, 384, 768]


def test_dagger_judges_on_the_way_plays_off_and_tests_on_different_episodes(
    judged, tmp_path, monkeypatch
):
    acting, visited, play = [], [], dagger_data.play

    def spy(info, networks, teacher, clones, seeds, *rest):
        acting.append(clones)
        visited.extend(seeds.reshape(-1).tolist())
        return play(info, networks, teacher, clones, seeds, *rest)

    monkeypatch.setattr(dagger_data, "play", spy)
    changes = {"env.max_episode_steps": 40, "dagger.playoff_episodes": 7, "dagger.rounds": 3}
    config = api.load_config(f"{CONFIG}:dagger", SMALL | changes | {"evaluation.episodes": 5})
    api.train(config, tmp_path / "run")
    check_seeds(judged, config, 3, True)
    # Every round, every member visits other episodes, and none that anything is judged on.
    assert len(set(visited)) == len(visited) == 3 * 2 * config.dagger.n_episodes
    assert not {*visited} & {seed for seeds in judged for seed in seeds}
    # States are visited by the latest clones, not by the best, which are the first here.
    assert acting[0] is None
    for round_ in (1, 2):
        check_equal(acting[round_], judged.policies[round_ - 1])


def test_clones_are_judged_by_return_and_tested_on_different_episodes(
    small, recorded, judged, tmp_path
):
    changes = {"bc.best_by": "return", "bc.eval_every": 1, "evaluation.episodes": 5}
    config = api.override(small, changes)
    api.clone(config, recorded, tmp_path / "run")
    way = evaluation.selection_seeds(config, config.bc.eval_episodes).tolist()
    assert judged[:-1] == [way] * config.bc.num_epochs
    assert judged[-1] == evaluation.test_seeds(config).tolist() and not {*way} & {*judged[-1]}


def test_no_two_purposes_share_a_seed():
    streams = [
        seeding.ROLLOUT,
        seeding.TRAINING,
        seeding.SELECTION,
        seeding.TEST,
        seeding.POLICY,
        seeding.AGGREGATION,
        seeding.MIXTURE,
        seeding.ACTION,
        seeding.SWEEP,
        seeding.CURVE,
        seeding.STAGE_BC,
        seeding.STAGE_PPO,
        seeding.STAGE_DAGGER,
    ]
    assert len(set(streams)) == len(streams)
    lists = [seeding.episode_seeds(root, s, 50).tolist() for root in (0, 1) for s in streams]
    drawn = [seed for one in lists for seed in one]
    assert len(set(drawn)) == len(drawn) and min(drawn) >= 0 and max(drawn) < 2**31
    # The first ones do not depend on how many there are, nor on anything but root and stream.
    assert seeding.episode_seeds(0, seeding.TEST, 3).tolist() == lists[streams.index(3)][:3]
    numbers = [seeding.generator(0, *path).random() for path in ((1,), (2,), (1, 2), (2, 1))]
    assert len(set(numbers)) == 4 and numbers[0] == seeding.generator(0, 1).random()


def test_members_rows_are_filled_up_by_rows_that_weigh_nothing():
    def episode(length, value):
        return Episode(
            0,
            0,
            np.full((length + 1, 2), value, np.float32),
            np.zeros(length, np.int64),
            np.zeros(length),
            True,
            labels=np.full(length, value, np.int64),
        )

    members = [[[episode(3, 1)], [episode(2, 2)]], [[episode(8, 3)], []]]
    obs, action, weight = dagger_data.padded_rows(members, Discrete(2))
    assert obs.shape == (2, 8, 2) and weight.sum(1).tolist() == [5, 8]
    assert action[0].tolist() == obs[0, :, 0].tolist() == [1, 1, 1, 2, 2, 0, 0, 0]
    assert weight[0].tolist() == [1] * 5 + [0] * 3 and (action[1] == 3).all()


def test_rewards_can_be_changed_between_collection_and_update(tmp_path):
    """Paid for the wrong thing, PPO learns the wrong thing, and its logs tell what it is worth."""
    settings = config_lib.to_settings(
        api.load_config(
            ROOT / "configs" / "cartpole.py:ppo",
            {
                **SMALL,
                "ppo.total_env_steps": 12_288,
                "ppo.num_envs": 8,
                "ppo.num_steps": 64,
                "ppo.batch_size": 64,
                "ppo.eval_every": 24,
                "evaluation.episodes": 10,
                "members": 1,
                "env.max_episode_steps": None,
            },
        )
    )
    seen = []

    def falls(rollout):
        seen.append(rollout.reward.shape)
        return rollout._replace(reward=rollout.terminated * 1.0 - 0.1)

    wrong = ppo.run(settings, tmp_path / "wrong", change=falls)
    right = ppo.run(settings, tmp_path / "right")
    assert seen and set(seen) == {(1, 64, 8)}
    assert wrong["last"]["mean"] < 15 < 60 < right["last"]["mean"]


@pytest.mark.parametrize("schedule", ["target", "constant"])
def test_the_entropy_s_weight_follows_the_entropy_if_asked_to(cloned, tmp_path, schedule):
    """Its factor goes on from one iteration to the next after a burn-in, and into checkpoints."""
    fields = {"ppo.entropy_schedule": schedule, "ppo.start_exploration": 0.2}
    run = api.fine_tune(SMALL | {"env.id": "LunarLander-v3"} | fields, cloned, tmp_path)
    lines = [x["members"] for x in run.metrics() if "ppo/entropy_coef" in x]
    weights = np.array([x["ppo/entropy_coef"] for x in lines])
    ready = np.array([x["ppo/critic_ready"] for x in lines]) > 0
    assert not ready.all() and ready[-1].all()
    np.testing.assert_array_equal(weights[0], np.float32(0.005))
    steps = weights[1:] / weights[:-1]
    assert (steps[~ready[:-1]] == 1).all()
    kept = np.asarray(saved(run.folder)[0]["entropy_factor"])
    if schedule == "constant":
        assert (steps == 1).all() and (kept == 1).all()
    else:
        assert np.isin(np.round(steps, 4), np.round([1.2, 1.0, 1 / 1.2], 4)).all()
        # The last update's own change is in the checkpoint alone.
        last = kept * 0.005 / weights[-1]
        assert np.isin(np.round(last, 4), np.round([1.2, 1.0, 1 / 1.2], 4)).all()
        assert (kept != 1).all()
