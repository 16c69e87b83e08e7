"""How the documentation is built: ``sphinx-build -W --keep-going docs docs/_build``."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup  # comes with furo
from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "jaxmaze"
author = "the jaxmaze authors"
version = release = importlib.metadata.version("jaxmaze")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ConfigLike": "ConfigLike", "Config": "Config", "Json": "Json"}
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

# `sphinx-build -b linkcheck docs docs/_build/links`, by hand: no test needs the network.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 4
linkcheck_rate_limit_timeout = 60
linkcheck_allowed_redirects = {r"https://.*": r"https://.*"}  # to the version that is current
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]  # made by a script there
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost).*"]

html_theme = "furo"
html_title = "jaxmaze"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["llms.txt"]

NAMED = re.compile(r"<!-- file: (?P<name>[^>]*) -->\n```(?P<kind>\w+)\n")
FLAG = re.compile(r"(--[\w.]+)")
PARSER = "html.parser"
OPTIONAL = re.compile(r"^(?P<pattern>[\w/*-]+)\?$\n?", re.M)


def prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """Give blocks that are files their names; keep optional pages where there are some.

    A line ``video?`` of a toctree is the page ``video`` if it exists, and ``results/*?`` all pages
    of that folder.
    """

    def pages(match: re.Match[str]) -> str:
        found = sorted(HERE.glob(f"{match['pattern']}.md"))
        return "".join(f"{path.relative_to(HERE).with_suffix('')}\n" for path in found)

    text = NAMED.sub(r"```{code-block} \g<kind>\n:caption: \g<name>\n\n", source[0])
    source[0] = OPTIONAL.sub(pages, text)


def finish_page(
    app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object
) -> None:
    """Prepare a page for narrow screens: columns' names in cells, flags that stay in one piece."""
    soup = BeautifulSoup(str(context.get("body", "")), PARSER)
    for table in soup.select("table.docutils"):
        names = [cell.get_text(" ", strip=True) for cell in table.select("thead th")]
        if len(names) < 3:
            continue  # two columns explain themselves
        for row in table.select("tbody tr"):
            for name, cell in list(zip(names, row.find_all("td"), strict=False))[1:]:
                if name and cell.get_text(strip=True):
                    cell["data-label"] = name
    for block in soup.select(".highlight-bash pre"):
        for text in block.find_all(string=FLAG):
            parts = BeautifulSoup(FLAG.sub(r'<span class="flag">\1</span>', escape(text)), PARSER)
            text.replace_with(*list(parts.contents))
    if context.get("body"):
        context["body"] = str(soup)


def copy_sources(app: Sphinx, error: Exception | None) -> None:
    """Put the pages as they are written beside the built ones, for programs that read."""
    if error is None and app.builder.format == "html":
        for name in app.env.found_docs:
            to = Path(app.outdir, f"{name}.md")
            shutil.copyfile(app.env.doc2path(name), to)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", finish_page)
    app.connect("build-finished", copy_sources)
    app.connect("source-read", prepare)
