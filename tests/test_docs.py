"""The pages in ``docs/``: what they show is run, in the order in which a reader would.

All of a page's blocks share one empty folder. A block right after ``<!-- file: NAME -->`` is that
file; ```` ```bash ```` blocks are commands, ```` ```python ```` blocks are scripts; a block right
after ``<!-- not run -->`` is only looked at, as are all others.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import HERE, ROOT

PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.stem != "settings")
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^>]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Note, kind and text of every block."""
    return [(m["note"] or "", m["kind"], m["text"]) for m in BLOCK.finditer(text)]


def run(arguments: list[str], folder: Path) -> None:
    # "python" is this one, whatever else there is.
    path = f"{Path(sys.executable).parent}{os.pathsep}{HERE.get('PATH', '')}"
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=HERE | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_shows_what_works(page, tmp_path):
    for number, (note, kind, text) in enumerate(blocks(page.read_text())):
        if note == "not run":
            continue
        if note.startswith("file: "):
            (tmp_path / note.removeprefix("file: ")).write_text(text)
        elif kind == "bash":
            run(["bash", "-euo", "pipefail", "-c", text], tmp_path)
        elif kind == "python":
            script = tmp_path / f"block_{number}.py"
            script.write_text(text)
            run([sys.executable, script.name], tmp_path)


def test_blocks_are_found_with_their_notes():
    page = "a\n<!-- file: x.py -->\n```python\nx = 1\n```\nb\n```bash\nls\n```\n"
    assert blocks(page + "<!-- not run -->\n```\n?\n```\n") == [
        ("file: x.py", "python", "x = 1\n"),
        ("", "bash", "ls\n"),
        ("not run", "", "?\n"),
    ]
