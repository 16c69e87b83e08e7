"""The figure of a comparison: returns against environment steps, an arm a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmaze.core.types import Json, JsonMap
from jaxmaze.runs import palette, report, style
from jaxmaze.runs.report import FEW_SEEDS, IN_A_ROW
from jaxmaze.runs.style import Label, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = {"pretrained_lr0": "pretrained_lr0 (clone)"}
TUNED, SCRATCH = "pretrained", "from_scratch"
"""The arms between which steps are saved."""
MARGIN, FOOT = 0.06, 0.14
"""Above and below the range, relative to it; the latter where lines come in from below, and say
so."""
NEAR = 0.3
"""How much of a range what lies below it may add, relative to it, to be shown in full."""
FLOOR = 0.5
"""The least distance at which an arm is far below, relative to the largest return shown."""


class Saved(NamedTuple):
    """Environment steps a seed that pre-training saves on the way to the teacher's level.

    Attributes:
      level: the teacher's mean return in the curves' episodes.
      first: when the fine-tuned arm is there.
      second: when the one from scratch is; None if it never is.
      end: the last evaluation of the latter.
    """

    level: float
    first: int
    second: int | None
    end: int

    @property
    def steps(self) -> int:
        """Steps that were saved, or that were at least."""
        return (self.end if self.second is None else self.second) - self.first

    def words(self) -> str:
        """In words."""
        least = "more than " if self.second is None else ""
        return f"{least}{self.steps:,} steps saved"

    def block(self) -> Json:
        """As in summary.json."""
        return {
            "level": self.level,
            "pretrained": self.first,
            "from_scratch": self.second,
            "env_steps": self.steps,
            "at_least": self.second is None,
        }


def saved(arms: Mapping[str, JsonMap]) -> Saved | None:
    """The steps saved by pre-training; None without both arms, a teacher, or any saving.

    An arm is at the teacher's level from the first of two evaluations in a row at which its
    interquartile mean is not below the teacher's mean. (That it is *above*, beyond doubt, is
    another question, see :func:`jaxmaze.runs.report.steps_to`.)
    """
    if not {TUNED, SCRATCH} <= set(arms):
        return None
    tuned, scratch = arms[TUNED]["curve"], arms[SCRATCH]["curve"]
    level = tuned["teacher"]
    if level is None or level != scratch["teacher"]:
        return None
    first, second = _there(tuned, level), _there(scratch, level)
    end = int(scratch["env_steps"][-1])
    if first is None or first >= (end if second is None else second):
        return None
    return Saved(float(level), first, second, end)


def _there(curve: JsonMap, level: float) -> int | None:
    above = [x >= level for x in curve["iqm"]]
    for i in range(len(above) - IN_A_ROW + 1):
        if all(above[i : i + IN_A_ROW]):
            return int(curve["env_steps"][i])
    return None


def limits(arms: Mapping[str, JsonMap]) -> tuple[float, float]:
    """The returns that are worth seeing: from the lowest of what arms come to, to the highest.

    Counted are the teacher and the second half of every arm, with its seeds or its band. An arm
    that at its best stays further below all others than these are apart (as an untrained policy
    does) is not: it would squeeze them together. What was lower before, such as a dip on the way,
    is counted where it is near. What is outside is marked in the figure.
    """
    spans = sorted((_span(arm["curve"]) for arm in arms.values()), key=lambda s: -s[1])
    levels = [a["curve"]["teacher"] for a in arms.values() if a["curve"]["teacher"] is not None]
    high = max([spans[0][1], *levels])
    low = min([spans[0][0], *levels])
    for mine, best in spans[1:]:
        if best < low - max(high - low, FLOOR * max(abs(low), abs(high))):
            break
        low = min(low, mine)
    span = max(high - low, 1e-6)
    lowest = [min(arm["curve"]["iqm"]) for arm in arms.values()]
    low = min([low, *(y for y in lowest if low - y <= NEAR * span)])
    span = max(high - low, 1e-6)
    foot = FOOT if min(lowest) < low else MARGIN
    return low - foot * span, high + MARGIN * span


def _span(curve: JsonMap) -> tuple[float, float]:
    """The lowest and the highest of an arm's second half, and of its lines the highest of all."""
    lines = np.array([curve["iqm"], *(curve["members"] if _few(curve) else ())], float)
    half = slice(lines.shape[1] // 2, None)
    low, high = lines[:, half].min(), lines.max()
    if not _few(curve):
        low = np.nanmin([low, *curve["low"][half]])
        high = np.nanmax([high, *curve["high"][half]])
    return float(low), float(high)


def _number(x: float) -> str:
    return f"{round(x):d}".replace("-", "−")


def _few(curve: JsonMap) -> bool:
    return len(curve["members"]) < FEW_SEEDS


def figure(
    arms: Mapping[str, JsonMap],
    title: str = "Return during training",
    words: Mapping[str, str] = WORDS,
) -> Figure:
    """Returns against environment steps: a line and a band per arm, the teacher, steps saved.

    Bands are 95 % intervals over seeds. With fewer than ``FEW_SEEDS`` seeds such a band shows
    little but their small number, so each seed is a thin line instead.

    Args:
      arms: the blocks of a comparison's summary, by name.
      title: above the figure.
      words: what arms are called in it, where that is not their name.
    """
    longest = max(max(a["curve"]["env_steps"][-1] for a in arms.values()), 1)
    whos = [arm.get("who", name) for name, arm in arms.items()]
    with style.styled():
        fig, ((axes,),) = style.new(size=(8, 4.8))
        axes.set(xlim=(0, longest), ylim=limits(arms))
        axes.set_title(title)
        axes.set(xlabel="environment steps a seed", ylabel="return (sum of rewards)")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        outside: list[str] = []
        labels = [
            _draw(axes, arm["curve"], words.get(name, name), colour, longest, outside)
            for (name, arm), colour in zip(arms.items(), palette.of(whos), strict=True)
        ]
        for level, text in report.teacher_levels(arms):
            axes.axhline(level, color=palette.TEACHER, ls="--", lw=1.2)
            labels.append(Label(text, level, palette.TEACHER))
        found = saved(arms)
        if found is not None:
            _bracket(axes, found, longest)
        style.name_lines(axes, labels)
        style.caption(fig, _caption(arms, found, outside, words))
    return fig


def _draw(
    axes: Axes, curve: JsonMap, name: str, colour: str, longest: int, outside: list[str]
) -> Label:
    """Draw one arm, mark where it leaves the plot below, and return its name's label."""
    steps = curve["env_steps"]
    level = len(steps) == 1  # a run without steps of its own

    def stretched(values: Sequence[float]) -> np.ndarray:
        return np.array([values[0]] * 2 if level else values, float)

    x = np.array([0, longest] if level else steps, float)
    y = stretched(curve["iqm"])
    axes.plot(x, y, color=colour, lw=2.2)
    if _few(curve):
        for returns in curve["members"]:
            axes.plot(x, stretched(returns), color=colour, lw=0.7, alpha=0.6)
    else:
        low, high = stretched(curve["low"]), stretched(curve["high"])
        axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    bottom = axes.get_ylim()[0]
    if y[-1] < bottom:
        outside.append(f"{name} ({_number(y[-1])} at the end)")
        return Label(f"↓ {name}: {_number(y[-1])}", y[-1], colour)
    below = np.flatnonzero(y < bottom)
    if len(below):
        _enters(axes, x, y, int(below[-1]), colour)
        outside.append(f"{name} (from {_number(y.min())}) up to {x[below[-1]]:,.0f} steps")
    return Label(name, float(y[-1]), colour)


def _enters(axes: Axes, x: np.ndarray, y: np.ndarray, last: int, colour: str) -> None:
    """Mark where a line comes into the plot from below, and where it began."""
    bottom = axes.get_ylim()[0]
    part = (bottom - y[last]) / (y[last + 1] - y[last])
    at = x[last] + part * (x[last + 1] - x[last])
    right = at > 0.2 * axes.get_xlim()[1]
    began = f"starts at {_number(y[0])}" if y[0] < bottom else f"was at {_number(y.min())}"
    axes.annotate(
        f"{began} ↓" if right else f"↓ {began}",
        (at, bottom),
        (-8 if right else 8, 4),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom",
        color=colour,
        fontsize=style.SMALL,
    )


def _bracket(axes: Axes, found: Saved, longest: int) -> None:
    """A horizontal bracket at the teacher's level, between the arms' first reaching it."""
    end = found.end if found.second is None else found.second
    low, high = axes.get_ylim()
    tick = 0.02 * (high - low)
    for x in (found.first, end):
        if x == end and found.second is None:
            continue  # open to the right
        axes.plot([x, x], [found.level - tick, found.level + tick], color="black", lw=1.6)
    arrow = "->" if found.second is None else "-"
    axes.annotate(
        "",
        (end, found.level),
        (found.first, found.level),
        arrowprops={"arrowstyle": arrow, "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
    )
    middle = (found.first + end) / 2
    # At the bottom other lines say where they come from.
    above = found.level - low < 0.2 * (high - low)
    axes.annotate(
        found.words(),
        (min(max(middle, 0.16 * longest), 0.84 * longest), found.level),
        (0, 5 if above else -5),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        fontsize=style.SMALL,
        bbox={"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8},
    )


def _cut(curve: JsonMap, seen: tuple[float, float]) -> int | None:
    """The last step at which a band, whose line is in the plot, is not whole; None without any."""
    if _few(curve):
        return None
    columns = zip(*(curve[k] for k in ("env_steps", "iqm", "low", "high")), strict=True)
    low, high = seen
    found = [s for s, y, a, b in columns if y >= low and (a < low or b > high)]
    return found[-1] if found else None


def _caption(
    arms: Mapping[str, JsonMap],
    found: Saved | None,
    outside: Sequence[str],
    words: Mapping[str, str],
) -> str:
    curves = [arm["curve"] for arm in arms.values()]
    tuned, scratch = (words.get(name, name) for name in (TUNED, SCRATCH))
    episodes = " or ".join(str(n) for n in sorted({c["episodes"] for c in curves}))
    seeds = " or ".join(str(n) for n in sorted({len(c["members"]) for c in curves}))
    drawn = {_few(c) for c in curves if len(c["members"]) > 1}
    parts = [
        f"Thick lines: interquartile mean over {seeds} seed{'s' * (seeds != '1')}, "
        f"{episodes} episode{'s' * (episodes != '1')} each."
    ]
    if True in drawn:
        parts.append(f"Thin lines: each seed (fewer than {FEW_SEEDS}).")
    if False in drawn:
        parts.append("Bands: 95 % interval over seeds.")
    if any(c["teacher"] is not None for c in curves):
        trained = any(len(c["env_steps"]) > 1 for c in curves)
        others = trained and len(report.teacher_levels(arms)) == 1
        also = ", which are not the test episodes" if others else ""
        parts.append(f"Dashed: the teacher's mean in these episodes{also}.")
    if found is not None:
        parts.append(
            f"Bracket: from where {tuned} reaches the teacher's level to where {scratch} does, and "
            "both stay at it for two evaluations in a row."
        )
    if outside:
        parts.append(f"Below the range: {'; '.join(outside)}.")
    ends = {words.get(n, n): _cut(arm["curve"], limits(arms)) for n, arm in arms.items()}
    cut = [f"{name}'s up to {step:,} steps" for name, step in ends.items() if step is not None]
    if cut:
        parts.append(f"Bands that go on outside: {', '.join(cut)}.")
    return " ".join(parts)


def table(arms: Mapping[str, JsonMap]) -> Table:
    """The numbers of the figure: one row an evaluation of an arm."""
    most = max(len(a["curve"]["members"]) for a in arms.values())
    rows = []
    for name, arm in arms.items():
        c = arm["curve"]
        each = [[m[i] for m in c["members"]] for i in range(len(c["env_steps"]))]
        for i, steps in enumerate(c["env_steps"]):
            blank = [None] * (most - len(each[i]))
            levels = (c["iqm"][i], c["low"][i], c["high"][i], c["teacher"])
            rows.append((name, steps, *levels, *each[i], *blank))
    header = ("arm", "env_steps", "iqm", "low", "high", "teacher")
    return Table((*header, *(f"member_{m}" for m in range(most))), rows)
