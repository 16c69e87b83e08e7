"""Observation and action spaces of an environment, as the networks use them.

Each kind of action is one class, such as :class:`Discrete` or :class:`Box`, that implements
:class:`jaxmaze.core.action_space.ActionSpace`; callers never test for a particular kind. To add
one, write such a class, register it in ``ACTIONS``, and construct it in
:func:`jaxmaze.envs.space_kinds.actions_of`. All are hashable, so that they can be static.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from jaxmaze.core import observations
from jaxmaze.core.action_space import ActionSpace
from jaxmaze.core.action_units import Units
from jaxmaze.core.binary_actions import MultiBinary
from jaxmaze.core.box_actions import Box
from jaxmaze.core.composite_actions import Composite
from jaxmaze.core.discrete_actions import Discrete, MultiDiscrete
from jaxmaze.core.observations import Observations
from jaxmaze.core.types import JsonMap, PyTree

__all__ = [
    "ACTIONS",
    "MASK",
    "ActionSpace",
    "Box",
    "Composite",
    "Discrete",
    "MultiBinary",
    "MultiDiscrete",
    "Spaces",
]

MASK = "action_mask"
"""The name of the part of an observation that says which actions are allowed."""

ACTIONS: dict[str, Callable[..., ActionSpace]] = {
    space.kind: space for space in (Discrete, MultiDiscrete, MultiBinary, Box, Composite)
}
"""The kinds of action by their name in saved files."""


def _plain(value: PyTree) -> PyTree:
    """Convert a kind of action to values that JSON can hold, leaving out defaults."""
    if isinstance(value, tuple):
        return [_plain(x) for x in value]
    if not dataclasses.is_dataclass(value):
        return value
    space: PyTree = value
    fields = {f.name: getattr(space, f.name) for f in dataclasses.fields(space)}
    defaults = {f.name: f.default for f in dataclasses.fields(space)}
    changed = {name: _plain(x) for name, x in fields.items() if x != defaults[name]}
    return {"kind": space.kind} | changed


def _from_plain(value: PyTree) -> PyTree:
    """The inverse of :func:`_plain`."""
    if isinstance(value, list | tuple):
        return tuple(_from_plain(x) for x in value)
    if not isinstance(value, dict):
        return value
    fields = {name: _from_plain(x) for name, x in value.items()}
    if "units" in fields:
        fields["units"] = Units(*fields["units"])
    return ACTIONS[fields.pop("kind")](**fields)


@dataclasses.dataclass(frozen=True)
class Spaces:
    """The observation and action spaces of an environment.

    Attributes:
      obs: its observations.
      action: its actions.
      masked: whether the part :data:`MASK` of the observations is an action mask.
    """

    obs: Observations
    action: ActionSpace
    masked: bool = False

    @property
    def features(self) -> Observations:
        """The observations that networks take: all parts except the mask."""
        if not self.masked:
            return self.obs
        return Observations(tuple(p for p in self.obs.parts if p.path != (MASK,)))

    def features_of(self, obs: PyTree) -> PyTree:
        """Observations ``[..., *shape]`` without their mask."""
        return {k: v for k, v in obs.items() if k != MASK} if self.masked else obs

    def in_units(self, actions: np.ndarray | None = None) -> Spaces:
        """The same spaces with units of actions for policies: ``ActionSpace.in_units``."""
        return dataclasses.replace(self, action=self.action.in_units(actions))

    def bare(self) -> Spaces:
        """The same spaces with actions in the environment's units, as an environment has them."""
        return dataclasses.replace(self, action=self.action.bare())

    def mask_of(self, obs: PyTree) -> PyTree:
        """The action mask ``[..., n]`` in observations; None if there is none."""
        return obs[MASK] if self.masked else None

    def with_mask(self, features: PyTree) -> PyTree:
        """Numpy observations made of ``features`` and a mask that allows every action."""
        if not self.masked:
            return features
        lead = self.features.lead(features)
        return {**features, MASK: np.ones((*lead, self.action.mask_size), np.float32)}

    def violation(self, obs: PyTree, actions: PyTree) -> str:
        """Returns an error message if masks forbid any of the actions ``[T, ...]``, else ``""``.

        The actions are in the environment's form.
        """
        if not self.masked:
            return ""
        mask = np.asarray(obs[MASK])
        nothing = self.action.blocked(mask)
        if nothing.any():
            return f"an action_mask that leaves no action at step {int(nothing.argmax())}"
        wrong = self.action.forbidden(actions, mask)
        if not wrong.any():
            return ""
        t = int(wrong.argmax())
        taken = jax.tree.map(lambda x: np.asarray(x)[t].tolist(), actions)
        return f"action {taken} at step {t}, which its action_mask forbids there"

    def describe(self) -> str:
        """A readable description of both spaces."""
        masks = ", of which action_mask says what is allowed" if self.masked else ""
        return f"observations {self.obs.describe()} and {self.action.describe()}{masks}"

    def to_plain(self) -> dict[str, PyTree]:
        """Convert the spaces to values that JSON can hold."""
        plain = {
            "observations": observations.to_plain(self.obs),
            "actions": _plain(self.action),
        }
        return plain | ({"masked": True} if self.masked else {})

    @classmethod
    def from_plain(cls, values: JsonMap) -> Spaces:
        """The inverse of :meth:`to_plain`; raises KeyError or TypeError for anything else."""
        masked = bool(values.get("masked", False))
        obs = observations.from_plain(values["observations"])
        return cls(obs, _from_plain(values["actions"]), masked)

    def difference(self, other: Spaces) -> str:
        """A readable description of the difference from ``other``; empty if they are equal."""
        for name in ("obs", "action"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{mine.describe()} there and {theirs.describe()} here"
        return ""
