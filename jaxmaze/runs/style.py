"""The one style of all figures: colours for all eyes, names beside lines, a caption below.

Every figure is written as PNG and as SVG, with its numbers as CSV beside it.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxmaze.core.types import PyTree
from jaxmaze.runs import disk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.5, 4.5)
"""Inches of a figure with one plot."""
SMALL, NORMAL, LARGE = 8.0, 9.5, 11.0
"""Sizes of letters, in points."""
MUTED = "#555555"
LINE = 1.35
"""Height of a line of text, in ems."""
DPI = 150
RC: PyTree = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": NORMAL,
    "axes.titlesize": LARGE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.alpha": 0.2,
    "grid.color": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "jaxmaze",  # the same figure is the same file
}


class Label(NamedTuple):
    """The name beside a line, at the right end of the plot.

    Attributes:
      text: the name.
      y: where the line ends.
      colour: the line's.
    """

    text: str
    y: float
    colour: str


class Table(NamedTuple):
    """The numbers of a figure.

    Attributes:
      header: names of the columns.
      rows: the values; None for an empty cell.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Figures made inside have this style."""
    # Imported only where needed: the import takes longer than training a small clone.
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def new(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = SIZE
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes ``[rows, columns]``; call it inside :func:`styled`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, squeeze=False)


def caption(fig: Figure, text: str) -> None:
    """Write a caption below the figure: what is shown, units, seeds, intervals."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=SMALL)
    measure = fig.canvas.get_renderer().get_text_width_height_descent  # type: ignore[attr-defined]
    room = 0.98 * fig.bbox.width
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and measure(longer, font, False)[0] > room:
            lines.append(word)
        else:
            lines[-1] = longer
    fig.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=SMALL, color=MUTED)


def name_lines(axes: Axes, labels: Sequence[Label]) -> None:
    """Write names beside the lines' right ends, in their colours, apart from each other.

    Call it after the limits are set. Names of lines that end outside stand at the edge.
    """
    figure = axes.get_figure()
    assert figure is not None
    low, high = axes.get_ylim()
    # About what is left of the figure's height for the plot.
    height = 72 * figure.bbox.height / figure.dpi * 0.72 / axes.get_gridspec().nrows  # type: ignore[union-attr]
    apart = LINE * NORMAL / height
    order = sorted(range(len(labels)), key=lambda i: labels[i].y)
    wanted = [float(np.clip((labels[i].y - low) / (high - low), 0, 1)) for i in order]
    for i, place in zip(order, spread(wanted, apart), strict=True):
        axes.annotate(
            labels[i].text,
            (1, place),
            (6, 0),
            "axes fraction",
            "offset points",
            color=labels[i].colour,
            va="center",
            annotation_clip=False,
        )


def spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Places in rising order, close to those wanted ``[N]`` (rising), at least ``apart``."""
    groups: list[list[float]] = []  # the middle, and how many
    for place in wanted:
        groups.append([place, 1])
        while len(groups) > 1:
            (a, m), (b, n) = groups[-2:]
            if b - a >= apart * (m + n) / 2:
                break
            groups[-2:] = [[(a * m + b * n) / (m + n), m + n]]
    return [
        middle + apart * (i - (count - 1) / 2)
        for middle, count in groups
        for i in range(int(count))
    ]


def save(fig: Figure, path: Path, table: Table) -> None:
    """Write a figure as PNG and SVG, and its numbers as CSV, beside each other.

    Args:
      fig: the figure.
      path: of the PNG.
      table: its numbers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        fig.savefig(path, dpi=DPI)
        fig.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    write_csv(path.with_suffix(".csv"), table)


def write_csv(path: Path, table: Table) -> None:
    """Write numbers as CSV."""
    with disk.whole(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.header)
        writer.writerows(["" if x is None else x for x in row] for row in table.rows)
