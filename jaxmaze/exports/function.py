"""A policy as one function of named arrays, which all formats export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core.distributions import Distribution
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Policy, PyTree

Outputs = dict[str, Array]
Loaded = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""A loaded export: from inputs by name to outputs by name, as listed in ``policy.json``."""


class Source(NamedTuple):
    """The policy to export.

    Attributes:
      networks: the policy's networks.
      policy: one member's parameters and observation statistics, on the host.
    """

    networks: Networks
    policy: Policy


def function(source: Source) -> Callable[..., Outputs]:
    """The policy as a function of a batch of observations ``[N, *shape]``, float32.

    Returns:
      A function that returns a dict of ``action`` ``[N, ...]``, the mode in the environment's
      format, and the parameters of the action distribution: ``logits``, or ``mean`` and
      ``log_std``. Recurrent policies also take ``carry`` ``[N, C]`` and ``begin`` ``[N]``, and
      return ``next_carry``.
    """
    networks, policy = source

    def act(obs: PyTree, carry: Array | None = None, begin: Array | None = None) -> Outputs:
        if networks.carry_size:
            assert carry is not None and begin is not None
            dist, kept = networks.step(policy, obs, carry, begin)
            return _outputs(networks, dist) | {"next_carry": kept}
        return _outputs(networks, networks.distribution(policy.params, policy.obs_stats, obs))

    return act


def _outputs(networks: Networks, dist: Distribution) -> Outputs:
    action = networks.to_env(jnp.asarray(dist.mode()))
    return dict(named("action", action)) | dict(named("", dist))


def named(name: str, tree: PyTree) -> list[tuple[str, Array]]:
    """The arrays of a pytree with dotted names that begin with ``name``."""
    listed = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [
        (".".join((*filter(None, (name,)), *(_key(part) for part in path))), leaf)
        for path, leaf in listed
    ]


def _key(part: object) -> str:
    """One entry of a pytree's path: a field, a key or an index."""
    for attribute in ("name", "key", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)


def inputs(source: Source, rows: PyTree) -> dict[str, PyTree]:
    """The function's inputs by name, for a batch of ``rows``: shapes and dtypes."""
    obs, carries = source.networks.spaces.obs, source.networks.carry_size
    types = [x.dtype for x in _leaves(source, obs.zeros(0))]
    found = {
        ".".join(("obs", *map(str, part.path))): jax.ShapeDtypeStruct((rows, *part.shape), dtype)
        for part, dtype in zip(obs.parts, types, strict=True)
    }
    if carries:
        found["carry"] = jax.ShapeDtypeStruct((rows, carries), np.float32)
        found["begin"] = jax.ShapeDtypeStruct((rows,), np.float32)
    return found


def _leaves(source: Source, obs: PyTree) -> list[np.ndarray]:
    """The arrays of observations, with the dtypes that networks take."""
    found: list[np.ndarray] = jax.tree.leaves(source.networks.spaces.obs.arrays(obs))
    return found


def arguments(source: Source, given: Mapping[str, PyTree]) -> list[PyTree]:
    """The function's arguments, from arrays by name."""
    obs = [x for name, x in given.items() if name.partition(".")[0] == "obs"]
    rest = [given[name] for name in ("carry", "begin") if name in given]
    return [source.networks.spaces.obs.build(obs), *rest]


def batch(source: Source, obs: PyTree) -> dict[str, np.ndarray]:
    """Observations ``[N, *shape]`` as named inputs, each the first step of an episode."""
    parts = _leaves(source, obs)
    given = dict(zip(inputs(source, 1), parts, strict=False))
    if source.networks.carry_size:
        rows = len(parts[0])
        given["carry"] = np.zeros((rows, source.networks.carry_size), np.float32)
        given["begin"] = np.ones(rows, np.float32)
    return given


def in_turn(act: Loaded, source: Source, obs: PyTree, begin: np.ndarray) -> dict[str, np.ndarray]:
    """Run a loaded recurrent policy step by step over a sequence of states.

    Args:
      act: the policy.
      source: the policy that was exported.
      obs: ``[S, *shape]`` states of whole episodes.
      begin: ``[S]`` 1.0 where an episode begins.

    Returns:
      Its outputs ``[S, ...]``.
    """
    whole, found = batch(source, obs), []
    carry = whole["carry"][:1]
    for t, first in enumerate(begin):
        given = {name: x[t : t + 1] for name, x in whole.items()}
        given |= {"carry": carry, "begin": np.array([first], np.float32)}
        found.append(act(given))
        carry = found[-1]["next_carry"]
    return {name: np.concatenate([x[name] for x in found]) for name in found[0]}


def kind_of(source: Source) -> Distribution:
    """The policy's action distribution for a batch of one, with shapes in place of arrays."""
    given = arguments(source, inputs(source, 1))
    networks, policy = source

    def dist(obs: PyTree, *_: PyTree) -> Distribution:
        return networks.distribution(policy.params, policy.obs_stats, obs)

    found: Distribution = jax.eval_shape(dist, *given)
    return found


def distribution(source: Source, outputs: Mapping[str, Array]) -> Distribution:
    """The action distribution, from a function's outputs.

    Raises:
      KeyError: if one of its arrays is missing.
    """
    shapes = kind_of(source)
    leaves = [jnp.asarray(outputs[name]) for name, _ in named("", shapes)]
    found: Distribution = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return found
