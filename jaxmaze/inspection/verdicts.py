"""The result of a check: a verdict, and one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxmaze.core.types import Json

OK, SKIPPED, WARNING, UNFIT = "ok", "skipped", "warning", "unfit"
VERDICTS = (OK, SKIPPED, WARNING, UNFIT)
"""From the best to the worst."""
SHOWN = 5
"""Largest number of names or episodes listed in a sentence."""


class Check(NamedTuple):
    """The result of one check.

    Attributes:
      name: the check's.
      verdict: one of ``VERDICTS``.
      says: one sentence: what was found and what to do.
      figures: the numbers behind it, for summary.json.
    """

    name: str
    verdict: str
    says: str
    figures: Json


def worst(checks: Sequence[Check]) -> str:
    """The verdict on the whole data set."""
    found = max((c.verdict for c in checks), key=VERDICTS.index)
    return OK if found == SKIPPED else found


def listed(items: Sequence[object] | np.ndarray) -> str:
    """The first few items, in words."""
    more = "" if len(items) <= SHOWN else f" and {len(items) - SHOWN} more"
    return ", ".join(map(str, items[:SHOWN])) + more


def number(x: float) -> str:
    """A number in words, without an exponent where it is an ordinary one."""
    return f"{x:,.0f}" if 1000 <= abs(x) < 1e6 else f"{x:.3g}"


def percent(share: float) -> str:
    """A share as text, in percent."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %"


def spread(x: np.ndarray) -> Json:
    """Statistics of the distribution of ``x``, for summary.json."""
    if not len(x):
        return {}
    names = ("min", "quarter", "median", "three_quarters", "max")
    values = np.quantile(x, (0, 0.25, 0.5, 0.75, 1))
    return dict(zip(names, values.tolist(), strict=True)) | {
        "mean": float(x.mean()),
        "std": float(x.std()),
    }
