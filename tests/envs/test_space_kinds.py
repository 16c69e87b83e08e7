"""gymnasium's spaces of actions: each becomes a kind, and what is taken is contained in it."""

import gymnasium as gym
import numpy as np
import pytest

from jaxmaze.core.spaces import Box, Composite, Discrete, MultiBinary, MultiDiscrete
from jaxmaze.envs import space_kinds
from jaxmaze.errors import UserError

S = gym.spaces
SPACES = {
    "discrete": (S.Discrete(3), Discrete(3)),
    "started": (S.Discrete(3, start=-4), Discrete(3, -4)),
    "box": (S.Box(-1, 1, (2,)), Box((-1.0, -1.0), (1.0, 1.0))),
    "matrix": (S.Box(0, 2, (1, 2), np.float64), Box((0.0, 0.0), (2.0, 2.0), (1, 2))),
    "scalar": (S.Box(-1, 1, ()), Box((-1.0,), (1.0,), ())),
    "half": (S.Box(0, np.inf, (1,)), Box((0.0,), (np.inf,))),
    "bytes": (S.Box(0, 255, (2,), np.uint8), Box((0.0,) * 2, (255.0,) * 2, None, "uint8")),
    "multi": (S.MultiDiscrete([2, 3]), MultiDiscrete((2, 3))),
    "nested": (
        S.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [2, 3]]),
        MultiDiscrete((2, 3, 4, 2), (0, 1, 2, 3), (2, 2)),
    ),
    "binary": (S.MultiBinary(3), MultiBinary(3)),
    "binaries": (S.MultiBinary([2, 2]), MultiBinary(4, (2, 2))),
    "dict": (
        S.Dict({"b": S.Discrete(2), "a": S.Box(-1, 1, (1,))}),
        Composite((Box((-1.0,), (1.0,)), Discrete(2)), ("a", "b")),
    ),
    "tuple": (
        S.Tuple([S.MultiBinary(2), S.Dict({"x": S.Discrete(2)})]),
        Composite((MultiBinary(2), Composite((Discrete(2),), ("x",)))),
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_space_becomes_a_kind_whose_actions_it_contains(name):
    space, kind = SPACES[name]
    assert space_kinds.actions_of(space) == kind
    actions = kind.uniform(np.random.default_rng(0), 20)
    types = space_kinds.action_types(space)
    arrays = zip(kind.leaves(actions), types, strict=True)
    sent = kind.build([array.astype(dtype) for (_, _, array), dtype in arrays])
    for single in kind.each(sent):
        assert space.contains(single), single
    # As an episode keeps them: batches of the space's own types, with the same rows.
    kept = space_kinds.stack_actions(space, kind.each(sent))
    again = zip(kind.leaves(kept), kind.leaves(sent), types, strict=True)
    for (label, _, a), (_, _, b), dtype in again:
        assert a.dtype == dtype, label
        np.testing.assert_array_equal(a, b)


def test_actions_drawn_by_gymnasium_are_understood():
    for space, kind in SPACES.values():
        space.seed(0)
        kept = space_kinds.stack_actions(space, [space.sample() for _ in range(8)])
        assert kind.problem(kept, "E") == ""
        assert kind.from_env(kept).shape == (8, *kind.shape)


@pytest.mark.parametrize(
    "space,words",
    [
        (S.Text(4), ["Text", "Discrete"]),
        (S.Graph(S.Box(0, 1, (2,)), None), ["Graph", "fixed number"]),
        (S.Sequence(S.Discrete(2)), ["Sequence", "Tuple"]),
        (S.OneOf([S.Discrete(2), S.Box(0, 1, (1,))]), ["OneOf", "Dict"]),
        (S.Dict({"a": S.Text(3)}), ["Text"]),
        (S.Dict({}), ["Dict"]),
    ],
)
def test_other_spaces_are_refused_with_a_way_round(space, words):
    with pytest.raises(UserError) as caught:
        space_kinds.actions_of(space)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
