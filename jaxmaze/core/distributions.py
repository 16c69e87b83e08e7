"""Action distributions. Each is a pytree whose leaves share their leading (batch) axes."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmaze.core.types import Array, PyTree

LOG_STD_MIN = -3.0
"""Lower limit of a Gaussian's log standard deviation, which keeps the likelihood bounded."""
LOG_STD_MAX = 2.0
FORBIDDEN = -1e8
"""The logit of a forbidden action: its probability is exactly 0, without producing NaN."""
BORDER = 1e-6
"""Minimum distance of squashed actions from their bounds at +-1 before tanh is inverted."""
_NODES = 32
"""Number of quadrature points for the entropy of a squashed Gaussian."""


class Categorical(NamedTuple):
    """A choice among ``A`` actions.

    Attributes:
      logits: ``[..., A]`` unnormalised log-probabilities.
    """

    logits: Array

    def log_prob(self, action: Array) -> Array:
        """Log-probability ``[...]`` of ``action`` ``[...]`` (integers)."""
        log_p = jax.nn.log_softmax(self.logits)
        # One-hot, not indexing: the gradient of indexing is a scatter, which is slow on a CPU.
        chosen = jnp.arange(self.logits.shape[-1]) == action.astype(jnp.int32)[..., None]
        return jnp.where(chosen, log_p, 0.0).sum(-1)

    def entropy(self) -> Array:
        """``-sum_a p(a) log p(a)``, in nats, ``[...]``."""
        log_p = jax.nn.log_softmax(self.logits)
        return -(jnp.exp(log_p) * log_p).sum(-1)

    def kl(self, other: PyTree) -> Array:
        """``KL(self || other)`` in nats, ``[...]``; ``other`` is of the same kind."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return (jnp.exp(log_p) * (log_p - log_q)).sum(-1)

    def exploration(self) -> dict[str, Array]:
        """Metrics of exploration beside the entropy: none."""
        return {}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """The mean of ``-log p(action)`` over rows, with the logits divided by a temperature."""
        return -Categorical(self.logits / temperature).log_prob(action).mean()

    def pick(self, noise: Array) -> Array:
        """Sample actions, int32 ``[...]``, using Gumbel ``noise`` ``[..., A]``.

        ``argmax_a logits(a) + g(a)``; Maddison, Tarlow & Minka (2014), "A* Sampling", section 2.
        """
        return jnp.argmax(self.logits + noise, -1).astype(jnp.int32)

    def sample(self, key: Array) -> Array:
        """One action for each row, int32 ``[...]``."""
        return self.pick(jax.random.gumbel(key, self.logits.shape))

    def mode(self) -> Array:
        """The most probable action, int32 ``[...]``."""
        return jnp.argmax(self.logits, -1).astype(jnp.int32)


class DiagGaussian(NamedTuple):
    """Independent normal distributions, one for each of ``A`` action dimensions.

    Attributes:
      mean: ``[..., A]``.
      log_std: ``[..., A]`` or broadcastable; clipped to ``[LOG_STD_MIN, LOG_STD_MAX]``.
    """

    mean: Array
    log_std: Array

    def _log_std(self) -> Array:
        return jnp.broadcast_to(jnp.clip(self.log_std, LOG_STD_MIN, LOG_STD_MAX), self.mean.shape)

    def std(self) -> Array:
        """Standard deviation, ``[..., A]``."""
        return jnp.exp(self._log_std())

    def log_prob(self, action: Array) -> Array:
        """Log-density ``[...]`` of ``action`` ``[..., A]`` (before any clipping to bounds)."""
        log_std = self._log_std()
        z = (action - self.mean) * jnp.exp(-log_std)
        return (-0.5 * z**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Array:
        """``sum_a log_std + 0.5 log(2 pi e)``, in nats, ``[...]``."""
        return (self._log_std() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl(self, other: PyTree) -> Array:
        """``KL(self || other)`` in nats, ``[...]``; ``other`` is of the same kind."""
        a, b = self._log_std(), other._log_std()
        ratio = jnp.exp(2 * (a - b))
        shift = ((self.mean - other.mean) * jnp.exp(-b)) ** 2
        return (0.5 * (ratio + shift - 1.0) + b - a).sum(-1)

    def exploration(self) -> dict[str, Array]:
        """Metrics of exploration beside the entropy: the mean standard deviation."""
        return {"action_std": self.std().mean()}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """The mean of ``-log p(action)`` over rows, with deviations multiplied by a temperature.

        A constant is left out, and the standard deviations are not clipped, as the likelihood would
        be flat beyond the limits.
        """
        z = (action - self.mean) / (temperature * self.std())
        return (0.5 * z**2 + jnp.log(temperature)).sum(-1).mean()

    def pick(self, noise: Array) -> Array:
        """Sample unbounded actions ``[..., A]`` using standard normal ``noise``."""
        return self.mean + jnp.exp(self._log_std()) * noise

    def sample(self, key: Array) -> Array:
        """One unbounded action for each row, ``[..., A]``."""
        return self.pick(jax.random.normal(key, self.mean.shape))

    def mode(self) -> Array:
        """The mean, ``[..., A]``."""
        return self.mean


class MultiCategorical(NamedTuple):
    """``K`` independent choices among up to ``W`` actions each.

    Attributes:
      logits: ``[..., K, W]``; ``FORBIDDEN`` for entries that belong to no action.
    """

    logits: Array

    def _each(self) -> Categorical:
        return Categorical(self.logits)

    def log_prob(self, action: Array) -> Array:
        """Log-probability ``[...]`` of ``action`` ``[..., K]`` (integers)."""
        return self._each().log_prob(action).sum(-1)

    def entropy(self) -> Array:
        """The sum of the choices' entropies, in nats, ``[...]``."""
        return self._each().entropy().sum(-1)

    def kl(self, other: PyTree) -> Array:
        """``KL(self || other)`` in nats, ``[...]``; ``other`` is of the same kind."""
        return self._each().kl(other).sum(-1)

    def exploration(self) -> dict[str, Array]:
        """Metrics of exploration beside the entropy: none."""
        return {}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """The mean of ``-log p(action)`` over rows, with the logits divided by a temperature."""
        return -MultiCategorical(self.logits / temperature).log_prob(action).mean()

    def pick(self, noise: Array) -> Array:
        """Sample actions, int32 ``[..., K]``, using Gumbel ``noise`` ``[..., K * W]``."""
        return self._each().pick(noise.reshape(self.logits.shape))

    def sample(self, key: Array) -> Array:
        """One action for each row, int32 ``[..., K]``."""
        return self._each().sample(key)

    def mode(self) -> Array:
        """The most probable choices, int32 ``[..., K]``."""
        return self._each().mode()


class Bernoulli(NamedTuple):
    """``A`` independent binary choices.

    Attributes:
      logits: ``[..., A]`` the log-odds of 1.
    """

    logits: Array

    def log_prob(self, action: Array) -> Array:
        """Log-probability ``[...]`` of ``action`` ``[..., A]`` (0 or 1)."""
        # softplus(-x) is -log sigmoid(x)
        sign = jnp.where(action > 0, 1.0, -1.0)
        return -jax.nn.softplus(-sign * self.logits).sum(-1)

    def entropy(self) -> Array:
        """The sum of the choices' entropies, in nats, ``[...]``."""
        p, log_p, log_q = self._terms()
        return -(p * log_p + (1 - p) * log_q).sum(-1)

    def _terms(self) -> tuple[Array, Array, Array]:
        """The probability of 1, and the log-probabilities of 1 and of 0."""
        x = self.logits
        return jax.nn.sigmoid(x), -jax.nn.softplus(-x), -jax.nn.softplus(x)

    def kl(self, other: PyTree) -> Array:
        """``KL(self || other)`` in nats, ``[...]``; ``other`` is of the same kind."""
        p, one, zero = self._terms()
        _, other_one, other_zero = other._terms()
        return (p * (one - other_one) + (1 - p) * (zero - other_zero)).sum(-1)

    def exploration(self) -> dict[str, Array]:
        """Metrics of exploration beside the entropy: none."""
        return {}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """The mean of ``-log p(action)`` over rows, with the logits divided by a temperature."""
        return -Bernoulli(self.logits / temperature).log_prob(action).mean()

    def pick(self, noise: Array) -> Array:
        """Sample actions, int32 ``[..., A]``, using logistic ``noise`` ``[..., A]``."""
        return (self.logits + noise > 0).astype(jnp.int32)

    def sample(self, key: Array) -> Array:
        """One action for each row, int32 ``[..., A]``."""
        return self.pick(jax.random.logistic(key, self.logits.shape))

    def mode(self) -> Array:
        """The more probable of 0 and 1, int32 ``[..., A]``."""
        return (self.logits > 0).astype(jnp.int32)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("mean", "log_std"),
    meta_fields=("low", "high"),
)
@dataclasses.dataclass(frozen=True)
class SquashedGaussian:
    """Independent normal distributions, squashed into bounds by tanh.

    Haarnoja et al. (2018), "Soft Actor-Critic", appendix C. Densities are of squashed actions.

    Attributes:
      mean: ``[..., A]`` before squashing.
      log_std: ``[..., A]`` or broadcastable, before squashing.
      low: the ``A`` lower bounds.
      high: the ``A`` upper bounds.
    """

    mean: Array
    log_std: Array
    low: tuple[float, ...]
    high: tuple[float, ...]

    def _base(self) -> DiagGaussian:
        return DiagGaussian(self.mean, self.log_std)

    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and half width of the bounds, ``[A]``."""
        low, high = np.array(self.low), np.array(self.high)
        return (0.5 * (high + low)).astype(np.float32), (0.5 * (high - low)).astype(np.float32)

    def _squash(self, x: Array) -> Array:
        middle, half = self._range()
        return middle + half * jnp.tanh(x)

    def _raw(self, action: Array) -> Array:
        """An action before squashing; actions at a bound are first moved slightly inside."""
        middle, half = self._range()
        return jnp.arctanh(jnp.clip((action - middle) / half, -1 + BORDER, 1 - BORDER))

    def _log_slope(self, x: Array) -> Array:
        """``log d squash(x) / dx``, with ``log(1 - tanh(x)^2)`` in its stable form."""
        return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x)) + jnp.log(self._range()[1])

    def std(self) -> Array:
        """Standard deviation before squashing, ``[..., A]``."""
        return self._base().std()

    def log_prob(self, action: Array) -> Array:
        """Log-density ``[...]`` of ``action`` ``[..., A]`` within the bounds."""
        raw = self._raw(action)
        return self._base().log_prob(raw) - self._log_slope(raw).sum(-1)

    def entropy(self) -> Array:
        """``H(base) + E[log slope]``, in nats, ``[...]``; the mean by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        apart = (-1, *[1] * self.mean.ndim)
        # At all nodes at once: a loop over them takes several times as long to compile.
        places = nodes.astype(np.float32).reshape(apart)
        shares = (weights / weights.sum()).astype(np.float32).reshape(apart)
        slopes = self._log_slope(self.mean + places * self.std())
        return self._base().entropy() + (shares * slopes).sum(0).sum(-1)

    def kl(self, other: PyTree) -> Array:
        """``KL(self || other)`` in nats, ``[...]``: that before squashing; bounds must be equal."""
        return self._base().kl(other._base())

    def exploration(self) -> dict[str, Array]:
        """Metrics of exploration beside the entropy: the mean deviation before squashing."""
        return self._base().exploration()

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """``-log p(action)`` without a constant; temperature as in :class:`DiagGaussian`."""
        return self._base().tempered_loss(self._raw(action), temperature)

    def pick(self, noise: Array) -> Array:
        """Sample actions ``[..., A]`` using standard normal ``noise``."""
        return self._squash(self._base().pick(noise))

    def sample(self, key: Array) -> Array:
        """One action for each row, ``[..., A]``."""
        return self._squash(self._base().sample(key))

    def mode(self) -> Array:
        """The squashed mean, ``[..., A]``: the median, used as the deterministic action."""
        return self._squash(self.mean)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("parts",), meta_fields=("widths", "noises")
)
@dataclasses.dataclass(frozen=True)
class Joint:
    """Independent distributions, whose actions are concatenated into one row ``[..., A]``.

    Attributes:
      parts: the distributions.
      widths: columns of each part's actions; 0 for one column without an axis of its own.
      noises: columns of noise that each part needs for sampling.
    """

    parts: tuple[PyTree, ...]
    widths: tuple[int, ...]
    noises: tuple[int, ...]

    def _split(self, action: Array) -> list[Array]:
        found, at = [], 0
        for width in self.widths:
            found.append(action[..., at : at + width] if width else action[..., at])
            at += width or 1
        return found

    def _rows(self, actions: Sequence[Array]) -> Array:
        pairs = zip(actions, self.widths, strict=True)
        return jnp.concatenate([x if width else x[..., None] for x, width in pairs], -1)

    def log_prob(self, action: Array) -> Array:
        """The sum of the parts' log-probabilities, ``[...]``."""
        pairs = zip(self.parts, self._split(action), strict=True)
        return sum((part.log_prob(x) for part, x in pairs), start=jnp.zeros(()))

    def entropy(self) -> Array:
        """The sum of the parts' entropies, in nats, ``[...]``."""
        return sum((part.entropy() for part in self.parts), start=jnp.zeros(()))

    def kl(self, other: PyTree) -> Array:
        """``KL(self || other)`` in nats, ``[...]``; ``other`` is of the same kinds."""
        pairs = zip(self.parts, other.parts, strict=True)
        return sum((part.kl(theirs) for part, theirs in pairs), start=jnp.zeros(()))

    def exploration(self) -> dict[str, Array]:
        """Each metric's mean over the parts that have it."""
        found: dict[str, list[Array]] = {}
        for part in self.parts:
            for name, x in part.exploration().items():
                found.setdefault(name, []).append(x)
        return {name: jnp.stack(x).mean() for name, x in found.items()}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """The sum of the parts' losses at the same temperature."""
        pairs = zip(self.parts, self._split(action), strict=True)
        losses = (part.tempered_loss(x, temperature) for part, x in pairs)
        return sum(losses, start=jnp.zeros(()))

    def pick(self, noise: Array) -> Array:
        """Sample actions ``[..., A]`` using the parts' noise, concatenated."""
        noises = jnp.split(noise, np.cumsum(self.noises)[:-1].tolist(), -1)
        return self._rows([p.pick(x) for p, x in zip(self.parts, noises, strict=True)])

    def sample(self, key: Array) -> Array:
        """One action for each row, ``[..., A]``."""
        keys = jax.random.split(key, len(self.parts))
        return self._rows([p.sample(k) for p, k in zip(self.parts, keys, strict=True)])

    def mode(self) -> Array:
        """The parts' modes, concatenated, ``[..., A]``."""
        return self._rows([part.mode() for part in self.parts])


Distribution = Categorical | DiagGaussian | MultiCategorical | Bernoulli | SquashedGaussian | Joint
