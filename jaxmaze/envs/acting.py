"""Action selection for a whole population in one cheap compiled call per step.

An environment step takes some 20 microseconds, and so does calling a compiled function, mostly
because of the overhead per input and output array. So there are only two input arrays (policies;
observations with their random numbers) and one output array (actions with their log-probabilities).
Images are a third input, of bytes. Policies with image inputs are large, so that unpacking them
from one array would take longer; they are passed as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core import seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import ActionSpace
from jaxmaze.core.types import Policy, PyTree


class Packed(NamedTuple):
    """Policies of ``L`` members, ready to act.

    Attributes:
      flat: all their parameters ``[L, P]``, on the device; unpacked for policies with image inputs.
      act: the compiled function of ``flat`` and a :class:`Chooser`'s inputs.
    """

    flat: PyTree
    act: Callable[..., PyTree]


def pack(networks: Networks, policies: Policy) -> Packed:
    """Pack policies with a leading axis ``[L]`` for a :class:`Chooser`; all leaves are float32."""
    policies = jax.device_get(policies)
    leaves, tree = jax.tree.flatten(policies)
    act = _compiled(networks, tree, tuple(x.shape[1:] for x in leaves))
    if networks.spaces.obs.num_pixels:
        return Packed(jax.device_put(policies), act)
    rows = [np.asarray(x, np.float32).reshape(len(x), -1) for x in leaves]
    return Packed(jax.device_put(np.concatenate(rows, axis=1)), act)


@functools.lru_cache(maxsize=16)
def _compiled(networks: Networks, tree: PyTree, shapes: tuple[tuple[int, ...], ...]) -> PyTree:
    """The compiled function that selects actions with policies of these shapes.

    Looked up once per segment. As static arguments of one function, the shapes would be hashed at
    every step, which takes a quarter of such a call.
    """
    spaces, carries = networks.spaces, networks.carry_size
    size = spaces.obs.size
    ends = np.cumsum([math.prod(s) for s in shapes])[:-1].tolist()

    def apart(flat: PyTree) -> Policy:
        parts = jnp.split(flat, ends, axis=1)
        leaves = [x.reshape(-1, *s) for x, s in zip(parts, shapes, strict=True)]
        return jax.tree.unflatten(tree, leaves)  # type: ignore[no-any-return]

    def act(flat: PyTree, inputs: PyTree, pixels: PyTree = None) -> PyTree:
        policies = apart(flat) if pixels is None else flat
        noise_ends = inputs.shape[-1] - (carries + 1 if carries else 0)
        sampled = noise_ends > size

        def one(policy: Policy, x: PyTree, seen: PyTree = None) -> PyTree:
            obs = spaces.obs.unflatten(x[..., :size], seen)
            begin, carry = jnp.ones(x.shape[:-1]), x[..., noise_ends + 1 :]
            if carries:
                begin = x[..., noise_ends]
            dist, carry = networks.step(policy, obs, carry, begin)
            action = dist.pick(x[..., size:noise_ends]) if sampled else dist.mode()
            numbers = [action.astype(jnp.float32).reshape(*x.shape[:-1], -1)]
            if sampled:
                numbers.append(dist.log_prob(action)[..., None])
            if carries:
                numbers.append(carry)
            return numbers[0] if len(numbers) == 1 else jnp.concatenate(numbers, -1)

        # Unrolled over shards: the last bit of a product depends on the array shapes, so these
        # must not depend on how many shards a process has.
        shards = range(len(inputs))
        given = (inputs,) if pixels is None else (inputs, pixels)
        return jnp.stack([jax.vmap(one)(policies, *(x[s] for x in given)) for s in shards])

    return jax.jit(act)


class Chooser:
    """Observation buffers for a fixed number of environments, and action selection from them.

    Attributes:
      rows: ``[K, D]`` the observations without images.
      pixels: ``[K, B]`` the images, as bytes.
      obs: ``[K, *shape]`` a view of ``rows`` and ``pixels``; the caller writes observations here.
      begin: ``[K]`` the caller sets it to 1 where an observation is an episode's first; empty for
        feed-forward policies.
      carry: ``[K, C]`` the policies' hidden states; empty likewise.
    """

    def __init__(self, networks: Networks, lead: tuple[int, int, int], sampled: bool):
        """Prepare for ``lead`` (shards, members, environments of a member in a shard)."""
        spaces, carries = networks.spaces, networks.carry_size
        rows, size = math.prod(lead), spaces.obs.size
        noise_ends = size + (spaces.action.num_noise if sampled else 0)
        width = noise_ends + (1 + carries if carries else 0)
        self._inputs = np.zeros((rows, width), np.float32)
        self.rows = self._inputs[:, :size]
        self.pixels = np.zeros((rows, spaces.obs.num_pixels), np.uint8)
        self.obs = spaces.obs.unflatten(self.rows, self.pixels)
        for part, view in zip(spaces.obs.parts, jax.tree.leaves(self.obs), strict=True):
            of = self.pixels if part.kind.image else self._inputs
            assert np.may_share_memory(view, of)
        self._noise = self._inputs[:, size:noise_ends]
        self.begin = self._inputs[:, noise_ends] if carries else np.zeros(0, np.float32)
        self.carry = self._inputs[:, noise_ends + 1 :]
        self._by_shard: tuple[np.ndarray, ...] = (self._inputs.reshape(*lead, width),)
        if spaces.obs.num_pixels:
            self._by_shard += (self.pixels.reshape(*lead, -1),)

    def __call__(self, policies: Packed, noise: np.ndarray | None = None) -> np.ndarray:
        """The policies' actions at ``obs``.

        Args:
          policies: of all members.
          noise: ``[K, A]``, one step of what :func:`draw` returns; for sampled actions.

        Returns:
          Unclipped actions ``[K, A]`` (``[K, 1]`` for discrete ones) as numbers; sampled actions
          have a last column of log-probabilities.
        """
        if noise is not None:
            self._noise[...] = noise
        chosen = np.asarray(policies.act(policies.flat, *self._by_shard))
        chosen = chosen.reshape(len(self._inputs), -1)
        if not self.begin.size:
            return chosen
        carries = self.carry.shape[1]
        self.carry[...] = chosen[:, -carries:]
        self.begin[...] = 0.0
        return chosen[:, :-carries]


def draw(
    action: ActionSpace,
    seeds: Sequence[int],
    shards: Sequence[int],
    width: int,
    num_steps: int,
    *path: int,
) -> np.ndarray:
    """Random numbers ``[T, K, A]``, determined by the members' seeds, ``path`` and shard.

    They are the noise for ``Distribution.pick``. A whole segment's are drawn at once, in numpy:
    drawing them step by step would cost more than the policy does, and numpy needs no compilation.

    Args:
      action: the kind of action, which determines the type of noise and its size ``A``.
      seeds: root seeds of the ``L`` members.
      shards: the ``S`` shards.
      width: ``n``, environments of a member in a shard; ``K`` is ``S * L * n``.
      num_steps: ``T``.
      *path: identifies the purpose.
    """
    lead = (num_steps, len(shards), len(seeds), width, action.num_noise)
    noise = np.empty(lead, np.float32)
    for s, shard in enumerate(shards):
        for m, seed in enumerate(seeds):
            rng = seeding.generator(seed, seeding.ACTION, *path, shard)
            action.fill_noise(rng, noise[:, s, m])
    return noise.reshape(num_steps, -1, action.num_noise)
