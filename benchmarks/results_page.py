"""The results page from finished rows: a table over all, a section and a figure for each."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results_drawing
from benchmarks.results_envs import ROWS, Medium, Row
from jaxmaze.errors import UserError
from jaxmaze.runs import run_folder

NAMES = {
    "clone": "clone",
    "dagger": "DAgger",
    "fine_tuned": "fine-tuned",
    "from_scratch": "from scratch",
}
COLUMNS = ("environment", "what", "iqm", "low", "high", "worst", "seeds", "episodes", "env_steps")


def write(workdir: Path, docs: Path) -> None:
    """Write ``README.md``, a figure a row, ``results.csv`` and ``results.json`` into ``docs``.

    Rows that are not finished are named as missing.

    Raises:
      UserError: if none is finished; what lies in ``docs`` stays as it is.
    """
    rows = {}
    for name in ROWS:
        path = workdir / name / "row.json"
        found = run_folder.read_json(path) if path.exists() else {}
        if "arms" in found:
            rows[name] = found
    if not rows:
        raise UserError(f"no row is finished in {workdir}, so {docs} stays as it is")
    docs.mkdir(parents=True, exist_ok=True)
    for name, found in rows.items():
        results_drawing.draw(name, found, docs / f"{name}.png")
    run_folder.write_json(docs / "results.json", {n: _public(f) for n, f in rows.items()})
    _write_csv(docs / "results.csv", rows)
    (docs / "README.md").write_text(page(rows))
    print(docs / "README.md")


def _public(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures without where they lie."""
    about = {k: v for k, v in found["about"].items() if k not in ("data", "seconds_of_this_start")}
    return {**found, "about": about}


def _write_csv(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for name, found in rows.items():
            episodes, steps = found["episodes"], found["env_steps"]
            taught = found["teacher"]["mean"]
            writer.writerow((name, "teacher", taught, "", "", "", "", episodes, ""))
            writer.writerow((name, "random", found["random"], "", "", "", "", "", ""))
            for arm, x in found["arms"].items():
                own = steps if arm in ("fine_tuned", "from_scratch") else ""
                spread = (x["iqm"], x["iqm_low"], x["iqm_high"], x["worst"], len(x["members"]))
                writer.writerow((name, NAMES[arm], *spread, episodes, own))
            for gain in ("gain_on_teacher", "gain_on_scratch", "gain_on_clone"):
                x = found[gain]
                what = f"fine-tuned, {gain.replace('_', ' ')}"
                spread = (x["iqm"], x["iqm_low"], x["iqm_high"])
                writer.writerow((name, what, *spread, "", "", episodes, steps))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    missing = [name for name in ROWS if name not in rows]
    parts = [_HEAD, _machine(rows)]
    if missing:
        parts.append(f"**Not measured (yet):** {', '.join(missing)}.\n")
    if rows:
        parts.append(_headline(rows))
        parts.append(_READING)
        parts += _beside(rows)
        parts.append("## What was asked for\n\n" + _met(rows))
        parts += [section(ROWS[name], found) for name, found in rows.items()]
    return "\n".join(parts)


_HEAD = """# Results

One set of defaults on every environment: a row has an environment, a teacher and a number of steps
of its own, and nothing else. The teacher is recorded for 100 episodes and cloned; PPO trains from
the clone and from scratch, for the same steps and with the same seeds. The commands:

<!-- not run -->
```bash
python benchmarks/results.py --teachers    # the medium teachers, once
python benchmarks/results.py --workdir=outputs/results --peers    # all rows; goes on if interrupted
python benchmarks/results.py --workdir=outputs/results --page    # this page, of what is finished
```

All figures are in [results.csv](results.csv) and, with every seed and curve, in
[results.json](results.json).
"""
_READING = """
How to read it: *teacher* is its mean return on the test episodes; the others are interquartile
means over seeds of mean returns on the same episodes, with a 95 % interval over seeds and episodes.
Differences are paired, episode by episode and seed by seed; ▲ is above 0 with its whole interval,
▼ below, and = neither. *Dip* is how far the worst seed fell below its own clone on the way, in
percent of the way from a random policy to the teacher; in brackets, how many seeds surely fell by
more than 5 %: at their deepest evaluation, the one-sided 95 % interval over its paired episodes is
clear of that (of 20 episodes, a single one that is lost can make 5 %). Evaluations act without
noise; *with noise* is the policy that PPO trains: returns of training episodes, in windows of 40,
below those of the first window, when it was the clone. *Steps to the teacher*: when the
interquartile mean is at the teacher's level at two evaluations in a row, fine-tuned and from
scratch. There are at least 12 evaluations in each run (`ppo.eval_every` is lowered where the budget
is small), so that a dip would be seen; the policies that are reported are chosen as always, on
episodes that are not the test's. The wall clock is that of a machine with other work to do.
"""


def _machine(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Where and by which version the rows were made."""
    made: dict[tuple[str, ...], list[str]] = {}
    for name, found in rows.items():
        about = found["about"]
        machine, versions = about["machine"], about["versions"]
        key = (
            f"{len(found['arms']['fine_tuned']['members'])} seeds",
            f"{found['episodes']} test episodes",
            f"{machine['cores']} cores ({machine['processor']})",
            f"commit {about['commit']}, {machine['date']}",
            ", ".join(f"{p} {versions[p]}" for p in ("jaxmaze", "jax", "gymnasium", "numpy")),
            f"`{about['command']}`",
        )
        made.setdefault(key, []).append(name)
    return "".join(f"- {', '.join(names)}: {'; '.join(key)}\n" for key, names in made.items())


def _headline(rows: Mapping[str, Mapping[str, Any]]) -> str:
    header = (
        "environment",
        "steps",
        "teacher",
        "clone",
        "DAgger",
        "fine-tuned",
        "from scratch",
        "fine-tuned - teacher",
        "fine-tuned - from scratch",
        "dip (seeds that surely dip)",
        "the same with noise",
        "steps to the teacher: tuned / scratch",
        "asked for",
    )
    lines = []
    for name, found in rows.items():
        arms, targets = found["arms"], found["targets"]
        met = sum(t["met"] for t in targets)
        steps = found["steps_to_teacher"]
        lines.append(
            (
                f"[{name}](#{name.lower()})",
                f"{found['env_steps']:,}",
                number(found["teacher"]["mean"]),
                span(arms["clone"]),
                span(arms["dagger"]) if "dagger" in arms else "",
                f"**{span(arms['fine_tuned'])}**",
                span(arms["from_scratch"]),
                signed(found["gain_on_teacher"]),
                signed(found["gain_on_scratch"]),
                _dipped(found["dip"]),
                _dipped(found["dip_with_noise"]),
                f"{counted(steps['fine_tuned'])} / {counted(steps['from_scratch'])}",
                "all met" if met == len(targets) else f"{met} of {len(targets)} met",
            )
        )
    return table(header, lines)


def _dipped(dip: Mapping[str, Any] | None) -> str:
    """The worst seed's dip, and how many seeds surely dip."""
    return "" if dip is None else f"{dip['worst']:.1f} % ({dip['sure']})"


def _beside(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of ours and theirs, where other libraries ran on the same data; else nothing."""
    lines = []
    for name, found in rows.items():
        for what, theirs in found["peers"].items():
            each = (found["arms"][what]["members"], theirs["members"])
            lines.append((f"[{name}](#{name.lower()})", NAMES[what], *map(_with_worst, each)))
    header = ("environment", "what", "jaxmaze", "imitation, Stable-Baselines3")
    return [_PEERS + table(header, lines)] if lines else []


def _with_worst(members: Sequence[float]) -> str:
    """The mean over seeds, and the worst of them."""
    seeds = f"the worst of {len(members)}: " if len(members) > 1 else "one seed: "
    return f"{number(sum(members) / len(members))} ({seeds}{number(min(members))})"


_PEERS = """## Beside imitation and Stable-Baselines3

The same recorded episodes, steps and test episodes: `imitation` clones, PPO of Stable-Baselines3
goes on from that clone, or from scratch, with the settings that rl-baselines3-zoo tuned for each
environment. Ours are one set of defaults. Means over seeds; the versions stand with each
environment. With the command above, `--peers`.

"""


def _met(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        (name, t["what"], t["found"], "met" if t["met"] else "**missed**")
        for name, found in rows.items()
        for t in found["targets"]
    ]
    return table(("environment", "asked for", "found", ""), lines)


def section(row: Row, found: Mapping[str, Any]) -> str:
    """What is told of one environment."""
    arms, seconds = found["arms"], found["seconds"]
    lines = [("teacher", number(found["teacher"]["mean"]), "", "", "")]
    for arm, x in arms.items():
        took = f"{seconds[arm]:,.0f} s"
        if arm in ("fine_tuned", "from_scratch"):
            took += " (both together)"
        gain = signed(x["gain_on_teacher"])
        lines.append((NAMES[arm], span(x), number(x["worst"]), gain, took))
    lines.append(("a random policy", number(found["random"]), "", "", ""))
    for what, x in found["peers"].items():
        each = ", ".join(number(m) for m in x["members"])
        which = "imitation" if what == "clone" else "imitation, then Stable-Baselines3"
        which = "Stable-Baselines3" if what == "from_scratch" else which
        name = f"{which}, {NAMES[what]}"
        lines.append(
            (name, f"{number(x['mean'])} (seeds: {each})", number(min(x["members"])), "", "")
        )
    for p in row.published:
        name = f"published: [{p.what}, {p.steps:,} steps]({p.source})"
        lines.append((name, number(p.value), "", "", ""))
    header = ("", "return: IQM [95 %]", "worst seed", "less the teacher [95 %]", "wall clock")
    return f"""
## {row.name}

`{found["environment"]["id"]}`{_kwargs(found)}. {_teacher(row, found)}

![{row.name}: return against environment steps]({row.name}.svg)

{table(header, lines)}
{_told(found)}
"""


def _kwargs(found: Mapping[str, Any]) -> str:
    kwargs = found["environment"].get("kwargs")
    return f" with `{json.dumps(kwargs)}`" if kwargs else ""


def _teacher(row: Row, found: Mapping[str, Any]) -> str:
    data = found["data"]
    about = found["teacher"]["about"]
    if isinstance(row.teacher, Medium):
        trained = data["trained"]
        about = (
            "a policy of jaxmaze's own PPO from scratch, stopped after "
            f"{trained['env_steps']:,} steps, at the first evaluation with {row.teacher.level:g} "
            "or more"
        )
    network = f" The network has {', '.join(f'`{k}={v}`' for k, v in row.network.items())}."
    return (
        f"Teacher: {about}. Recorded: {data['episodes']} episodes, {data['steps']:,} steps, "
        f"mean return {number(data['mean'])}, SHA-256 `{data['sha256']}`."
        f"{network if row.network else ''}"
    )


def _told(found: Mapping[str, Any]) -> str:
    """Differences, dip and steps in sentences."""
    dip, noisy, saved = found["dip"], found["dip_with_noise"], found["steps_saved"]
    steps = found["steps_to_teacher"]
    lines = [
        f"- fine-tuned less teacher {signed(found['gain_on_teacher'])}, less from scratch "
        f"{signed(found['gain_on_scratch'])}, less clone {signed(found['gain_on_clone'])}",
        f"- dip below the clone's own start, over {dip['evaluations']} evaluations of "
        f"{dip['episodes']} episodes: {dip['mean']:.1f} % on average, "
        f"{dip['worst']:.1f} % in the worst seed; surely more than 5 % in "
        f"{counted_of(dip['sure'], len(dip['members']))}"
        + (
            ""
            if noisy is None
            else f"; of the policy with its noise, over training episodes: {noisy['mean']:.1f} % "
            f"and {noisy['worst']:.1f} %, {counted_of(noisy['sure'], len(noisy['members']))}"
        ),
        f"- steps to the teacher's level: {counted(steps['fine_tuned'])} fine-tuned, "
        f"{counted(steps['from_scratch'])} from scratch"
        + (
            ""
            if saved is None
            else f": {'more than ' if saved['at_least'] else ''}{saved['steps']:,} saved"
        ),
    ]
    if found["peers"]:
        peer = next(iter(found["peers"].values()))
        versions = ", ".join(f"{k} {v}" for k, v in peer["about"].items())
        lines.append(
            f"- {versions}: {len(peer['members'])} seeds, the zoo's settings, the same data, "
            f"{peer['env_steps']:,} steps and test episodes; the policy at the end"
        )
    return "\n".join(lines)


def counted(steps: int | None) -> str:
    """Steps with separators, or that there are none."""
    return "never" if steps is None else f"{steps:,}"


def counted_of(count: int, all_of_them: int) -> str:
    """How many seeds of how many."""
    return f"{count or 'none'} of {all_of_them} seeds"


def number(x: float) -> str:
    """A return: one digit behind the point where that says something."""
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}"


def span(x: Mapping[str, float]) -> str:
    """An estimate with its interval."""
    return f"{number(x['iqm'])} [{number(x['iqm_low'])}, {number(x['iqm_high'])}]"


def signed(x: Mapping[str, float]) -> str:
    """A difference with its interval, and whether that is clear of 0."""
    mark = "▲" if x["iqm_low"] > 0 else "▼" if x["iqm_high"] < 0 else "="
    return f"{span(x)} {mark}"
