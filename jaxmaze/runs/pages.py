"""The style that the report and the viewer have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxmaze.runs import palette


def style(folder: Path) -> str:
    """The style of a page: the colours of all pages, then ``style.css`` of its own folder."""
    parts = (Path(__file__).parent / "page" / "base.css", folder / "style.css")
    return _series() + "".join(part.read_text(encoding="utf-8") for part in parts)


def _series() -> str:
    """The palette by day and by night: the classes of what is drawn, ``ink`` for the teacher's."""
    classes = "".join(
        f".series-{i} {{ stroke: var(--series-{i}); color: var(--series-{i}); }}\n"
        for i in range(len(palette.COLOURS))
    )
    dark = f"@media (prefers-color-scheme: dark) {{ {_variables(palette.ON_DARK)} }}\n"
    ink = ".ink { stroke: var(--ink); color: var(--ink); }\n"
    return f"{_variables(palette.COLOURS)}\n{dark}{ink}{classes}"


def _variables(colours: Sequence[str]) -> str:
    each = " ".join(f"--series-{i}: {colour};" for i, colour in enumerate(colours))
    return f":root {{ {each} }}"
