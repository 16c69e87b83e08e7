"""Filters on a data set's episodes: by seed, return, rank, and number."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np

from jaxmaze.config.fields import names_of
from jaxmaze.config.sections.bc import BC
from jaxmaze.core.words import agree, counted
from jaxmaze.envs.episodes import Episode
from jaxmaze.errors import UserError
from jaxmaze.runs.dataset import Dataset

NO_REWARDS = "not recorded"
"""The value of ``rewards`` in the provenance of data with unknown rewards; they are 0."""


def apply(dataset: Dataset, section: BC) -> Dataset:
    """Apply the filters of ``config.bc``; returns the same data set if there are none.

    Filters are applied in this order: ``seeds``, ``min_return``, ``top_fraction``, ``first_n``.
    Episodes keep their order.

    Raises:
      UserError: one line, if nothing is left.
    """
    filters = ("seeds", "min_return", "top_fraction", "first_n")
    asked = {name: getattr(section, name) for name in filters}
    asked = {name: value for name, value in asked.items() if value is not None}
    if not asked:
        return dataset
    by_return = [name for name in ("min_return", "top_fraction") if name in asked]
    if by_return and dataset.provenance.get("rewards") == NO_REWARDS:
        raise UserError(
            f"config.bc.{by_return[0]} needs the episodes' rewards, which {_names(section)} has not"
        )
    kept = _kept(dataset.episodes, section)
    words = ", ".join(f"bc.{name}={_shown(value)}" for name, value in asked.items())
    if not len(kept):
        raise UserError(f"{words} leaves none of the {_of(dataset, 'seeds' in asked)}")
    episodes = tuple(
        dataclasses.replace(dataset.episodes[i], index=n) for n, i in enumerate(kept.tolist())
    )
    digest = hashlib.sha256(dataset.sha256.encode() + kept.astype(np.int64).tobytes())
    left = dataclasses.replace(
        dataset,
        episodes=episodes,
        sha256=digest.hexdigest(),
        weights=None if dataset.weights is None else dataset.weights[kept],
    )
    line = (
        f"{words}: {len(episodes)} of {counted(len(dataset.episodes), 'episode')} "
        f"{agree(len(episodes), 'remains', 'remain')} ({left.num_steps:,} of "
        f"{dataset.num_steps:,} steps)"
    )
    missing = sorted(set(section.seeds or ()) - {e.seed for e in dataset.episodes})
    if missing:
        line += f"; none has the seed {' or '.join(map(str, missing[:5]))}"
    return dataclasses.replace(left, remarks=(*dataset.remarks, line))


def _kept(episodes: Sequence[Episode], section: BC) -> np.ndarray:
    """Positions of the episodes that remain, in their order."""
    kept = np.arange(len(episodes))
    if section.seeds is not None:
        kept = kept[[e.seed in section.seeds for e in episodes]]
    returns = np.array([e.episode_return for e in episodes])
    if section.min_return is not None:
        kept = kept[returns[kept] >= section.min_return]
    if section.top_fraction is not None:
        # 0.1 of 30 must be 3, although 0.1 * 30 is slightly more in floats.
        count = math.ceil(section.top_fraction * len(kept) - 1e-9)
        kept = np.sort(kept[np.argsort(-returns[kept], kind="stable")[:count]])
    return kept[: section.first_n]


def _of(dataset: Dataset, seeds: bool) -> str:
    """A description of the episodes before filtering."""
    each = [e.episode_return for e in dataset.episodes]
    words = (
        f"{counted(len(each), 'episode')}, whose returns are from {min(each):.5g} to "
        f"{max(each):.5g}"
    )
    known = sorted({e.seed for e in dataset.episodes if e.seed is not None})
    if not seeds:
        return words
    if not known:
        return f"{words}, and which have no seeds on record"
    return f"{words}, and whose seeds are {', '.join(map(str, known[:5]))}" + (
        ", ..." if len(known) > 5 else ""
    )


def _shown(value: object) -> str:
    if not isinstance(value, tuple):
        return f"{value:g}"
    few = ",".join(map(str, value[:5]))
    return f"({few})" if len(value) <= 5 else f"({few},...)"


def _names(section: BC) -> str:
    return ", ".join(names_of(section.data))
