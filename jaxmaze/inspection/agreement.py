"""How consistent actions are: whether equal observations led to equal actions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEAR = 0.05
"""Largest distance of nearly equal observations: root mean square, in standard deviations."""
NEIGHBOURS = 8
"""Nearest neighbours searched for one of another episode."""
DIMENSIONS = 64
"""Largest dimension of observations for the search for neighbours."""


class Agreement(NamedTuple):
    """How often equal observations led to different actions.

    Attributes:
      recurring: the number of steps whose observation occurs at another step too.
      differing: the share of such pairs with different actions.
      chance: the same share for any two steps. For continuous actions both are mean squared
        differences, in units of that between any two steps, so that ``chance`` is 1.
    """

    recurring: int
    differing: float
    chance: float

    @property
    def ratio(self) -> float:
        """0 where the observation determines the action, 1 where it tells nothing about it."""
        return self.differing / self.chance if self.chance > 0 else 0.0


def exact(states: np.ndarray, actions: np.ndarray, discrete: bool) -> Agreement:
    """The agreement over steps with exactly the same observation.

    Args:
      states: ``[N]`` hashes of the observations.
      actions: ``[N, A]``.
      discrete: whether actions are compared as equal or not, instead of by distance.
    """
    _, group, count = np.unique(states, return_inverse=True, return_counts=True)
    recurs = count[group] > 1
    number = int(recurs.sum())
    if not number:
        return Agreement(0, 0.0, 1.0)
    _, group = np.unique(group[recurs], return_inverse=True)
    size = np.bincount(group)
    if discrete:
        choice = np.unique(actions, axis=0, return_inverse=True)[1].reshape(-1)
        per_group = _different(group, choice[recurs])
        everywhere = _different(np.zeros_like(choice), choice)[0]
        return Agreement(number, float((per_group * size).sum() / number), float(everywhere))
    scaled = _scaled(actions)
    if not scaled.shape[1]:
        return Agreement(number, 0.0, 1.0)
    among = scaled[recurs]
    mean = np.stack([np.bincount(group, x) for x in among.T], 1) / size[:, None]
    square = ((among - mean[group]) ** 2).mean(1)
    variance = np.bincount(group, square) / (size - 1)  # unbiased; half the squared difference
    return Agreement(number, float((variance * size).sum() / number), 1.0)


def _different(group: np.ndarray, choice: np.ndarray) -> np.ndarray:
    """The share of pairs in each group with different choices."""
    pairs, count = np.unique(np.stack([group, choice]), axis=1, return_counts=True)
    size = np.bincount(group).astype(np.float64)
    same = np.bincount(pairs[0], count * (count - 1.0))
    return 1 - same / np.maximum(size * (size - 1), 1)


def _scaled(actions: np.ndarray) -> np.ndarray:
    """Actions scaled to variance 1, without constant dimensions."""
    real = actions.astype(np.float64)
    std = real.std(0)
    return (real / np.where(std > 0, std, 1))[:, std > 0]


def near(
    rows: np.ndarray, actions: np.ndarray, episodes: np.ndarray, discrete: bool
) -> Agreement | None:
    """The agreement over steps with nearly the same observation in different episodes.

    Pairs within one episode are left out: neighbours in time are alike in observation and action.

    Args:
      rows: ``[S, F]`` observations.
      actions: ``[S, A]``.
      episodes: ``[S]`` the episode of each.
      discrete: as in :func:`exact`.

    Returns:
      The agreement; None where there is nothing to compare.
    """
    from scipy import spatial

    finite = np.isfinite(rows).all(1) & np.isfinite(actions).all(1)
    rows, actions, episodes = rows[finite], actions[finite], episodes[finite]
    if len(rows) < 2:
        return None
    std = rows.std(0)
    rows = ((rows - rows.mean(0)) / np.where(std > 0, std, 1))[:, std > 0]
    count, width = rows.shape
    if not 0 < width <= DIMENSIONS:
        return None
    reach = NEAR * np.sqrt(width)
    tree = spatial.KDTree(rows)
    k = min(NEIGHBOURS + 1, count)
    distance, index = tree.query(rows, k=k, distance_upper_bound=reach)
    found = np.isfinite(distance)
    other = found & (episodes[np.where(found, index, 0)] != episodes[:, None])
    have = np.flatnonzero(other.any(1))
    if not len(have):
        return Agreement(0, 0.0, 1.0)
    partner = index[have, other[have].argmax(1)]
    if discrete:
        choice = np.unique(actions, axis=0, return_inverse=True)[1].reshape(-1)
        differs = (choice[have] != choice[partner]).mean()
        return Agreement(len(have), float(differs), float(_different(choice * 0, choice)[0]))
    scaled = _scaled(actions)
    if not scaled.shape[1]:
        return Agreement(len(have), 0.0, 1.0)
    square = ((scaled[have] - scaled[partner]) ** 2).mean() / 2
    return Agreement(len(have), float(square), 1.0)
