"""Tables with one row per step: CSV files and DataFrames with named columns."""

from __future__ import annotations

import csv
import fnmatch
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxmaze.envs.environment import EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.runs.foreign import Given, Raw

Table: TypeAlias = Mapping[str, np.ndarray]
"""Columns by name, in their order; each ``[R]``."""
_WORDS = {"true": 1.0, "false": 0.0, "": np.nan}


class Columns(NamedTuple):
    """The columns by their meaning: names or patterns such as ``obs_*``; defaults if empty."""

    observations: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    rewards: str | None = None
    terminations: str | None = None
    truncations: str | None = None
    episodes: str | None = None
    seeds: str | None = None


USUAL: dict[str, tuple[str, ...]] = {
    "observations": ("obs*", "state*"),
    "actions": ("act*",),
    "rewards": ("reward", "rewards", "reward*"),
    "terminations": ("term*", "done", "dones"),
    "truncations": ("trunc*", "timeout*"),
    "episodes": ("episode", "episode_id", "episode_index", "traj*"),
    "seeds": ("seed", "seeds", "episode_seed"),
}
"""Default names and patterns, tried in order; the first that matches a column is used."""


def is_frame(source: Given) -> bool:
    """Whether an object is a table with named columns, like a pandas DataFrame."""
    return hasattr(source, "columns") and hasattr(source, "__getitem__")


def of_frame(frame: Any) -> Table:
    """The columns of a DataFrame."""
    return {str(name): np.asarray(frame[name]) for name in frame.columns}


def of_csv(file: Path) -> Table:
    """The columns of a CSV file with a header; empty cells are NaN.

    Raises:
      UserError: if it is no such file.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            lines = list(csv.reader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as CSV: {error}") from None
    lines = [line for line in lines if line]
    if len(lines) < 2:
        raise UserError(f"{file} has no rows; it must have a line of names and then a row a step")
    names = [name.strip() for name in lines[0]]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise UserError(f"{file}: row {number} has {len(line)} cells, but {len(names)} columns")
    return {
        name: np.array([cell.strip() for cell in column])
        for name, column in zip(names, zip(*lines[1:], strict=True), strict=True)
    }


def episodes(table: Table, info: EnvInfo, columns: Columns) -> Iterator[Raw]:
    """The episodes in a table: one row per step, and optionally one for the final observation.

    The row of a final observation has no actions: empty cells, or NaN.

    Raises:
      UserError: if columns are missing or hold no numbers, or episodes cannot be told apart.
    """
    if info.spaces.obs.parts[0].path:
        raise UserError(
            f"a table holds one vector a row, but {info.config.id} has observations of several "
            "parts; use jaxmaze.dataset"
        )
    obs = _matrix(table, _many(table, columns.observations, "observations"))
    acts = _matrix(table, _many(table, columns.actions, "actions"))
    named = {
        name: _one(table, getattr(columns, name), name)
        for name in ("rewards", "terminations", "truncations", "episodes", "seeds")
    }
    rewards, terminated, truncated, seeds = (
        None if named[name] is None else _matrix(table, [str(named[name])])[:, 0]
        for name in ("rewards", "terminations", "truncations", "seeds")
    )
    labels = None if named["episodes"] is None else table[str(named["episodes"])]
    final = np.isnan(acts).all(1)
    for start, stop in _bounds(labels, terminated, truncated, final):
        steps = stop - 1 if final[stop - 1] and stop - start > 1 else stop
        part = slice(start, steps)
        yield Raw(
            obs[start:stop],
            acts[part],
            None if rewards is None else rewards[part],
            _ended(terminated, part),
            _ended(truncated, part),
            None if seeds is None or np.isnan(seeds[start]) else int(seeds[start]),
        )


def _bounds(
    labels: np.ndarray | None,
    terminated: np.ndarray | None,
    truncated: np.ndarray | None,
    final: np.ndarray,
) -> Iterator[tuple[int, int]]:
    """First row of each episode, and the row after its last."""
    rows = len(final)
    begins = np.zeros(rows, bool)
    begins[0] = True
    if labels is not None:
        begins[1:] = labels[1:] != labels[:-1]
        if begins.sum() != len(set(labels.tolist())):
            raise UserError("the rows of an episode are not together; sort the table by episode")
    elif terminated is None and truncated is None:
        raise UserError(
            "nothing tells episodes apart; name the column that does (episodes), or columns with "
            "flags (terminations, truncations)"
        )
    else:
        ends = np.zeros(rows, bool)
        for flags in (terminated, truncated):
            if flags is not None:
                ends |= np.nan_to_num(flags) > 0
        # A row without actions after the last step belongs to the episode that it ends.
        last = np.where(np.append(final[1:], False), False, ends)
        last[1:] |= final[1:] & ends[:-1]
        begins[1:] = last[:-1]
    starts = np.flatnonzero(begins).tolist()
    yield from zip(starts, [*starts[1:], rows], strict=True)


def _ended(flags: np.ndarray | None, part: slice) -> bool:
    """The flag of an episode's last step."""
    if flags is None:
        return False
    each = np.nan_to_num(flags[part]) > 0
    if each[:-1].any():
        raise UserError(
            f"an episode goes on after the end in row {part.start + int(each.argmax())}"
        )
    return bool(each[-1])


def _many(table: Table, wanted: tuple[str, ...], what: str) -> list[str]:
    """The columns that match names and patterns, in their order.

    Raises:
      UserError: if one of them matches no column.
    """
    found: list[str] = []
    for pattern in wanted or USUAL[what]:
        matching = [name for name in table if fnmatch.fnmatchcase(name, pattern)]
        if wanted and not matching:
            raise UserError(
                f"there is no column {pattern!r} for {what}; there are {_listed(table)}"
            )
        found += [name for name in matching if name not in found]
        if found and not wanted:
            break
    if not found:
        raise UserError(
            f"no column is called like {' or '.join(USUAL[what])}; say which are the {what}: there "
            f"are {_listed(table)}"
        )
    return found


def _one(table: Table, wanted: str | None, what: str) -> str | None:
    """The column for this meaning; None if there is none and none was asked for."""
    if wanted is not None:
        if wanted not in table:
            raise UserError(f"there is no column {wanted!r} for {what}; there are {_listed(table)}")
        return wanted
    names = (n for p in USUAL[what] for n in table if fnmatch.fnmatchcase(n, p))
    return next(names, None)


def _listed(table: Table) -> str:
    return ", ".join(list(table)[:20]) + (", ..." if len(table) > 20 else "")


def _matrix(table: Table, names: list[str]) -> np.ndarray:
    """Columns as numbers ``[R, C]``, keeping the table's dtype if it has one.

    Raises:
      UserError: for a cell that is no number, with its column and row.
    """
    return np.stack([_numbers(table[name], name) for name in names], 1)


def _numbers(column: np.ndarray, name: str) -> np.ndarray:
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    try:
        return column.astype(np.float64)
    except (ValueError, TypeError):
        pass
    numbers = np.zeros(len(column))
    for row, cell in enumerate(column.tolist()):
        text = str(cell).strip().lower()
        try:
            numbers[row] = _WORDS[text] if text in _WORDS else float(text)
        except ValueError:
            raise UserError(f"column {name!r}, row {row + 1}: {cell!r} is no number") from None
    return numbers
