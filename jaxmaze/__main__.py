"""``jaxmaze COMMAND ...`` and ``python -m jaxmaze COMMAND ...``: run a command by name.

A command is a module beside this one with a constant ``USAGE`` that describes it. ``jaxmaze train``
runs the same as ``python -m jaxmaze.train``.
"""

from __future__ import annotations

import ast
import difflib
import importlib.metadata
import runpy
import sys
from pathlib import Path

from jaxmaze import interrupts

PACKAGE = Path(__file__).parent


def commands() -> dict[str, str]:
    """A one-line description of each command, by name; read from the files without importing."""
    found = {path.stem: _usage(path) for path in sorted(PACKAGE.glob("[!_]*.py"))}
    return {name: usage.splitlines()[0] for name, usage in found.items() if usage}


def _usage(path: Path) -> str:
    """A module's constant ``USAGE``; empty if it has none."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["USAGE"]:
            return str(ast.literal_eval(node.value)).strip()
    return ""


def text() -> str:
    """The text that ``jaxmaze --help`` prints."""
    known = commands()
    width = max(map(len, known))
    return "\n".join(
        (
            "Imitation learning and fine-tuning on gymnasium environments.",
            "",
            "jaxmaze COMMAND ...",
            "",
            *(f"  {name:<{width}}  {about}" for name, about in known.items()),
            "",
            "jaxmaze COMMAND --help tells more; jaxmaze --version which version this is.",
        )
    )


def main() -> None:
    """Run the command named in ``sys.argv``, and exit with its code."""
    interrupts.quiet_start()
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    known = commands()
    if word in ("-h", "-help", "--help", "help"):
        print(text())
    elif word == "--version":
        print(f"jaxmaze {importlib.metadata.version('jaxmaze')}")
    elif word in known:
        sys.argv = [f"{sys.argv[0]} {word}", *sys.argv[2:]]
        runpy.run_module(f"{__package__}.{word}", run_name="__main__", alter_sys=True)
    else:
        close = difflib.get_close_matches(word, known, n=1)
        hint = f"did you mean {close[0]}? The" if close else "the"
        print(
            f"error: there is no command {word!r}; {hint} commands are {', '.join(known)}",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
