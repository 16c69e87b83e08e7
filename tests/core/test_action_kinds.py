"""Every kind of action: into the environment's form and back, chosen, checked, counted, named."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.core.distributions import BORDER, SquashedGaussian
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Box, Composite, Discrete, MultiBinary, MultiDiscrete, Spaces

DISCRETE = {
    "discrete": Discrete(3, start=-1),
    "multi_discrete": MultiDiscrete((2, 3), starts=(0, 5)),
    "nested": MultiDiscrete((2, 1, 3, 2), dims=(2, 2)),
    "multi_binary": MultiBinary(4, dims=(2, 2)),
    "composite": Composite((Discrete(2), MultiBinary(2), MultiDiscrete((3, 2))), ("a", "b", "c")),
}
REAL = {
    "box": Box((-1.0, 0.0), (1.0, math.inf)),
    "matrix": Box((-2.0,) * 4, (2.0,) * 4, (2, 2)),
    "scalar": Box((0.0,), (1.0,), ()),
    "whole": Box((0.0, -3.0), (10.0, 3.0), None, "int64"),
    "squashed": Box((-2.0, 1.0), (2.0, 5.0)).squashed(),
}
MIXED = {
    "dict": Composite((Box((-1.0,), (1.0,)), Discrete(4, 1)), ("a", "b")),
    "deep": Composite(
        (
            MultiDiscrete((2, 3)),
            Composite((Box((-1.0,) * 2, (1.0,) * 2, (2, 1)), MultiBinary(2)), ("x", "y")),
        )
    ),
}
ALL = DISCRETE | REAL | MIXED


def drawn(space, count=64, seed=0):
    """What the environment takes, uniformly."""
    return space.uniform(np.random.default_rng(seed), count)


def dist_of(space, rows=5, seed=0):
    rng = np.random.default_rng(seed)
    outputs = jnp.asarray(rng.normal(size=(rows, space.num_outputs)), jnp.float32)
    free = {
        n: jnp.asarray(rng.normal(size=s) * 0.3, jnp.float32)
        for n, s in space.free_params().items()
    }
    return space.distribution(outputs, free)


def every_action(space):
    """All actions of a discrete kind, ``[A, *shape]`` as they are inside."""
    if isinstance(space, Discrete):
        return np.arange(space.n)
    if isinstance(space, MultiDiscrete):
        return np.array(list(itertools.product(*map(range, space.nvec))))
    if isinstance(space, MultiBinary):
        return np.array(list(itertools.product((0, 1), repeat=space.n)))
    parts = [every_action(p).reshape(-1, math.prod(p.shape) or 1) for p in space.parts]
    return np.array([np.concatenate(x) for x in itertools.product(*parts)])


@pytest.mark.parametrize("name", ALL)
def test_the_environments_form_and_the_one_inside_are_each_others_inverse(name):
    space = ALL[name]
    actions = drawn(space)
    assert space.problem(actions, "Env-v0") == ""
    inside = space.from_env(actions)
    assert inside.shape == (64, *space.shape)
    inside = inside.astype(space.dtype)
    back = space.to_env(inside)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), back, actions)
    # The same in a compiled function, and through the numbers that acting is done with.
    compiled = jax.device_get(jax.jit(space.to_env)(inside))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), compiled, back)
    numbers = np.concatenate(
        [inside.reshape(64, -1).astype(np.float32), np.full((64, 1), 7, np.float32)], -1
    )
    again = space.from_numbers(numbers)
    assert again.dtype == space.dtype
    np.testing.assert_array_equal(again, inside)


@pytest.mark.parametrize("name", ALL)
def test_single_actions_are_rows_of_the_batch(name):
    space = ALL[name]
    actions = drawn(space, 3)
    singles = space.each(actions)
    assert len(singles) == 3
    for i, single in enumerate(singles):
        row = jax.tree.map(lambda x, i=i: x[i], actions)
        assert jax.tree.structure(single) == jax.tree.structure(row)
        jax.tree.map(np.testing.assert_array_equal, single, row)


@pytest.mark.parametrize("name", ALL)
def test_kinds_survive_a_file(name):
    spaces = Spaces(Observations.array(2), ALL[name])
    again = Spaces.from_plain(json.loads(json.dumps(spaces.to_plain())))
    # Squashing belongs to the networks: an environment's space is never of that kind.
    if name != "squashed":
        assert again == spaces and hash(again) == hash(spaces)
    assert spaces.describe().count("\n") == 0


def test_what_is_as_by_default_is_not_written():
    plain = Spaces(Observations.array(2), Discrete(4)).to_plain()
    assert plain["actions"] == {"kind": "discrete", "n": 4} and "masked" not in plain
    plain = Spaces(Observations.array(2), Box((0.0,), (1.0,))).to_plain()
    assert plain["actions"] == {"kind": "continuous", "low": [0.0], "high": [1.0]}


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_add_up_and_entropy_and_kl_are_sums_over_all_actions(name):
    space = DISCRETE[name]
    p, q = dist_of(space, seed=1), dist_of(space, seed=2)
    actions = every_action(space)

    def log_probs(dist):
        tiled = [np.broadcast_to(a, (5, *np.shape(a))) for a in actions]
        return np.stack([np.asarray(dist.log_prob(jnp.asarray(a))) for a in tiled], -1)

    log_p, log_q = log_probs(p), log_probs(q)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1.0, rtol=1e-5)
    entropy = -(np.exp(log_p) * log_p).sum(-1)
    np.testing.assert_allclose(p.entropy(), entropy, rtol=1e-4, atol=1e-5)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    np.testing.assert_allclose(p.kl(q), kl, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(p.mode(), actions[log_p.argmax(-1)])
    np.testing.assert_allclose(
        p.tempered_loss(p.mode(), jnp.float32(1.0)), -log_p.max(-1).mean(), rtol=1e-5
    )


@pytest.mark.parametrize("name", DISCRETE)
def test_samples_come_as_often_as_their_probability_says(name):
    space, count = DISCRETE[name], 20000
    dist = jax.tree.map(lambda x: jnp.repeat(x, count, 0), dist_of(space, 1))
    noise = np.empty((count, space.num_noise), np.float32)
    space.fill_noise(np.random.default_rng(0), noise)
    actions = every_action(space)
    own = np.asarray(jax.vmap(lambda a: dist.log_prob(a[None])[0])(jnp.asarray(actions)))
    for sample in (dist.pick(noise), dist.sample(jax.random.key(0))):
        same = np.asarray(sample).reshape(count, 1, -1) == actions.reshape(1, len(actions), -1)
        share = same.all(-1).mean(0)
        assert share.sum() == pytest.approx(1)
        np.testing.assert_allclose(share, np.exp(own), atol=4 * 0.5 / math.sqrt(count))


@pytest.mark.parametrize("name", MIXED)
def test_a_composite_is_the_sum_of_its_parts(name):
    space = MIXED[name]
    dist, other = dist_of(space, seed=1), dist_of(space, seed=2)
    noise = np.random.default_rng(3).normal(size=(5, space.num_noise)).astype(np.float32)
    action = dist.pick(noise)
    assert action.shape == (5, *space.shape)
    log_prob = entropy = kl = loss = 0.0
    at = noise_at = 0
    for part, mine, theirs in zip(space.parts, dist.parts, other.parts, strict=True):
        width = math.prod(part.shape)
        piece = action[:, at : at + width].reshape(5, *part.shape)
        theirs_noise = noise[:, noise_at : noise_at + part.num_noise]
        np.testing.assert_allclose(piece, mine.pick(theirs_noise), rtol=1e-6)
        at, noise_at = at + width, noise_at + part.num_noise
        log_prob, entropy = log_prob + mine.log_prob(piece), entropy + mine.entropy()
        kl, loss = kl + mine.kl(theirs), loss + mine.tempered_loss(piece, jnp.float32(2.0))
    np.testing.assert_allclose(dist.log_prob(action), log_prob, rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(), entropy, rtol=1e-5)
    np.testing.assert_allclose(dist.kl(other), kl, rtol=1e-5)
    np.testing.assert_allclose(dist.tempered_loss(action, jnp.float32(2.0)), loss, rtol=1e-5)
    assert set(dist.exploration()) == {"action_std"}
    named = space.agreement(dist, action, jnp.ones(5))
    assert len(named) >= 2 and all("." in metric for metric in named)


def test_a_temperature_moves_no_mode_of_any_part():
    space = MIXED["deep"]
    rng = np.random.default_rng(0)
    head = {"kernel": rng.normal(size=(6, space.num_outputs)), "bias": np.zeros(space.num_outputs)}
    params = {"head": jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), head)}
    params |= {n: jnp.zeros(s) for n, s in space.free_params().items()}
    features = jnp.asarray(rng.normal(size=(7, 6)), jnp.float32)

    def dist(params):
        return space.distribution(features @ params["head"]["kernel"], params)

    hot = space.temper(params, 3.0)
    np.testing.assert_allclose(dist(hot).mode(), dist(params).mode(), rtol=1e-5)
    discrete, (box, binary) = dist(hot).parts[0], dist(hot).parts[1].parts
    before, (box_before, binary_before) = dist(params).parts[0], dist(params).parts[1].parts
    there = np.asarray(before.logits) > -1e7
    np.testing.assert_allclose(
        discrete.logits[there], before.logits[there] / 3, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(binary.logits, binary_before.logits / 3, rtol=1e-5)
    np.testing.assert_allclose(box.std(), 3 * box_before.std(), rtol=1e-5)
    np.testing.assert_allclose(box.mean, box_before.mean)
    far = space.project(params | {"log_std_0_1": jnp.full(2, 9.0)})
    assert float(far["log_std_0_1"].max()) == 2.0


SQUASHED = REAL["squashed"]


def squashed(mean, log_std):
    wide = np.broadcast_to(np.float32(mean), (1, 2)), np.broadcast_to(np.float32(log_std), (1, 2))
    return SquashedGaussian(*map(jnp.asarray, wide), SQUASHED.low, SQUASHED.high)


@pytest.mark.parametrize("mean,log_std", [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.5), (0.2, -3.0)])
def test_a_squashed_gaussian_has_the_density_and_entropy_of_its_integral(mean, log_std):
    dist = squashed(mean, log_std)
    raw = np.linspace(mean - 8 * math.exp(log_std), mean + 8 * math.exp(log_std), 20001)
    low, high = SQUASHED.low[0], SQUASHED.high[0]
    # In double precision, by the formula of a transformed density.
    x = low + (high - low) * 0.5 * (1 + np.tanh(raw))
    slope = (high - low) * 0.5 / np.cosh(raw) ** 2
    normal = np.exp(-0.5 * ((raw - mean) / math.exp(log_std)) ** 2 - log_std)
    log_density = np.log(normal / math.sqrt(2 * math.pi)) - np.log(slope)
    entropy = -np.trapezoid(np.exp(log_density) * slope * log_density, raw)
    other = math.log((SQUASHED.high[1] - SQUASHED.low[1]) / (high - low))  # its range is as wide
    assert float(dist.entropy()[0]) == pytest.approx(2 * entropy + other, abs=2e-2)
    inner = np.abs(raw) < 4
    both = np.stack([x[inner], SQUASHED.low[1] + (x[inner] - low) / (high - low) * 4], -1)
    wide = jax.tree.map(lambda v: jnp.broadcast_to(v, (inner.sum(), 2)), dist)
    np.testing.assert_allclose(wide.log_prob(both), 2 * log_density[inner], atol=3e-2)


def test_the_entropy_of_a_squashed_gaussian_is_a_small_program():
    # Written out node by node, PPO's update took half a minute longer to compile.
    traced = jax.make_jaxpr(SquashedGaussian.entropy)(squashed(0.3, 0.0))
    assert str(traced).count("\n") < 80


def test_squashed_actions_at_their_bounds_have_finite_likelihoods_and_gradients():
    bounds = jnp.asarray([SQUASHED.low, SQUASHED.high], jnp.float32)

    def likelihood(mean):
        return SquashedGaussian(mean, jnp.zeros((2, 2)), SQUASHED.low, SQUASHED.high).log_prob(
            bounds
        )

    mean = jnp.zeros((2, 2))
    assert np.isfinite(likelihood(mean)).all()
    slope = jax.grad(lambda m: likelihood(m).sum())(mean)
    assert np.isfinite(slope).all() and (np.sign(slope) == [[-1, -1], [1, 1]]).all()
    # As far from a bound as float32 tells it from it.
    assert float(squashed(0.0, 0.0)._raw(bounds[1:]).max()) == pytest.approx(
        math.atanh(1 - BORDER), abs=0.1
    )


def test_squashed_samples_stay_within_their_bounds_and_kl_is_that_of_the_gaussians():
    p, q = squashed(0.4, 0.3), squashed(-0.2, -0.4)
    sample = jax.tree.map(lambda x: jnp.repeat(x, 4000, 0), p).sample(jax.random.key(0))
    assert (sample >= np.array(SQUASHED.low)).all() and (sample <= np.array(SQUASHED.high)).all()
    wide_p, wide_q = (jax.tree.map(lambda x: jnp.repeat(x, 4000, 0), d) for d in (p, q))
    estimate = (wide_p.log_prob(sample) - wide_q.log_prob(sample)).mean()
    assert float(p.kl(q)[0]) == pytest.approx(float(estimate), rel=0.1)
    np.testing.assert_allclose(p.mode()[0], [2 * math.tanh(0.4), 3 + 2 * math.tanh(0.4)], rtol=1e-5)


def test_what_has_no_bounds_cannot_be_squashed():
    with pytest.raises(ValueError, match=r"dimension 1 goes from 0\.0 to inf"):
        REAL["box"].squashed()
    with pytest.raises(ValueError, match="b: dimension 0"):
        Composite((Discrete(2), Box((-math.inf,), (1.0,))), ("a", "b")).squashed()


def test_numbers_are_drawn_as_far_as_there_are_bounds():
    space = Box((-1.0, 2.0, -math.inf, -math.inf), (1.0, math.inf, 3.0, math.inf))
    drawn = space.uniform(np.random.default_rng(0), 20000)
    assert np.isfinite(drawn).all() and (drawn[:, 1] >= 2).all() and (drawn[:, 2] <= 3).all()
    np.testing.assert_allclose(drawn.mean(0), [0, 3, 2, 0], atol=0.04)
    np.testing.assert_allclose(drawn.std(0), [1 / math.sqrt(3), 1, 1, 1], atol=0.04)


def test_whole_numbers_are_rounded_into_their_bounds():
    space = REAL["whole"]
    found = space.to_env(np.array([[0.4, -9.0], [9.6, 2.5], [99.0, 0.0]], np.float32))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[0, -3], [10, 2], [10, 0]])
    np.testing.assert_array_equal(space.accept(np.array([[1.6, 0.0]])), [[2, 0]])
    wide = Box((-(2.0**63),), (2.0**63,), None, "int64").to_env(np.array([[1e20], [-5.2]]))
    np.testing.assert_array_equal(wide, [[2**30], [-5]])


@pytest.mark.parametrize(
    "name,actions,words",
    [
        ("discrete", np.array([2]), "actions from 2 to 2, but E has actions -1 to 1"),
        ("discrete", np.array([0.5]), "takes one integer"),
        ("multi_discrete", np.array([[0, 8]]), "8 to 8 in place 1, but E has actions 5 to 7 there"),
        ("multi_discrete", np.array([[0]]), "takes integers of shape (2,)"),
        ("multi_binary", np.array([[[0, 1], [2, 0]]]), "actions from 0 to 2, but E takes 0 and 1"),
        ("multi_binary", np.zeros((1, 4), int), "takes 0 and 1 of shape (2, 2)"),
        ("matrix", np.full((1, 2, 2), 3.0), "outside the bounds"),
        ("matrix", np.zeros((1, 4)), "takes 4 real numbers of shape (2, 2)"),
        ("dict", {"a": np.zeros((1, 1)), "b": np.array([0])}, "in b actions from 0 to 0"),
        ("dict", {"a": np.zeros((1, 1))}, "it has no b"),
        ("dict", np.zeros((1, 2)), "it is no dict of a, b"),
        ("deep", (np.zeros((1, 2), int),), "it is no tuple of 2"),
    ],
)
def test_what_is_wrong_with_actions_is_said(name, actions, words):
    assert words in ALL[name].problem(actions, "E")


@pytest.mark.parametrize("name", ALL)
def test_tallies_add_up(name):
    space = ALL[name]
    parts = [drawn(space, 10, 1), drawn(space, 30, 2)]
    whole = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    sums = space.tally(parts[0]) + space.tally(parts[1])
    assert sums.shape == space.tally_shape
    np.testing.assert_allclose(sums, space.tally(whole))
    assert space.tallied(sums, 40)


def test_tallies_in_words():
    space = DISCRETE["multi_discrete"]
    taken = np.array([[0, 5], [1, 7], [1, 7], [1, 5]])
    assert space.tallied(space.tally(taken), 4) == (
        "[0] 0: 25.0 %, 1: 75.0 %; [1] 5: 50.0 %, 6: 0.0 %, 7: 50.0 %"
    )
    space = MIXED["dict"]
    taken = {"a": np.array([[1.0], [0.0]]), "b": np.array([1, 4])}
    text = space.tallied(space.tally(taken), 2)
    assert text == "a ([0]: 0.50 ± 0.50); b (1: 50.0 %, 2: 0.0 %, 3: 0.0 %, 4: 50.0 %)"


def test_accuracies_of_several_choices():
    space = DISCRETE["multi_discrete"]
    dist = space.distribution(jnp.asarray([[0, 9, 0, 0, 9, 0], [9, 0, 0, 9, 0, 0.0]]), {})
    np.testing.assert_array_equal(dist.mode(), [[1, 1], [0, 0]])
    found = space.agreement(dist, jnp.asarray([[1, 0], [0, 0]]), jnp.ones(2))
    assert {n: float(x) for n, x in found.items()} == {
        "discrete_accuracy": 0.75,
        "discrete_accuracy_all": 0.5,
        "discrete_accuracy_0": 1.0,
        "discrete_accuracy_1": 0.5,
    }


@pytest.mark.parametrize("name", DISCRETE)
def test_a_share_of_the_entropy_is_one_of_the_uniform_policys(name):
    space = DISCRETE[name]
    uniform = space.distribution(jnp.zeros((1, space.num_outputs)), {})
    assert space.entropy_of_share(1.0) == pytest.approx(float(uniform.entropy()[0]), rel=1e-5)


def test_clones_of_choices_and_of_numbers_start_with_shares_of_their_own():
    choice, number = Discrete(4), Box((-2.0,), (2.0,))
    assert choice.entropy_of_share(None) == choice.entropy_of_share(0.5)
    assert number.entropy_of_share(None) == number.entropy_of_share(0.3)
    assert number.entropy_of_share(0.3) != number.entropy_of_share(0.5)
    both = Composite((choice, number), ("a", "b"))
    assert both.entropy_of_share(None) == pytest.approx(
        choice.entropy_of_share(0.5) + number.entropy_of_share(0.3)
    )


MASKED = {
    "discrete": (Discrete(3, start=-1), np.array([[1, 0, 1], [0, 1, 0]])),
    "multi_discrete": (
        MultiDiscrete((2, 3), starts=(0, 5)),
        np.array([[1, 1, 0, 1, 0], [0, 1, 1, 0, 1]]),
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_leaves_the_allowed_actions_their_shares_and_others_none(name):
    space, mask = MASKED[name]
    assert space.mask_size == mask.shape[-1]
    free, other = dist_of(space, 2, 1), dist_of(space, 2, 2)
    dist, other = (space.masked(d, jnp.asarray(mask)) for d in (free, other))
    actions = every_action(space)
    for row in range(2):
        tiled = [np.broadcast_to(a, (2, *np.shape(a))) for a in actions]
        log_p, log_q, log_free = (
            np.array([float(d.log_prob(jnp.asarray(a))[row]) for a in tiled])
            for d in (dist, other, free)
        )
        env = space.to_env(actions.astype(np.int32))
        banned = space.forbidden(env, np.repeat(mask[row : row + 1], len(actions), 0))
        assert banned.any() and not banned.all()
        p = np.where(banned, 0.0, np.exp(log_free))
        np.testing.assert_allclose(np.exp(log_p), p / p.sum(), rtol=1e-4, atol=1e-12)
        some = ~banned
        entropy = -(np.exp(log_p[some]) * log_p[some]).sum()
        assert float(dist.entropy()[row]) == pytest.approx(entropy, rel=1e-4, abs=1e-6)
        kl = (np.exp(log_p[some]) * (log_p[some] - log_q[some])).sum()
        assert float(dist.kl(other)[row]) == pytest.approx(kl, rel=1e-4, abs=1e-5)
    wide = jax.tree.map(lambda x: jnp.repeat(x, 500, 0), dist)
    sample = np.asarray(wide.sample(jax.random.key(0)))
    wide_mask = np.repeat(mask, 500, 0)
    drawn = space.uniform(np.random.default_rng(0), 1000, wide_mask)
    for taken in (space.to_env(sample), space.to_env(np.asarray(wide.mode())), drawn):
        assert space.problem(taken, "E") == "" and not space.forbidden(taken, wide_mask).any()
    # Every allowed action is drawn, as often as any other.
    inside = space.from_env(drawn[:500]).reshape(500, -1)
    counts = [(inside == a.reshape(1, -1)).all(-1).mean() for a in actions]
    allowed = ~space.forbidden(
        space.to_env(actions.astype(np.int32)), np.repeat(mask[:1], len(actions), 0)
    )
    np.testing.assert_allclose(np.array(counts)[allowed], 1 / allowed.sum(), atol=0.09)


@pytest.mark.parametrize("name", MASKED)
def test_forbidden_actions_have_finite_losses_and_no_gradient(name):
    space, mask = MASKED[name]
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(2, space.num_outputs)), jnp.float32)
    clone = space.masked(space.distribution(outputs, {}), mask)

    def loss(x):
        dist = space.masked(space.distribution(x, {}), mask)
        return (
            dist.entropy() + dist.kl(clone) + clone.kl(dist) + dist.log_prob(clone.mode())
        ).sum()

    slope = np.asarray(jax.grad(loss)(outputs + 0.1))
    assert np.isfinite(slope).all()
    if name == "discrete":
        assert (slope[mask == 0] == 0).all() and (slope[0, [0, 2]] != 0).all()


def test_masks_of_several_choices_stand_one_after_another():
    space, mask = MultiDiscrete((2, 3)), np.array([[1, 0, 0, 1, 1]])
    dist = space.masked(space.distribution(jnp.zeros((1, 6)), {}), mask)
    pairs = every_action(space)
    odds = [float(jnp.exp(dist.log_prob(jnp.asarray([pair])))[0]) for pair in pairs]
    wanted = [0.5 if list(pair) in ([0, 1], [0, 2]) else 0.0 for pair in pairs]
    np.testing.assert_allclose(odds, wanted, atol=1e-6)
    found = space.forbidden(pairs, np.repeat(mask, 6, 0))
    np.testing.assert_array_equal(found, np.array(wanted) == 0)
    drawn = space.uniform(np.random.default_rng(0), 50, np.repeat(mask, 50, 0))
    assert {tuple(x) for x in drawn.tolist()} == {(0, 1), (0, 2)}
