"""PPO's update of all learners as one compiled program, which can be compiled in advance."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from jaxmaze.config import Settings
from jaxmaze.config.sections.ppo import segment_steps
from jaxmaze.core import ppo
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Policy, PyTree, Rollout
from jaxmaze.envs.collectors import rollout_shapes
from jaxmaze.training import compiled, ppo_arms

POLICY, VALUE = 0, 1
"""The two halves of an update: the policy's and the critic's."""


def merge(
    policy: tuple[ppo.State, ppo.Metrics], value: tuple[ppo.State, ppo.Metrics]
) -> tuple[ppo.State, ppo.Metrics]:
    """Combine the updates of policy and critic, which start from the same state and segment."""
    state = policy[0]._replace(value_params=value[0].value_params, value_opt=value[0].value_opt)
    return state, policy[1] | {name: value[1][name] for name in ppo.OF_VALUE}


class Updater:
    """One PPO iteration of ``L`` learners.

    If that spreads the work over more devices, policy and critic of a learner are updated on
    different ones.

    Attributes:
      sharding: sharding of the states between two updates; None on one device.
    """

    def __init__(self, configs: Sequence[Settings], networks: Networks):
        """Set up for the arms with these configurations; nothing is compiled yet."""
        self._config, self._networks = configs[0], networks
        self._static = static = ppo_arms.static(configs)
        count = self._count = ppo_arms.num_learners(configs)
        self.sharding = None
        if not count:
            return
        self._halves = compiled.num_devices(2 * count) > compiled.num_devices(count)

        def update(
            state: ppo.State,
            rollout: PyTree,
            hyper: PyTree,
            clone: Policy,
            shown: PyTree,
            part: PyTree = None,
        ) -> PyTree:
            learns = (True, True) if part is None else (part == POLICY, part == VALUE)
            return ppo.update(networks, static, state, rollout, hyper, clone, shown, learns)

        units, donate = (2 * count, ()) if self._halves else (count, (0,))
        self._update = compiled.vmap_members(update, units, shared=(4,), donate=donate)
        if not self._halves:
            self.sharding = self._update.sharding

    def prepare(self) -> None:
        """Start to compile in the background, if all shapes are known."""
        if not self._count or self._static.keeps_cloning:
            return  # the number of demonstrations, a shape, is known once they are read
        section, count = self._config.ppo, self._count
        lead = (count, segment_steps(section), section.num_envs)
        rollout = rollout_shapes(self._config.env.backend, self._networks, lead)

        def of_all(x: PyTree) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((count, *np.shape(x)), x.dtype)

        state = ppo.init(self._networks, np.random.SeedSequence(0), section.num_envs)
        hyper = ppo.Hyper(*[np.zeros((), np.float32)] * len(ppo.Hyper._fields))
        args = (
            *jax.tree.map(of_all, (state,)),
            rollout,
            *jax.tree.map(of_all, (hyper, state.policy)),
        )
        if not self._halves:
            state = jax.tree.map(lambda x: x.update(sharding=self.sharding), args[0])
            self._update.prepare(state, *args[1:], None)
            return

        def twice(x: PyTree) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((2 * x.shape[0], *x.shape[1:]), x.dtype)

        part = jax.ShapeDtypeStruct((2 * count,), np.int32)
        self._update.prepare(*jax.tree.map(twice, args), None, part)

    def wait(self) -> None:
        """Wait for the compilation in the background."""
        if self._count:
            self._update.wait()

    @property
    def failed(self) -> Exception | None:
        """The error of the background compilation, if there was one."""
        return self._update.failed if self._count else None

    def __call__(
        self, state: ppo.State, rollout: Rollout, hyper: ppo.Hyper, clones: Policy, shown: PyTree
    ) -> tuple[ppo.State, dict[str, np.ndarray]]:
        """One iteration.

        Args:
          state: of the learners, ``[L]``; not to be used again.
          rollout: their segments ``[L, T, N, ...]``.
          hyper: ``[L]``.
          clones: the initial policy of each, ``[L]``.
          shown: demonstrations for the cloning loss, the same for all; None if unused.

        Returns:
          The new states, and means over the minibatches ``[L]`` on the host.
        """
        args: tuple[PyTree, ...] = (state, rollout, hyper, clones)
        if not self._halves:
            state, means = self._update(*args, shown)
            return state, jax.device_get(means)
        twice = jax.tree.map(lambda x: np.repeat(x, 2, axis=0), jax.device_get(args))
        part = np.tile(np.array([POLICY, VALUE], np.int32), self._count)
        both: PyTree = jax.device_get(self._update(*twice, shown, part))
        policies, values = (jax.tree.map(lambda x, i=i: x[i::2], both) for i in range(2))
        state, merged = merge(policies, values)
        return state, jax.device_get(merged)
