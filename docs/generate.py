"""Writes the pages that are made from the code: ``python docs/generate.py``.

``commands.md`` has each command's flags, ``llms.txt`` (here and at the top) a list of the pages.
``settings.md`` is printed by ``python -m jaxmaze.config``. With ``--check`` nothing is written; the
exit code is 1 if a page is not what would be written.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from absl import flags

from jaxmaze import __main__ as entry

HERE = Path(__file__).parent

COMMANDS = """# Commands

`jaxmaze COMMAND` and `python -m jaxmaze.COMMAND` are the same. `jaxmaze --help` lists the
commands, `jaxmaze COMMAND --help` tells the flags of one. This page is made from the commands
themselves.

| command | what it does |
|---|---|
{table}

What they have in common:

- The last line printed is the folder or the file that was written.
- A command that takes `--config` or `--env` takes any [field](settings.md) too, as
  `--config.ppo.learning_rate=1e-3`. `--config` is a file, or the name of one that comes with
  jaxmaze (`lunar_lander`), with a recipe behind a colon if wanted (`lunar_lander:guide`). `--env`
  is an environment's id, for which no file is needed.
- `--quiet` prints errors and the last line only, `--verbose` more ([watching a run](watching.md)).
- Wrong input ends a command with one line that starts with `error:`, and exit code 2, before
  anything is computed.
- Exit codes: 0 done; 1 a failure on the way, or data that `inspect` found unfit; 2 wrong input;
  130 interrupted with Ctrl-C.
- `--trust` allows importing the code that a folder names. [When that is
  needed](run_folder.md#whose-code-is-run).

```bash
jaxmaze --help
```
"""

LLMS = """# jaxmaze

> Imitation learning (behavioural cloning, DAgger) and PPO fine-tuning on ordinary gymnasium
> environments, compiled by JAX. A teacher (a function, a trained policy, a person, or recorded
> episodes) is recorded, cloned, checked, fine-tuned and compared over several seeds with
> intervals; by commands (`jaxmaze train --env=CartPole-v1`) or plain Python (`import jaxmaze`).

The code and the commands on these pages are run by tests (some with smaller budgets), except
where a comment says "not run". Python 3.11 or newer. Input that cannot be used is a
`jaxmaze.UserError`, one line, exit code 2.
"""

PARTS = {
    "Start": ("first_steps", "guide", "concepts", "handover", "statistics", "faq", "coming_from"),
    "Your own": ("environments", "observations", "spaces", "memory", "teachers", "data"),
    "Look": ("inspect", "view", "report", "video", "watching"),
    "Use": ("defaults", "export"),
    "Reference": ("configuration", "commands", "settings", "metrics", "run_folder", "api"),
    "Results and inside": ("results", "speed", "inside", "notebooks"),
}


def commands() -> str:
    """The page of all commands."""
    known = entry.commands()
    table = "\n".join(f"| [`{name}`](#{name}) | {about} |" for name, about in known.items())
    return "\n".join([COMMANDS.format(table=table), *map(command, known)]).rstrip() + "\n"


def command(name: str) -> str:
    """One command's section: how it is typed, and its flags."""
    module = importlib.import_module(f"jaxmaze.{name}")
    about, _, usage = module.USAGE.partition("\n\n")
    lines = [f"## {name}", "", about, "", "```text", usage.strip(), "```", ""]
    found = flags_of(module)
    if found:
        lines += ["| flag | if unset | |", "|---|---|---|"]
        lines += [f"| `--{flag.name}` | {unset(flag)} | {said(flag)} |" for flag in found]
        lines.append("")
    return "\n".join(lines)


def flags_of(module: object) -> list[flags.Flag]:
    """The flags that a command defines, in the order in which it does."""
    define = getattr(module, "define_flags", None)
    if define is None:
        return []
    before = set(flags.FLAGS)
    define()
    # Two commands may have flags of the same name, so they are forgotten again.
    found = [flags.FLAGS[name] for name in flags.FLAGS if name not in before]
    for flag in found:
        delattr(flags.FLAGS, flag.name)
    return found


def unset(flag: flags.Flag) -> str:
    """A flag's default, as shown in a table."""
    return "" if flag.default in (None, [], "") else f"`{flag.default}`"


def said(flag: flags.Flag) -> str:
    """A flag's help, as shown in a table."""
    return flag.help.replace("\n", " ").replace("|", "\\|").replace("<", "\\<")


def llms(folder: str = "") -> str:
    """The list of pages for programs that read, with links from ``folder``."""
    lines = [LLMS]
    for part, names in PARTS.items():
        lines += [f"## {part}", ""]
        for name in names:
            page = HERE / f"{name}.md"
            if page.exists():
                lines.append(f"- [{title(page)}]({folder}{name}.md): {first(page)}")
        lines.append("")
    return "\n".join(lines)


def title(page: Path) -> str:
    """A page's first heading."""
    return page.read_text().partition("\n")[0].removeprefix("# ")


def first(page: Path) -> str:
    """The first sentence of a page.

    Raises:
      ValueError: if the page does not begin with one.
    """
    paragraph = page.read_text().split("\n\n")[1].replace("\n", " ")
    if not re.match(r"[\w`\[]", paragraph):  # a heading, bold text, a table, a comment, code
        raise ValueError(f"{page.name} must begin with a sentence that says what it is about")
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph)
    return re.split(r"(?<=[.:]) ", text)[0].rstrip(":")


def pages() -> dict[Path, str]:
    """All generated pages, by path."""
    return {
        HERE / "commands.md": commands(),
        HERE / "llms.txt": llms(),
        HERE.parent / "llms.txt": llms("docs/"),
    }


def main() -> int:
    """Write the pages, or check them."""
    check, stale = "--check" in sys.argv, 0
    for path, text in pages().items():
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        print(f"{path.relative_to(HERE.parent)} {'is out of date' if check else 'written'}")
        if not check:
            path.write_text(text)
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
