"""The figure of a row: returns against environment steps, as comparisons draw them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from jaxmaze.runs import arms_figure, style

WORDS = {"clone": "clone", "from_scratch": "from scratch", "pretrained": "fine-tuned"}
"""Arms as comparisons name them, and as the page does."""

COLOURS = 128
"""Of a PNG."""


def draw(name: str, found: Mapping[str, Any], path: Path) -> None:
    """Write a row's figure as PNG and SVG, with its numbers as CSV beside it.

    Args:
      name: of the row.
      found: its figures, as in ``results.json``.
      path: of the PNG.
    """
    arms = arms_of(found)
    fig = arms_figure.figure(arms, f"{name}: return during training", WORDS)
    called = {WORDS[arm]: block for arm, block in arms.items()}
    style.save(fig, path, arms_figure.table(called))
    with Image.open(path) as picture:  # a third of the size, and looks the same
        fewer = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    fewer.save(path, optimize=True)


def arms_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """A row's curves as the arms of a comparison; the clone is where fine-tuning begins."""
    curves = found["curves"]
    tuned = curves["fine_tuned"]
    start = {k: tuned[k][:1] for k in ("env_steps", "iqm", "low", "high")}
    clone = {**start, "members": [m[:1] for m in tuned["members"]]}
    arms = {"clone": clone, "from_scratch": curves["from_scratch"], "pretrained": tuned}
    more = {"teacher": found["teacher_on_curve"], "episodes": found["dip"]["episodes"]}
    return {arm: {"curve": {**curve, **more}} for arm, curve in arms.items()}
