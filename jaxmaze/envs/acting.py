"""Actions of a whole population in one small call a step, made as cheap as such a call can be.

An environment's step takes some 20 microseconds, and calling a compiled function as long, most of
it for each array that goes in or out. So everything goes in as two arrays (policies; observations
with their random numbers) and comes out as one (actions with their log-probabilities).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core import seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, SpaceSpec

TINY = np.float32(1e-30)


class Packed(NamedTuple):
    """Policies of ``L`` members, ready to act.

    Attributes:
      flat: all their numbers ``[L, P]``, on the device.
      act: the compiled function of ``flat`` and a :class:`Chooser`'s inputs.
    """

    flat: Any
    act: Callable[[Any, np.ndarray], Any]


def pack(networks: Networks, policies: Policy) -> Packed:
    """Policies with a leading axis ``[L]`` as a :class:`Chooser` takes them; all leaves float32."""
    leaves, tree = jax.tree.flatten(jax.device_get(policies))
    rows = [np.asarray(x, np.float32).reshape(len(x), -1) for x in leaves]
    act = _compiled(networks, tree, tuple(x.shape[1:] for x in leaves))
    return Packed(jax.device_put(np.concatenate(rows, axis=1)), act)


@functools.cache
def _compiled(networks: Networks, tree: Any, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """What acts for policies of this structure.

    Looked up once a segment, and not at every step as static arguments of one function would be:
    hashing them takes a quarter of such a call.
    """
    shape = networks.spaces.obs_shape
    size = math.prod(shape)
    ends = np.cumsum([math.prod(s) for s in shapes])[:-1].tolist()

    def act(flat: Any, inputs: Any) -> Any:
        parts = jnp.split(flat, ends, axis=1)
        leaves = [x.reshape(-1, *s) for x, s in zip(parts, shapes, strict=True)]
        policies = jax.tree.unflatten(tree, leaves)
        sampled = inputs.shape[-1] > size

        def one(policy: Policy, x: Any) -> Any:
            obs = x[..., :size].reshape(*x.shape[:-1], *shape)
            dist = networks.distribution(policy.params, policy.obs_stats, obs)
            action = dist.pick(x[..., size:]) if sampled else dist.mode()
            numbers = action.astype(jnp.float32).reshape(*x.shape[:-1], -1)
            if not sampled:
                return numbers
            return jnp.concatenate([numbers, dist.log_prob(action)[..., None]], -1)

        # Written out shard by shard: the last bit of a product depends on the shapes, which must
        # not depend on how many shards a process happens to have.
        return jnp.stack([jax.vmap(one)(policies, inputs[s]) for s in range(len(inputs))])

    return jax.jit(act)


class Chooser:
    """Buffers for the observations of a fixed number of environments, and what acts on them.

    Attributes:
      obs: ``[K, *obs_shape]``, to be written by whoever steps the environments.
    """

    def __init__(self, spaces: SpaceSpec, lead: tuple[int, int, int], sampled: bool):
        """Prepare for ``lead`` (shards, members, environments of a member in a shard)."""
        rows, size = math.prod(lead), math.prod(spaces.obs_shape)
        width = size + (spaces.num_actions if sampled else 0)
        self._inputs = np.zeros((rows, width), np.float32)
        self.obs = self._inputs[:, :size].reshape(rows, *spaces.obs_shape)
        assert np.may_share_memory(self.obs, self._inputs)
        self._noise = self._inputs[:, size:]
        self._by_shard = self._inputs.reshape(*lead, width)

    def __call__(self, policies: Packed, noise: np.ndarray | None = None) -> np.ndarray:
        """What the policies do at ``obs``.

        Args:
          policies: of all members.
          noise: ``[K, A]``, a step of what :func:`draw` gives; for samples.

        Returns:
          Numbers ``[K, A]`` of unclipped actions (``[K, 1]`` for discrete ones); of samples with a
          last column of log-probabilities.
        """
        if noise is not None:
            self._noise[...] = noise
        chosen = np.asarray(policies.act(policies.flat, self._by_shard))
        return chosen.reshape(len(self._inputs), -1)


def actions(spaces: SpaceSpec, numbers: np.ndarray) -> np.ndarray:
    """Actions, int32 ``[...]`` or ``[..., A]``, out of what a :class:`Chooser` gives."""
    if spaces.kind == "discrete":
        return numbers[..., 0].astype(np.int32)
    return numbers[..., : spaces.num_actions]


def to_env(spaces: SpaceSpec, action: np.ndarray) -> np.ndarray:
    """What ``Networks.to_env`` does, in numpy, where a small call costs a tenth."""
    if spaces.kind == "discrete":
        return action
    return action.clip(np.asarray(spaces.low, np.float32), np.asarray(spaces.high, np.float32))


def draw(
    spaces: SpaceSpec, seeds: Sequence[int], shards: Sequence[int], width: int, num_steps: int,
    *path: int,
) -> np.ndarray:  # fmt: skip
    """Random numbers ``[T, K, A]``, a function of members' seeds, ``path`` and shard.

    Gumbel or normal ones, as distributions ``pick`` with. A whole segment's at once, in numpy:
    drawing them step by step would cost more than the policy does, and there is nothing to compile.

    Args:
      spaces: say which, and how many (``A``).
      seeds: root seeds of the ``L`` members.
      shards: the ``S`` shards.
      width: ``n``, environments of a member in a shard; ``K`` is ``S * L * n``.
      num_steps: ``T``.
      *path: what they are for.
    """
    lead = (num_steps, len(shards), len(seeds), width, spaces.num_actions)
    noise = np.empty(lead, np.float32)
    for s, shard in enumerate(shards):
        for m, seed in enumerate(seeds):
            rng = seeding.generator(seed, seeding.ACTION, *path, shard)
            drawn = noise[:, s, m]
            if spaces.kind == "discrete":  # minus the logarithm of an exponential is Gumbel
                drawn[...] = rng.standard_exponential(drawn.shape, np.float32)
                np.negative(np.log(np.maximum(drawn, TINY, out=drawn), out=drawn), out=drawn)
            else:
                drawn[...] = rng.standard_normal(drawn.shape, np.float32)
    return noise.reshape(num_steps, -1, spaces.num_actions)
