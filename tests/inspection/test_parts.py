"""What the dataset doctor counts with: hashes of rows, and how often equal states differ."""

import numpy as np
import pytest

from jaxmaze.inspection import agreement, survey
from jaxmaze.inspection.hashing import row_hashes


def test_rows_have_equal_hashes_only_if_they_are_equal():
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 3, (5000, 5)).astype(np.float32)
    text = rng.integers(0, 2, 5000)
    found = row_hashes([whole, text], 5000)
    rows = np.concatenate([whole, text[:, None]], 1)
    _, same = np.unique(rows, axis=0, return_inverse=True)
    _, hashed = np.unique(found, return_inverse=True)
    assert len(np.unique(found)) == same.max() + 1
    assert len(np.unique(np.stack([same, hashed]), axis=1).T) == same.max() + 1
    zero = row_hashes([np.array([0.0, -0.0])], 2)
    assert zero[0] == zero[1]
    assert row_hashes([np.array([1]), np.array([2])], 1) != row_hashes([[2], np.array([1])], 1)


def test_disagreement_is_that_of_a_naive_loop():
    rng = np.random.default_rng(0)
    states, actions = rng.integers(0, 9, 60).astype(np.uint64), rng.integers(0, 3, (60, 1))
    found = agreement.exact(states, actions, True)
    shares = []
    for i in range(60):
        others = [j for j in range(60) if j != i and states[j] == states[i]]
        shares.append(np.mean([actions[i, 0] != actions[j, 0] for j in others]))
    assert found.recurring == 60
    assert found.differing == pytest.approx(np.mean(shares))
    pairs = [actions[i, 0] != actions[j, 0] for i in range(60) for j in range(60) if i != j]
    assert found.chance == pytest.approx(np.mean(pairs))


def test_disagreement_of_numbers_is_that_of_a_naive_loop():
    rng = np.random.default_rng(0)
    states, actions = rng.integers(0, 9, 60).astype(np.uint64), rng.normal(3, 2, (60, 2))
    found = agreement.exact(states, actions, False)
    scaled = actions / actions.std(0)
    shares = []
    for i in range(60):
        others = [j for j in range(60) if j != i and states[j] == states[i]]
        shares.append(np.mean([((scaled[i] - scaled[j]) ** 2).mean() / 2 for j in others]))
    assert found.differing == pytest.approx(np.mean(shares)) and found.chance == 1


def test_neighbours_are_of_other_episodes_and_near():
    # Two episodes in the same two places, and a step that is far from all.
    rows = np.array([[0.0], [10.0], [0.001], [10.001], [300.0], [0.0005]])
    actions = np.array([[0], [1], [0], [2], [0], [2]])
    found = agreement.near(rows, actions, np.array([0, 0, 1, 1, 1, 0]), True)
    # The first one alone meets its own action: the third one's nearest is the last.
    assert found.recurring == 5
    assert found.differing == pytest.approx(4 / 5)
    assert agreement.near(rows, actions, np.zeros(6, int), True).recurring == 0
    assert agreement.near(rows[:1], actions[:1], np.zeros(1, int), True) is None
    assert agreement.near(np.ones((6, 1)), actions, np.arange(6), True) is None


def test_a_sample_is_of_all_rows_alike():
    sample, counts = survey._Sample(50), np.random.default_rng(0).integers(1, 30, 200)
    rows = np.arange(counts.sum(), dtype=float)[:, None]
    for part in np.split(rows, np.cumsum(counts)[:-1]):
        sample.add(part)
    index, found = sample.result(1)
    assert len(index) == 50 == len(set(index.tolist())) and (np.diff(index) > 0).all()
    np.testing.assert_array_equal(found[:, 0], index)
    assert abs(index.mean() / len(rows) - 0.5) < 0.15
    few = survey._Sample(50)
    few.add(rows[:20])
    np.testing.assert_array_equal(few.result(1)[0], np.arange(20))
