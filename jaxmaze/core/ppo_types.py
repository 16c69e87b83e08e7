"""PPO's data types: settings, hyper-parameters, training state and training rows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmaze.core import normalization, schedules
from jaxmaze.core.distributions import Distribution
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Demonstrations, Params, Policy, PyTree, Scalar


class Static(NamedTuple):
    """Settings that determine the compiled program; the same for all members.

    Attributes:
      num_epochs: passes over each segment.
      batch_size: rows of a minibatch; divides the segment's ``T * N`` rows.
      num_iterations: iterations of the whole run, for the learning-rate schedule.
      linear_schedule: whether the learning rate decays linearly to 0.
      cloned: whether any member starts from a clone; the KL to it is then logged.
      kickstarts: whether any member's loss has KL(clone || policy) (:attr:`Hyper.anchor_coef`);
        Schmitt et al. (2018), "Kickstarting Deep Reinforcement Learning".
      keeps_cloning: whether any member's loss has the cloning loss (:attr:`Hyper.cloning_coef`).
      decays_linearly: whether the weights of these two decay linearly to 0.
      keeps_outputs: whether any member's networks keep their outputs when their observation
        statistics change (:attr:`Hyper.keep_outputs`).
      entropy_decays: whether the weight of the entropy bonus decays linearly to 0.
    """

    num_epochs: int
    batch_size: int
    num_iterations: int
    linear_schedule: bool
    cloned: bool = True
    kickstarts: bool = False
    keeps_cloning: bool = False
    decays_linearly: bool = True
    keeps_outputs: bool = False
    entropy_decays: bool = False


class Hyper(NamedTuple):
    """Hyper-parameters of one member, scalars.

    Attributes:
      learning_rate: the policy's; with 0, policy and statistics stay bitwise identical.
      value_learning_rate: the critic's.
      gamma: discount.
      gae_lambda: trace decay of the advantages.
      clip_range: PPO's epsilon.
      entropy_coef: weight of the entropy bonus.
      entropy_target: entropy in nats that the policy is held at, by a factor on that weight; it
        decays linearly to 0. inf for a weight by schedule.
      start_std: the largest standard deviation of numbers at the start.
      final_std: what they may have at most at the end, with a limit that goes there from the start
        in a straight line of logarithms; inf for no limit.
      value_coef: weight of the value loss, half the mean squared error (before its gradient is
        clipped): 0.5 is 0.25 in terms of Stable-Baselines3's ``vf_coef``.
      max_grad_norm: each network's gradient is clipped to this norm.
      target_kl: policy updates stop for the rest of an iteration once the KL exceeds 1.5 times this
        (early stopping); inf for never.
      critic_burn_in: maximum number of initial iterations in which only the critic learns.
      burn_in_until: explained variance of Monte-Carlo returns at which the burn-in ends early; inf
        for never.
      anchor_coef: weight of ``KL(clone || policy)`` in the policy's loss.
      anchor_target_kl: target KL that the weight is adapted to; inf for the schedule instead.
      anchor_fraction: share of the iterations after the burn-in over which the weights of that KL
        and of the cloning loss decay to 0.
      cloning_coef: weight of the cloning loss on demonstrations in the policy's loss.
      average_decay: decay of the EMA of the policy's parameters per iteration; 0 for no averaging.
      adapt_stats: 1.0 if the observation statistics are updated, 0.0 if they are frozen.
      keep_outputs: 1.0 if the networks are rewritten at such an update, so that their outputs stay
        as they are (:mod:`jaxmaze.core.preserving`); 0.0 if they are not.
      adapt_above: only features that were constant are updated, if a larger share of a segment's
        rows than this is clipped; -1.0 for all features.
      demo_first: index of the member's first own demonstration row among all members' rows.
      demo_count: number of its own rows; 0 if all are.
    """

    learning_rate: Scalar
    value_learning_rate: Scalar
    gamma: Scalar
    gae_lambda: Scalar
    clip_range: Scalar
    entropy_coef: Scalar
    value_coef: Scalar
    max_grad_norm: Scalar
    target_kl: Scalar
    critic_burn_in: Scalar
    burn_in_until: Scalar
    anchor_coef: Scalar
    anchor_target_kl: Scalar
    anchor_fraction: Scalar
    cloning_coef: Scalar
    average_decay: Scalar
    adapt_stats: Scalar
    keep_outputs: Scalar = 0.0
    adapt_above: Scalar = -1.0
    entropy_target: Scalar = np.inf
    start_std: Scalar = 1.0
    final_std: Scalar = np.inf
    demo_first: Scalar = 0
    demo_count: Scalar = 0


class Rows(NamedTuple):
    """Training data from a segment: rows ``[T * N, ...]``, or sequences ``[T, N, ...]``.

    Sequences are for recurrent networks. ``weight`` is 0 for rows that do not count, None if all
    do. ``clone`` is the clone's distribution at each row, None if no member starts from a clone.
    """

    obs: PyTree
    action: Array
    log_prob: Array
    advantage: Array
    target: Array
    weight: Array | None
    clone: Distribution | None
    memory: Memory | None = None
    value_memory: Memory | None = None

    def take(self, index: Array) -> Rows:
        """The rows at ``index``, or the sequences of the environments at ``index``."""
        if self.memory is None or self.value_memory is None:
            return jax.tree.map(lambda x: x[index], self)
        memories = {
            name: Memory(m.carry[index], m.begin[:, index])
            for name, m in (("memory", self.memory), ("value_memory", self.value_memory))
        }
        timed = self._replace(memory=None, value_memory=None)
        return jax.tree.map(lambda x: x[:, index], timed)._replace(**memories)


class Rates(NamedTuple):
    """One iteration's learning rates, and the weights of the losses beside PPO's own.

    These are the entropy bonus, the KL to the clone and the cloning loss. ``entropy_target`` is
    where the first of them is to hold the entropy, ``most_std`` the limit of standard deviations.
    """

    policy: Scalar
    value: Scalar
    entropy: Scalar
    anchor: Scalar
    cloning: Scalar
    entropy_target: Scalar
    most_std: Scalar


class State(NamedTuple):
    """One member's complete training state.

    Attributes:
      policy: parameters and observation statistics; the critic shares the statistics.
      average: EMA of ``policy``; this is evaluated and handed to the next stage.
      value_params: the critic's parameters; it predicts returns of scaled rewards.
      policy_opt: Adam's moments of the policy.
      value_opt: Adam's moments of the critic.
      return_stats: statistics for reward scaling.
      key: data ``[2]`` of the root key; the iteration is folded in, the key never changes.
      iteration: updates done.
      burn_in: number of these updates in which only the critic learned.
      ready: whether the burn-in is over.
      anchor_factor: factor on the KL's weight, adapted to reach the target KL.
      entropy_factor: factor on the entropy bonus's weight, adapted to hold the target entropy.
      value_carry: ``[N, C]`` critic's hidden state after its last segment; None if not recurrent.
      clone_carry: the clone's hidden state on the same observations, likewise.
    """

    policy: Policy
    average: Policy
    value_params: Params
    policy_opt: optax.OptState
    value_opt: optax.OptState
    return_stats: normalization.ReturnStats
    key: Array
    iteration: Array
    burn_in: Array
    ready: Array
    anchor_factor: Array
    entropy_factor: Array
    value_carry: Array | None = None
    clone_carry: Array | None = None


class Context(NamedTuple):
    """Context shared by the policy and value updates of one iteration.

    Attributes:
      networks: static.
      static: static.
      hyper: the member's hyper-parameters.
      stats: observation statistics, which are fixed during an update.
      rates: scheduled learning rates and loss weights.
      rows: the segment's training rows.
      order: ``[minibatches, ...]`` indices of the rows or sequences in each minibatch.
      key: the iteration's random key.
      demonstrations: rows for the cloning loss; None without one.
    """

    networks: Networks
    static: Static
    hyper: Hyper
    stats: normalization.RunningStats
    rates: Rates
    rows: Rows
    order: Array
    key: Array
    demonstrations: Demonstrations | None


def rates_at(
    static: Static,
    iteration: Array,
    burn_in: Array,
    anchor_factor: Array,
    hyper: Hyper,
    entropy_factor: Scalar = 1.0,
) -> Rates:
    """Learning rates and loss weights by the schedules, ``iteration`` counted after the burn-in."""
    span = jnp.maximum(static.num_iterations - burn_in, 1)
    left = schedules.left(iteration, span)
    rate = left if static.linear_schedule else 1.0
    held = schedules.left(iteration, jnp.maximum(hyper.anchor_fraction * span, 1))
    hold = held if static.decays_linearly else jnp.ones(())
    adapts = jnp.isfinite(hyper.anchor_target_kl)
    narrowing = hyper.start_std**left * hyper.final_std ** (1.0 - left)
    most_std = jnp.where(jnp.isfinite(hyper.final_std), narrowing, jnp.inf)
    return Rates(
        hyper.learning_rate * rate,
        hyper.value_learning_rate * rate,
        hyper.entropy_coef * (left if static.entropy_decays else 1.0) * entropy_factor,
        hyper.anchor_coef * jnp.where(adapts, anchor_factor, hold),
        hyper.cloning_coef * hold,
        hyper.entropy_target * left,
        most_std,
    )
