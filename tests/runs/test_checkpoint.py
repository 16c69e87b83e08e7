"""Checkpoints: each step its own, and nothing that does not fit."""

import numpy as np
import pytest

from jaxmaze.core.networks import Networks
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import Discrete, Spaces
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.errors import UserError
from jaxmaze.runs import checkpoint

NETWORKS = Networks(Spaces(Observations.array(2), Discrete(2)), NetworkSpec((4,)))


def state(value, shape=(2, 3)):
    return {"x": np.full(shape, value, np.float32), "n": np.full(2, value, np.int32)}


@pytest.fixture
def saved(tmp_path):
    """Checkpoints 3, 6 and 9."""
    with checkpoint.Checkpoints(tmp_path) as found:
        for step in (3, 6, 9):
            best = checkpoint.blank_policies(NETWORKS, 2)
            meta = checkpoint.describe(NETWORKS, (0, 1), "ppo") | {"wall_seconds": step}
            found.save(step, state(step), best, meta)
            found.wait()
        yield found


def test_the_newest_two_are_kept_and_each_is_its_own(saved):
    assert saved.steps() == [6, 9] and saved.latest() == 9
    for step in (6, 9):
        restored = saved.restore(state(0), step)
        assert (restored["x"] == step).all() and (restored["n"] == step).all()
        assert saved.meta(step)["wall_seconds"] == step
    assert (saved.restore(state(0))["x"] == 9).all()
    assert checkpoint.networks_of(saved.meta()) == NETWORKS
    saved.drop_after(6)
    assert saved.steps() == [6] and (saved.restore(state(0))["x"] == 6).all()


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (2, 3, 1)])
def test_what_has_another_shape_is_not_taken(saved, shape):
    with pytest.raises(UserError):
        saved.restore(state(0, shape), 9)
    with pytest.raises(UserError, match="was it written with another network"):
        checkpoint._like(state(0, shape), state(9))


def test_a_digest_is_of_parameters_and_statistics():
    policy = Policy({"w": np.zeros(3, np.float32)}, {"mean": np.zeros(2, np.float32)})
    moved = policy._replace(obs_stats={"mean": np.array([0, 1e-7], np.float32)})
    learned = policy._replace(params={"w": np.array([0, 0, 1e-7], np.float32)})
    assert len({checkpoint.digest(p) for p in (policy, moved, learned)}) == 3
