"""Action distributions. Each is a pytree whose leaves share their leading (batch) axes."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmaze.core.types import Array, PyTree

LOG_STD_MIN = -3.0
"""Floor of a Gaussian's log standard deviation, so that a likelihood cannot grow without bound."""
LOG_STD_MAX = 2.0


class Categorical(NamedTuple):
    """A choice among ``A`` actions.

    Attributes:
      logits: ``[..., A]`` unnormalised log-probabilities.
    """

    logits: Array

    def log_prob(self, action: Array) -> Array:
        """Log-probability ``[...]`` of ``action`` ``[...]`` (integers)."""
        log_p = jax.nn.log_softmax(self.logits)
        # Not by an index: its gradient would be a scatter, which the CPU does one by one.
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
        """What is logged of it beside the entropy: nothing."""
        return {}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """``-log p(action)`` at a temperature that divides the logits, the mean over rows."""
        return -Categorical(self.logits / temperature).log_prob(action).mean()

    def pick(self, noise: Array) -> Array:
        """The actions, int32 ``[...]``, that Gumbel ``noise`` ``[..., A]`` makes a sample.

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
      log_std: ``[..., A]`` or broadcastable; kept within ``[LOG_STD_MIN, LOG_STD_MAX]``.
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
        """What is logged of it beside the entropy: the mean standard deviation."""
        return {"action_std": self.std().mean()}

    def tempered_loss(self, action: Array, temperature: Array) -> Array:
        """``-log p(action)`` at a temperature that multiplies deviations, the mean over rows.

        Less a constant, and without the limits of a standard deviation: where they cut in, the
        likelihood would be flat.
        """
        z = (action - self.mean) / (temperature * self.std())
        return (0.5 * z**2 + jnp.log(temperature)).sum(-1).mean()

    def pick(self, noise: Array) -> Array:
        """The actions ``[..., A]``, unbounded, that standard normal ``noise`` makes a sample."""
        return self.mean + jnp.exp(self._log_std()) * noise

    def sample(self, key: Array) -> Array:
        """One unbounded action for each row, ``[..., A]``."""
        return self.pick(jax.random.normal(key, self.mean.shape))

    def mode(self) -> Array:
        """The mean, ``[..., A]``."""
        return self.mean


Distribution = Categorical | DiagGaussian
