"""Write a user's own arrays as a Minari data set on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxmaze.config.fields import names_of
from jaxmaze.core.types import PyTree
from jaxmaze.core.words import counted
from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.runs.about import DATASET_ID, About
from jaxmaze.runs.foreign import Given, Raw, array_of, arrays_of, info_for, write


def dataset(
    path: str | Path,
    *,
    observations: Given,
    actions: Given,
    env: Given,
    rewards: Given = None,
    terminations: Given = None,
    truncations: Given = None,
    episode_ends: Given = None,
    lengths: Given = None,
    next_observations: Given = None,
    seeds: Sequence[int] | None = None,
    clip_actions: bool = False,
    policy: str = "recorded",
    dataset_id: str | None = None,
    author: str | tuple[str, ...] | None = None,
    author_email: str | tuple[str, ...] | None = None,
    code_permalink: str | None = None,
) -> Path:
    """Write arrays as a Minari data set, which ``bc.data`` and Minari itself take.

    Arrays are flat, ``R`` steps of ``E`` episodes one after the other, or lists with one array per
    episode. For flat arrays the episodes' ends must be given, by one of ``lengths``,
    ``episode_ends``, or ``terminations`` and ``truncations``. Numbers are cast to the dtypes of the
    spaces; a cast that would change a value is refused.

    Args:
      path: the folder to write, ``path/data`` in it.
      observations: ``[R, ...]``, or ``[R + E, ...]`` with each episode's final one; a dict of
        arrays where the space is a Dict. A missing final observation is filled with the last one,
        and a line is printed.
      actions: ``[R, ...]``.
      env: what they must fit: an environment's id, a configuration, an environment, or a pair of
        spaces ``(observation_space, action_space)``.
      rewards: ``[R]``; without them, filters by return and the critic fit are not available.
      terminations: ``[R]`` flags, or ``[E]`` together with ``lengths`` or ``episode_ends``.
      truncations: likewise. Episodes with neither are taken as truncated.
      episode_ends: ``[E]`` rows at which the next episode begins, the last one being ``R``.
      lengths: ``[E]`` steps of each episode.
      next_observations: ``[R, ...]``, from which the final observations are taken.
      seeds: ``[E]`` reset seeds of the environment, where known.
      clip_actions: whether actions outside their bounds are clipped; they are refused otherwise.
      policy: name of the behaviour policy.
      dataset_id: Minari id, such as ``"cartpole/mine-v0"``.
      author: one or several.
      author_email: likewise.
      code_permalink: link to the code behind the data.

    Returns:
      The folder.

    Raises:
      UserError: one line with what is wrong; nothing is written then.
    """
    info = info_for(env)
    flat = Flat(observations, actions, rewards, terminations, truncations, next_observations, seeds)
    raws = split(flat, info, lengths, episode_ends)
    authors = names_of(author), names_of(author_email)
    about = About(dataset_id or DATASET_ID, *authors, code_permalink)
    provenance = {"policy": policy, "source": {"format": "arrays"}}
    return write(Path(path), raws, info, provenance, about, clip_actions)


class Flat(NamedTuple):
    """Steps of several episodes, as :func:`dataset` takes them."""

    observations: Given
    actions: Given
    rewards: Given = None
    terminations: Given = None
    truncations: Given = None
    next_observations: Given = None
    seeds: Given = None


def split(flat: Flat, info: EnvInfo, lengths: Given = None, ends: Given = None) -> Iterator[Raw]:
    """The episodes in arrays, flat or a list with one for each.

    Raises:
      UserError: if lengths do not fit together, or the ends of episodes are not given.
    """
    if _is_listed(flat.actions, info):
        if lengths is not None or ends is not None:
            raise UserError("lengths and episode_ends are for flat arrays; these are a list each")
        return _listed(flat)
    return _flat(flat, info.action_space.dtype is None, lengths, ends)


def _is_listed(actions: Given, info: EnvInfo) -> bool:
    """Whether there is one array per episode: one more axis than a batch of actions has."""
    if info.action_space.dtype is None:  # a Dict or a Tuple; one of arrays is flat
        return isinstance(actions, list)
    batch = len(info.action_space.shape or ()) + 1
    if isinstance(actions, np.ndarray):
        # One column of integers is flat, as d3rlpy has it.
        return actions.ndim == batch + 1 and not (batch == 1 and actions.shape[1] == 1)
    if isinstance(actions, list | tuple) and len(actions):
        first = actions[0]
        return np.ndim(first) == batch
    return False


def _listed(flat: Flat) -> Iterator[Raw]:
    """Episodes from lists with one item per episode."""
    count = len(flat.actions)  # type: ignore[arg-type]

    def of(name: str, i: int) -> PyTree:
        values = getattr(flat, name)
        return None if values is None else values[i]

    for name in Flat._fields:
        values = getattr(flat, name)
        if values is not None and len(values) != count:
            raise UserError(
                f"{name} has {counted(len(values), 'episode')}, but actions has {count}"
            )
    for i in range(count):
        after = of("next_observations", i)
        yield Raw(
            of("observations", i),
            of("actions", i),
            of("rewards", i),
            _at_end(of("terminations", i), "terminations", i),
            _at_end(of("truncations", i), "truncations", i),
            None if of("seeds", i) is None else int(of("seeds", i)),
            None
            if after is None
            else jax.tree.map(lambda x: x[-1], arrays_of(after, "next_observations")),
        )


def _at_end(flags: Given, name: str, episode: int) -> bool:
    """The flag of an episode's last step, from one flag per episode or one per step."""
    if flags is None:
        return False
    each = np.atleast_1d(array_of(flags, name)).astype(bool).reshape(-1)
    if each[:-1].any():
        raise UserError(f"{name} are set before the last step of episode {episode}")
    return bool(each[-1]) if len(each) else False


def _flat(flat: Flat, parts: bool, lengths: Given, ends: Given) -> Iterator[Raw]:
    """Episodes from flat arrays; actions may be nested dicts and tuples (``parts``)."""
    actions = arrays_of(flat.actions, "actions", parts)
    rows = max(_rows(actions, "actions"))
    stops = _stops(flat, rows, lengths, ends)
    starts, count = np.append(0, stops[:-1]), len(stops)
    observations = arrays_of(flat.observations, "observations")
    known = _rows(observations, "observations")
    if known not in ({rows}, {rows + count}):
        raise UserError(
            f"observations have {', '.join(map(str, sorted(known)))} rows, but actions have {rows} "
            f"in {counted(count, 'episode')}; give {rows}, or {rows + count} with each episode's "
            "final one"
        )
    more = int(known == {rows + count})  # includes each episode's final one
    sized: dict[str, tuple[int, ...]] = {
        "rewards": (rows,),
        "next_observations": (rows,),
        "terminations": (rows, count),
        "truncations": (rows, count),
        "seeds": (count,),
    }
    columns = {name: _column(flat, name, sizes) for name, sizes in sized.items()}
    after = columns["next_observations"]
    for i, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        flags = {}
        for name in ("terminations", "truncations"):
            values = columns[name]
            per_row = values is not None and len(values) == rows
            part = None if values is None else values[start:stop] if per_row else values[i]
            flags[name] = _at_end(part, name, i)
        first, last = start + more * i, stop + more * (i + 1)
        yield Raw(
            jax.tree.map(lambda x, a=first, b=last: x[a:b], observations),
            jax.tree.map(lambda x, a=start, b=stop: x[a:b], actions),
            None if columns["rewards"] is None else columns["rewards"][start:stop],
            flags["terminations"],
            flags["truncations"],
            None if columns["seeds"] is None else int(columns["seeds"][i]),
            None if after is None else jax.tree.map(lambda x, at=stop - 1: x[at], after),
        )


def _rows(values: PyTree, name: str) -> set[int]:
    """The lengths of one array, or of all in a dict."""
    leaves = jax.tree.leaves(values)
    if not leaves or any(not x.ndim for x in leaves):
        raise UserError(f"{name} must be arrays with a row for each step, not a single number")
    return {len(x) for x in leaves}


def _column(flat: Flat, name: str, sizes: tuple[int, ...]) -> PyTree:
    """One of the arrays, checked to have one of these lengths; None if it is not given."""
    values = getattr(flat, name)
    if values is None:
        return None
    values = arrays_of(values, name)
    found = _rows(values, name)
    if len(found) != 1 or not found <= set(sizes):
        raise UserError(
            f"{name} has {', '.join(map(str, sorted(found)))} rows; it must have "
            f"{' or '.join(map(str, sizes))}"
        )
    return values


def _stops(flat: Flat, rows: int, lengths: Given, ends: Given) -> np.ndarray:
    """``[E]`` rows at which the next episode begins."""
    if not rows:
        raise UserError("actions are empty; there must be at least one step")
    if lengths is not None and ends is not None:
        raise UserError("give lengths or episode_ends, not both")
    if lengths is not None:
        stops = np.cumsum(np.asarray(lengths, np.int64))
    elif ends is not None:
        marks = np.asarray(ends)
        stops = np.flatnonzero(marks) + 1 if marks.dtype == bool else marks.astype(np.int64)
    else:
        marks = np.zeros(rows, bool)
        for name in ("terminations", "truncations"):
            flags = _column(flat, name, (rows,))
            if flags is not None:
                marks |= np.asarray(flags).astype(bool).reshape(-1)
        if flat.terminations is None and flat.truncations is None:
            raise UserError(
                "nothing tells where episodes end; give lengths, episode_ends, or terminations and "
                "truncations"
            )
        stops = np.flatnonzero(marks) + 1
        if not len(stops) or stops[-1] != rows:
            stops = np.append(stops, rows)  # the last one has no end
    name = "episode_ends" if lengths is None else "lengths"
    empty = np.flatnonzero(np.diff(stops, prepend=0) <= 0)
    if len(empty):
        raise UserError(f"{name} leave episode {empty[0]} empty; each must have at least one step")
    if not len(stops) or stops[-1] != rows:
        raise UserError(
            f"{name} must make episodes of at least one step that end at row {rows}, where the "
            f"actions end, not at {stops[-1] if len(stops) else 0}"
        )
    return stops
