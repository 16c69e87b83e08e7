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
from jaxmaze.teachers.adapters import numbers

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
        self._function, self._shape = function, info.spaces.action.shape
        self.form = self._tried(info, name)

    def __call__(self, obs: PyTree) -> np.ndarray:
        return self._called(obs, self.form)

    def _called(self, obs: PyTree, form: Form) -> np.ndarray:
        rows = len(jax.tree.leaves(obs)[0])
        if form.batch:
            given = self._function(obs)
            return numbers.shaped(
                numbers.unpack(given)[0] if form.pair else given, (rows, *self._shape)
            )
        each = []
        for i in range(rows):
            given = self._function(jax.tree.map(lambda x, i=i: x[i].copy(), obs))
            each.append(one(numbers.unpack(given)[0] if form.pair else given, self._shape))
        return np.stack(each)

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
            f"actions [{', '.join(map(str, ('N', *self._shape)))}], or take one observation and "
            f"give one action ({info.spaces.action.describe()}); given a batch of "
            f"{len(jax.tree.leaves(obs)[0])} it {problems[0]}, given one it {problems[1]}"
        )

    def _problem(self, obs: PyTree, form: Form, info: EnvInfo) -> str:
        """What is wrong with what it gives when it is called in some way; empty if nothing is."""
        space = info.spaces.action
        try:
            action = self._called(jax.tree.map(np.copy, obs), form)
        except Exception as error:  # whatever a user's function raises
            shown = " ".join(str(error).split())
            return shown if shown.startswith("gave ") else f"raised {type(error).__name__}: {shown}"
        if not np.isfinite(action).all():
            return f"{UNFIT} that are NaN or infinite"
        problem = space.problem(space.accept(action), info.config.id)
        return f"gave {problem}" if problem else ""

    def _state(self, obs: PyTree, batch: bool) -> bool:
        """Whether the state that comes with the actions is something."""
        given = obs if batch else jax.tree.map(lambda x: x[0].copy(), obs)
        state = numbers.unpack(self._function(given))[1]
        return any(x is not None for x in jax.tree.leaves(state))


def one(given: object, shape: tuple[int, ...]) -> np.ndarray:
    """One action out of what a teacher gave for one observation.

    Raises:
      ValueError: if it has another shape.
    """
    action = numbers.to_numpy(given)
    if action.shape != shape and action.size == np.prod(shape, dtype=int) and action.ndim <= 1:
        return action.reshape(shape)
    if action.shape != shape:
        raise ValueError(f"gave shape {action.shape} instead of {shape}")
    return action


def samples(info: EnvInfo) -> PyTree:
    """A few observations ``[N, ...]`` of an environment: its first, and some of random steps.

    ``N`` is none of the lengths in its shapes, so that a batch is not taken for an observation.
    """
    spaces = info.spaces
    taken = {n for part in spaces.obs.parts for n in part.shape} | set(spaces.action.shape)
    count = next(n for n in SIZES if n not in taken)
    room, rng = spaces.obs.zeros(count), np.random.default_rng(0)
    env = environment.make(info.config)
    try:
        over = True
        for i in range(count):
            if over:
                obs, over = env.reset(seed=i)[0], False
            else:
                (action,) = spaces.action.each(
                    spaces.action.uniform(rng, 1).astype(info.action_space.dtype)
                )
                obs, _, terminated, truncated, _ = env.step(action)
                over = bool(terminated or truncated)
            spaces.obs.put(room, i, obs)
    finally:
        env.close()
    return room
