"""How to do a run again: the command as typed, Python for anywhere, versions, machine, hashes."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from jaxmaze.config import FIELDS, from_dict, import_paths
from jaxmaze.core.types import JsonMap
from jaxmaze.core.words import agree
from jaxmaze.errors import UserError
from jaxmaze.reporting import hashes
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
    first: JsonMap = starts[0] if starts else {}
    if first.get("command"):
        place = f"In the folder {first['folder']}." if first.get("folder") else ""
        blocks.append(Code("As it was typed", str(first["command"]), place))
    if not facts.summary and facts.kind not in ("rollout", "compare", "inspect"):
        place = shlex.quote(str(facts.run))
        blocks.append(Code("To go on where it stopped", f"jaxmaze train --resume={place}"))
    last: JsonMap = starts[-1] if starts else {}
    text = _python(facts, last)
    if text:
        blocks.append(Code("In Python", text, _note(facts, last)))
    return Section("Do it again", [*blocks, *_tables(facts, starts)])


def _note(facts: Facts, start: JsonMap) -> str:
    """What is to be known of the script: where it is started, and what it spells out."""
    modules = {path.partition(":")[0] for path in _imported(facts, start)}
    folder = start.get("folder")
    if modules:
        found = f"{agree(len(modules), 'module', 'modules')} {', '.join(sorted(modules))}"
        verb = agree(len(modules), "is", "are")
        where = f"in {folder}, from which" if folder else "in the folder from which"
        note = f"Start it {where} the {found} {verb} imported."
    elif start.get("trust"):
        where = folder or "the folder where this was done"
        note = f"Start it in {where}, so that the code that these folders name is found."
    else:
        note = "It can be started in any folder."
    if facts.kind in ("compare", "inspect"):
        return note
    return f"{note} All settings that differ from the defaults of this version are spelled out."


def _imported(facts: Facts, start: JsonMap) -> list[str]:
    """The import paths that the script names."""
    config = start.get("config") if facts.kind in ("compare", "inspect") else facts.about["config"]
    found: list[str] = []
    with contextlib.suppress(UserError, TypeError, ValueError):  # a damaged or an older folder
        found += import_paths(from_dict(config)).values() if config else []
    teacher = start.get("teacher")
    if teacher is not None and ":" in str(teacher) and os.sep not in str(teacher):
        found.append(str(teacher))
    return found


def _python(facts: Facts, start: JsonMap) -> str:
    """A script that does the same; empty if none can."""
    folder = repr(f"{facts.run.resolve().name}-again")
    if facts.kind == "compare":
        return _compare(facts, start, folder) if start.get("runs") else ""
    if facts.kind == "inspect":
        return _inspect(facts, start, folder)
    if "config" not in facts.about:
        return ""
    call = f"jaxmaze.train(config, {folder})"
    if facts.kind == "rollout":
        more = {
            "save": bool(facts.about.get("record")),
            "render": facts.about.get("render"),
            "member": facts.about.get("member", 0),
        }
        given = "".join(f", {k}={v!r}" for k, v in more.items() if v or k == "save")
        call = f"jaxmaze.record(config, {folder}{given})"
    return f"import jaxmaze\n\n{_config(facts)}{call}"


def _config(facts: Facts) -> str:
    """The settings as a dict."""
    settings = "".join(f"    {n!r}: {_literal(v)},\n" for n, v in differences(facts).items())
    return f"config = {{\n{settings}}}\n"


def _given(facts: Facts, start: JsonMap, words: list[str]) -> str:
    """The config that was given besides, if one was; it and ``trust`` are added to the words."""
    config = start.get("config")
    words += ["config=config"] if config else []
    words += ["trust=True"] if start.get("trust") else []
    return _config(facts._replace(about={"config": config})) if config else ""


def _inspect(facts: Facts, start: JsonMap, folder: str) -> str:
    """A script that inspects the same data."""
    words = [repr(facts.about.get("data")), folder]
    text = _given(facts, start, words)
    if start.get("replay") not in (None, 10):  # the usual number
        words.append(f"replay={start['replay']!r}")
    return f"import jaxmaze\n\n{text}jaxmaze.inspect({', '.join(words)})"


def _compare(facts: Facts, start: JsonMap, folder: str) -> str:
    """A script that compares the same runs, with the same teacher."""
    words, note = [repr(start["runs"]), folder], ""
    teacher = start.get("teacher")
    if teacher is not None and start.get("object"):
        note = f"# teacher: the object that was given, {teacher}\n"
        words.append("teacher=teacher")
    elif teacher is not None:
        words.append(f"teacher={teacher!r}")
    text = _given(facts, start, words)
    return f"import jaxmaze\n\n{text}{note}jaxmaze.compare({', '.join(words)})"


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
    return [*blocks, *hashes.tables(facts)]


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
