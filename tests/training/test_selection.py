"""Selection: candidates on the way, and a play-off in which differences are paired."""

import jax
import numpy as np
import pytest

from jaxmaze.core.types import Policy
from jaxmaze.training import selection

LUCK = np.array([-60.0, -20.0, 0.0, 20.0, 60.0])


def policies(*marks):
    return Policy({"w": np.array(marks, np.float32)}, {"n": np.array(marks, np.float32)})


def way(points):
    """One member's candidates after policies ``step + 1`` of mean returns ``points``."""
    best = selection.begin(policies(0))
    for step, mean in enumerate(points):
        best = selection.consider(best, policies(step + 1), mean + LUCK[None], step)
    return best


def marks(best):
    return best.candidates.params["w"][0].tolist()


def test_the_best_two_of_the_way_are_kept_in_order():
    best = way([10.0, 30.0, 20.0, 5.0])
    assert marks(best) == [2, 3] and best.means[0].tolist() == [30, 20]
    assert best.steps[0].tolist() == [1, 2]
    assert best.policy.params["w"].tolist() == [2] and best.selection.step.tolist() == [1]
    assert best.selection.mean[0] == 30 and best.selection.episodes[0] == 5
    assert marks(way([10.0, 20.0, 30.0])) == [3, 2]
    assert marks(way([30.0, 10.0, 20.0])) == [1, 3]


def test_a_policy_that_has_not_moved_is_no_second_candidate():
    best = way([10.0, 10.0, 10.0])
    assert best.means[0].tolist() == [10, -np.inf] and best.steps[0].tolist() == [0, 0]
    assert best.selection.step[0] == 0


def test_members_have_candidates_of_their_own():
    best = selection.begin(policies(0, 0))
    for step, means in enumerate(([1.0, 9.0], [2.0, 8.0], [3.0, 10.0])):
        returns = np.array(means)[:, None] + LUCK
        best = selection.consider(best, policies(step + 1, 10 * (step + 1)), returns, step)
    assert best.candidates.params["w"].tolist() == [[3, 2], [30, 10]]
    assert best.candidates.obs_stats["n"].tolist() == [[3, 2], [30, 10]]
    assert best.policy.params["w"].tolist() == [3, 30]


def test_differences_are_told_apart_in_pairs():
    # The error of either mean is 20; the paired difference is sure.
    assert selection.standard_error(LUCK) == pytest.approx(20.0)
    kept = LUCK[None] + 100
    assert selection.surpasses(kept + 3 + 0.1 * LUCK[::-1], kept).tolist() == [True]
    assert selection.surpasses(kept + 1 + LUCK[::-1] / 10, kept).tolist() == [False]  # 1 < 2.2
    assert selection.surpasses(kept, kept).tolist() == [False]
    assert selection.surpasses(kept[:, :1] + 9, kept[:, :1]).tolist() == [False]  # one episode


def test_the_standard_error_by_hand():
    # Sample variance of 1, 2, 3 is 1; the error of the mean is sqrt(1 / 3).
    np.testing.assert_allclose(selection.standard_error(np.array([1.0, 2.0, 3.0])), 3**-0.5)
    assert selection.standard_error(np.array([1.0])) == np.inf


class Evaluator:
    """Policies by their mark: a return is the policy's skill and the episode's luck."""

    def __init__(self, skill):
        self.skill, self.played = skill, []

    def __call__(self, population, seeds):
        self.played.append((population.params["w"].tolist(), seeds.tolist()))
        luck = 100 * np.sin(7.0 * seeds)

        class Result:
            def __init__(self, mark):
                self.returns = skill(mark, seeds) + luck

        skill = self.skill
        return [Result(w) for w in population.params["w"]]


def contest(skill, first, second, last, episodes=50):
    best = way([20.0, 10.0])
    best = best._replace(
        candidates=jax.tree.map(lambda x: np.array([[first, second]], np.float32), best.candidates)
    )
    evaluator = Evaluator(skill)
    found, means = selection.play_off(
        best, policies(last), evaluator, np.arange(100, 100 + episodes), 90
    )
    return found, means, evaluator.played


def test_a_better_candidate_takes_the_place_of_the_last():
    found, means, played = contest(lambda m, s: {1: 0, 2: 5, 3: 3}[int(m)] + 0 * s, 1, 2, 3)
    assert found.policy.params["w"].tolist() == [2] and found.selection.step.tolist() == [1]
    assert found.selection.episodes[0] == 50
    assert means["best"] - means["last"] == pytest.approx(2)
    assert found.selection.mean == pytest.approx(means["best"])
    # All play the first 20; the better candidate and the last play the other 30.
    assert [(w, len(s)) for w, s in played] == [
        ([1], 20),
        ([2], 20),
        ([3], 20),
        ([2], 30),
        ([3], 30),
    ]
    assert played[0][1] == list(range(100, 120)) and played[3][1] == list(range(120, 150))


def test_in_a_tie_the_last_stays():
    def skill(mark, seeds):  # the candidate is 0.5 better, by chance
        return (mark == 1) * (0.5 + 10 * np.where(seeds % 2, 1, -1))

    found, means, _ = contest(skill, 1, 1, 3)
    assert means["best"] > means["last"]
    assert found.policy.params["w"].tolist() == [3] and found.selection.step.tolist() == [90]


def test_the_same_policy_is_named_by_when_it_was_first_there():
    found, _, _ = contest(lambda m, s: 0 * s, 3, 3, 3)
    assert found.selection.step.tolist() == [0]


def test_an_empty_place_is_no_candidate():
    best = way([20.0])
    evaluator = Evaluator(lambda m, s: -m + 0 * s)  # mark 0 stands in the empty place
    found, _ = selection.play_off(best, policies(5), evaluator, np.arange(10), 90)
    assert found.policy.params["w"].tolist() == [1]


def test_the_interval_is_students():
    kept = selection.Selection(np.array([10.0]), np.array([2.0]), np.array([7]), np.array([5]))
    found = selection.block(kept, 0, "epoch")
    assert found["epoch"] == 7 and found["episodes"] == 5
    assert found["high"] - 10 == pytest.approx(2 * 2.7764, rel=1e-4) == 10 - found["low"]
    single = selection.block(kept._replace(error=np.array([np.inf])), 0, "epoch")
    assert single["low"] is None and single["standard_error"] is None


def test_over_many_ways_the_best_is_not_worse_than_the_last():
    """Candidates that only seem better: skills are alike, and means on the way are luck."""
    rng = np.random.default_rng(0)
    lost = []
    for _ in range(200):
        skills = rng.normal(0, 3, 3)  # of two candidates and the last
        noise = rng.normal(0, 40, (3, 1000))
        found, _, _ = contest(lambda m, s: skills[int(m)] + noise[int(m), s], 0, 1, 2, 100)  # noqa: B023
        lost.append(skills[int(found.policy.params["w"][0])] - skills[2])
    assert np.mean(lost) > 0
