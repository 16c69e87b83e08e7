"""Checks of steps: actions, observations, and how they are related."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.core.words import agree
from jaxmaze.inspection import agreement
from jaxmaze.inspection.survey import Column, Survey
from jaxmaze.inspection.verdicts import (
    OK,
    SKIPPED,
    UNFIT,
    WARNING,
    Check,
    listed,
    number,
    percent,
    spread,
)

NARROW = 0.01
"""Share of its range below which an action's values look like those of other units."""


def _shares_of(column: Column, x: np.ndarray) -> dict[str, float]:
    """The share of each choice, for at most the first thousand choices."""
    choices = range(int(column.low), int(min(column.high, column.low + 999)) + 1)
    found = dict(zip(*(y.tolist() for y in np.unique(x, return_counts=True)), strict=True))
    return {str(choice): found.get(choice, 0) / len(x) for choice in choices}


def actions(s: Survey) -> Check:
    """Check which actions were taken, and how often."""
    figures: Json = {}
    unused, constant, said = [], [], []
    for column, x in zip(s.columns, s.actions.T, strict=True):
        x = x[np.isfinite(x)]
        if not len(x):
            continue
        if column.discrete:
            share = _shares_of(column, x)
            figures[column.name] = share
            unused += [f"{column.name}={choice}" for choice, p in share.items() if p == 0]
            each = [f"{choice}: {percent(p)}" for choice, p in share.items()]
            said.append(f"{column.name} {listed(each)}")
        else:
            figures[column.name] = spread(x)
            said.append(f"{column.name} from {number(x.min())} to {number(x.max())}")
        if x.min() == x.max():
            constant.append(column.name)
    text = listed(said)
    if constant and len(constant) == len(s.columns):
        return Check(
            "actions",
            UNFIT,
            f"every step has the same action ({text}): nothing shows what to do when, so look at "
            "how actions were recorded.",
            figures,
        )
    if constant or unused:
        what = [*(f"{name} never changes" for name in constant)]
        what += [f"{listed(unused)} was never taken"] if unused else []
        return Check(
            "actions",
            WARNING,
            f"{text}; {' and '.join(what)}: a clone will not do so either, so record "
            "episodes in which it is needed, if there are such.",
            figures,
        )
    return Check("actions", OK, f"{text}.", figures)


class _Places(NamedTuple):
    """Shares of the steps, by the action's name, that lie where few should.

    Attributes:
      outside: outside the bounds.
      far: farther outside than these are apart.
      edge: on the bounds or nearly, in half of the steps or more.
      wrong: no choice of the action space.
      narrow: not of the steps but of the range: the part that is used, if it is small and within
        -1 and 1.
    """

    outside: Json
    far: Json
    edge: Json
    wrong: Json
    narrow: Json


def _places(s: Survey) -> _Places:
    """Where the actions lie."""
    found = _Places({}, {}, {}, {}, {})
    for column, x in zip(s.columns, s.actions.T, strict=True):
        x = x[np.isfinite(x)].astype(np.float64)
        low, high, name = column.low, column.high, column.name
        if not len(x):
            continue
        over = np.maximum(low - x, x - high)
        if column.discrete:
            share = float(((over > 0) | (x != np.round(x))).mean())
            found.wrong.update({name: share} if share else {})
            continue
        share = float((over > 1e-5).mean())
        found.outside.update({name: share} if share else {})
        if np.isfinite(high - low) and high > low:
            width = high - low
            beyond = float((over > width).mean())
            found.far.update({name: beyond} if beyond > 0.01 else {})
            near = float((over > -0.01 * width).mean())
            found.edge.update({name: near} if near >= 0.5 else {})
            used = float((x.max() - x.min()) / width)
            small = 0 < used < NARROW and abs(x).max() <= 1
            found.narrow.update({name: used} if small else {})
    return found


def bounds(s: Survey) -> Check:
    """Check for actions outside their bounds, on them most of the time, or in a part of them."""
    outside, far, edge, wrong, narrow = _places(s)
    figures: Json = {"outside": outside, "far_outside": far, "on_bounds": edge, "no_choice": wrong}
    figures |= {"range_used": narrow} if narrow else {}
    if wrong or far:
        names = wrong or far
        return Check(
            "bounds",
            UNFIT,
            f"{_shares(names)} of the steps lie {'outside the choices' if wrong else 'far outside'}"
            " of the action space: the actions are in other units, or of another environment, so "
            "convert them.",
            figures,
        )
    if outside:
        return Check(
            "bounds",
            WARNING,
            f"{_shares(outside)} of the steps have actions outside their bounds, which cloning "
            "refuses: clip them to the bounds first, if the environment did so too.",
            figures,
        )
    if narrow:
        return Check(
            "bounds",
            WARNING,
            f"all actions lie between -1 and 1, little of their range ({_shares(narrow)}): "
            "if they are shares of it, convert them to the environment's units.",
            figures,
        )
    if edge:
        return Check(
            "bounds",
            WARNING,
            f"{_shares(edge)} of the steps have actions within 1 % of a bound: a clone's mean "
            "action is less extreme, so compare its returns with the teacher's.",
            figures,
        )
    return Check("bounds", OK, "all actions lie within their bounds, few on them.", figures)


def _shares(shares: Json) -> str:
    return listed([f"{name}: {percent(p)}" for name, p in shares.items()])


def distinct(s: Survey) -> np.ndarray:
    """``[N]`` whether a step belongs to an episode that does not duplicate an earlier one."""
    first = np.unique(s.episode_hashes, return_index=True)[1]
    return np.isin(s.episode_of, first)


def duplicate_steps(s: Survey, discrete_states: bool) -> Check:
    """Check for duplicate transitions, apart from duplicate episodes."""
    kept = distinct(s)
    total = int(kept.sum())
    repeated = total - len(np.unique(s.step_hashes[kept]))
    states = len(np.unique(s.state_hashes[kept]))
    share = repeated / max(total, 1)
    figures: Json = {"copies": repeated, "steps": total, "different_observations": states}
    name, text = "duplicate steps", f"{repeated:,} of {total:,} steps repeat another exactly"
    if share <= 0.01:
        return Check(name, OK, f"{text}.", figures)
    if discrete_states or states < 0.1 * total:
        why = f"with {states:,} different observations they must"
        return Check(name, OK, f"{text}; {why}.", figures)
    return Check(
        name,
        WARNING,
        f"{text} (observation, action and next observation): look for a sensor that froze, or "
        "parts that were recorded twice, because what is repeated counts more.",
        figures,
    )


def features(s: Survey) -> Check:
    """Check for constant observation features."""
    constant = [n for n, a, b in zip(s.features, s.lowest, s.highest, strict=True) if not b > a]
    figures: Json = {"constant": constant, "features": len(s.features)}
    if not s.features:
        return Check("features", SKIPPED, "the observations have no numbers.", figures)
    if len(constant) == len(s.features):
        return Check(
            "features",
            UNFIT,
            "no number of the observation ever changes: nothing can be told from it, so look at "
            "how observations were recorded.",
            figures,
        )
    if constant:
        return Check(
            "features",
            WARNING,
            f"{len(constant)} of {len(s.features)} numbers of the observation never "
            f"{agree(len(constant), 'changes', 'change')} ({listed(constant)}): they teach "
            "nothing, and mislead a clone once they do change.",
            figures,
        )
    return Check(
        "features",
        OK,
        f"{agree(len(s.features), 'the one number', f'all {len(s.features)} numbers')} of the "
        f"observation {agree(len(s.features), 'varies', 'vary')}.",
        figures,
    )


def drift(s: Survey) -> Check:
    """Check for features or returns that drift over the order of the episodes."""
    from scipy import stats

    count = len(s.lengths)
    if count < 10:
        return Check("drift", SKIPPED, "fewer than 10 episodes tell nothing about drift.", {})
    names = [*s.features, "return"]
    found: Json = {}
    for name, x in zip(names, [*s.means.T, s.returns], strict=True):
        kept = np.isfinite(x)
        x, order = x[kept], np.flatnonzero(kept)
        if len(x) < 10 or not np.ptp(x):
            continue
        rank = stats.spearmanr(order, x)
        half = len(x) // 2
        shift = (x[-half:].mean() - x[:half].mean()) / x.std()
        # Bonferroni, as many features are tested; and the shift must be large enough to matter.
        if rank.pvalue < 0.01 / len(names) and abs(shift) > 0.5:
            found[name] = {"rank_correlation": float(rank.statistic), "shift_in_std": float(shift)}
    if not found:
        text = "neither observations nor returns change over the order of the episodes."
        return Check("drift", OK, text, {"drifting": {}})
    each = [f"{name} ({x['shift_in_std']:+.1f} standard deviations)" for name, x in found.items()]
    return Check(
        "drift",
        WARNING,
        f"later episodes differ from earlier ones in {listed(each)}: something changed while they "
        "were recorded, the teacher, a sensor or the task, so check that all of them belong "
        "together.",
        {"drifting": found},
    )


def determinism(s: Survey) -> Check:
    """Check whether the observation determines the action."""
    name = "determinism"
    kept = distinct(s) & np.isfinite(s.actions).all(1)
    discrete = bool(s.columns) and all(c.discrete for c in s.columns)
    same = agreement.exact(s.state_hashes[kept], s.actions[kept], discrete)
    alike, near = same, False
    if same.recurring < 100 and s.whole_features:
        mine = kept[s.sample]
        sample = s.sample[mine]
        found = agreement.near(s.sampled[mine], s.actions[sample], s.episode_of[sample], discrete)
        if found is not None:
            alike, near = found, True
    figures: Json = {
        "recurring": same.recurring,
        "compared": alike.recurring,
        "nearly_equal": near,
        "differing": alike.differing,
        "chance": alike.chance,
    }
    kind = "nearly equal" if near else "equal"
    if alike.recurring < 100:
        return Check(name, OK, "too few observations recur to tell other actions apart.", figures)
    text = f"{alike.recurring:,} steps with {kind} observations differ in their actions "
    text += f"{percent(alike.ratio)} as much as any two steps do"
    if alike.ratio >= 0.9:
        return Check(
            name,
            UNFIT,
            f"{text}: the observation does not say what the teacher does, so give it what the "
            "teacher sees, or take another teacher.",
            figures,
        )
    if alike.ratio > (0.5 if near else 0.1):
        return Check(
            name,
            WARNING,
            f"{text}: the teacher is random in part, or sees or remembers more than the "
            "observation, and a clone learns the average.",
            figures,
        )
    return Check(name, OK, f"{text}.", figures)
