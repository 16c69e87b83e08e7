"""Policy and value networks, built from a description of the spaces."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core import distributions, normalization
from jaxmaze.core.types import Array, NetworkSpec, Params, Policy, SpaceSpec

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": nn.tanh,
    "relu": nn.relu,
    "elu": nn.elu,
    "silu": nn.silu,
    "gelu": nn.gelu,
}


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """A matrix ``shape`` whose rows or columns, the fewer, are orthogonal, of norm ``scale``.

    QR of a Gaussian matrix with the diagonal of R made positive, which is distributed uniformly:
    Mezzadri (2007), "How to generate random matrices from the classical compact groups". For deep
    networks: Saxe et al. (2014), "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks".
    """
    long, short = max(shape), min(shape)
    q, r = np.linalg.qr(rng.standard_normal((long, short)))
    q = q * np.where(np.diag(r) < 0, -scale, scale)
    return (q if shape == (long, short) else q.T).astype(np.float32)


class MLP(nn.Module):
    """Dense layers. Linen's own ``init`` gives zeros; :class:`Networks` draws the parameters."""

    hidden_sizes: tuple[int, ...]
    out_size: int
    activation: str = "tanh"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        zeros = nn.initializers.zeros
        for size in self.hidden_sizes:
            x = nn.Dense(size, kernel_init=zeros)(x)
            x = ACTIVATIONS[self.activation](x)
        return nn.Dense(self.out_size, kernel_init=zeros)(x)


class PolicyNetwork(nn.Module):
    """Normalised observations ``[..., *obs_shape]`` to an action distribution ``[...]``."""

    spaces: SpaceSpec
    spec: NetworkSpec

    @nn.compact
    def __call__(self, x: Array) -> distributions.Distribution:
        spaces, spec = self.spaces, self.spec
        out = MLP(spec.hidden_sizes, spaces.num_actions, spec.activation)(x)
        if spaces.kind == "discrete":
            return distributions.Categorical(out)
        log_std = self.param("log_std", nn.initializers.zeros, (spaces.num_actions,))
        return distributions.DiagGaussian(out, jnp.broadcast_to(log_std, out.shape))


class ValueNetwork(nn.Module):
    """Normalised observations ``[..., *obs_shape]`` to scaled values ``[...]``."""

    spec: NetworkSpec

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return MLP(self.spec.hidden_sizes, 1, self.spec.activation)(x)[..., 0]


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks of one agent as pure functions. Hashable, so that jit can take it as static."""

    spaces: SpaceSpec
    spec: NetworkSpec

    def _flat(self, obs: Array) -> Array:
        lead = obs.shape[: obs.ndim - len(self.spaces.obs_shape)]
        return obs.reshape((*lead, -1)).astype(jnp.float32)

    def _shapes(self, module: nn.Module) -> Params:
        def init() -> Any:
            return module.init(jax.random.key(0), jnp.zeros((1, math.prod(self.spaces.obs_shape))))

        return jax.eval_shape(init)["params"]

    def policy_shapes(self) -> Params:
        """Shapes and types of the policy's parameters, as ``jax.ShapeDtypeStruct``."""
        return self._shapes(PolicyNetwork(self.spaces, self.spec))

    def init_policy(self, seed: np.random.SeedSequence) -> Params:
        """Parameters of a fresh policy network, as numpy arrays.

        Orthogonal kernels with gains of sqrt(2) for hidden layers and 0.01 for the last, all else
        0: Andrychowicz et al. (2021), "What Matters in On-Policy Reinforcement Learning?", section
        3.2. Drawn on the host: compiling this would take longer than a small network's training,
        and running it, for a large network, half a minute instead of half a second.
        """
        return self._drawn(self.policy_shapes(), seed, 0.01)

    def init_value(self, seed: np.random.SeedSequence) -> Params:
        """Parameters of a fresh value network, likewise, with a gain of 1 for the last layer."""
        return self._drawn(self._shapes(ValueNetwork(self.spec)), seed, 1.0)

    def _drawn(self, shapes: Params, seed: np.random.SeedSequence, out_scale: float) -> Params:
        rng = np.random.default_rng(seed)
        last = f"Dense_{len(self.spec.hidden_sizes)}"

        def draw(path: Any, x: jax.ShapeDtypeStruct) -> np.ndarray:
            names = [part.key for part in path]
            if names[-1] != "kernel":
                return np.zeros(x.shape, x.dtype)
            return orthogonal(rng, x.shape, out_scale if last in names else math.sqrt(2.0))

        return jax.tree_util.tree_map_with_path(draw, shapes)

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
