"""The page as one file, and the rules that keep what data hold from being run."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from pathlib import Path

from jaxmaze.core.types import Json
from jaxmaze.runs import pages

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("charts.js", "data.js", "table.js", "pane.js", "page.js")
STYLE = "style.css"
NOWHERE = "default-src 'none'; base-uri 'none'; form-action 'none'"
SERVED = (
    f"{NOWHERE}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy of a served page: everything comes from its own server."""


@functools.cache
def text(name: str) -> str:
    """A file of the page."""
    if name == STYLE:
        return pages.style(PAGE)
    return (PAGE / name).read_text(encoding="utf-8")


def as_json(value: object) -> str:
    """JSON that can stand in a page: it holds nothing that ends a script or begins a comment."""
    plain = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def page(data: Json) -> str:
    """A self-contained page: style, scripts and data in one file, which asks nobody for anything.

    Only the scripts that came with the library are run, by their hashes.
    """
    style = text(STYLE)
    script = "\n".join(map(text, SCRIPTS))
    policy = f"{NOWHERE}; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:"
    links = [f'<link rel="stylesheet" href="{STYLE}">']
    links += [f'<script src="{name}" defer></script>' for name in SCRIPTS]
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>'
    end = (
        f'<script type="application/json" id="data">{as_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>"
    )
    found = text("index.html")
    for link in links:
        assert found.count(link) == 1, link
        found = found.replace(link, "")
    return found.replace("</title>", f"</title>\n{head}", 1).replace("</body>", end, 1)


def _hash(content: str) -> str:
    """A source expression that allows exactly this inline content."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
