"""Fitting clones to demonstrations: the compiled functions that bc and dagger share."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxmaze.config import Settings
from jaxmaze.config.sections.bc import BC
from jaxmaze.core import bc, bc_sequences, seeding
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import Demonstrations, PyTree, Sequences
from jaxmaze.errors import UserError
from jaxmaze.training import compiled

UPDATES, UPDATES_OF_IMAGES = 20_000, 5_000
"""Gradient steps where their number is not set: what a clone of 3 episodes needs; fewer for images,
a step of which takes hundreds of times as long."""
RATE, RATE_OF_IMAGES = 3e-3, 3e-4
"""Adam's step size where it is not set."""
LOGGED = 200
"""About how often metrics are logged and held-out episodes are evaluated, however many epochs there
are: a few short episodes are passed over thousands of times."""
FIFTH, PATIENT = 5, 10
SAVED = 10
"""Fewest epochs between checkpoints where nothing is evaluated."""


class Plan(NamedTuple):
    """The course of a fit, in epochs.

    Attributes:
      epochs: at most.
      passes: done in one call; metrics are those of the last one.
      patience: without improvement, after which a member stops; 0 for never.
      eval_every: between evaluations by rollouts; 0 for none.
      save_every: between checkpoints.
    """

    epochs: int
    passes: int
    patience: int
    eval_every: int
    save_every: int

    def due(self, epoch: int, every: int) -> bool:
        """Whether something done every so many epochs is due after the call that ends at this."""
        before = (epoch - 1) // self.passes * self.passes
        return every > 0 and epoch // every > before // every


def plan(section: BC, minibatches: int, images: bool = False) -> Plan:
    """The course of a fit with so many minibatches an epoch.

    Epochs are counted in gradient steps (``bc.num_updates``), because 3 episodes need as many of
    these as 100, and so more epochs.
    """
    updates = section.num_updates or (UPDATES_OF_IMAGES if images else UPDATES)
    epochs = section.num_epochs or max(1, round(updates / minibatches))
    passes = math.ceil(epochs / LOGGED)
    fifth = math.ceil(epochs / FIFTH)
    patience = max(PATIENT, fifth) if section.patience is None else section.patience
    every = fifth if section.eval_every is None else section.eval_every
    passes = min(passes, every or passes)
    keeps_last = section.best_by == "last"
    save_every = every or max(SAVED, fifth if section.num_epochs is None else SAVED)
    return Plan(epochs, passes, 0 if keeps_last else patience, every, save_every)


def learning_rate(section: BC, images: bool = False) -> float:
    """Adam's step size: ``bc.learning_rate``, or by whether there are convolutions to train.

    Large first steps can leave all units of a convolutional network at 0, for any image.
    """
    if section.learning_rate is not None:
        return section.learning_rate
    return RATE_OF_IMAGES if images else RATE


def member_seeds(config: Settings) -> tuple[int, ...]:
    """Member ``i`` has the seed ``config.seed + i``, so that each can be reproduced alone."""
    return tuple(config.seed + i for i in range(config.members))


def num_minibatches(config: Settings, rows: int, cuts: Sequences | None = None) -> int:
    """Minibatches per epoch over ``rows`` rows (or sequences); the last one is padded."""
    if cuts is None:
        return -(-rows // config.bc.batch_size)
    count = cuts.start.shape[-1]
    return -(-count // bc_sequences.batch_of(config.bc.batch_size, cuts.time.shape[-1]))


def own_minibatches(config: Settings, weight: np.ndarray, cuts: Sequences | None) -> list[int]:
    """Minibatches of a pass for each member, where members have rows of their own.

    Args:
      config: the configuration.
      weight: ``[M, R]`` 0 for padding.
      cuts: of members' episodes ``[M, C]``, for networks with memory.
    """
    if cuts is None:
        return [num_minibatches(config, int(rows)) for rows in (weight > 0).sum(1)]
    size = bc_sequences.batch_of(config.bc.batch_size, cuts.time.shape[-1])
    return [-(-int(count) // size) for count in (np.asarray(cuts.length) > 0).sum(1)]


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
        self._algorithm = bc_sequences if networks.carry_size else bc

        def statistics(data: Demonstrations, train: PyTree) -> PyTree:
            return bc.statistics(networks, data.obs, train)

        def select(state: bc.State, better: PyTree, patience: PyTree) -> bc.State:
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
        self.epochs(steps, validates).prepare(
            state, data, train, train, self.hyper(1), self.each(1)
        )
        self._statistics.prepare(data, train)
        none = np.zeros(self.members, np.int32)
        self.select.prepare(state, none.astype(bool), none)

    @functools.lru_cache(maxsize=16)  # noqa: B019  (lives as long as the run)
    def epochs(self, steps: int, validates: bool, /) -> compiled.Program:
        """A few epochs of ``steps`` minibatches.

        A function of ``(state, data, train, validation, hyper, passes)`` to the new state, the
        means over the last of the ``passes``, and those over the ``validation`` rows (if it
        ``validates``, else nothing).
        """
        networks, batch_size, algorithm = self.networks, self.section.batch_size, self._algorithm

        def epochs(
            state: bc.State,
            data: Demonstrations,
            train: PyTree,
            validation: PyTree,
            hyper: bc.Hyper,
            passes: PyTree,
        ) -> PyTree:
            def one(state: bc.State) -> tuple[bc.State, bc.Metrics]:
                return algorithm.epoch(networks, batch_size, steps, state, data, train, hyper)

            state, means = bc.repeated(one, state, passes)
            if not validates:
                return state, means, {}
            entropy_coef = hyper.entropy_coef
            held_out = algorithm.evaluate(networks, state.policy, data, validation, entropy_coef)
            return state, means, held_out

        return compiled.vmap_members(
            epochs, self.members, shared=self._shared, effort=compiled.SHORT
        )

    def each(self, number: int) -> np.ndarray:
        """A whole number for each member, ``[M]``."""
        return np.full(self.members, number, np.int32)

    @property
    def _images(self) -> bool:
        """Whether there are images to learn from."""
        return self.networks.spaces.obs.num_pixels > 0

    def plan(self, minibatches: int) -> Plan:
        """The course of a fit with so many minibatches an epoch."""
        return plan(self.section, minibatches, self._images)

    def hyper(
        self, num_epochs: int | np.ndarray, decay_epochs: float | np.ndarray = math.inf
    ) -> bc.Hyper:
        """Hyper-parameters of the members, which are trained for ``num_epochs`` ``[M]``.

        ``decay_epochs``: in which the learning rate decays, where its schedule is linear.
        """
        section = self.section
        if section.learning_rate_schedule == "constant":
            decay_epochs = math.inf

        def each(value: float | np.ndarray) -> np.ndarray:
            return np.broadcast_to(np.float32(value), (self.members,))

        return bc.Hyper(
            each(learning_rate(section, self._images)),
            each(section.entropy_coef),
            each(section.weight_decay),
            each(section.max_grad_norm),
            np.broadcast_to(np.int32(num_epochs), (self.members,)),
            each(decay_epochs),
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
