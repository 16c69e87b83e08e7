"""What PPO is given, what it keeps from one iteration to the next, and a segment's rows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import optax

from jaxmaze.core import normalization
from jaxmaze.core.distributions import Distribution
from jaxmaze.core.memory import Memory
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Array, Demonstrations, Params, Policy, PyTree, Scalar


class Static(NamedTuple):
    """What shapes the compiled program; the same for all members.

    Attributes:
      num_epochs: passes over each segment.
      batch_size: rows of a minibatch; divides the segment's ``T * N`` rows.
      num_iterations: iterations of the whole run, for the learning-rate schedule.
      linear_schedule: whether the learning rate falls linearly to 0.
      cloned: whether any member starts from a clone, whose distance is then measured.
      kickstarts: whether any member's loss has KL(clone || policy) (:attr:`Hyper.anchor_coef`);
        Schmitt et al. (2018), "Kickstarting Deep Reinforcement Learning".
      keeps_cloning: whether any member's loss has the cloning loss (:attr:`Hyper.cloning_coef`).
      decays_linearly: whether the weights of these two decay linearly to 0.
    """

    num_epochs: int
    batch_size: int
    num_iterations: int
    linear_schedule: bool
    cloned: bool = True
    kickstarts: bool = False
    keeps_cloning: bool = False
    decays_linearly: bool = True


class Hyper(NamedTuple):
    """Hyper-parameters of one member, scalars.

    Attributes:
      learning_rate: the policy's; 0 leaves policy and statistics as they are, to the bit.
      value_learning_rate: the critic's.
      gamma: discount.
      gae_lambda: trace decay of the advantages.
      clip_range: PPO's epsilon.
      entropy_coef: weight of the entropy bonus.
      value_coef: weight of the value loss, half the mean squared error (before its gradient is
        clipped): 0.5 is 0.25 in terms of Stable-Baselines3's ``vf_coef``.
      max_grad_norm: limit of each network's gradient norm.
      target_kl: the policy stops for the rest of an update past 1.5 times this; inf for never.
      critic_burn_in: at most so many first iterations only the critic learns.
      burn_in_until: share of the variance of Monte-Carlo returns that the critic must explain to
        end the burn-in sooner; inf for never.
      anchor_coef: weight of ``KL(clone || policy)`` in the policy's loss.
      anchor_target_kl: divergence that the weight is adapted to; inf for the schedule instead.
      cloning_coef: weight of the cloning loss on demonstrations in the policy's loss.
      average_decay: how slowly the averaged policy follows, an iteration; 0 for no averaging.
      adapt_stats: 1.0 if the observation statistics follow the data, 0.0 if they stay.
      demo_first: the first row of the member's own demonstrations among all members'.
      demo_count: how many rows are its own; 0 if all are.
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
    cloning_coef: Scalar
    average_decay: Scalar
    adapt_stats: Scalar
    demo_first: Scalar = 0
    demo_count: Scalar = 0


class Rows(NamedTuple):
    """What the losses need of a segment: rows ``[T * N, ...]``, or sequences ``[T, N, ...]``.

    Sequences where networks remember. ``weight`` is 0 for rows that do not count, None where all
    do. ``clone`` is the clone's distribution in each row, None where nobody starts from one.
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
        """Some rows, or some environments' sequences."""
        if self.memory is None or self.value_memory is None:
            return jax.tree.map(lambda x: x[index], self)
        memories = {
            name: Memory(m.carry[index], m.begin[:, index])
            for name, m in (("memory", self.memory), ("value_memory", self.value_memory))
        }
        timed = self._replace(memory=None, value_memory=None)
        return jax.tree.map(lambda x: x[:, index], timed)._replace(**memories)


class Rates(NamedTuple):
    """One iteration's learning rates, and weights of the KL to the clone and the cloning loss."""

    policy: Scalar
    value: Scalar
    anchor: Scalar
    cloning: Scalar


class State(NamedTuple):
    """One member's complete training state.

    Attributes:
      policy: parameters and observation statistics; the critic shares the statistics.
      average: the same, averaged over the latest iterations: what is evaluated and handed over.
      value_params: the critic's parameters; it predicts returns of scaled rewards.
      policy_opt: Adam's moments of the policy.
      value_opt: Adam's moments of the critic.
      return_stats: the scale of rewards.
      key: data ``[2]`` of the root key; folded with the iteration, never used up.
      iteration: updates done.
      burn_in: how many of them only the critic learned.
      ready: whether the burn-in is over.
      anchor_factor: factor of the KL's weight, adapted to the divergence wanted.
      value_carry: ``[N, C]`` what the critic remembers after its last segment; None for nothing.
      clone_carry: the same of the clone, which sees what the policy sees.
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
    value_carry: Array | None = None
    clone_carry: Array | None = None


class Context(NamedTuple):
    """What the updates of policy and critic have in common in one iteration.

    Attributes:
      networks: static.
      static: static.
      hyper: the member's hyper-parameters.
      stats: observation statistics, which stay as they are during an update.
      rates: what the schedules give.
      rows: the segment.
      order: ``[minibatches, ...]`` which rows or sequences make each minibatch.
      key: the iteration's.
      demonstrations: rows to go on cloning from; None where nothing does.
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
