"""Evaluations: who is played on what, and what is kept of it."""

import types

import jax
import numpy as np
import pytest

from jaxmaze.core.types import Policy
from jaxmaze.envs.actors import EpisodeResult
from jaxmaze.errors import UserError
from jaxmaze.runs import metrics, outcomes
from jaxmaze.training import audit, evaluation


class Pool:
    """Stands in for workers: returns tell member, policy and seed; episodes end in any order."""

    class config:
        seeds = (5, 6, 7)

    def __init__(self):
        self.played = []

    def evaluate(self, policies, seeds, deterministic, active):
        self.played.append(active.tolist())
        results = [
            EpisodeResult(m, e, self.value(m, policies.params["w"][m], seed), int(seed) + 1, True)
            for m in np.flatnonzero(active)
            for e, seed in enumerate(seeds)
        ]
        return results[::-1]

    @staticmethod
    def value(member, weight, seed):
        return 1000.0 * member + 100.0 * float(weight) + float(seed)


def policies(*weights):
    return Policy({"w": np.array(weights, np.float32)}, {"mean": np.zeros(3, np.float32)})


def returns(results):
    return [r.returns.tolist() for r in results]


def test_policies_that_are_alike_are_played_once_and_not_again():
    pool = Pool()
    evaluate = evaluation.Evaluator(pool, deterministic=True)
    seeds = np.array([3, 1, 2])
    found = evaluate(policies(1, 2, 1), seeds)
    assert returns(found) == [[103, 101, 102], [1203, 1201, 1202], [103, 101, 102]]
    assert found[0].lengths.tolist() == [4, 2, 3]
    evaluate(policies(2, 1, 1), seeds)  # all known
    assert pool.played == [[True, True, False]]
    # On other episodes nothing is known; nor of a policy whose statistics alone are others.
    assert returns(evaluate(policies(1, 2, 1), seeds + 1))[0] == [104, 102, 103]
    moved = policies(1, 2, 1)._replace(obs_stats={"mean": np.array([0, 0, 9], np.float32)})
    assert returns(evaluate(moved, seeds))[2] == [2103, 2101, 2102]
    assert len(pool.played) == 3


def test_samples_are_each_members_own():
    pool = Pool()
    found = evaluation.Evaluator(pool, deterministic=False)(policies(1, 1, 1), np.array([0]))
    assert returns(found) == [[100], [1100], [2100]]


@pytest.mark.parametrize("deterministic", [True, False])
def test_actions_are_drawn_where_the_settings_say_so(monkeypatch, deterministic):
    said = []

    class Closing(Pool):
        close = staticmethod(lambda: None)

        def evaluate(self, policies, seeds, deterministic, active):
            said.append(deterministic)
            return super().evaluate(policies, seeds, deterministic, active)

    monkeypatch.setattr(evaluation, "open_collector", lambda *args, **named: Closing())
    section = types.SimpleNamespace(deterministic=deterministic)
    config = types.SimpleNamespace(env=None, evaluation=section)
    with evaluation.open_evaluator(config, None, None, Pool.config.seeds) as evaluate:
        evaluate(policies(1, 2, 3), np.array([0]))
    assert said == [deterministic]


def test_only_wanted_members_are_played_and_given():
    pool = Pool()
    wanted = np.array([False, True, True])
    found = evaluation.Evaluator(pool, True)(policies(1, 2, 3), np.array([0]), wanted)
    assert returns(found) == [[1200], [2300]] and pool.played == [[False, True, True]]


def test_reported_episodes_are_read_back_by_policy(tmp_path):
    seeds = np.array([30, 10, 20])

    def one(*values):
        return outcomes.Evaluation(np.array(values, float), np.array(values, int) + 1)

    played = {"best": [one(1, 2, 3), one(4, 5, 6)], "last": [one(7, 8, 9), one(10, 11, 12)]}
    outcomes.write_episodes(tmp_path, [0, 1], seeds, played)
    for policy, expected in (("best", [[2, 3, 1], [5, 6, 4]]), ("last", [[8, 9, 7], [11, 12, 10]])):
        table = outcomes.read_episodes(tmp_path, policy)
        assert table.seeds.tolist() == [10, 20, 30]
        assert table.returns.tolist() == expected
        assert (table.lengths == table.returns + 1).all()
    path = tmp_path / "episodes.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    assert outcomes.read_episodes(tmp_path, "best").returns.shape == (2, 3)
    with pytest.raises(UserError, match="is damaged: members without episodes, or with different"):
        outcomes.read_episodes(tmp_path, "last")


def test_statistics_of_episodes_by_hand():
    stats = metrics.rollout_stats([1.0, 2.0, 6.0], [10, 20, 60])
    assert stats == {
        "reward/mean": 3.0,
        "reward/std": pytest.approx(14**0.5 / 3**0.5),
        "reward/min": 1.0,
        "reward/max": 6.0,
        "reward/median": 2.0,
        "median_step_count": 20.0,
        "mean_step_count": 30.0,
        "total_step_count": 90.0,
        "episode_count": 3.0,
    }
    each = metrics.per_member([{"a": 1.0}, {}, {"a": 3.0, "b": 2.0}])
    np.testing.assert_array_equal(each["a"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(each["b"], [np.nan, np.nan, 2.0])
    block = outcomes.pooled(
        [outcomes.Evaluation(np.array(x, float), np.array(x)) for x in ([1, 2], [6])]
    ).summary()
    assert block["episodes"] == 3 and block["mean"] == 3.0 and block["mean_step_count"] == 3.0


def test_states_on_record_are_held_out_and_spread_over_all():
    obs = np.arange(4 * audit.STATES, dtype=np.float32)
    validation = np.stack([obs % 2 == 0, obs < 100, np.zeros(len(obs), bool)]).astype(np.float32)
    states, action, _ = audit.held_out(obs, -obs, validation)
    assert states.shape == (3, audit.STATES)
    np.testing.assert_array_equal(states, -action)
    assert not (states[0] % 2).any() and states[1].max() == 99
    for mine, last in zip(states, (obs[-2], 99, obs[-1]), strict=True):
        assert mine[0] == 0 and mine[-1] == last
        assert np.diff(mine).max() <= np.ceil(last / (audit.STATES - 1)) + 2
    jax.tree.map(np.testing.assert_array_equal, audit.spread(obs[:1], obs[:1])[0], np.zeros(512))
