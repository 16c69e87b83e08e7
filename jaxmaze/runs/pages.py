"""The style that the report and the viewer have in common."""

from __future__ import annotations

from pathlib import Path


def style(folder: Path) -> str:
    """The style of a page: the colours of all pages, then ``style.css`` of its own folder."""
    parts = (Path(__file__).parent / "page" / "base.css", folder / "style.css")
    return "".join(part.read_text(encoding="utf-8") for part in parts)
