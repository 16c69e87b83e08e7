"""Observations of one array, or of several by name."""

from collections import OrderedDict

import jax
import numpy as np
import pytest

from jaxmaze.core.observations import Observations, Part

ONE = Observations.array(2, 3)
NESTED = Observations(
    (Part(("goal",), (2,)), Part(("state", "pos"), (2,)), Part(("state", "vel"), (1,), "float64"))
)


def observation(start):
    x = np.arange(start, start + 5, dtype=np.float32)
    return {"goal": x[:2], "state": {"pos": x[2:4], "vel": x[4:]}}


def test_what_is_put_in_a_row_is_taken_from_it():
    for spec, each in (
        (ONE, [np.arange(6).reshape(2, 3) + 10 * i for i in range(3)]),
        (NESTED, [observation(10 * i) for i in range(3)]),
    ):
        room = spec.zeros(3)
        for i, obs in enumerate(each):
            spec.put(room, i, obs)
        jax.tree.map(np.testing.assert_array_equal, room, spec.stack(each))
        jax.tree.map(np.testing.assert_array_equal, spec.take(room, 1), each[1])
        rows = np.asarray(spec.flatten(room))
        assert rows.shape == (3, spec.size) and rows.dtype == np.float32
        jax.tree.map(np.testing.assert_array_equal, spec.unflatten(rows), room)
        assert not spec.problem(room, "X-v0") and spec.lead(room) == (3,)


def test_parts_are_told_apart_by_name_and_not_by_their_order():
    """JAX lists an OrderedDict as it was filled, and these two parts have the same shape."""
    plain = observation(1)
    ordered = OrderedDict(state=OrderedDict(vel=plain["state"]["vel"], pos=plain["state"]["pos"]))
    ordered["goal"] = plain["goal"]
    room = NESTED.zeros(1)
    NESTED.put(room, 0, ordered)
    jax.tree.map(np.testing.assert_array_equal, NESTED.take(room, 0), plain)


def test_lists_are_arrays_too():
    made = NESTED.arrays({"goal": [[1, 2]], "state": {"pos": [[3, 4]], "vel": [[5]]}})
    assert made["state"]["pos"].shape == (1, 2) and not NESTED.problem(made, "X-v0")
    with pytest.raises(KeyError):
        NESTED.arrays({"goal": [[1, 2]], "state": {"pos": [[3, 4]]}})


def test_what_is_wrong_is_named():
    wrong = NESTED.zeros(4)
    wrong["state"]["pos"] = np.zeros((4, 3))
    assert NESTED.problem(wrong, "X-v0") == "observations of shape (3,), but X-v0 has (2,)"
    assert "of shape (3, 2)" in ONE.problem(np.zeros((4, 3, 2)), "X-v0")
