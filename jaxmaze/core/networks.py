"""Policy and value networks, built from a description of the spaces."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxmaze.core import distributions, normalization
from jaxmaze.core.types import Array, NetworkSpec, Params, Policy, SpaceSpec

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "elu": nn.elu,
    "silu": nn.silu,
    "gelu": nn.gelu,
}


def orthogonal(scale: float) -> Callable[..., Array]:
    """Initialiser of a matrix whose rows or columns, the fewer, are orthogonal, of norm ``scale``.

    Gram-Schmidt, done twice for accuracy, on a Gaussian matrix; uniformly distributed, as in Saxe
    et al. (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks". Not by QR: on the CPU a batch of decompositions waits for threads of the pool that it
    runs in, and several of them at once, as in members' initialisation, may wait for ever.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        long, short = max(shape), min(shape)
        q = _orthonormal(key, long, short, dtype)
        return scale * (q if shape == (long, short) else q.T)

    return init


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _orthonormal(key: Array, long: int, short: int, dtype: Any) -> Array:
    """``short`` orthonormal columns of length ``long``.

    Jitted because linen traces initialisers at every application, for the shapes alone.
    """
    gaussian = jax.random.normal(key, (long, short), dtype)

    def column(j: Array, q: Array) -> Array:
        v = jax.lax.fori_loop(0, 2, lambda _, v: v - q @ (q.T @ v), gaussian[:, j])
        return q.at[:, j].set(v / jnp.linalg.norm(v))

    return jax.lax.fori_loop(0, short, column, jnp.zeros((long, short), dtype))


class MLP(nn.Module):
    """Dense layers with orthogonal initialisation.

    Gains of sqrt(2) for hidden layers and ``out_scale`` for the last; biases 0. Andrychowicz et al.
    (2021), "What Matters in On-Policy Reinforcement Learning?", section 3.2.
    """

    hidden_sizes: tuple[int, ...]
    out_size: int
    out_scale: float
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for size in self.hidden_sizes:
            x = nn.Dense(size, kernel_init=orthogonal(math.sqrt(2.0)))(x)
            x = ACTIVATIONS[self.activation](x)
        return nn.Dense(self.out_size, kernel_init=orthogonal(self.out_scale))(x)


class PolicyNetwork(nn.Module):
    """Normalised observations ``[..., *obs_shape]`` to an action distribution ``[...]``."""

    spaces: SpaceSpec
    spec: NetworkSpec

    @nn.compact
    def __call__(self, x: Array) -> distributions.Distribution:
        spaces, spec = self.spaces, self.spec
        out = MLP(spec.hidden_sizes, spaces.num_actions, 0.01, spec.activation)(x)
        if spaces.kind == "discrete":
            return distributions.Categorical(out)
        log_std = self.param("log_std", nn.initializers.zeros, (spaces.num_actions,))
        return distributions.DiagGaussian(out, jnp.broadcast_to(log_std, out.shape))


class ValueNetwork(nn.Module):
    """Normalised observations ``[..., *obs_shape]`` to scaled values ``[...]``."""

    spec: NetworkSpec

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return MLP(self.spec.hidden_sizes, 1, 1.0, self.spec.activation)(x)[..., 0]


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of one agent as pure functions. Hashable, so that jit can take it as static."""

    spaces: SpaceSpec
    spec: NetworkSpec

    def _flat(self, obs: Array) -> Array:
        lead = obs.shape[: obs.ndim - len(self.spaces.obs_shape)]
        return obs.reshape((*lead, -1)).astype(jnp.float32)

    def _dummy(self) -> Array:
        return jnp.zeros((1, math.prod(self.spaces.obs_shape)))

    def init_policy(self, key: Array) -> Params:
        """Parameters of a fresh policy network."""
        return PolicyNetwork(self.spaces, self.spec).init(key, self._dummy())["params"]

    def init_value(self, key: Array) -> Params:
        """Parameters of a fresh value network."""
        return ValueNetwork(self.spec).init(key, self._dummy())["params"]

    def init_stats(self) -> normalization.RunningStats:
        """Observation statistics of nothing yet."""
        return normalization.init_stats((math.prod(self.spaces.obs_shape),))

    def flatten_obs(self, obs: Array) -> Array:
        """Observations ``[..., *obs_shape]`` as float32 rows ``[..., D]``, for the statistics."""
        return self._flat(obs)

    def distribution(
        self, params: Params, stats: normalization.RunningStats, obs: Array
    ) -> distributions.Distribution:
        """The policy at raw observations ``[..., *obs_shape]``."""
        x = normalization.normalize(stats, self._flat(obs))
        dist = PolicyNetwork(self.spaces, self.spec).apply({"params": params}, x)
        return dist  # type: ignore[return-value]

    def value(self, params: Params, stats: normalization.RunningStats, obs: Array) -> Array:
        """The (scaled) value ``[...]`` of raw observations ``[..., *obs_shape]``."""
        x = normalization.normalize(stats, self._flat(obs))
        return ValueNetwork(self.spec).apply({"params": params}, x)  # type: ignore[return-value]

    def act(self, policy: Policy, obs: Array, key: Array | None = None) -> tuple[Array, Array]:
        """Actions and their log-probabilities; the mode without a key, a sample with one.

        Actions are unclipped; :meth:`to_env` makes of them what an environment takes.
        """
        dist = self.distribution(policy.params, policy.obs_stats, obs)
        action = dist.mode() if key is None else dist.sample(key)
        return action, dist.log_prob(action)

    def project(self, params: Params) -> Params:
        """Policy parameters with the standard deviation put back into its range.

        Beyond the range a clipped parameter has no gradient and would never come back.
        """
        if self.spaces.kind == "discrete":
            return params
        low, high = distributions.LOG_STD_MIN, distributions.LOG_STD_MAX
        return {**params, "log_std": jnp.clip(params["log_std"], low, high)}

    def temper(self, params: Params, temperature: Array | float) -> Params:
        """Policy parameters at a temperature: logits divided, or standard deviations multiplied.

        The last layer is linear, so that dividing it divides the logits exactly.
        """
        if self.spaces.kind == "continuous":
            return self.project({**params, "log_std": params["log_std"] + jnp.log(temperature)})
        last = f"Dense_{len(self.spec.hidden_sizes)}"
        layers = params["MLP_0"]
        divided = jax.tree.map(lambda x: x / temperature, layers[last])
        return {**params, "MLP_0": {**layers, last: divided}}

    def to_env(self, action: Array) -> Array:
        """Actions as the environment takes them: continuous ones clipped to their bounds."""
        if self.spaces.kind == "discrete":
            return action
        return jnp.clip(action, jnp.asarray(self.spaces.low), jnp.asarray(self.spaces.high))
