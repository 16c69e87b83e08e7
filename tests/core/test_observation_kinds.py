"""Kinds of observation, held to naive loops."""

import json

import jax
import numpy as np
import pytest

from jaxmaze.core import normalization, observations
from jaxmaze.core.networks import Networks
from jaxmaze.core.observation_kinds import Binary, Image, OneHot
from jaxmaze.core.observations import Observations, Part
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import NetworkSpec

HOT = OneHot((3, 2, 4), (0, 5, -1))
MIXED = Observations(
    (
        Part(("a", 0), (2, 2), "uint8", Image("HW")),
        Part(("a", 1), (), "int64", OneHot((3,), (1,))),
        Part(("b",), (3,), "float64"),
        Part(("c", "bits"), (2, 2), "int8", Binary()),
        Part(("c", "image"), (2, 5, 3), "uint8", Image("HWC")),
        Part(("c", "x"), (), "float32"),
    )
)
"""Tuples in dicts, and every kind."""


def sample(rng, *lead):
    return {
        "a": (
            rng.integers(256, size=(*lead, 2, 2), dtype=np.uint8),
            rng.integers(1, 4, size=lead),
        ),
        "b": rng.normal(size=(*lead, 3)),
        "c": {
            "bits": rng.integers(2, size=(*lead, 2, 2)).astype(np.int8),
            "image": rng.integers(256, size=(*lead, 2, 5, 3), dtype=np.uint8),
            "x": rng.normal(size=lead).astype(np.float32),
        },
    }


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_integers_become_one_hot_vectors(shape):
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers([0, 5, -1], [3, 7, 3]).reshape(shape) for _ in range(20)])
    wanted = np.zeros((20, 9))
    for row in range(20):
        begin = 0
        for value, size, low in zip(x[row].reshape(-1), HOT.sizes, HOT.start, strict=True):
            wanted[row, begin + value - low] = 1.0
            begin += size
    for given in (x, x.astype(np.float32)):
        found = HOT.features(given, shape)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.float32
    assert not HOT.problem(x)
    x[7].reshape(-1)[1] = 7
    assert HOT.problem(x) == "7, not an integer from 5 to 6"


def test_a_single_integer_too():
    found = OneHot((4,), (2,)).features(np.array([[2, 5], [3, 3]]), ())
    np.testing.assert_array_equal(found, np.eye(4)[[[0, 3], [1, 1]]])


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((6, 7), "HW"),
        ((6, 7, 3), "HWC"),
        ((3, 6, 7), "CHW"),
        ((4, 6, 7, 3), "KHWC"),
        ((4, 3, 6, 7), "KCHW"),
        ((5, 5, 5), "HWC"),
    ],
)
def test_images_of_any_layout_have_their_channels_last(shape, layout):
    kind = Image.of(shape)
    assert kind.layout == layout
    x = np.random.default_rng(0).integers(256, size=(2, *shape), dtype=np.uint8)
    found = kind.features(x, shape)
    sizes = dict(zip(layout, shape, strict=True))
    height, width = sizes["H"], sizes["W"]
    frames, channels = sizes.get("K", 1), sizes.get("C", 1)
    assert found.dtype == np.uint8 and found.shape == (2, height, width, frames * channels)
    for h in range(height):
        for w in range(width):
            for k in range(frames):
                for c in range(channels):
                    place = tuple({"H": h, "W": w, "K": k, "C": c}[axis] for axis in layout)
                    assert (found[:, h, w, k * channels + c] == x[(slice(None), *place)]).all()


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_rows_and_bytes_hold_all_of_an_observation(lead):
    obs = sample(np.random.default_rng(0), *lead)
    rows, pixels = MIXED.flatten(obs), MIXED.pixels(obs)
    assert rows.shape == (*lead, MIXED.size) and rows.dtype == np.float32
    assert pixels.shape == (*lead, MIXED.num_pixels) and pixels.dtype == np.uint8
    back = MIXED.unflatten(np.asarray(rows), pixels)
    assert jax.tree.structure(back) == jax.tree.structure(obs)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, np.float32(y)), back, obs)
    room = MIXED.stored(*lead)
    assert [x.dtype for x in jax.tree.leaves(room)] == [p.stored for p in MIXED.parts]
    if not lead:
        room = MIXED.zeros(3)
        MIXED.put(room, 1, obs)
        jax.tree.map(np.testing.assert_array_equal, MIXED.take(room, 1), obs)
        jax.tree.map(
            lambda x, y: np.testing.assert_array_equal(x[0], y), MIXED.stack([obs, obs]), obs
        )
    if lead == (4,):
        assert MIXED.problem(obs, "X-v0") == ""
        obs["c"]["bits"][2, 0, 1] = 2
        assert MIXED.problem(obs, "X-v0") == "observations c.bits with 2, neither 0 nor 1"


def test_only_vectors_are_normalised():
    networks = Networks(Spaces(MIXED, Discrete(2)), NetworkSpec((8,), "tanh", "nature"))
    obs = sample(np.random.default_rng(0), 50)
    measured = np.concatenate([obs["b"], obs["c"]["x"][:, None]], 1)
    stats = normalization.update_stats(networks.init_stats(), networks.flatten_obs(obs))
    np.testing.assert_allclose(stats.mean, measured.mean(0), atol=1e-5)
    rows, images = networks.inputs(stats, obs)
    np.testing.assert_allclose(rows[:, :4].std(0), 1, atol=1e-3)
    np.testing.assert_array_equal(rows[:, 4:7], np.eye(3)[obs["a"][1] - 1])
    np.testing.assert_array_equal(rows[:, 7:], obs["c"]["bits"].reshape(50, 4))
    np.testing.assert_array_equal(images[0], obs["a"][0][..., None])
    np.testing.assert_array_equal(images[1], obs["c"]["image"])


def test_what_is_not_measured_has_no_statistics_but_counts():
    spec = Observations((Part((), (), "int64", OneHot((4,), (0,))),))
    networks = Networks(Spaces(spec, Discrete(2)), NetworkSpec((8,)))
    stats = normalization.update_stats(
        networks.init_stats(), networks.flatten_obs(np.arange(4)), np.array([1.0, 1.0, 0.0, 1.0])
    )
    assert (stats.mean, stats.var) == (None, None) and float(stats.count) == 3


def test_they_come_back_from_json():
    spaces = Spaces(MIXED, Discrete(2))
    plain = json.loads(json.dumps(spaces.to_plain()))
    assert Spaces.from_plain(plain) == spaces
    assert [p.dtype for p in Spaces.from_plain(plain).obs.parts] == [p.dtype for p in MIXED.parts]
    # Vectors are written as they always were.
    vector = observations.to_plain(Observations.array(8))
    assert vector == [{"path": [], "shape": [8], "dtype": "float32"}]


def test_drawn_ones_are_possible():
    mean, std = np.full((2, 4), 3.0, np.float32), np.full((2, 4), 0.1, np.float32)
    drawn = observations.draw(MIXED, np.random.default_rng(0), 30, mean, std, 2)
    assert jax.tree.structure(drawn) == jax.tree.structure(sample(np.random.default_rng(0)))
    assert all(x.shape[:2] == (2, 30) for x in jax.tree.leaves(drawn))
    assert MIXED.problem(jax.tree.map(lambda x: x[0], drawn), "X-v0") == ""
    assert abs(drawn["b"] - 3).max() < 1
    # Of vectors alone the same as ever: standard normal numbers from the seed, scaled.
    noise = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = observations.draw(Observations.array(4), np.random.default_rng(0), 5, mean, std, 2)
    np.testing.assert_array_equal(found, noise * std[:, None] + mean[:, None])


def test_they_are_described_as_a_person_would_write_them():
    parts = (
        Part(("flag",), (), kind=OneHot((3,), (0,))),
        Part(("arm", 0), (2,)),
    )
    assert Observations(parts).describe() == "{flag: one of 3, arm.0: (2,)}"
    assert Observations((Part((), (2,)),)).describe() == "(2,)"
