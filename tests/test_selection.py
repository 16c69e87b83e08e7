"""Selection: the highest return, ties to the lower uncertainty."""

import numpy as np

from jaxmaze import selection
from jaxmaze.core.types import Policy


def run(points):
    """One member's selection over ``(mean, error)`` points; steps are 0, 1, ..."""
    kept = selection.start(1)
    taken = []
    for step, (mean, error) in enumerate(points):
        kept, better = selection.choose(kept, np.array([mean]), np.array([error]), step)
        taken.append(bool(better[0]))
    return kept, taken


def test_a_clearly_higher_return_wins_whatever_its_uncertainty():
    kept, taken = run([(100.0, 5.0), (200.0, 20.0), (150.0, 1.0)])
    assert taken == [True, True, False]
    assert kept.mean[0] == 200.0 and kept.step[0] == 1


def test_a_tie_goes_to_the_lower_uncertainty():
    kept, taken = run([(200.0, 20.0), (190.0, 5.0), (195.0, 8.0), (201.0, 12.0)])
    assert taken == [True, True, False, False]
    assert kept.mean[0] == 190.0 and kept.error[0] == 5.0
    assert kept.top_mean[0] == 201.0 and kept.top_error[0] == 12.0


def test_the_kept_policy_gives_way_when_the_best_leaves_it_behind():
    # 190 is not tied with 196 +- 5.9 any more, so its smaller error does not save it.
    kept, taken = run([(190.0, 5.0), (196.0, 5.9)])
    assert taken == [True, True] and kept.mean[0] == 196.0


def test_ties_cannot_lead_downhill_step_by_step():
    # Each is within an error of its predecessor, but none of the later ones of the highest.
    _, taken = run([(200.0, 4.0), (197.0, 3.0), (195.0, 2.0), (193.5, 1.0)])
    assert taken == [True, True, False, False]


def test_equal_uncertainties_leave_the_higher_mean():
    kept, _ = run([(10.0, np.inf), (12.0, np.inf), (11.0, np.inf)])
    assert kept.mean[0] == 12.0
    kept, taken = run([(500.0, 0.0), (500.0, 0.0)])
    assert taken == [True, False] and kept.step[0] == 0


def test_members_are_chosen_for_apart():
    kept, better = selection.choose(
        selection.start(2), np.array([1.0, 2.0]), np.array([1.0, 1.0]), 5
    )
    kept, better = selection.choose(kept, np.array([9.0, 0.0]), np.array([1.0, 1.0]), 6)
    assert better.tolist() == [True, False] and kept.step.tolist() == [6, 5]


def test_the_standard_error_by_hand():
    # Sample variance of 1, 2, 3 is 1; the error of the mean is sqrt(1 / 3).
    np.testing.assert_allclose(selection.standard_error(np.array([1.0, 2.0, 3.0])), 3**-0.5)
    assert selection.standard_error(np.array([1.0])) == np.inf


def test_the_playoff_is_between_policies_that_differ():
    def policies(*marks):
        return Policy({"w": np.array(marks, np.float32)}, {})

    class Result:
        def __init__(self, returns):
            self.returns = np.array(returns)

    returns = {1.0: [10.0, 20.0, 30.0], 2.0: [60.0, 70.0, 80.0], 3.0: [0.0, 5.0, 1.0]}
    played = []

    def evaluator(policies, seeds, wanted):
        played.append(wanted.tolist())
        return [Result(returns[float(w)]) for w in policies.params["w"][wanted]]

    on_the_way = selection.Selection(*(np.array([x] * 3) for x in (200.0, 9.0, 7, 200.0, 9.0)))
    best = selection.Best(policies(1.0, 2.0, 1.0), on_the_way)
    best, means = selection.play_off(best, policies(2.0, 3.0, 1.0), evaluator, np.arange(3), 90)
    # The first member's last is better, the second's is not, the third's is the same policy.
    assert played == [[True, True, False]] * 2
    assert best.policy.params["w"].tolist() == [2.0, 2.0, 1.0]
    assert best.selection.step.tolist() == [90, 7, 7]
    assert best.selection.mean.tolist() == [70.0, 70.0, 200.0]
    assert means["best"][:2].tolist() == [20.0, 70.0] and np.isnan(means["best"][2])
    selection.play_off(best, best.policy, evaluator, np.arange(3), 90)
    assert len(played) == 2
