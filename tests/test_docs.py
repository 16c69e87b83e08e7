"""The pages in ``docs/``, and the README: what they show is run, in the order of a reader.

All of a page's blocks share one empty folder. A block right after ``<!-- file: NAME -->`` is that
file; ```` ```bash ```` blocks are commands, ```` ```python ```` blocks are scripts. After ``<!--
small -->`` a block runs as it stands, but with small budgets; after ``<!-- not run -->`` it is only
looked at, as are all others. The README's two commands are run by ``.ci/run``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmaze
from tests.conftest import HERE, ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if "_build" not in path.parts and path.stem not in ("settings", "contributing")
)
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^>]*) -->\n)?^```(?P<kind>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S
)
LINK = re.compile(r"(?<!\!)\[[^]]*\]\((?P<to>[^)\s]+)\)|!\[[^]]*\]\((?P<image>[^)\s]+)\)")
SMALL = {
    "members": 1,
    "env.workers": 0,
    "rollout.n_episodes": 4,
    "bc.num_updates": 50,
    "bc.eval_every": 0,
    "dagger.rounds": 2,
    "dagger.n_episodes": 1,
    "dagger.eval_episodes": 2,
    "dagger.playoff_episodes": 0,
    "ppo.num_envs": 4,
    "ppo.num_steps": 32,
    "ppo.total_env_steps": 512,
    "ppo.critic_burn_in": 1,
    "ppo.eval_episodes": 2,
    "ppo.playoff_episodes": 0,
    "evaluation.episodes": 3,
}
"""The budgets of blocks after ``<!-- small -->``."""
COMMAND = re.compile(
    r"^(?:python -m |)jaxmaze[. ](?:train|rollout) (?!.*--(?:resume|help)).*$", re.M
)
PREPARED = """
import json
import jaxmaze.api as _api
_small, _load, _record = json.loads({small!r}), _api.load_config, _api.record
_api.load_config = lambda path, more=None: _load(path, _small | dict(more or {{}}))
_api.record = lambda *a, **k: _record(*a, **k | {{"n_episodes": 4}})
"""


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Note, kind and text of every block."""
    return [(m["note"] or "", m["kind"], m["text"]) for m in BLOCK.finditer(text)]


def smaller(kind: str, text: str) -> str:
    """The same block with small budgets."""
    if kind == "python":
        return PREPARED.format(small=json.dumps(SMALL)) + text
    given = " ".join(f"--config.{name}={value}" for name, value in SMALL.items())
    text = re.sub(r"--n_episodes=\d+", "--n_episodes=4", text.replace("\\\n", ""))
    return COMMAND.sub(lambda m: f"{m[0]} {given}", text)


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


def follow(page: Path, folder: Path) -> int:
    """Run all blocks of a page in a folder; returns how many were run."""
    count = 0
    for number, (note, kind, text) in enumerate(blocks(page.read_text())):
        if note == "not run" or note.startswith("command: "):
            continue
        if note == "small":
            text = smaller(kind, text)
        if note.startswith("file: "):
            (folder / note.removeprefix("file: ")).write_text(text)
        elif kind == "bash":
            run(["bash", "-euo", "pipefail", "-c", text], folder)
            count += 1
        elif kind == "python":
            script = folder / f"block_{number}.py"
            script.write_text(text)
            run([sys.executable, script.name], folder)
            count += 1
    return count


def explained() -> set[str]:
    """The names of metrics in the tables of ``docs/metrics.md``."""
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / "metrics.md").read_text(), re.M)
    return {name for row in rows for name in re.findall(r"`([\w/]+)`", row)}


def unexplained(folder: Path) -> set[str]:
    """Names of metrics in the logs below a folder that ``docs/metrics.md`` does not have."""
    found = set()
    for log in folder.rglob("metrics.jsonl"):
        for line in log.read_text().splitlines():
            found |= {name for name in json.loads(line) if "/" in name}
    known = explained()

    def is_known(name: str) -> bool:
        name = re.sub(r"_\d+$", "_0", name.rpartition(".")[2] if "." in name else name)
        return name in known or name.partition("/")[2] in known

    return {name for name in found if not is_known(name)}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_shows_what_works(page, tmp_path):
    follow(page, tmp_path)
    assert not unexplained(tmp_path), "docs/metrics.md explains every metric"


def test_metrics_that_are_explained_exist():
    source = "".join(path.read_text() for path in (ROOT / "jaxmaze").rglob("*.py"))
    kinds = {
        f"{kind}_accuracy_{part}" for kind in ("discrete", "multi_binary") for part in ("all", 0)
    }
    for name in explained() - kinds:
        assert all(f"{part}" in source for part in name.split("/")), name


def test_a_metric_that_nobody_explains_is_noticed(tmp_path):
    line = {"step": 0, "ppo/entropy": 1, "imitation/gear.discrete_accuracy": 1, "ppo/sparkle": 2}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line))
    assert unexplained(tmp_path) == {"ppo/sparkle"}


@pytest.mark.slow
def test_the_readme_shows_what_works(tmp_path):
    assert follow(ROOT / "README.md", tmp_path) >= 1
    assert (tmp_path / "outputs" / "tuned" / "summary.json").exists()


def test_blocks_are_found_with_their_notes():
    page = "a\n<!-- file: x.py -->\n```python\nx = 1\n```\nb\n```bash\nls\n```\n"
    page += "```{include} y\n```\n<!-- small -->\n```bash\njaxmaze train\n```\n"
    assert blocks(page + "<!-- not run -->\n```\n?\n```\n") == [
        ("file: x.py", "python", "x = 1\n"),
        ("", "bash", "ls\n"),
        ("", "{include} y", ""),
        ("small", "bash", "jaxmaze train\n"),
        ("not run", "", "?\n"),
    ]


def test_small_budgets_are_given_to_what_plays_and_trains():
    text = "jaxmaze train --env=X \\\n  --a=1\npython -m jaxmaze.rollout --n_episodes=50\nls\n"
    first, second, third, _ = smaller("bash", text).split("\n")
    assert first.startswith("jaxmaze train --env=X   --a=1 --config.members=1")
    assert second.startswith("python -m jaxmaze.rollout --n_episodes=4 --config.members=1")
    assert third == "ls"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and Sphinx name them."""
    text = BLOCK.sub("", page.read_text())
    found = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "llms.txt", DOCS / "llms.txt", *PAGES],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(page):
    for match in LINK.finditer(BLOCK.sub("", page.read_text())):
        to, _, anchor = (match["to"] or match["image"]).partition("#")
        if ":" in to:
            continue  # `sphinx-build -b linkcheck docs docs/_build/links` asks the other sites
        target = page.parent / to if to else page
        assert target.exists(), f"{page.name} links to {to}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {to}#{anchor}"


def test_every_page_is_reached_from_the_first():
    index = (DOCS / "index.md").read_text()
    entries = set(re.findall(r"^(?:[\w, ]+ <)?([\w/*-]+)[?>]?$", index, re.M))
    for page in PAGES:
        name = str(page.relative_to(DOCS).with_suffix(""))
        assert name == "index" or name in entries or f"{Path(name).parent}/*" in entries, name


def test_generated_pages_are_those_of_the_code():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=ROOT,
        env=HERE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python docs/generate.py"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-j", "auto"]
    run([sys.executable, *command, str(DOCS), str(tmp_path / "site")], ROOT)
    assert (tmp_path / "site" / "index.html").exists()
    assert (tmp_path / "site" / "llms.txt").exists()


def test_the_api_page_has_what_the_package_offers():
    page = (ROOT / "docs" / "api.md").read_text()
    named = re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(jaxmaze.__all__)


@pytest.mark.parametrize("start", ["## The console", "**[Elsewhere](a.md)**: this", "| a | b |"])
def test_a_page_without_an_opening_sentence_is_refused(start, tmp_path):
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n[This](a.md) is what it is about. And more.\n\n{start}\n")
    assert generate.first(page) == "This is what it is about."
    page.write_text(f"# Title\n\n{start}\n\nText.\n")
    with pytest.raises(ValueError, match="must begin with a sentence"):
        generate.first(page)
