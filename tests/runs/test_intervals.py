import math

import numpy as np
import pytest

from jaxmaze.runs import intervals

REPEATS = 600


def coverage(seeds, episodes, of_seeds, of_episodes, of_both):
    """How often the interval holds the truth, which is 0."""
    rng = np.random.default_rng(seeds)
    hits = 0
    for _ in range(REPEATS):
        table = (
            of_seeds * rng.normal(size=(seeds, 1))
            + of_episodes * rng.normal(size=(1, episodes))
            + of_both * rng.normal(size=(seeds, episodes))
        )
        found = intervals.estimate(table)
        hits += found.low <= 0 <= found.high
    return hits / REPEATS


@pytest.mark.parametrize("seeds", (3, 5, 10))
@pytest.mark.parametrize(
    "effects",
    ((1, 0, 0), (0, 8, 8), (1, 8, 8), (1, 20, 1)),
    ids=("seeds alone", "episodes alone", "both", "mostly episodes"),
)
def test_an_interval_called_95_percent_covers_95_percent(seeds, effects):
    # One standard error of a coverage of 0.95 over 600 repetitions is 0.009.
    assert 0.93 <= coverage(seeds, 40, *effects) <= 0.995


def test_the_interval_over_seeds_alone_is_the_t_interval_of_the_mean():
    x = np.array([250.0, 262.0, 271.0])
    found = intervals.estimate(x)
    half = 4.3027 * x.std(ddof=1) / math.sqrt(3)  # t at 0.975 with 2 degrees of freedom
    assert found.value == pytest.approx(x.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)  # a bootstrap's error


def test_the_interval_of_one_seed_is_about_its_episodes():
    x = np.random.default_rng(0).normal(100, 50, (1, 400))
    found = intervals.estimate(x)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 50 / 20, rel=0.15)


def test_differences_on_the_same_episodes_are_surer_than_returns():
    rng = np.random.default_rng(1)
    luck = rng.normal(0, 80, 100)
    a, b = (mean + luck + rng.normal(0, 5, (5, 100)) for mean in (270, 250))
    alone, gain = intervals.estimate(a), intervals.estimate(a - b)
    assert gain.low > 15 and gain.high < 25
    assert alone.high - alone.low > 20


def test_the_interquartile_mean_leaves_out_a_quarter_on_each_side():
    assert intervals.iqm(np.array([0.0, 1.0, 2.0, 900.0])) == 1.5
    assert intervals.iqm(np.array([1.0, 2.0, 6.0])) == 3.0
    assert intervals.iqm(np.array([[0.0, 1.0], [4.0, 3.0]]), 1).tolist() == [0.5, 3.5]


def test_what_does_not_vary_is_certain_and_a_single_number_is_not():
    assert intervals.estimate(np.full((3, 7), 2.0)) == (2.0, 2.0, 2.0)
    single = intervals.estimate(np.array([5.0]))
    assert single.value == 5.0 and math.isnan(single.low) and math.isnan(single.high)


def test_what_differs_by_seed_and_episode_alike_is_counted_once():
    # Noise alone: the mean of 1000 values is known to 1.96 / sqrt(1000); what leaves quarters out,
    # and has to be estimated, less well. Counted twice it would come to 0.104.
    widths = []
    for i in range(30):
        found = intervals.estimate(np.random.default_rng(i).normal(size=(20, 50)))
        widths.append((found.high - found.low) / 2)
    assert 0.062 < np.mean(widths) < 0.094


def test_seeds_and_episodes_that_are_all_equal_on_average_tell_nothing_of_others():
    # Each of two seeds has won one of two games: neither kind of mean varies, but returns do.
    for wins in ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]):
        found = intervals.estimate(np.array(wins))
        assert found.value == 0.5 and math.isnan(found.low) and math.isnan(found.high)
