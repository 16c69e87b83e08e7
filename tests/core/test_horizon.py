"""The discount where none is set."""

import pytest

from jaxmaze.core.horizon import Episodes, discount_of, horizon_of, reason_for


@pytest.mark.parametrize(
    "episodes,horizon,discount,words",
    [
        (Episodes(1000, 250), 1000, 0.999, "episodes have at most 1000 steps"),
        (Episodes(500), 500, 0.998, "1 - 1/500: episodes have at most 500"),
        (Episodes(200, 200, ends=False), 20, 0.95, "a tenth of the 200 steps"),
        (Episodes(1000, None, ends=False), 100, 0.99, "a tenth of the 1000 steps"),
        (Episodes(1000, lasting_pays=True), 100, 0.99, "a tenth of the 1000 steps that episodes"),
        (Episodes(1000, 80, lasting_pays=True), 80, 0.9875, "a tenth of the 800 steps"),
        (Episodes(999, None, lasting_pays=True), 99, 0.9899, "about a tenth of the 999 steps"),
        (Episodes(1600), 1600, 0.999, "as 1 - 1/1600 = 0.9994 is above it: "),
        (Episodes(50, None, ends=False), 5, 0.95, "as 1 - 1/5 = 0.8 is below it: 5 is a tenth"),
        (Episodes(5, None, ends=False), 1, 0.95, "1 is about a tenth of the 5 steps"),
        (Episodes(100_000, 40), 400, 0.9975, "10 times the longest demonstration, of 40 steps"),
        (Episodes(None, 3), 30, 0.9667, "10 times the longest demonstration, of 3 steps"),
        (Episodes(), 1000, 0.999, "neither a step limit nor a demonstration"),
        (Episodes(999, None, ends=False), 99, 0.9899, "1 - 1/99"),
    ],
)
def test_the_discount_looks_as_far_as_the_horizon(episodes, horizon, discount, words):
    assert horizon_of(episodes) == horizon and discount_of(episodes) == discount
    assert words in reason_for(episodes)
    if "that is chosen" not in reason_for(episodes):
        assert discount == pytest.approx(1 - 1 / horizon, abs=1e-4)
