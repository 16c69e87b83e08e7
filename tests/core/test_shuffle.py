"""Orders are permutations, differ by key, and favour no row and no neighbours."""

import jax
import numpy as np
import pytest
from scipy import stats

from jaxmaze.core import shuffle


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 100, 1000, 4096, 5000])
def test_every_number_comes_once(num):
    key = jax.random.key(num)
    order = np.asarray(shuffle.permutation(key, num))
    assert order.dtype == np.int32 and sorted(order) == list(range(num))
    jitted = jax.jit(shuffle.permutation, static_argnums=1)(key, num)
    np.testing.assert_array_equal(jitted, order)


def orders(num, count):
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.jit(jax.vmap(lambda k: shuffle.permutation(k, num)))(keys))


@pytest.mark.parametrize("num", [16, 21, 64])
def test_each_row_is_as_often_in_each_place(num):
    drawn = orders(num, 20_000)
    counts = np.stack([np.bincount(drawn[:, place], minlength=num) for place in range(num)])
    # Each place is a chi-square test of its own; among so many none may be absurd, nor all alike.
    p = stats.chisquare(counts, axis=1).pvalue
    assert p.min() > 1e-5
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_neighbours_are_as_far_apart_as_by_chance():
    num = 1000
    gaps = np.abs(np.diff(orders(num, 500), axis=1))
    assert gaps.mean() == pytest.approx((num + 1) / 3, rel=0.01)
    assert (gaps == 1).mean() == pytest.approx(2 / num, rel=0.05)


def test_neighbours_in_small_ranges_are_uniform_pairs():
    drawn = orders(12, 40_000)
    pairs = np.bincount(drawn[:, 0] * 12 + drawn[:, 1], minlength=144).reshape(12, 12)
    assert not np.diag(pairs).any()
    off = pairs[~np.eye(12, dtype=bool)]
    assert stats.chisquare(off).pvalue > 1e-4


def test_children_of_different_parents_and_numbers_differ():
    parents = [np.random.SeedSequence(0, spawn_key=path) for path in ((1,), (2,), (1, 2), ())]
    parents.append(np.random.SeedSequence(1, spawn_key=(1,)))
    keys = [shuffle.fresh_key(shuffle.child(p, n)).tolist() for p in parents for n in (0, 1)]
    assert len({tuple(key) for key in keys}) == len(keys)
    again = shuffle.fresh_key(shuffle.child(np.random.SeedSequence(0, spawn_key=(1,)), 0))
    assert again.tolist() == keys[0]
