"""What trained policies say about the steps of an episode."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.core.networks import Networks
from jaxmaze.core.normalization import EPSILON, RunningStats
from jaxmaze.core.types import Array, Json, Params, Policy, PyTree
from jaxmaze.envs.leaves import arrays_of
from jaxmaze.envs.space_kinds import space_spec
from jaxmaze.errors import UserError
from jaxmaze.policies import LoadedPolicy, load_policy
from jaxmaze.runs import checkpoint, run_folder, who
from jaxmaze.viewing.heads import Head, marginals, taken
from jaxmaze.viewing.traces import numbers

LEAST = 64
"""Fewest rows of a batch; batches are padded to powers of two, so that few shapes are compiled."""


class Critic(NamedTuple):
    """A run's critic at the end of its training.

    Attributes:
      params: its parameters.
      stats: the observation statistics it was trained with.
      scale: what its values are multiplied by to be in the environment's units.
    """

    params: Params
    stats: PyTree
    scale: float


class Opinion(NamedTuple):
    """A policy's view of an episode of ``T`` steps.

    Attributes:
      dist: its distributions ``[T]``, of numpy arrays.
      mode: ``[T, ...]`` its most likely actions, in the environment's form.
      log_prob: ``[T]`` of what was done.
      value: ``[T + 1]`` in the environment's units; None without a critic.
    """

    dist: PyTree
    mode: PyTree
    log_prob: np.ndarray
    value: np.ndarray | None


@functools.partial(jax.jit, static_argnums=0)
def _judge(
    networks: Networks, policy: Policy, obs: PyTree, action: Array, begin: Array
) -> tuple[PyTree, Array, Array]:
    dist = networks.distribution(policy.params, policy.obs_stats, obs, networks.blank(begin))
    return dist, dist.mode(), dist.log_prob(action)


@functools.partial(jax.jit, static_argnums=0)
def _value(networks: Networks, params: Params, stats: PyTree, obs: PyTree, begin: Array) -> Array:
    return networks.value(params, stats, obs, networks.blank(begin))


@jax.jit
def _kl(one: PyTree, other: PyTree) -> Array:
    return one.kl(other)  # type: ignore[no-any-return]


def _padded(tree: PyTree) -> PyTree:
    """Arrays ``[N, ...]`` with their last row repeated, up to a power of two."""
    rows = len(jax.tree.leaves(tree)[0])
    more = max(1 << (rows - 1).bit_length(), LEAST) - rows
    return jax.tree.map(lambda x: np.concatenate([x, np.repeat(x[-1:], more, 0)]), tree)


class Judge:
    """A trained policy that is shown beside recorded actions.

    Attributes:
      name: what it is called on the page.
      trained: the policy.
      critic: its run's critic; None if it has none.
      who: what it is, which says its colour; empty if that is not known.
    """

    def __init__(self, name: str, trained: LoadedPolicy, critic: Critic | None = None):
        self.name, self.trained, self.critic = name, trained, critic
        self.who = ""

    @classmethod
    def of_run(cls, run: Path, name: str, member: int = 0) -> Judge:
        """The policy that a run hands over, with its critic.

        Raises:
          UserError: if the run has no policy.
        """
        found = cls(name, load_policy(run, member), _critic_of(run, member))
        found.who = who.of_run(run)
        return found

    def check(self, observation_space: PyTree, action_space: PyTree) -> None:
        """Check that the policy fits recorded episodes.

        Raises:
          UserError: if it was trained for other spaces.
        """
        wanted = self.trained.networks.spaces.bare()
        found = space_spec(observation_space, action_space, None if wanted.masked else False)
        if found != wanted:
            raise UserError(
                f"the policy of {self.name} was trained for {wanted.describe()}, but the episodes "
                f"have {found.describe()}"
            )

    def on(self, obs: PyTree, action: PyTree) -> Opinion:
        """Its view of an episode.

        Args:
          obs: ``[T + 1, ...]`` as the environment gave them.
          action: ``[T, ...]`` in the environment's form.
        """
        networks = self.trained.networks
        spaces = networks.spaces
        rows = spaces.obs.arrays(obs)
        done = spaces.action.from_env(action)
        count = len(done)
        done = np.concatenate([done, done[-1:]])  # the last observation has no action
        begin = np.zeros(count + 1, np.float32)
        begin[0] = 1.0
        dist, mode, log_prob = self._in_batches(_judge, (self.trained.policy,), rows, done, begin)
        value = None
        if self.critic is not None:
            params, stats, scale = self.critic
            given = (_value, (params, stats), rows, None, begin)
            value = scale * np.asarray(self._in_batches(*given))
        dist, mode, log_prob = jax.tree.map(lambda x: x[:count], (dist, mode, log_prob))
        return Opinion(dist, networks.to_env(mode), log_prob, value)

    def _in_batches(
        self,
        function: PyTree,
        fixed: tuple[PyTree, ...],
        obs: PyTree,
        action: PyTree,
        begin: np.ndarray,
    ) -> PyTree:
        """Call a compiled function on rows, padded, and in parts where nothing is remembered."""
        networks = self.trained.networks
        rows = len(begin)
        size = rows if networks.carry_size else networks.spaces.obs.at_once(4096)
        parts = []
        for start in range(0, rows, size):
            end = min(start + size, rows)
            given = (obs, begin) if action is None else (obs, action, begin)
            part = _padded(jax.tree.map(lambda x, a=start, b=end: x[a:b], given))
            found = function(networks, *fixed, *part)
            parts.append(jax.tree.map(lambda x, n=end - start: np.asarray(x)[:n], found))
        return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def _critic_of(run: Path, member: int) -> Critic | None:
    """The critic in a run's newest checkpoint; None if there is none that can be read."""
    try:
        with checkpoint.Checkpoints(run_folder.delivering(run), read_only=True) as saved:
            if saved.meta().get("kind") != "ppo":
                return None
            state = saved.arrays()[0]
        params, stats, returns = (
            jax.tree.map(lambda x: np.asarray(x)[member], part)
            for part in (
                state["value_params"],
                state["policy"]["obs_stats"],
                state["return_stats"]["stats"],
            )
        )
    except (UserError, KeyError, TypeError, IndexError):
        return None
    scale = float(np.sqrt(returns["var"] + EPSILON))
    return Critic(params, RunningStats(**stats), scale)


def plain(judge: Judge, opinion: Opinion, heads: Sequence[Head]) -> Json:
    """An opinion as JSON has it."""
    networks = judge.trained.networks
    return {
        "name": judge.name,
        "heads": marginals(heads, networks.spaces.action, opinion.dist),
        "mode": taken(heads, arrays_of(opinion.mode)),
        "value": None if opinion.value is None else numbers(opinion.value),
    }


def measures(judges: Sequence[Judge], labelled: bool = False) -> list[str]:
    """How disagreement is measured, in words: of each policy, then of each two."""
    whose = "the teacher's label" if labelled else "the action taken"
    return [
        *(f"{judge.name}: −log p of {whose}" for judge in judges),
        *(f"KL({a.name} ‖ {b.name})" for a, b in itertools.combinations(judges, 2)),
    ]


def disagreement(opinions: Sequence[Opinion]) -> list[np.ndarray]:
    """The measures ``[T]`` of :func:`measures`, in nats; NaN where two cannot be compared."""
    found = [-opinion.log_prob for opinion in opinions]
    for a, b in itertools.combinations(opinions, 2):
        one, other = (jax.tree.structure(x.dist) for x in (a, b))
        steps = len(a.log_prob)
        if str(one) == str(other):
            found.append(np.asarray(_kl(*_padded((a.dist, b.dist))))[:steps])
        else:
            found.append(np.full(steps, np.nan))
    return found
