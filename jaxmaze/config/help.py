"""The list of all fields, as ``--help`` and the documentation print it."""

from __future__ import annotations

import textwrap

from jaxmaze.config.door import expected
from jaxmaze.config.settings import FIELDS, SECTION_CLASSES


def text() -> str:
    """Every field with its default and its help, in one or two lines each."""
    lines = ["fields of a configuration, each with its default:"]
    for name, field in FIELDS.items():
        start = f"  --config.{name}={_shown(field.default)}"
        words = f"{field.help} ({expected(name)})"
        lines += textwrap.wrap(
            words, 100, initial_indent=f"{start:<44}  ", subsequent_indent=" " * 46
        )
    return "\n".join(lines)


def markdown() -> str:
    """The same as a Markdown page with one table per section."""
    lines = [
        "# Settings",
        "",
        "Every field of a configuration, as `python -m jaxmaze.config` prints them. A config file",
        "sets what it wants to differ; `--config.NAME=VALUE` overrides.",
    ]
    section = None
    for name, field in FIELDS.items():
        head, _, leaf = name.rpartition(".")
        if head != section:
            section = head
            title = f"`config.{head}`: {_about(head)}" if head else "`config`"
            lines += ["", f"## {title}", "", "| field | default | may be | |", "|---|---|---|---|"]
        cells = (f"`{leaf}`", f"`{_shown(field.default)}`", expected(name), field.help)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _about(section: str) -> str:
    """The first line of a section's docstring."""
    return (SECTION_CLASSES[section].__doc__ or "").strip().splitlines()[0].rstrip(".")


def _shown(value: object) -> str:
    return (",".join(map(str, value)) or "()") if isinstance(value, tuple) else str(value)
