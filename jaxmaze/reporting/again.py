"""How to do a run again: the command as typed, Python for anywhere, versions, machine, hashes."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from jaxmaze.config import FIELDS
from jaxmaze.core.types import JsonMap
from jaxmaze.reporting.blocks import Block, Code, Section, Table
from jaxmaze.reporting.charts import number
from jaxmaze.reporting.facts import Facts
from jaxmaze.runs import run_folder


def differences(facts: Facts) -> dict[str, object]:
    """The fields that differ from their defaults, by dotted name."""
    found = {}
    for name, field in FIELDS.items():
        value = facts.setting(name)
        value = float("inf") if value == "inf" else value
        usual = list(field.default) if isinstance(field.default, tuple) else field.default
        if value != usual:
            found[name] = value
    return found


def section(facts: Facts) -> Section:
    """All that is needed to do the run again."""
    starts = [x for x in facts.history if x["event"] == "start"]
    blocks: list[Block] = []
    typed = starts[0].get("command") if starts else None
    if typed:
        blocks.append(Code("As it was typed", str(typed)))
    if not facts.summary and facts.kind not in ("rollout", "compare", "inspect"):
        place = shlex.quote(str(facts.run))
        blocks.append(Code("To go on where it stopped", f"jaxmaze train --resume={place}"))
    text = _python(facts, starts)
    if text:
        blocks.append(Code("In Python, from anywhere", text, _note(facts)))
    return Section("Do it again", [*blocks, *_tables(facts, starts)])


def _note(facts: Facts) -> str:
    return (
        "All settings that differ from the defaults of this version are spelled out."
        if facts.kind not in ("compare", "inspect")
        else ""
    )


def _python(facts: Facts, starts: list[JsonMap]) -> str:
    """A script that does the same; empty if none can."""
    folder = repr(f"{facts.run.resolve().name}-again")
    if facts.kind == "compare":
        return _compare(starts[-1], folder) if starts and starts[-1].get("runs") else ""
    if facts.kind == "inspect":
        return f"import jaxmaze\n\njaxmaze.inspect({facts.about.get('data')!r}, {folder})"
    if "config" not in facts.about:
        return ""
    settings = "".join(f"    {n!r}: {_literal(v)},\n" for n, v in differences(facts).items())
    call = f"jaxmaze.train(config, {folder})"
    if facts.kind == "rollout":
        more = {
            "save": bool(facts.about.get("record")),
            "render": facts.about.get("render"),
            "member": facts.about.get("member", 0),
        }
        given = "".join(f", {k}={v!r}" for k, v in more.items() if v or k == "save")
        call = f"jaxmaze.record(config, {folder}{given})"
    return f"import jaxmaze\n\nconfig = {{\n{settings}}}\n{call}"


def _compare(start: JsonMap, folder: str) -> str:
    """A script that compares the same runs, with the same teacher."""
    words, note = [repr(start["runs"]), folder], ""
    teacher = start.get("teacher")
    if teacher is not None and start.get("object"):
        note = f"# teacher: the object that was given, {teacher}\n"
        words.append("teacher=teacher")
    elif teacher is not None:
        words.append(f"teacher={teacher!r}")
    words += ["trust=True"] if start.get("trust") else []
    return f"import jaxmaze\n\n{note}jaxmaze.compare({', '.join(words)})"


def _literal(value: object) -> str:
    return 'float("inf")' if value == float("inf") else repr(value)


def _tables(facts: Facts, starts: list[JsonMap]) -> list[Block]:
    """Machine, versions and hashes."""
    rows: list[tuple[str, str]] = []
    for i, start in enumerate(starts):
        which = "" if len(starts) == 1 else f", start {i + 1}"
        machine = start.get("machine", {})
        cores, memory = machine.get("cores"), machine.get("memory_gib")
        size = "1 core" if cores == 1 else f"{cores} cores"  # None in old histories
        size = f"{size}, {memory} GiB" if memory else size
        rows.append(
            (
                f"started{which}",
                str(start.get("at", "")).replace("T", " ").replace("+00:00", " UTC"),
            )
        )
        rows.append(
            (f"machine{which}", f"{machine.get('processor')}, {size}; {machine.get('system')}")
        )
    if "wall_seconds" in facts.summary:
        rows.append(("took", f"{number(facts.summary['wall_seconds'])} s"))
    found = facts.about.get("versions")
    versions = found if isinstance(found, dict) else (starts[0]["versions"] if starts else {})
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items())))
    last = starts[-1].get("versions", {}) if starts else {}
    changed = [f"{k} {v}" for k, v in last.items() if versions.get(k, v) != v]
    if changed:
        rows.append(("changed since", ", ".join(changed)))
    blocks: list[Block] = [Table("Where and with what", ("", ""), rows, left=(0, 1))]
    hashes = [
        (k.replace("_sha256", ""), str(v))
        for k, v in facts.about.items()
        if k.endswith("sha256") and v
    ]
    # DAgger's lie in the run itself.
    listed = facts.about.get("demonstrations") or []
    sources = [x for x in listed if not _paths(x).startswith(f"{facts.run.resolve()}{os.sep}")]
    hashes += [("demonstrations", f"{_paths(x)} {x.get('sha256') or ''}") for x in sources]
    if hashes:
        blocks.append(
            Table("What it started from: paths and SHA-256", ("", ""), hashes, left=(0, 1))
        )
    return blocks


def _paths(source: JsonMap) -> str:
    path = source.get("path")
    return ", ".join(path) if isinstance(path, list) else str(path)


def settings(facts: Facts) -> Section | None:
    """The settings that differ from the defaults."""
    rows = [
        (name, _shown(value), _shown(FIELDS[name].default))
        for name, value in differences(facts).items()
    ]
    if "config" not in facts.about or not rows:
        return None
    table = Table("", ("field", "here", "default"), rows, left=(0, 1, 2))
    return Section("Settings that differ from the defaults", [table])


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_shown(each)}" for name, each in value.items()) or "none"
    return "not set" if value is None else str(value)


def name_of(run: Path) -> str:
    """A run's name: its folder's, with the one above where it says little."""
    parts = run.resolve().parts[-2:]
    return "/".join(parts)


VERSION = run_folder.versions()["jaxmaze"]
