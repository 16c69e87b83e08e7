"""Shared by the comparisons: venvs of their own, commands in turn, medians, a table and JSON."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs
from rich.console import Console
from rich.table import Table

PEERS = Path(__file__).parent / "peers"
VENVS = Path(platformdirs.user_cache_dir("jaxmaze")) / "benchmarks"


def peer_python(name: str) -> str:
    """The Python of a peer's venv, made from ``peers/requirements-<name>.txt`` if need be."""
    files = [PEERS / f"requirements-{name}.txt", PEERS / f"requirements-{name}-nodeps.txt"]
    files = [file for file in files if file.exists()]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    venv = VENVS / name
    python, mark = venv / "bin" / "python", venv / "requirements.sha256"
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing {name} in {venv}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        for file in files:
            options = ["--no-deps"] if "nodeps" in file.name else []
            command = [str(python), "-m", "pip", "install", "-q", *options, "-r", str(file)]
            subprocess.run(command, check=True)
        mark.write_text(wanted)
    return str(python)


def last_json(command: Sequence[str], **environment: str) -> dict[str, Any]:
    """Run a command and read the JSON object that is the last line it prints.

    Raises:
      SystemExit: with its errors if it fails.
    """
    done = subprocess.run(
        list(command), env=os.environ | environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def in_turn(
    commands: Mapping[str, Sequence[str]], repeats: int, seeded: bool = False, **environment: str
) -> dict[str, list[dict[str, Any]]]:
    """Run each command ``repeats`` times, one after another in turn, so that all see the same
    machine; returns what they printed. ``seeded`` gives each turn a ``--seed`` of its own."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for turn in range(repeats):
        for name, command in commands.items():
            seed = [f"--seed={turn}"] if seeded else []
            results[name].append(last_json([*command, *seed], **environment))
            print(f"{turn + 1}/{repeats} {name}: {_short(results[name][-1])}", flush=True)
    return results


def _short(result: Mapping[str, Any]) -> str:
    numbers = {k: v for k, v in result.items() if isinstance(v, int | float)}
    return ", ".join(f"{k} {v:,.6g}" for k, v in numbers.items())


def spread(values: Sequence[float]) -> str:
    """Median and range as a table shows them."""
    digits = 0 if max(map(abs, values)) >= 100 else 2
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def machine() -> dict[str, Any]:
    """Processor, cores, system and versions."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    packages = ("jaxmaze", "jax", "gymnasium", "numpy")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {p: importlib.metadata.version(p) for p in packages},
        "date": datetime.date.today().isoformat(),
    }


def report(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    out: Path | None,
    **content: Any,
) -> None:
    """Print a table; write it with machine, command and all single results as JSON."""
    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)
    whole = {
        "title": title,
        "machine": machine(),
        "command": sys.argv,
        "header": list(header),
        "rows": [list(row) for row in rows],
        **content,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(whole, indent=2) + "\n")
        print(out)


def settings(flags: Sequence[str]) -> dict[str, Any]:
    """Fields and values of ``--set=FIELD=VALUE`` flags.

    Raises:
      UserError: if there is no such field, or the value has the wrong type.
    """
    from jaxmaze import cli

    pairs = [flag.partition("=")[::2] for flag in flags]
    return {name: cli.parse_value(name, text) for name, text in pairs}


def exit_code(main: Callable[[], int | None]) -> int:
    """Run a benchmark; wrong settings are one line and exit code 2, not a traceback."""
    from jaxmaze.errors import UserError

    try:
        return main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
