"""gymnasium's spaces of observations, and what is said of those that are not taken."""

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)

from jaxmaze import UserError
from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import Discrete as Action
from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import NetworkSpec
from jaxmaze.envs.observation_spaces import observations_of

SPACES = {
    "vector": (Box(-1, 1, (3,)), ["vector"], 3),
    "number": (Box(-1, 1, ()), ["vector"], 1),
    "matrix": (Box(-1, 1, (2, 3), np.float64), ["vector"], 6),
    "integers": (Box(0, 9, (2, 2), np.int32), ["vector"], 4),
    "memory": (Box(0, 255, (128,), np.uint8), ["vector"], 128),
    "cells": (Box(0, 5, (7, 7, 3), np.uint8), ["vector"], 147),
    "image": (Box(0, 255, (9, 8, 3), np.uint8), ["image"], 512),
    "gray": (Box(0, 255, (9, 8), np.uint8), ["image"], 512),
    "frames": (Box(0, 255, (4, 9, 8, 3), np.uint8), ["image"], 512),
    "discrete": (Discrete(5, start=-2), ["one_hot"], 5),
    "several": (MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, 0]]), ["one_hot"], 14),
    "bits": (MultiBinary((2, 2)), ["binary"], 4),
    "blackjack": (Tuple((Discrete(32), Discrete(11), Discrete(2))), ["one_hot"] * 3, 45),
    "nested": (
        Dict(z=Box(-1, 1, (2,)), a=Tuple((Dict(b=Discrete(2)), MultiBinary(3)))),
        ["one_hot", "binary", "vector"],
        7,
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_kind_reaches_the_network(name):
    space, kinds, width = SPACES[name]
    spec = observations_of(space)
    assert [part.kind.name for part in spec.parts] == kinds
    samples = [space.sample() for _ in range(5)]
    room = spec.zeros(5)
    for i, obs in enumerate(samples):
        spec.put(room, i, obs)
    assert spec.problem(room, "X-v0") == ""
    for array, part in zip(jax.tree.leaves(room), spec.parts, strict=True):
        assert array.dtype == part.dtype and array.shape == (5, *part.shape)
    encoder = "nature" if spec.num_pixels else "mlp"
    net = Networks(Spaces(spec, Action(2)), NetworkSpec((4,), "tanh", encoder))
    shapes = net.policy_shapes()["encoder"]["hidden_0"]["kernel"].shape
    assert shapes == (width, 4)
    params = net.init_policy(np.random.SeedSequence(0))
    stats = net.init_stats()
    logits = net.distribution(params, stats, room).logits
    assert logits.shape == (5, 2)
    # What is kept has the same meaning as what the environment gave.
    kept = net.distribution(params, stats, spec.arrays(room)).logits
    np.testing.assert_allclose(kept, logits, atol=1e-6)
    if not np.array_equal(
        *(np.concatenate([x[i].ravel() for x in jax.tree.leaves(room)]) for i in (0, 1))
    ):
        assert np.abs(logits[0] - logits[1]).max() > 0


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Text(5), ("Text", "ObservationWrapper")),
        (Graph(Box(0, 1, (2,)), None), ("Graph", "fixed shape")),
        (Sequence(Discrete(2)), ("Sequence", "fixed length")),
        (OneOf((Discrete(2), Box(0, 1, ()))), ("OneOf", "Dict")),
        (Dict(a=Box(0, 1, (2,)), b=Dict(c=Text(3))), ("at b.c", "Text")),
        (Tuple(()), ("empty",)),
        (Discrete(10**6), ("65536", "Box")),
        (Box(0, 1, (0,)), ("without numbers",)),
    ],
)
def test_others_are_refused_in_a_line_with_the_way_round(space, words):
    with pytest.raises(UserError) as error:
        observations_of(space)
    text = str(error.value)
    assert "\n" not in text and all(word in text for word in words), text
    assert len(text) < 300


def test_the_text_of_a_large_space_is_cut():
    space = Tuple([gym.spaces.Text(3)] * 40)
    with pytest.raises(UserError) as error:
        observations_of(space)
    assert len(str(error.value)) < 300
