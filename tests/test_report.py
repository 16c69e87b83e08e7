import numpy as np
import pytest

from jaxmaze import report


def test_the_interquartile_mean_by_hand():
    assert report.iqm(np.array([0.0, 1, 2, 3, 4, 5, 6, 100])) == pytest.approx(3.5)
    assert report.iqm(np.array([1.0, 2.0, 6.0])) == pytest.approx(3.0)


def test_intervals_hold_the_estimate_and_shrink_with_seeds():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=8), rng.normal(size=200)
    for x in (few, many):
        low, high = report.interval(x)
        assert low < report.iqm(x) < high
    assert np.subtract(*report.interval(few)[::-1]) > 2 * np.subtract(*report.interval(many)[::-1])
    assert report.interval(np.array([3.0])) == (3.0, 3.0)
    assert report.interval(np.array([3.0, 3.0])) == (3.0, 3.0)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        low, high = report.interval(rng.normal(5, 2, 30))
        hits += low <= 5 <= high
    assert hits >= 50


def test_area_and_steps_to_a_target_by_hand():
    curve = report.Curve(np.array([0, 100, 400]), np.array([[0.0, 2], [9, 11], [10, 20]]))
    assert report.area(curve) == pytest.approx((100 * (1 + 10) / 2 + 300 * (10 + 15) / 2) / 400)
    assert report.steps_to(curve, 10) == 100
    assert report.steps_to(curve, 10.1) == 400
    assert report.steps_to(curve, 16) is None
