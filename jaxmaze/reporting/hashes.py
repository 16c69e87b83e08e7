"""SHA-256 of the data and policies that a run used, and of the episodes that it recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from jaxmaze.core.types import JsonMap
from jaxmaze.errors import UserError
from jaxmaze.reporting import facts as facts_lib
from jaxmaze.reporting.blocks import Block, Table
from jaxmaze.reporting.facts import Facts
from jaxmaze.runs import run_folder

Rows: TypeAlias = list[tuple[str, str]]
METADATA = Path(run_folder.TRAJECTORIES) / "data" / "metadata.json"
NAMES = {"origin_sha256": "policies taken over", "policy_sha256": "policy"}
"""What hashes in config.json are of; the others are called by their names."""


def tables(facts: Facts) -> list[Block]:
    """What the run, the runs below it and those that it compares used and recorded."""
    runs = {"": facts} | below(facts) | compared(facts)
    blocks: list[Block] = []
    for title, of_run in (
        ("What it started from: paths and SHA-256", _used),
        ("What it recorded: SHA-256", _recorded),
    ):
        users: dict[tuple[str, str], list[str]] = {}  # the same data of several runs are one row
        for run, each in runs.items():
            for row in of_run(each):
                users.setdefault(row, []).append(run)
        rows = [
            (f"{name} of {', '.join(by)}" if any(by) else name, value)
            for (name, value), by in users.items()
        ]
        if rows:
            blocks.append(Table(title, ("", ""), rows, left=(0, 1)))
    return blocks


def below(facts: Facts) -> dict[str, Facts]:
    """The runs in folders below a run's, by their relative paths."""
    found = {p.parent for depth in ("*", "*/*") for p in facts.run.glob(f"{depth}/config.json")}
    return dict(_read({str(p.relative_to(facts.run)): p for p in sorted(found)}))


def compared(facts: Facts) -> dict[str, Facts]:
    """The runs that a comparison compares, by the names in it; without those that are gone."""
    start: JsonMap = next((x for x in reversed(facts.history) if x["event"] == "start"), {})
    listed = start.get("runs")
    if facts.kind != "compare" or not isinstance(listed, list):
        return {}
    try:
        paths = run_folder.labels([Path(str(path)) for path in listed])
    except UserError:
        return {}
    arms = facts.summary.get("arms", {})
    found = dict(_read({name: path for name, path in paths.items() if name in arms}))
    teacher = Path(str(start.get("teacher") or ""))
    return found | (dict(_read({"teacher": teacher})) if teacher.is_absolute() else {})


def _read(paths: Mapping[str, Path]) -> Iterator[tuple[str, Facts]]:
    for name, path in paths.items():
        try:
            yield name, facts_lib.read(path)
        except UserError:
            continue


def _used(facts: Facts) -> Rows:
    """Of data and policies."""
    # DAgger's lie in the run itself.
    listed = facts.about.get("demonstrations") or []
    sources = [x for x in listed if not _paths(x).startswith(f"{facts.run.resolve()}{os.sep}")]
    named = {x.get("sha256") for x in sources}
    rows = [
        (NAMES.get(key, key.removesuffix("_sha256")), str(value))
        for key, value in facts.about.items()
        if key.endswith("_sha256") and value and value not in named
    ]
    each = (f"{_paths(x)} {x.get('sha256') or ''}" for x in sources)
    rows += [("demonstrations", line) for line in dict.fromkeys(each)]  # members may share some
    if facts.kind == "inspect" and "data" in facts.summary:
        data = facts.summary["data"]
        rows.append(("data", f"{data.get('path')} {data.get('sha256') or ''}"))
    return rows


def _paths(source: JsonMap) -> str:
    path = source.get("path")
    return ", ".join(path) if isinstance(path, list) else str(path)


def _recorded(facts: Facts) -> Rows:
    """Of episodes."""
    rows = [
        (f"labelled episodes of seed {member.get('seed')}", str(member["data_sha256"]))
        for member in facts.members
        if facts.kind == "dagger" and member.get("data_sha256")
    ]
    if facts.kind == "rollout":
        try:
            about = run_folder.read_json(facts.run / METADATA)
        except UserError:
            return rows
        if about.get("jaxmaze_sha256"):
            rows.append(("recorded episodes", str(about["jaxmaze_sha256"])))
    return rows
