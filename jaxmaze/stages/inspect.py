"""The dataset doctor: from recorded episodes to a verdict per check, figures and a summary."""

from __future__ import annotations

import time
from pathlib import Path

from jaxmaze.config import Settings
from jaxmaze.core.types import Json
from jaxmaze.core.words import agree, counted
from jaxmaze.envs import replay
from jaxmaze.errors import UserError
from jaxmaze.inspection import (
    figures,
    of_episodes,
    of_steps,
    recorded_envs,
    replays,
    survey,
    verdicts,
)
from jaxmaze.inspection.recordings import Recordings
from jaxmaze.runs import console, run_folder, style

KIND = "inspect"
RESUMED = "an inspection, which is not resumed; inspect its data again"
REPLAYED = 10
"""Episodes that are played again."""
_COLOURS = {"ok": "green", "skipped": "dim", "warning": "yellow", "unfit": "bold red"}


def run(
    data: Path,
    workdir: Path,
    config: Settings | None = None,
    trust: bool = False,
    replayed: int = REPLAYED,
) -> Json:
    """Look at recorded episodes and say what is wrong with them.

    Args:
      data: a rollout's folder, or one of a Minari data set.
      workdir: the folder to write.
      config: names the environment; the data's own by default.
      trust: whether code that the data's folder names may be imported.
      replayed: how many episodes are played again.

    Returns:
      The summary, as in summary.json.

    Raises:
      UserError: if it is not a data set, or for a folder that cannot be written.
    """
    start = time.perf_counter()
    recordings = Recordings(data, trust)
    # Computed again each time; never skipped as finished.
    run_folder.claim(workdir, {"kind": KIND, "data": str(data.resolve())})
    with console.progress("inspect", recordings.count, unit="episodes") as bar:
        found = survey.take(recordings, bar.advance)
    checks = _checks(recordings, found, recorded_envs.find(recordings, config, trust), replayed)
    verdict = verdicts.worst(checks)
    for name, draw in figures.ALL.items():
        if len(found.index):
            fig, table = draw(found)
            style.save(fig, workdir / "report" / f"{name}.png", table)
    summary = {
        "kind": KIND,
        "env_steps": 0,
        "wall_seconds": time.perf_counter() - start,
        "verdict": verdict,
        "data": {
            "path": str(data.resolve()),
            "dataset_id": recordings.metadata.get("dataset_id"),
            "sha256": found.sha256,
            "episodes": recordings.count,
            "steps": int(found.lengths.sum()),
            "labelled_episodes": found.labelled,
        },
        "checks": {c.name: {"verdict": c.verdict, "says": c.says, **c.figures} for c in checks},
    }
    run_folder.write_json(workdir / run_folder.SUMMARY, summary)
    _show(data, recordings, found, checks, verdict)
    return summary


def _checks(
    recordings: Recordings,
    s: survey.Survey,
    source: replay.Source | UserError,
    replayed: int,
) -> list[verdicts.Check]:
    first = [
        of_episodes.structure(s, recordings.count),
        of_episodes.checksum(s, recordings.metadata.get("jaxmaze_sha256")),
        of_episodes.lengths(s),
    ]
    if not len(s.index):  # nothing is left to look at
        return first
    choices = all(leaf.discrete for leaf in recordings.observations)
    return [
        *first,
        of_episodes.numbers(s),
        of_episodes.returns(s),
        of_episodes.ends(s),
        of_episodes.duplicate_episodes(s),
        of_steps.duplicate_steps(s, choices),
        of_steps.actions(s),
        of_steps.bounds(s),
        of_steps.features(s),
        of_steps.drift(s),
        of_steps.determinism(s),
        replays.check(recordings, s, source, replayed),
    ]


def _show(
    data: Path,
    recordings: Recordings,
    s: survey.Survey,
    checks: list[verdicts.Check],
    verdict: str,
) -> None:
    """Print the table and the verdict."""
    rows = [(c.name, console.styled(c.verdict, _COLOURS[c.verdict]), c.says) for c in checks]
    title = (
        f"{data}: {counted(recordings.count, 'episode')}, {counted(s.lengths.sum(), 'step', ',')}"
    )
    console.table(title, ("check", "verdict", "what it means"), rows, (0, 1, 2))
    if s.labelled:
        console.say(
            f"{counted(s.labelled, 'episode')} {agree(s.labelled, 'carries', 'carry')} a "
            "teacher's labels, which are the actions here"
        )
    bad = [c.name for c in checks if c.verdict == verdict]
    says = {
        "ok": "ok: nothing speaks against learning from these data",
        "warning": f"warning: look at {', '.join(bad)} before you learn from these data",
        "unfit": f"unfit to learn from, because of {', '.join(bad)}",
    }
    console.say(says[verdict])
