"""Teachers with memory or planning: one object per environment, reset for each episode."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import ActionError, UserError
from jaxmaze.teachers.adapters import actions, numbers, raised
from jaxmaze.teachers.adapters.numbers import NotAnActionError


class Teacher(Protocol):
    """The interface of users' objects. ``act`` may also take ``env``, the unwrapped environment."""

    def reset(self, seed: int) -> object: ...
    def act(self, obs: PyTree) -> object: ...


class PerSlot:
    """One object per environment: observations ``[K, ...]`` to actions ``[K, ...]``.

    An object gets only the observations of its own environment, in order, and is reset with the
    episode's seed at the start of each episode: if ``reset`` clears all memory, its actions do not
    depend on the number of environments.

    Attributes:
      name: their name in messages.
      sha256: of their source file; None if there is none.
    """

    sha256: str | None = None

    def __init__(self, make: Callable[[int], Teacher], info: EnvInfo, name: str):
        """Set up; ``make`` makes the object of a slot."""
        self._make, self._info, self.name = make, info, name
        self._made: dict[int, Teacher] = {}
        self._playing: dict[int, Callable[[PyTree], object]] = {}

    def begin(self, slot: int, env: object, seed: int) -> None:
        """An episode begins in a slot."""
        if slot not in self._made:
            self._made[slot] = self._make(slot)
        teacher = self._made[slot]
        try:
            teacher.reset(seed)
        except Exception as error:  # whatever a user's object raises
            raise raised.failed(self.name, "reset", error) from error
        act = teacher.act
        if _takes(act, "env"):
            inner = getattr(env, "unwrapped", env)
            self._playing[slot] = lambda obs: act(obs, env=inner)  # type: ignore[call-arg]
        else:
            self._playing[slot] = act

    def end(self, slot: int, episode: Episode) -> Episode:
        """An episode has ended; the object is not called until the next one begins."""
        del self._playing[slot]
        return episode

    def __call__(self, obs: PyTree) -> PyTree:
        if not self._playing:
            raise ValueError(
                f"{self.name} is told where episodes begin, with begin(slot, env, seed); none has"
            )
        chosen: dict[int, PyTree] = {}
        for slot, act in self._playing.items():
            chosen[slot] = self._one(act, jax.tree.map(lambda x, s=slot: x[s].copy(), obs), slot)
        anything = next(iter(chosen.values()))  # a placeholder where no episode is running
        rows = len(jax.tree.leaves(obs)[0])
        each = [chosen.get(slot, anything) for slot in range(rows)]
        return jax.tree.map(lambda *x: np.stack(x), *each)

    def _one(self, act: Callable[[PyTree], object], obs: PyTree, slot: int) -> PyTree:
        try:
            return actions.one(self._info.spaces.action, act(obs))
        except NotAnActionError as error:
            raise ActionError(
                f"policy {self.name}: act(obs) {error}; for {self._info.config.id} it must give "
                f"one action, {self._info.spaces.action.describe()}",
                slot,
            ) from error
        except Exception as error:  # whatever a user's object raises
            raise raised.failed(self.name, "act", error) from error


def per_slot(policy: object, info: EnvInfo, name: str) -> PerSlot:
    """A user's object, or its class, as a policy.

    Args:
      policy: a class or function without arguments that makes one object per environment, or an
        object that is copied for each.
      info: the environment.
      name: its name in messages.

    Raises:
      UserError: if it lacks a method, or cannot be made or copied.
    """
    if isinstance(policy, type):
        _check(policy, name)

        def made(_slot: int) -> Teacher:
            try:
                return policy()  # type: ignore[no-any-return]
            except TypeError as error:
                raise UserError(
                    f"policy {name}: {policy.__name__}() cannot be made without arguments: {error}"
                ) from error

        _check_arguments(made(0), name)
        return PerSlot(made, info, name)
    _check(policy, name)
    _check_arguments(policy, name)  # type: ignore[arg-type]
    try:
        fresh: Teacher = copy.deepcopy(policy)  # type: ignore[assignment]
    except Exception as error:  # copying an object may raise anything
        return PerSlot(_only(policy, name, error), info, name)
    return PerSlot(lambda _slot: copy.deepcopy(fresh), info, name)


def _only(policy: object, name: str, error: Exception) -> Callable[[int], Teacher]:
    """The object itself, for the first environment only, if it cannot be copied."""

    def only(slot: int) -> Teacher:
        if slot:
            raise UserError(
                f"policy {name} cannot be copied for each environment ({error}); give its class, "
                "or set rollout.num_envs=1"
            ) from error
        return policy  # type: ignore[return-value]

    return only


def _check(policy: object, name: str) -> None:
    for method, arguments in (("reset", "seed"), ("act", "obs")):
        function = getattr(policy, method, None)
        if not callable(function):
            raise UserError(
                f"policy {name} has no {method}({arguments}); a teacher that remembers has "
                "reset(seed) and act(obs) or act(obs, env)"
            )


def _check_arguments(teacher: Teacher, name: str) -> None:
    more = {"env": None} if _takes(teacher.act, "env") else {}
    for method, called, keywords in (("reset", "seed", {}), ("act", "obs", more)):
        try:
            signature = inspect.signature(getattr(teacher, method))
        except (TypeError, ValueError):  # some functions in C have none
            continue
        try:
            signature.bind(0, **keywords)
        except TypeError as error:
            raise UserError(
                f"policy {name}: {method}{signature} cannot be called as {method}({called}): "
                f"{error}; a teacher that remembers has reset(seed) and act(obs) or act(obs, env)"
            ) from None


def _takes(function: Callable[..., object], name: str) -> bool:
    """Whether a function has an argument of that name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)


class Predictor:
    """A recurrent model with ``predict``, and its hidden state."""

    def __init__(self, predict: Callable[..., object]):
        self._predict = predict
        self._state: object = None
        self._first = True

    def reset(self, seed: int) -> None:
        """Clear the hidden state; the model draws no random numbers."""
        del seed
        self._state, self._first = None, True

    def act(self, obs: PyTree) -> object:
        """The action for the next observation."""
        batch = jax.tree.map(lambda x: x[None], obs)
        given = self._predict(
            batch,
            state=self._state,
            episode_start=np.array([self._first]),
            deterministic=True,
        )
        action, self._state = numbers.unpack(given)
        self._first = False
        return numbers.to_numpy(action)[0]
