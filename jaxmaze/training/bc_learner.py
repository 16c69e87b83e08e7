"""Fitting clones to demonstrations: the compiled functions that bc and dagger share."""

from __future__ import annotations

import functools

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxmaze.config import Settings
from jaxmaze.core import bc, bc_sequences, seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Demonstrations, PyTree, Sequences
from jaxmaze.errors import UserError
from jaxmaze.training import compiled


def member_seeds(config: Settings) -> tuple[int, ...]:
    """Member ``i`` has the seed ``config.seed + i``, so that each can be reproduced alone."""
    return tuple(config.seed + i for i in range(config.members))


def num_minibatches(config: Settings, rows: int, cuts: Sequences | None = None) -> int:
    """Minibatches per epoch over ``rows`` rows (or sequences); the last one is padded."""
    if cuts is None:
        return -(-rows // config.bc.batch_size)
    count = cuts.start.shape[-1]
    return -(-count // bc_sequences.batch_of(config.bc.batch_size, cuts.time.shape[-1]))


class Fitter:
    """Cloning of all members of a population as one program.

    Its functions take the arguments of those in :mod:`jaxmaze.core.bc`, with a leading axis
    ``[M]``; ``data`` has that axis too if each member has its own data.
    """

    def __init__(
        self,
        config: Settings,
        networks: Networks,
        stage: int,
        own_data: bool = False,
    ):
        """Prepare for a configuration; nothing is compiled before it is used.

        Args:
          config: its ``bc`` section says how to fit.
          networks: of the clones.
          stage: folded into the members' root keys.
          own_data: whether each member has data of its own.
        """
        self.section, self.networks, self.members = config.bc, networks, config.members
        self._shared = () if own_data else (1,)
        patience = self.section.patience
        self._algorithm = bc_sequences if networks.carry_size else bc

        def statistics(data: Demonstrations, train: PyTree) -> PyTree:
            return bc.statistics(networks, data.obs, train)

        def select(state: bc.State, better: PyTree) -> bc.State:
            return bc.select(state, better, patience)

        shared = () if own_data else (0,)
        self._statistics = compiled.vmap_members(
            statistics, self.members, shared, effort=compiled.ONCE
        )
        self.select = compiled.vmap_members(select, self.members, effort=compiled.ONCE)
        self._stage, self._seeds = stage, member_seeds(config)

    def init(self, data: Demonstrations, train: PyTree, path: tuple[int, ...] = ()) -> bc.State:
        """Initial states on the host; ``path`` separates the random numbers of different fits."""
        return self._fresh(jax.device_get(self._statistics(data, train)), path)

    def _fresh(self, stats: PyTree, path: tuple[int, ...]) -> bc.State:
        states = [
            bc.init(
                self.networks,
                seeding.sequence(seed, self._stage, *path),
                jax.tree.map(lambda x, m=m: x[m], stats),
            )
            for m, seed in enumerate(self._seeds)
        ]
        return jax.tree.map(lambda *x: np.stack(x), *states)

    def prepare(self, data: Demonstrations, train: PyTree, steps: int, validates: bool) -> None:
        """Start to compile, in the background, the programs that a fit to these data needs."""
        none = jax.tree.map(
            lambda x: np.zeros((self.members, *x.shape), x.dtype), self.networks.init_stats()
        )
        state = self._fresh(none, ())
        self.epoch(steps, validates).prepare(state, data, train, train, self.hyper(1))
        self._statistics.prepare(data, train)
        self.select.prepare(state, np.zeros(self.members, bool))

    @functools.lru_cache(maxsize=16)  # noqa: B019  (lives as long as the run)
    def epoch(self, steps: int, validates: bool, /) -> compiled.Program:
        """One epoch of ``steps`` minibatches.

        A function of ``(state, data, train, validation, hyper)`` to the new state, the means over
        the pass, and those over the ``validation`` rows (if it ``validates``, else nothing).
        """
        networks, batch_size, algorithm = self.networks, self.section.batch_size, self._algorithm

        def epoch(
            state: bc.State,
            data: Demonstrations,
            train: PyTree,
            validation: PyTree,
            hyper: bc.Hyper,
        ) -> PyTree:
            state, means = algorithm.epoch(networks, batch_size, steps, state, data, train, hyper)
            if not validates:
                return state, means, {}
            entropy_coef = hyper.entropy_coef
            held_out = algorithm.evaluate(networks, state.policy, data, validation, entropy_coef)
            return state, means, held_out

        return compiled.vmap_members(
            epoch, self.members, shared=self._shared, effort=compiled.SHORT
        )

    def hyper(self, num_epochs: int | np.ndarray) -> bc.Hyper:
        """Hyper-parameters of the members, which are trained for ``num_epochs`` ``[M]``."""
        section = self.section

        def each(value: float | np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.float32(value), (self.members,))

        return bc.Hyper(
            each(section.learning_rate),
            each(section.entropy_coef),
            each(section.weight_decay),
            each(section.max_grad_norm),
            np.broadcast_to(np.int32(num_epochs), (self.members,)),
        )


def rows_on_device(
    obs: PyTree,
    action: PyTree,
    members: int = 1,
    weight: np.ndarray | None = None,
    cuts: Sequences | None = None,
) -> Demonstrations:
    """Demonstrations as the compiled functions take them.

    Args:
      obs: ``[R, ...]``; must not be changed afterwards, as a CPU device uses it without a copy if
        it is aligned (:func:`jaxmaze.runs.memory.aligned`).
      action: ``[R, ...]``, likewise.
      members: size of the population that shares them; they go to each device that holds members.
      weight: ``[R]`` weights of the rows in the loss; None if all are equal.
      cuts: where episodes are cut into sequences, for networks with memory.
    """
    # The same layout as compiled.vmap_members; data laid out otherwise would move at every call.
    count, devices = compiled.num_devices(members), jax.devices()
    data = Demonstrations(obs, action, weight, cuts)
    if count == 1:
        return jax.device_put(data, may_alias=True)
    mesh = jax.make_mesh(
        (count,), (compiled.AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count]
    )
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.device_put(data, everywhere, may_alias=True)


def stop_if_diverged(epoch: int, *groups: dict[str, np.ndarray]) -> None:
    """Check the figures logged in an epoch.

    Raises:
      UserError: if one of them is not finite.
    """
    bad = {name for group in groups for name, x in group.items() if not np.isfinite(x).all()}
    if bad:
        raise UserError(
            f"cloning diverged: {', '.join(sorted(bad))} not finite in epoch {epoch}; lower "
            "config.bc.learning_rate"
        )
