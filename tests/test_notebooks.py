"""The notebooks run from their first cell to their last, and are kept with what came out."""

import nbclient
import nbformat
import pytest

from tests.conftest import HERE, ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def draws(notebook):
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, tmp_path):
    env = HERE | {"PYTHONPATH": str(ROOT)}
    env.pop("MPLBACKEND", None)  # figures belong into the notebook
    notebook = nbformat.read(path, as_version=4)
    for cell in code(notebook):
        cell.outputs = []
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=env)
    assert draws(notebook)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_with_what_came_out(path):
    notebook = nbformat.read(path, as_version=4)
    assert draws(notebook)
    assert [cell.execution_count for cell in code(notebook)] == [
        i + 1 for i, _ in enumerate(code(notebook))
    ], "python notebooks/keep.py runs all cells, and saves"
    kept = [output for cell in code(notebook) for output in cell.outputs]
    assert not any(output.output_type == "error" for output in kept)
    assert "ipywidgets" not in str(kept)
    assert "/tmp" not in str(kept) and "/home/" not in str(kept)


def test_a_kept_notebook_shows_the_viewer():
    """Small, and without anything to load."""
    pages = [
        output.data["text/html"]
        for path in PATHS
        for cell in code(nbformat.read(path, as_version=4))
        for output in cell.outputs
        if "<iframe" in output.get("data", {}).get("text/html", "")
    ]
    (page,) = pages
    assert 'sandbox="allow-scripts"' in page and "srcdoc=" in page and len(page) < 200_000


def test_every_notebook_is_listed_in_the_docs():
    page = (ROOT / "docs" / "notebooks.md").read_text()
    assert PATHS and all(path.name in page for path in PATHS)
