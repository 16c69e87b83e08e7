"""Cloning of all members as one program: each is cloned as if alone, on its own rows."""

import itertools

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze import config as config_lib
from jaxmaze.config.sections.bc import BC
from jaxmaze.core import bc, seeding
from jaxmaze.core.observation_kinds import Image
from jaxmaze.core.observations import Observations, Part
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import Demonstrations
from jaxmaze.errors import UserError
from jaxmaze.policies import build_networks
from jaxmaze.training import bc_learner

ROWS = 96
SPACES = Spaces(Observations.array(2), Discrete(2))


def settings(small, members, **fields):
    return config_lib.to_settings(
        api.override(small, {"members": members, "bc.batch_size": 32, **fields})
    )


def demonstrations(seed):
    obs = np.random.default_rng(seed).normal(size=(ROWS, 2)).astype(np.float32)
    return Demonstrations(obs, (obs[:, 0] > 0).astype(np.int32))


def fitted(config, data, train, own_data, epochs=3):
    """The states after some epochs, with the last one's means."""
    networks = build_networks(config, SPACES)
    fitter = bc_learner.Fitter(config, networks, seeding.STAGE_BC, own_data)
    state = fitter.init(data, train)
    run, hyper = fitter.epochs(ROWS // 32, True), fitter.hyper(epochs)
    for _ in range(epochs):
        state, means, held_out = run(state, data, train, 1.0 - train, hyper, fitter.each(1))
    return jax.device_get((state, means, held_out))


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("own_data", [False, True])
def test_each_member_is_cloned_as_if_alone(small, members, own_data):
    each = [demonstrations(m if own_data else 0) for m in range(members)]
    train = np.stack([np.arange(ROWS) % 4 != m for m in range(members)]).astype(np.float32)
    data = jax.tree.map(lambda *x: np.stack(x), *each) if own_data else each[0]
    config = settings(small, members)
    state, means, held_out = fitted(config, data, train, own_data)
    for m in range(members):
        alone = settings(small, 1, seed=config.seed + m)
        one = jax.tree.map(lambda x: x[None], each[m]) if own_data else each[m]
        mine, my_means, my_held_out = fitted(alone, one, train[m : m + 1], own_data)
        jax.tree.map(
            lambda a, b, m=m: np.testing.assert_allclose(a[m], b[0], atol=1e-5), state, mine
        )
        for all_, own in ((means, my_means), (held_out, my_held_out)):
            for name in own:
                np.testing.assert_allclose(all_[name][m], own[name][0], rtol=1e-4, atol=1e-6)


def test_statistics_are_of_the_training_rows_alone(small):
    data, train = demonstrations(0), np.zeros((2, ROWS), np.float32)
    train[0, :30], train[1, 30:] = 1, 1
    config = settings(small, 2)
    fitter = bc_learner.Fitter(config, build_networks(config, SPACES), seeding.STAGE_BC)
    stats = fitter.init(data, train).policy.obs_stats
    for m, rows in enumerate((slice(0, 30), slice(30, None))):
        np.testing.assert_allclose(stats.mean[m], data.obs[rows].mean(0), atol=1e-6)
        np.testing.assert_allclose(stats.var[m], data.obs[rows].var(0), atol=1e-5)


def test_fits_of_other_stages_and_rounds_start_from_other_networks(small):
    config, data, train = settings(small, 1), demonstrations(0), np.ones((1, ROWS), np.float32)
    networks = build_networks(config, SPACES)

    def start(stage, path):
        state = bc_learner.Fitter(config, networks, stage).init(data, train, path)
        return np.asarray(jax.tree.leaves(state.policy.params)[-1])

    starts = [
        start(seeding.STAGE_BC, ()),
        start(seeding.STAGE_DAGGER, (0,)),
        start(seeding.STAGE_DAGGER, (1,)),
    ]
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(starts))
    np.testing.assert_array_equal(starts[0], start(seeding.STAGE_BC, ()))


def test_members_stop_after_epochs_of_their_own(small):
    data, train = demonstrations(0), np.ones((2, ROWS), np.float32)
    config = settings(small, 2)
    fitter = bc_learner.Fitter(config, build_networks(config, SPACES), seeding.STAGE_BC)
    state, run = fitter.init(data, train), fitter.epochs(3, False)
    hyper = fitter.hyper(np.array([1, 3]))
    kept = []
    for _ in range(3):
        state, _, none = run(state, data, train, train, hyper, fitter.each(1))
        assert none == {}
        kept.append(jax.device_get(state.policy.params))
    assert state.epoch.tolist() == [1, 3]
    same = [
        jax.tree.leaves(
            jax.tree.map(lambda a, b, m=m: np.array_equal(a[m], b[m]), kept[0], kept[2])
        )
        for m in range(2)
    ]
    assert all(same[0]) and not all(same[1])


def test_hyper_parameters_are_those_of_the_section(small):
    names = ("learning_rate", "entropy_coef", "weight_decay", "max_grad_norm")
    given = {f"bc.{name}": 0.1 * (i + 1) for i, name in enumerate(names)}
    config = settings(small, 2, **given)
    found = bc_learner.Fitter(config, build_networks(config, SPACES), 0).hyper(7)
    assert isinstance(found, bc.Hyper)
    for name in names:
        np.testing.assert_allclose(getattr(found, name), [given[f"bc.{name}"]] * 2, rtol=1e-6)
    assert found.num_epochs.tolist() == [7, 7]


def test_what_diverges_is_named():
    fine = {"policy_loss": np.ones(2)}
    bc_learner.stop_if_diverged(3, fine, fine)
    with pytest.raises(UserError, match=r"policy_grad_norm not finite in epoch 3"):
        bc_learner.stop_if_diverged(3, fine, {"policy_grad_norm": np.array([1.0, np.nan])})


def test_held_out_figures_are_of_the_held_out_rows(small):
    data, train = demonstrations(0), (np.arange(ROWS) < 60).astype(np.float32)[None]
    config = settings(small, 1)
    networks = build_networks(config, SPACES)
    state, _, held_out = fitted(config, data, train, False, epochs=2)
    policy = jax.tree.map(lambda x: x[0], state.policy)
    action, _ = networks.act(policy, data.obs)
    dist = networks.distribution(policy.params, policy.obs_stats, data.obs)
    log_prob = np.asarray(dist.log_prob(data.action))
    np.testing.assert_allclose(held_out["policy_loss"][0], -log_prob[60:].mean(), rtol=1e-4)
    right = (np.asarray(action) == data.action)[60:].mean()
    np.testing.assert_allclose(held_out["discrete_accuracy"][0], right, rtol=1e-6)


@pytest.mark.parametrize(
    ("minibatches", "epochs", "passes"), [(1, 20_000, 100), (198, 101, 1), (20_000, 1, 1)]
)
def test_as_many_epochs_as_make_the_gradient_steps(minibatches, epochs, passes):
    plan = bc_learner.plan(BC(), minibatches)
    assert (plan.epochs, plan.passes) == (epochs, passes)
    ends = [*range(passes, epochs, passes), epochs]
    assert len(ends) <= 201
    evaluations = [end for end in ends if plan.due(end, plan.eval_every)]
    assert 1 <= len(evaluations) <= 5 and plan.patience == 0


def test_what_is_set_in_epochs_is_kept_in_epochs():
    section = BC(num_epochs=50, best_by="validation_loss")
    assert bc_learner.plan(section, 7) == (50, 1, 10, 10, 10)
    section = BC(num_epochs=1000, eval_every=3, patience=4, best_by="return")
    plan = bc_learner.plan(section, 7)
    assert (plan.epochs, plan.passes, plan.patience) == (1000, 3, 4)
    assert [end for end in range(3, 31, 3) if plan.due(end, 3)] == list(range(3, 31, 3))
    assert bc_learner.plan(BC(eval_every=0), 7).eval_every == 0
    assert bc_learner.plan(BC(num_updates=70), 7, images=True).epochs == 10


def pictures(edge, channels):
    image = Part((), (edge, edge, channels), "uint8", Image("HWC"))
    return Spaces(Observations((image,)), Discrete(2))


def test_images_get_fewer_and_smaller_gradient_steps(small):
    config = settings(small, 1, **{"bc.num_epochs": None, "bc.learning_rate": None})
    for spaces, epochs, rate in ((SPACES, 200, 3e-3), (pictures(36, 3), 50, 3e-4)):
        fitter = bc_learner.Fitter(config, build_networks(config, spaces), 0)
        assert fitter.plan(100).epochs == epochs
        assert fitter.hyper(7).learning_rate.tolist() == [pytest.approx(rate)]


def test_a_constant_learning_rate_does_not_decay(small):
    for schedule, expected in (("linear", 9.0), ("constant", np.inf)):
        config = settings(small, 2, **{"bc.learning_rate_schedule": schedule})
        fitter = bc_learner.Fitter(config, build_networks(config, SPACES), 0)
        assert fitter.hyper(7, 9).decay_epochs.tolist() == [expected] * 2
