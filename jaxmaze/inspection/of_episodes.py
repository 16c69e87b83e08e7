"""Checks of whole episodes: layout, NaN, returns, lengths, ends, duplicates."""

from __future__ import annotations

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.core.words import agree, counted
from jaxmaze.inspection.survey import ENDS, Survey
from jaxmaze.inspection.verdicts import OK, SKIPPED, UNFIT, WARNING, Check, listed, spread


def structure(s: Survey, count: int) -> Check:
    """Check that every episode can be read and is complete."""
    figures: Json = {"episodes": count, "broken": s.broken, "problems": s.problems[:100]}
    if not s.broken:
        return Check(
            "structure",
            OK,
            "the episode is whole." if count == 1 else f"all {count} episodes are whole.",
            figures,
        )
    return Check(
        "structure",
        UNFIT,
        f"{s.broken} of {counted(count, 'episode')} {agree(s.broken, 'is', 'are')} broken and no "
        "clone can be made of the data until they are left out or recorded again (the other "
        f"checks leave them out): {s.problems[0]}.",
        figures,
    )


def checksum(s: Survey, recorded: object) -> Check:
    """Check that the arrays are unchanged since recording."""
    if recorded is None or (s.sha256 is None and not s.broken):
        return Check("checksum", SKIPPED, "the data carry no checksum to compare with.", {})
    if s.broken:
        return Check("checksum", SKIPPED, "broken episodes have no checksum.", {})
    if recorded == s.sha256:
        return Check("checksum", OK, "the arrays are those that were recorded.", {})
    return Check(
        "checksum",
        UNFIT,
        "the arrays are not those that were recorded, so nothing learns from them: restore the "
        "files from a copy, or record again.",
        {"recorded": recorded, "found": s.sha256},
    )


def numbers(s: Survey) -> Check:
    """Check for NaN and infinity."""
    figures: Json = {"not_finite": dict(s.not_finite), "episodes": s.not_finite_in}
    if not s.not_finite:
        return Check("numbers", OK, "no number is NaN or infinite.", figures)
    where = " and ".join(f"{count} in the {name}" for name, count in s.not_finite.items())
    return Check(
        "numbers",
        UNFIT,
        f"{where} are NaN or infinite, in {counted(s.not_finite_in, 'episode')}: one such number "
        "ruins all that is learned, so leave those episodes out or mend what recorded them.",
        figures,
    )


def returns(s: Survey) -> Check:
    """Check the distribution of returns, and for episodes far below the rest."""
    x = s.returns[np.isfinite(s.returns)]
    figures = spread(x)
    if not len(x):
        return Check("returns", SKIPPED, "no episode has a return that is a number.", figures)
    low, median, high = np.quantile(x, (0.25, 0.5, 0.75))
    # Tukey's "far out" fence; if most returns are equal, a fence relative to the median.
    fence = low - 3 * max(high - low, 0.05 * abs(median))
    below = np.flatnonzero(np.isfinite(s.returns) & (s.returns < fence))
    figures |= {"outliers": s.index[below].tolist(), "fence": float(fence)}
    text = f"{x.mean():.4g} ± {x.std():.3g}, from {x.min():.4g} to {x.max():.4g}"
    if not len(below):
        return Check("returns", OK, f"{text}; no episode is far below the rest.", figures)
    return Check(
        "returns",
        WARNING,
        f"{text}; {len(below)} of {len(x)} episodes {agree(len(below), 'returns', 'return')} far "
        f"less than the rest (below {fence:.4g}): look whether the teacher failed in episodes "
        f"{listed(s.index[below])}, because a clone learns its failures too.",
        figures,
    )


def lengths(s: Survey) -> Check:
    """Check the lengths, and whether there are enough episodes to hold some out."""
    figures = spread(s.lengths) | {"steps": int(s.lengths.sum())}
    if not len(s.lengths):
        return Check(
            "lengths", UNFIT, "no episode is whole, so there is nothing to learn.", figures
        )
    median = np.median(s.lengths)
    short = np.flatnonzero(s.lengths * 10 < median)
    figures |= {"short": s.index[short].tolist()}
    text = (
        f"{counted(len(s.lengths), 'episode')} of {s.lengths.min()} to {s.lengths.max()} steps, "
        f"{s.lengths.sum():,} together"
    )
    if len(s.lengths) == 1:
        return Check(
            "lengths",
            WARNING,
            f"{text}: one episode leaves none to validate on, so record more, or set "
            "bc.validation_percentage=0.",
            figures,
        )
    if len(short):
        return Check(
            "lengths",
            WARNING,
            f"{text}; {len(short)} {agree(len(short), 'is', 'are')} less than a tenth as long as "
            f"the median of {median:.0f}: look whether recording was cut in episodes "
            f"{listed(s.index[short])}.",
            figures,
        )
    return Check("lengths", OK, f"{text}.", figures)


def ends(s: Survey) -> Check:
    """Check how episodes end."""
    count = np.bincount(s.ends, minlength=len(ENDS))
    figures: Json = {name: int(n) for name, n in zip(ENDS, count, strict=True)}
    text = ", ".join(f"{n} {name}" for name, n in figures.items() if n) or "none"
    if not count[3]:
        return Check("ends", OK, f"{text}.", figures)
    without = s.index[s.ends == 3]
    return Check(
        "ends",
        WARNING,
        f"{text} (episodes {listed(without)}): those were cut while they ran and count as "
        "truncated; leave them out if how an episode ends matters.",
        figures,
    )


def duplicate_episodes(s: Survey) -> Check:
    """Check for duplicate episodes."""
    _, first, count = np.unique(s.episode_hashes, return_index=True, return_counts=True)
    copies = len(s.episode_hashes) - len(first)
    figures: Json = {"copies": copies, "different": len(first)}
    if not copies:
        return Check("duplicate episodes", OK, "no episode is a copy of another.", figures)
    most = s.index[first[count.argmax()]]
    return Check(
        "duplicate episodes",
        WARNING,
        f"{copies} of {len(s.episode_hashes)} episodes {agree(copies, 'is', 'are')} copies of "
        f"others (episode {most} is there {count.max()} times): held-out copies make validation "
        "look better than it is, so leave them out or record with other seeds.",
        figures,
    )
