"""Functions as teachers: batched or for one observation, detected by a trial call."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.envs import environment
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import ActionError, UserError
from jaxmaze.teachers.adapters import actions, numbers, raised
from jaxmaze.teachers.adapters.numbers import NotAnActionError

SIZES = (3, 5, 7, 11, 13, 17, 19)
"""Sizes of a trial batch; one is used that equals no length in the environment's shapes."""


UNFIT = "gave actions"
"""Beginning of the message for actions of the right shape that the environment refuses."""


class Form(NamedTuple):
    """The calling convention of a function.

    Attributes:
      batch: whether it takes observations ``[N, ...]``, instead of one at a time.
      pair: whether it returns ``(action, state)``.
      state: whether that state is not None, so that the function has memory.
    """

    batch: bool
    pair: bool
    state: bool = False


class Function:
    """A user's function, called with a whole batch or row by row.

    Attributes:
      name: its name in messages.
      form: its calling convention.
      sha256: of its source file; None if there is none.
    """

    sha256: str | None = None

    def __init__(self, function: Callable[[PyTree], object], info: EnvInfo, name: str):
        """Detect the calling convention, with observations of the environment.

        If both ways fit, it is called with batches.

        Raises:
          UserError: one line that says what it must take and return, if neither way fits.
        """
        self._function, self._space, self._env = function, info.spaces.action, info.config.id
        self.name = name
        self.form = self._tried(info, name)

    def __call__(self, obs: PyTree) -> PyTree:
        try:
            return self._called(obs, self.form)
        except NotAnActionError as error:
            wanted = f"actions {self._batch()}" if self.form.batch else "one action"
            raise ActionError(
                f"policy {self.name} {error}; for {self._env} it must give {wanted} "
                f"({self._space.describe()})",
                error.row,
            ) from error
        except Exception as error:  # whatever a user's function raises
            raise raised.failed(self.name, "", error) from error

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
            try:
                action = numbers.unpack(given)[0] if form.pair else given
                each.append(actions.one(self._space, action))
            except NotAnActionError as error:
                error.row = i
                raise
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
            # A problem with the pair's action is more informative than that a pair is no action.
            problems.append(found[0] if "no pair" in found[1] else found[1])
        for problem in problems:
            if problem.startswith(UNFIT):  # the shape is right, the values are not
                raise UserError(f"policy {name} {problem}")
        raise UserError(
            f"policy {name} is neither a function of a batch nor of one observation of "
            f"{info.config.id}: it must take observations {info.spaces.obs.batch()} and give "
            f"actions {self._batch()}, or take one observation and give one "
            f"action ({info.spaces.action.describe()}); given a batch of "
            f"{len(jax.tree.leaves(obs)[0])} it {problems[0]}, given one it {problems[1]}"
        )

    def _batch(self) -> str:
        """A description of a batch of actions."""
        shape = getattr(self._space, "env_shape", None)
        if shape is None:
            return "of N rows, parts as the action space's"
        return f"[{', '.join(map(str, ('N', *shape)))}]"

    def _problem(self, obs: PyTree, form: Form, info: EnvInfo) -> str:
        """The problem with its output under a calling convention, in words; empty if none."""
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
        """Whether the state that is returned with the actions is not None."""
        given = obs if batch else jax.tree.map(lambda x: x[0].copy(), obs)
        state = numbers.unpack(self._function(given))[1]
        return any(x is not None for x in jax.tree.leaves(state))


def samples(info: EnvInfo) -> PyTree:
    """A few observations ``[N, ...]`` of an environment: the first ones of different episodes.

    First observations, because a function may keep state within an episode.

    ``N`` equals no length in their shapes, so that a batch is not taken for one observation.
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
