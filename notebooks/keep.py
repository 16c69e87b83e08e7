"""Runs notebooks and keeps them with what came out: ``python notebooks/keep.py [NAME ...]``.

Bars, warnings of the notebook's own machinery and colours are left out of what is kept, and so are
the temporary folder in paths and addresses in memory.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

HERE = Path(__file__).resolve().parent
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROGRESS = re.compile(r"^\S+ +[\d,]+/[\d,]+ .*")
ADDRESS = re.compile(r"(?<=\w) at 0x[0-9a-f]+(?=>)")


def plain(text: str) -> str:
    """Text without colours, bars and the notebook's own warnings."""
    lines = (line.rsplit("\r", 1)[-1].rstrip() for line in COLOURS.sub("", text).split("\n"))
    kept = [
        line
        for line in lines
        if "━" not in line and "ipywidgets" not in line and not PROGRESS.match(line)
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def cleaned(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """A cell's outputs: printed text as one, pictures and values as they are."""
    found: list[nbformat.NotebookNode] = []
    for output in outputs:
        data = output.get("data", {})
        if output.output_type == "stream":
            text = "" if output.name == "stderr" else plain(output.text)
        elif output.output_type == "display_data" and "image/png" not in data:
            text = plain(data.get("text/plain", ""))
        else:
            found.append(output)
            continue
        if text and found and found[-1].output_type == "stream":
            found[-1].text += text + "\n"
        elif text:
            found.append(nbformat.v4.new_output("stream", name="stdout", text=text + "\n"))
    return found


def without(folder: Path, output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output whose texts name files as seen from the folder that the notebook ran in."""
    for texts in (output, output.get("data", {})):
        for kind, text in texts.items():
            if isinstance(text, str) and kind != "image/png":
                texts[kind] = ADDRESS.sub("", text.replace(f"{folder}/", ""))
    return output


def keep(path: Path) -> None:
    """Run one notebook in an empty folder, and save it."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()  # as paths in outputs are
        about = {"metadata": {"path": str(here)}}
        # This checkout's jaxmaze, whatever else is installed.
        env = os.environ | {"PYTHONPATH": str(HERE.parent)}
        nbclient.NotebookClient(notebook, timeout=1800, resources=about).execute(env=env)
    for i, cell in enumerate(notebook.cells):
        cell["id"], cell["metadata"] = f"cell-{i}", {}
        if cell.cell_type == "code":
            cell.outputs = [without(here, output) for output in cleaned(cell.outputs)]
    nbformat.write(notebook, path)
    print(path)


if __name__ == "__main__":
    chosen = sys.argv[1:] or [path.stem for path in sorted(HERE.glob("*.ipynb"))]
    for name in chosen:
        keep(HERE / f"{name}.ipynb")
