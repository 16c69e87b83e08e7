import numpy as np
import pytest

from jaxmaze.runs import report
from jaxmaze.runs.outcomes import Table

SEEDS = np.arange(4)


def curve(*levels, spread=(0.0,)):
    """A curve of members ``[P][M]``, in four episodes of which one is hard and one is easy."""
    luck = np.array([-50.0, -1.0, 1.0, 50.0])
    returns = np.array(levels, float)[..., None] + luck
    return report.Curve(np.arange(len(levels)) * 100, returns, SEEDS)


def test_area_by_hand():
    c = curve([0, 2], [9, 11], [10, 20])._replace(env_steps=np.array([0, 100, 400]))
    assert report.area(c) == pytest.approx((100 * (1 + 10) / 2 + 300 * (10 + 15) / 2) / 400)


def test_a_dip_is_each_members_own_below_its_start():
    # The mean rises at once; the second member fell by 43 on the way.
    c = curve([100, 232], [200, 189], [300, 240])
    assert report.dips(c).tolist() == [0, 43]
    assert report.dips(curve([100, 232])) is None


def test_the_teacher_is_reached_in_pairs_and_twice_in_a_row():
    teacher = np.array([-50.0, -1.0, 1.0, 50.0]) + 10
    # On other episodes the spread of these four would hide any of it.
    assert report.steps_to(curve([5, 5], [11, 11], [12, 12], [13, 13]), teacher) == 100
    assert report.steps_to(curve([11, 11], [9, 9], [12, 12], [13, 13]), teacher) == 200
    assert report.steps_to(curve([5, 5], [9, 9], [12, 12]), teacher) is None  # once, at the end
    assert report.steps_to(curve([10, 10], [10, 10], [10, 10]), teacher) is None  # as good
    # Members that differ by more than what is gained leave it open.
    assert report.steps_to(curve([11, 90], [11, 90], [11, 90]), teacher) is None


def summary_of(best, last, c, teacher):
    members = [{"seed": i} for i in range(len(best))]
    luck = c.returns[0, 0] - c.returns[0, 0].mean()

    def table(levels):
        returns = np.array(levels, float)[:, None] + luck
        return Table(SEEDS + 100, returns, np.ones_like(returns, int))

    arm = report.Arm({"members": members}, c, table(best), table(last))
    return report.arm_summary(arm, teacher)


def test_an_arms_gain_is_on_its_own_test_episodes_and_its_curve_on_its_own():
    asked = []

    def teacher(seeds):
        asked.append(seeds.tolist())
        return np.array([-50.0, -1.0, 1.0, 50.0]) + (10 if seeds[0] == 0 else 20)

    found = summary_of([30, 32], [25, 25], curve([5, 5], [11, 11], [12, 12]), teacher)
    assert {tuple(a) for a in asked} == {(0, 1, 2, 3), (100, 101, 102, 103)}
    assert found["gain"]["iqm"] == pytest.approx(11)
    assert found["last_gain"] == pytest.approx({"iqm": 5, "iqm_low": 5, "iqm_high": 5})
    assert found["iqm"] == pytest.approx(31) and found["last"]["iqm"] == pytest.approx(25)
    # The luck of four episodes is in the interval of the return, not in that of the gain.
    assert found["iqm_high"] - found["iqm_low"] > 5 * 2 * found["gain"]["iqm"] / 11
    assert found["curve"]["teacher"] == pytest.approx(10)
    assert found["env_steps_to_teacher"] == 100
    assert found["env_steps_to_teacher_of_members"] == [100, 100]
    assert found["dip"] == {"mean": 0.0, "worst": 0.0, "members": [0.0, 0.0]}


def test_without_a_teacher_that_plays_these_episodes_there_is_no_gain():
    for teacher in (None, lambda seeds: None):
        found = summary_of([30, 32], [25, 25], curve([5, 5], [11, 11]), teacher)
        assert found["gain"] is None and found["env_steps_to_teacher"] is None
        row = report.rows({"arm": found})[0]
        assert row[4] == "-" and row[6] == "-"


def test_the_table_shows_the_range_over_seeds():
    def teacher(seeds):
        return np.array([-50.0, -1.0, 1.0, 50.0]) + 10

    c = curve([5, 5], [11, 5], [12, 5], [13, 5])
    row = report.rows({"arm": summary_of([30, 5], [25, 5], c, teacher)})[0]
    assert row[6] == "never [100, never]" and row[5] == "0.0 / 0.0" and row[1] == "2"
    none = curve([5, 5], [5, 5], [5, 5], [5, 5])
    row = report.rows({"arm": summary_of([5, 5], [5, 5], none, teacher)})[0]
    assert row[6] == "never"
