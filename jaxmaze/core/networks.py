"""Policy and value networks as pure functions: an encoder with a head on its features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core import normalization
from jaxmaze.core.distributions import Distribution
from jaxmaze.core.encoders import ENCODERS, IMAGE, Inputs
from jaxmaze.core.memory import GATES, MEMORIES, Memory, carry_size
from jaxmaze.core.observations import Observations
from jaxmaze.core.spaces import MASK, ActionSpace, Spaces
from jaxmaze.core.types import Array, NetworkSpec, Params, Policy, PyTree


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """A matrix ``shape`` with orthogonal rows or columns, whichever are fewer, of norm ``scale``.

    The Q of a Gaussian matrix's QR, with R's diagonal made positive, is uniformly distributed:
    Mezzadri (2007), "How to generate random matrices from the classical compact groups". For deep
    networks: Saxe et al. (2014), "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks".
    """
    long, short = max(shape), min(shape)
    q, r = np.linalg.qr(rng.standard_normal((long, short)))
    q = q * np.where(np.diag(r) < 0, -scale, scale)
    return (q if shape == (long, short) else q.T).astype(np.float32)


def orthogonal_of_image(
    rng: np.random.Generator, shape: tuple[int, ...], scale: float
) -> np.ndarray:
    """As :func:`orthogonal`, but faster for the large, tall kernels of image networks.

    The Cholesky factor of ``A'A`` for a Gaussian ``A`` is the R of its QR with a positive diagonal;
    for 4096 x 512 numbers it takes a tenth of the time. Kernels ``[..., outputs]`` that are not
    taller than wide are drawn by QR, as ``A`` may be nearly singular there.
    """
    matrix = (math.prod(shape[:-1]), shape[-1])
    if matrix[0] < 2 * matrix[1]:
        return orthogonal(rng, matrix, scale).reshape(shape)
    a = rng.standard_normal(matrix)
    q = a @ np.linalg.inv(np.linalg.cholesky(a.T @ a)).T
    return (scale * q).reshape(shape).astype(np.float32)


def _features(
    obs: Observations, spec: NetworkSpec, rows: Inputs, carry: Array, begin: Array
) -> tuple[Array, Array]:
    """Features for the heads, from the encoder and the memory if there is one; and the carry."""
    encoder, memory = ENCODERS[spec.encoder](obs, spec, name="encoder"), MEMORIES[spec.memory]
    if memory is None:
        return encoder(rows, carry, begin)
    own = encoder.carry_size(spec)
    features, passed = encoder(rows, carry[..., :own], begin)
    features, carry = memory(spec.memory_size, name="memory")(features, carry[..., own:], begin)
    return features, jnp.concatenate([passed, carry], -1) if own else carry


class PolicyNetwork(nn.Module):
    """Maps an encoder's inputs to an action distribution ``[...]`` and the next carry."""

    obs: Observations
    action: ActionSpace
    spec: NetworkSpec

    @nn.compact
    def __call__(self, rows: Inputs, carry: Array, begin: Array) -> tuple[Distribution, Array]:
        zeros = nn.initializers.zeros
        features, carry = _features(self.obs, self.spec, rows, carry, begin)
        outputs = nn.Dense(self.action.num_outputs, kernel_init=zeros, name="head")(features)
        free = {
            name: self.param(name, zeros, shape)
            for name, shape in self.action.free_params().items()
        }
        return self.action.distribution(outputs, free), carry


class ValueNetwork(nn.Module):
    """Maps an encoder's inputs to scaled values ``[...]`` and the next carry."""

    obs: Observations
    spec: NetworkSpec

    @nn.compact
    def __call__(self, rows: Inputs, carry: Array, begin: Array) -> tuple[Array, Array]:
        features, carry = _features(self.obs, self.spec, rows, carry, begin)
        value = nn.Dense(1, kernel_init=nn.initializers.zeros, name="head")(features)
        return value[..., 0], carry


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of one agent as pure functions. Hashable, so that jit can take it as static.

    Attributes:
      spaces: observation and action spaces of the environment.
      spec: kind and sizes of the networks.
    """

    spaces: Spaces
    spec: NetworkSpec

    @property
    def action(self) -> ActionSpace:
        """The kind of action that the policy outputs."""
        return self.spaces.action.squashed() if self.spec.squash_actions else self.spaces.action

    @property
    def carry_size(self) -> int:
        """Size of the hidden state; 0 for feed-forward networks."""
        of_memory = carry_size(self.spec.memory, self.spec.memory_size)
        return ENCODERS[self.spec.encoder].carry_size(self.spec) + of_memory

    @property
    def input_layers(self) -> tuple[tuple[str, ...], ...]:
        """Paths, in policy and value parameters, of the layers that take the encoder's inputs.

        The kernels' first rows are those of the normalised numbers.
        """
        memory = MEMORIES[self.spec.memory]
        of_encoder = ENCODERS[self.spec.encoder].input_layers(self.spec)
        if of_encoder:
            return tuple(("encoder", *path) for path in of_encoder)
        if memory is not None:
            return tuple(("memory", *path) for path in memory.INPUT_LAYERS)
        return (("head",),)

    @property
    def _one_by_one(self) -> bool:
        """Whether the encoder itself is recurrent, and so has to be given one step at a time."""
        return ENCODERS[self.spec.encoder].carry_size(self.spec) > 0

    def blank(self, begin: Array) -> Memory | None:
        """A memory with hidden state zero, before steps ``[T, ...]`` whose starts ``begin`` marks.

        None for feed-forward networks.
        """
        if not self.carry_size:
            return None
        return Memory(jnp.zeros((*np.shape(begin)[1:], self.carry_size)), begin)

    def _policy(self) -> PolicyNetwork:
        return PolicyNetwork(self.spaces.features, self.action, self.spec)

    def _value(self) -> ValueNetwork:
        return ValueNetwork(self.spaces.features, self.spec)

    def _shapes(self, module: nn.Module) -> Params:
        def init() -> PyTree:
            inputs = self.inputs(self.init_stats(), self.spaces.obs.stored(1))
            carry = jnp.zeros((1, self.carry_size))
            return module.init(jax.random.key(0), inputs, carry, jnp.ones(1))

        return jax.eval_shape(init)["params"]

    def policy_shapes(self) -> Params:
        """Shapes and types of the policy's parameters, as ``jax.ShapeDtypeStruct``."""
        return self._shapes(self._policy())

    def init_policy(self, seed: np.random.SeedSequence) -> Params:
        """Initial parameters of a policy network, as numpy arrays.

        Orthogonal kernels with gains of sqrt(2) for hidden layers and 0.01 for the head, all else
        0: Andrychowicz et al. (2021), "What Matters in On-Policy Reinforcement Learning?", section
        3.2. Drawn on the host: in JAX, compiling takes longer than training a small network, and
        running takes half a minute instead of half a second for a large one.
        """
        return self._drawn(self.policy_shapes(), seed, 0.01)

    def init_value(self, seed: np.random.SeedSequence) -> Params:
        """Initial parameters of a value network, likewise, with a gain of 1 for the head."""
        return self._drawn(self._shapes(self._value()), seed, 1.0)

    def _drawn(self, shapes: Params, seed: np.random.SeedSequence, head_scale: float) -> Params:
        rng = np.random.default_rng(seed)

        def draw(path: Sequence[jax.tree_util.DictKey], x: jax.ShapeDtypeStruct) -> np.ndarray:
            names = [part.key for part in path]
            if names[-1] != "kernel":
                return np.zeros(x.shape, x.dtype)
            if names[1].startswith(IMAGE):
                return orthogonal_of_image(rng, x.shape, math.sqrt(2.0))
            if "memory" in names and names[-2] in ("input", "recurrent"):
                # Each gate's kernel separately, with a gain of 1.
                shape = (x.shape[0], x.shape[1] // GATES)
                return np.concatenate([orthogonal(rng, shape, 1.0) for _ in range(GATES)], 1)
            return orthogonal(rng, x.shape, head_scale if "head" in names else math.sqrt(2.0))

        return jax.tree_util.tree_map_with_path(draw, shapes)

    def init_stats(self) -> normalization.RunningStats:
        """Observation statistics before any data."""
        return normalization.init_stats((self.spaces.features.num_measured,))

    def flatten_obs(self, obs: PyTree) -> Array:
        """The numbers of observations ``[..., *shape]`` that are normalised, as float32 rows.

        Without the action mask, which is not a feature.
        """
        return self.spaces.features.measured(self.spaces.features_of(obs))

    def inputs(self, stats: normalization.RunningStats, obs: PyTree) -> Inputs:
        """Encoder inputs for raw observations ``[..., *shape]``.

        Normalised vectors and one-hot encoded integers, concatenated into one row ``[..., D]``;
        if there are images, that row and the images, uint8 ``[..., H, W, channels]``.
        """
        spec, seen = self.spaces.features, self.spaces.features_of(obs)
        rows = spec.measured(seen)
        if spec.num_measured:
            rows = normalization.normalize(stats, rows)
        encoded = spec.encoded(seen)
        if encoded:
            rows = jnp.concatenate([rows, *encoded], -1)
        images = spec.images(seen)
        return (rows, images) if images else rows

    def _allowed(self, dist: Distribution, obs: PyTree) -> Distribution:
        """The distribution restricted to actions that the observations' mask allows."""
        return self.action.masked(dist, obs[MASK]) if self.spaces.masked else dist

    def step(
        self, policy: Policy, obs: PyTree, carry: Array, begin: Array
    ) -> tuple[Distribution, Array]:
        """One step of the policy, as used for acting.

        Args:
          policy: parameters and statistics.
          obs: ``[..., *shape]`` raw observations.
          carry: ``[..., carry_size]`` hidden state after the previous step.
          begin: ``[...]`` 1.0 where an episode begins.

        Returns:
          The distribution ``[...]``, and the carry for the next step.
        """
        inputs = self.inputs(policy.obs_stats, obs)
        found: PyTree = self._policy().apply({"params": policy.params}, inputs, carry, begin)
        return self._allowed(found[0], obs), found[1]

    def _apply(
        self,
        module: nn.Module,
        params: Params,
        stats: normalization.RunningStats,
        obs: PyTree,
        memory: Memory | None,
    ) -> tuple[PyTree, Array]:
        """The network's output, and the hidden state after each step."""
        inputs, lead = self.inputs(stats, obs), self.spaces.obs.lead(obs)
        if memory is None or not self.carry_size:  # single steps, each the first of an episode
            memory = Memory(jnp.zeros((*lead, self.carry_size)), jnp.ones(lead))
        elif self._one_by_one:
            return self._over(module, params, inputs, memory)
        applied: PyTree = module.apply({"params": params}, inputs, memory.carry, memory.begin)
        return applied

    def _over(
        self, module: nn.Module, params: Params, rows: Inputs, memory: Memory
    ) -> tuple[PyTree, Array]:
        """Apply a recurrent network step by step along the leading time axis."""

        def step(carry: Array, x: tuple[PyTree, Array]) -> tuple[Array, PyTree]:
            applied: PyTree = module.apply({"params": params}, x[0], carry, x[1])
            return applied[1], applied

        found: PyTree = jax.lax.scan(step, memory.carry, (rows, memory.begin))[1]
        return found

    def distribution(
        self,
        params: Params,
        stats: normalization.RunningStats,
        obs: PyTree,
        memory: Memory | None = None,
    ) -> Distribution:
        """The action distribution at raw observations.

        Args:
          params: the policy's parameters.
          stats: observation statistics.
          obs: ``[..., *shape]``; with a memory ``[T, ..., *shape]``, consecutive steps.
          memory: hidden state before the first step, and episode starts; for recurrent networks.
        """
        return self.follow(params, stats, obs, memory)[0]

    def follow(
        self,
        params: Params,
        stats: normalization.RunningStats,
        obs: PyTree,
        memory: Memory | None,
    ) -> tuple[Distribution, Array]:
        """As :meth:`distribution`, and hidden states after each step ``[T, ..., carry_size]``."""
        dist, carry = self._apply(self._policy(), params, stats, obs, memory)
        return self._allowed(dist, obs), carry

    def value(
        self,
        params: Params,
        stats: normalization.RunningStats,
        obs: PyTree,
        memory: Memory | None = None,
    ) -> Array:
        """The (scaled) value ``[...]`` of raw observations; arguments as :meth:`distribution`."""
        return self.follow_value(params, stats, obs, memory)[0]

    def follow_value(
        self,
        params: Params,
        stats: normalization.RunningStats,
        obs: PyTree,
        memory: Memory | None,
    ) -> tuple[Array, Array]:
        """As :meth:`value`, and hidden states after each step ``[T, ..., carry_size]``."""
        return self._apply(self._value(), params, stats, obs, memory)

    def values_in_turn(
        self,
        params: Params,
        stats: normalization.RunningStats,
        obs: PyTree,
        next_obs: PyTree,
        memory: Memory,
    ) -> tuple[Array, Array, Array]:
        """Values of a segment's observations and next observations, by a recurrent critic.

        Args:
          params: the critic's parameters.
          stats: observation statistics.
          obs: ``[T, N, *shape]``.
          next_obs: ``[T, N, *shape]`` true next observations, final ones of episodes included.
          memory: the critic's hidden state before the first step, and episode starts.

        Returns:
          Values ``[T, N]``, values of ``next_obs`` ``[T, N]``, and the carry after the last step.
        """
        value, carries = self.follow_value(params, stats, obs, memory)
        # Each next observation is evaluated as a single step from the hidden state before it.
        beyond = self.value_after(params, stats, next_obs, carries)
        return value, beyond, carries[-1]

    def value_after(
        self, params: Params, stats: normalization.RunningStats, obs: PyTree, carry: Array
    ) -> Array:
        """A recurrent critic's values ``[...]`` of single observations, given carries ``[..., C]``.

        None of the observations is the first of an episode.
        """
        single, going_on = self.inputs(stats, obs), jnp.zeros(self.spaces.obs.lead(obs))
        found: PyTree = self._value().apply({"params": params}, single, carry, going_on)
        return found[0]  # type: ignore[no-any-return]

    def act(self, policy: Policy, obs: PyTree, key: Array | None = None) -> tuple[Array, Array]:
        """Actions and their log-probabilities; the mode without a key, a sample with one.

        Actions are unclipped; :meth:`to_env` converts them to the environment's form.
        """
        dist = self.distribution(policy.params, policy.obs_stats, obs)
        action = dist.mode() if key is None else dist.sample(key)
        return action, dist.log_prob(action)

    def act_on(
        self, policy: Policy, obs: PyTree, carry: Array, begin: Array, key: Array | None = None
    ) -> tuple[Array, Array]:
        """Actions and carry of one step; arguments as for :meth:`step`, and ``key`` for samples."""
        dist, carry = self.step(policy, obs, carry, begin)
        return dist.mode() if key is None else dist.sample(key), carry

    def project(self, params: Params, most_std: Array | float = jnp.inf) -> Params:
        """Clip policy parameters to where they have a gradient, and deviations to a limit."""
        return self.action.project(params, most_std)

    def temper(self, params: Params, temperature: Array | float) -> Params:
        """Policy parameters at a temperature: logits divided, or standard deviations multiplied."""
        return self.action.temper(params, temperature)

    def to_env(self, action: PyTree) -> PyTree:
        """Convert actions to the environment's form: continuous ones are clipped to bounds."""
        return self.action.to_env(action)
