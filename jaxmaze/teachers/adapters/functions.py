"""Functions as teachers: of a batch of observations or of one, told apart by a trial call."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.envs import environment
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.teachers.adapters import actions, numbers

SIZES = (3, 5, 7, 11, 13, 17, 19)
"""How many observations a trial may have; one that is no other length of the environment's."""


UNFIT = "gave actions"
"""How the words begin for actions of the right shape that an environment does not take."""


class Form(NamedTuple):
    """How a function is called.

    Attributes:
      batch: with observations ``[N, ...]``, instead of one after the other.
      pair: whether it gives ``(action, state)``.
      state: whether that state is something, so that the function remembers.
    """

    batch: bool
    pair: bool
    state: bool = False


class Function:
    """A user's function, called with a whole batch or row by row.

    Attributes:
      form: how it is called.
      sha256: of the file that it comes from; None if there is none.
    """

    sha256: str | None = None

    def __init__(self, function: Callable[[PyTree], object], info: EnvInfo, name: str):
        """Find out how it is called, with the environment's own observations.

        Where both ways fit, it is called with batches.

        Raises:
          UserError: one line that says what it must take and give, if neither way fits.
        """
        self._function, self._space = function, info.spaces.action
        self.form = self._tried(info, name)

    def __call__(self, obs: PyTree) -> PyTree:
        return self._called(obs, self.form)

    def _called(self, obs: PyTree, form: Form) -> PyTree:
        rows = len(jax.tree.leaves(obs)[0])
        if form.batch:
            given = self._function(obs)
            return actions.batch(
                self._space, numbers.unpack(given)[0] if form.pair else given, rows
            )
        each = []
        for i in range(rows):
            given = self._function(jax.tree.map(lambda x, i=i: x[i].copy(), obs))
            each.append(actions.one(self._space, numbers.unpack(given)[0] if form.pair else given))
        return jax.tree.map(lambda *x: np.stack(x), *each)

    def _tried(self, info: EnvInfo, name: str) -> Form:
        obs = samples(info)
        problems: list[str] = []
        for batch in (True, False):
            found = []
            for pair in (False, True):
                form = Form(batch, pair)
                problem = self._problem(obs, form, info)
                if not problem:
                    return form._replace(state=pair and self._state(obs, batch))
                found.append(problem)
            # What is wrong with the action of a pair tells more than that the pair is no action.
            problems.append(found[0] if "no pair" in found[1] else found[1])
        for problem in problems:
            if problem.startswith(UNFIT):  # the right shape
                raise UserError(f"policy {name} {problem}")
        raise UserError(
            f"policy {name} is neither a function of a batch nor of one observation of "
            f"{info.config.id}: it must take observations {info.spaces.obs.batch()} and give "
            f"actions {self._batch()}, or take one observation and give one "
            f"action ({info.spaces.action.describe()}); given a batch of "
            f"{len(jax.tree.leaves(obs)[0])} it {problems[0]}, given one it {problems[1]}"
        )

    def _batch(self) -> str:
        """How a batch of actions looks, in words."""
        shape = getattr(self._space, "env_shape", None)
        if shape is None:
            return "of N rows, parts as the action space's"
        return f"[{', '.join(map(str, ('N', *shape)))}]"

    def _problem(self, obs: PyTree, form: Form, info: EnvInfo) -> str:
        """What is wrong with what it gives when it is called in some way; empty if nothing is."""
        space = info.spaces.action
        try:
            action = self._called(jax.tree.map(np.copy, obs), form)
        except Exception as error:  # whatever a user's function raises
            shown = " ".join(str(error).split())
            return shown if shown.startswith("gave ") else f"raised {type(error).__name__}: {shown}"
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(action)):
            return f"{UNFIT} that are NaN or infinite"
        problem = space.problem(space.accept(action), info.config.id)
        return f"gave {problem}" if problem else ""

    def _state(self, obs: PyTree, batch: bool) -> bool:
        """Whether the state that comes with the actions is something."""
        given = obs if batch else jax.tree.map(lambda x: x[0].copy(), obs)
        state = numbers.unpack(self._function(given))[1]
        return any(x is not None for x in jax.tree.leaves(state))


def samples(info: EnvInfo) -> PyTree:
    """A few observations ``[N, ...]`` of an environment: the first of as many episodes.

    The first ones, because a function may remember what it has seen of an episode.

    ``N`` is none of the lengths in its shapes, so that a batch is not taken for an observation.
    """
    spaces = info.spaces
    taken = {n for part in spaces.obs.parts for n in part.shape} | set(spaces.action.shape)
    count = next(n for n in SIZES if n not in taken)
    room = spaces.obs.zeros(count)
    env = environment.make(info.config)
    try:
        for i in range(count):
            spaces.obs.put(room, i, env.reset(seed=i)[0])
    finally:
        env.close()
    return room
