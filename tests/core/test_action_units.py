"""Units of actions in which policies work: between bounds, or of demonstrations."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core.action_units import Units
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Composite, Discrete, Spaces

INF = math.inf


def test_bounds_are_minus_one_and_one_for_policies():
    space = Box((-0.01, 100.0, -200.0), (0.01, 500.0, 200.0)).in_units()
    assert space.units == Units((0.0, 300.0, 0.0), (0.01, 200.0, 200.0))
    inside = np.array([[-1, -1, -1], [1, 1, 1], [0, 0.5, -0.25], [9, -9, 0]], np.float32)
    outside = np.float32([[-0.01, 100, -200], [0.01, 500, 200], [0, 400, -50], [0.01, 100, 0]])
    for library in (np.asarray, jnp.asarray):
        np.testing.assert_allclose(space.to_env(library(inside)), outside, rtol=1e-6)
    assert (space.to_env(inside)[3, :2] == outside[3, :2]).all()  # exactly at the bounds
    np.testing.assert_allclose(space.from_env(outside)[:3], inside[:3], atol=1e-6)
    assert space.from_env(outside.astype(np.float64)).dtype == np.float32


def test_where_the_units_are_equal_nothing_is_computed():
    for space in (Box((-1.0, -1.0), (1.0, 1.0)), Box((-INF, -INF), (INF, INF)), Discrete(3)):
        assert space.in_units() == space == space.bare()
    assert not Box((-1.0,), (1.0,)).needs_actions() and not Discrete(3).needs_actions()
    space, x = Box((-1.0,), (1.0,)).in_units(), np.float32([[-0.0], [0.3]])
    assert space.from_env(x) is x


def test_demonstrations_set_the_unit_where_bounds_do_not():
    low, high = (-2.0, -INF, 0.0, -1e38), (2.0, INF, INF, 1e38)
    box = Box(low, high)
    assert box.needs_actions() and box.in_units().units == Units((0.0,) * 4, (2.0, 1.0, 1.0, 1.0))
    rows = np.random.default_rng(0).normal((1, 3e4, 50, 7), (0.1, 500, 3, 1e-3), (1000, 4))
    space = box.in_units(rows.astype(np.float32))
    own = space.from_env(rows)
    np.testing.assert_allclose(own[:, 0], rows[:, 0] / 2, rtol=1e-6)
    np.testing.assert_allclose(own[:, 1:].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(own[:, 1:].std(0), 1, rtol=1e-3)
    np.testing.assert_allclose(space.to_env(own), rows, rtol=1e-4)
    assert space.to_env(np.full((1, 4), -99, np.float32))[0, 2] == 0  # the single bound holds


def test_actions_that_never_vary_have_a_unit_all_the_same():
    low, high = (3.0, -INF, -INF), (3.0, INF, INF)
    rows = np.tile(np.float32([3, 0, -40]), (5, 1))
    space = Box(low, high).in_units(rows)
    assert space.units == Units((3.0, 0.0, -40.0), (1.0, 1.0, 40.0))
    np.testing.assert_array_equal(space.to_env(space.from_env(rows)), rows)
    assert np.isfinite(space.entropy_of_share(0.3))


def test_integers_of_a_range_and_of_a_type():
    space = Box((0.0, -(2.0**63)), (10.0, 2.0**63), (2,), "int64")
    rows = np.array([[0, 1000], [10, 3000], [7, 2000]])
    space = space.in_units(rows.astype(np.float32))
    assert space.units.middle == (5.0, 2000.0) and space.units.scale[0] == 5
    found = space.to_env(space.from_env(rows))
    assert found.dtype == np.int64 and (found == rows).all()


def test_parts_have_units_of_their_own():
    inner = Composite((Box((-4.0,), (4.0,)), Discrete(3, 1)))
    space = Composite((Box((-INF,) * 2, (INF,) * 2, (2, 1)), inner), ("a", "b"))
    rng = np.random.default_rng(0)
    rows = np.stack([*rng.normal(5, 2, (2, 50)), rng.uniform(-4, 4, 50), rng.integers(0, 3, 50)], 1)
    united = space.in_units(rows.astype(np.float32))
    assert space.needs_actions() and united.bare() == space != united
    actions = space.to_env(rows.astype(np.float32))
    own = united.from_env(actions)
    np.testing.assert_allclose(own[:, :2].std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(own[:, 2:], np.stack([rows[:, 2] / 4, rows[:, 3]], 1), rtol=1e-5)
    back = united.to_env(own)
    np.testing.assert_allclose(back["a"], actions["a"], rtol=1e-4)
    np.testing.assert_array_equal(back["b"][1], actions["b"][1])


@pytest.mark.parametrize("squash", [False, True])
def test_densities_entropies_and_shares_are_the_same_in_every_unit(squash):
    free, outputs = {"log_std": jnp.array([-0.5, 0.2])}, jnp.array([[0.3, -0.7], [2.0, 0.1]])
    found = []
    for unit in (0.01, 1.0, 200.0):
        space = Box((-unit, 2 * unit), (unit, 4 * unit)).in_units()
        space = space.squashed() if squash else space
        dist = space.distribution(outputs, free)
        taken = space.from_env(np.float32([[0.5 * unit, 3.5 * unit], [-unit, 4 * unit]]))
        played = space.to_env(np.asarray(dist.mode())) / unit
        deviation = space.agreement(dist, taken, jnp.ones(2))["box_mean_abs_deviation"]
        found.append((dist.log_prob(taken), dist.entropy(), played, deviation))
        assert space.entropy_of_share(0.3) == Box((-1.0,) * 2, (1.0,) * 2).entropy_of_share(
            0.3
        ) or (squash and space.entropy_of_share(0.3) == pytest.approx(2 * math.log(0.6)))
    for other in found:
        for a, b in zip(other, found[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)


def test_what_describes_an_environment_stays_in_its_units():
    space = Box((-200.0,), (200.0,)).in_units()
    rows = np.float32([[-150.0], [0.5]])
    np.testing.assert_array_equal(space.accept(rows), rows)
    assert space.problem(rows, "X") == "" and "outside" in space.problem(rows * 2, "X")
    assert space.uniform(np.random.default_rng(0), 100).std() > 50
    assert space.tallied(space.tally(rows), 2) == "[0]: -74.75 ± 75.25"


def test_units_survive_a_file_and_files_without_units_mean_the_environments():
    box = Box((-4.0, -INF), (4.0, INF))
    rows = np.random.default_rng(0).normal(0, 0.3, (7, 2))
    for action in (box.in_units(rows), Composite((box.in_units(rows), Discrete(2)))):
        spaces = Spaces(Observations.array(2), action)
        back = Spaces.from_plain(json.loads(json.dumps(spaces.to_plain())))
        assert back == spaces and hash(back) == hash(spaces) and back.bare() == spaces.bare()
    plain = Spaces(Observations.array(2), box).to_plain()
    assert "units" not in plain["actions"] and Spaces.from_plain(plain).action.units is None
