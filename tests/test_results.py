"""The results page: ``benchmarks/results.py``, as typed, on a tiny budget, and its parts."""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import jaxmaze
from benchmarks import (
    lost_episodes,
    results,
    results_drawing,
    results_envs,
    results_figures,
    results_noise,
    results_page,
    results_teachers,
    sidebyside,
)
from benchmarks.results_envs import ROWS
from jaxmaze.config import to_settings
from jaxmaze.config.sections.ppo import segment_steps
from jaxmaze.errors import UserError
from jaxmaze.runs import arms_figure, metrics, outcomes, report, run_folder
from tests.conftest import HERE, ROOT

TINY = {
    "rollout.n_episodes": 5,
    "bc.num_updates": 100,
    "bc.eval_every": 0,
    "evaluation.episodes": 6,
    "dagger.rounds": 2,
    "dagger.playoff_episodes": 2,
    "dagger.eval_episodes": 2,
    "ppo.num_envs": 4,
    "ppo.num_steps": 64,
    "ppo.total_env_steps": 4096,
    "ppo.critic_burn_in": 1,
    "ppo.eval_episodes": 3,
    "ppo.playoff_episodes": 3,
    "env.workers": 0,
}


def command(workdir: Path, *words: str) -> list[str]:
    sets = [f"--set={name}={value}" for name, value in TINY.items()]
    places = [f"--workdir={workdir}", f"--docs={workdir / 'docs'}", "--members=2"]
    return [sys.executable, str(ROOT / "benchmarks" / "results.py"), *places, *sets, *words]


def typed(workdir: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(workdir, *words), env=HERE, capture_output=True, text=True, timeout=1800
    )


PUBLISHED = ROOT / "docs" / "results"


def test_published_figures_have_the_numbers_of_the_rows(tmp_path):
    rows = json.loads((PUBLISHED / "results.json").read_text())
    for name, found in rows.items():
        lines = list(csv.DictReader((PUBLISHED / f"{name}.csv").open()))
        for arm, curve in (("fine-tuned", "fine_tuned"), ("from scratch", "from_scratch")):
            values = [float(line["iqm"]) for line in lines if line["arm"] == arm]
            assert values == found["curves"][curve]["iqm"], name
        assert {float(line["teacher"]) for line in lines} == {found["teacher_on_curve"]}
        # The bracket in the figure says what the page does.
        saved, said = arms_figure.saved(results_drawing.arms_of(found)), found["steps_saved"]
        assert (saved.steps if saved else 0) == (said["steps"] if said else 0), name
        assert saved is None or (saved.second is None) == said["at_least"]
        assert (PUBLISHED / f"{name}.png").exists() and (PUBLISHED / f"{name}.svg").exists()
    files = []
    for folder in ("a", "b"):
        results_drawing.draw("Taxi", rows["Taxi"], tmp_path / folder / "Taxi.png")
        files.append({p.suffix: p.read_bytes() for p in (tmp_path / folder).iterdir()})
    assert files[0] == files[1] and set(files[0]) == {".png", ".svg", ".csv"}
    assert files[0][".csv"] == (PUBLISHED / "Taxi.csv").read_bytes()


def killed_in_ppo(workdir: Path, *words: str) -> None:
    """Begin a row, and kill it once PPO has been evaluated."""
    process = subprocess.Popen(
        command(workdir, *words), env=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    metrics = workdir / "CartPole" / "ppo" / "pretrained" / "metrics.jsonl"
    until = time.monotonic() + 1200  # only a hang takes so long, or a machine with much else to do
    try:
        while not (metrics.exists() and "returns" in metrics.read_text()):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_row_is_resumed_and_its_page_says_what_its_runs_say(tmp_path):
    killed_in_ppo(tmp_path, "--only=CartPole")
    folder = tmp_path / "CartPole"
    assert not (folder / "row.json").exists()
    listed = typed(tmp_path, "--list").stdout.splitlines()
    (line,) = (x for x in listed if x.startswith("CartPole "))
    assert "finished: teacher, judged, random, bc, dagger; begun: ppo/pretrained" in line
    assert all("not begun" in x for x in listed if not x.startswith("CartPole "))
    cloned = (folder / "bc" / run_folder.SUMMARY).stat().st_mtime_ns

    done = typed(tmp_path, "--only=CartPole")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "bc" / run_folder.SUMMARY).stat().st_mtime_ns == cloned
    page = (tmp_path / "docs" / "README.md").read_text()
    missing = page.split("**Not measured (yet):** ")[1].split(".\n")[0]
    assert missing.split(", ") == [name for name in ROWS if name != "CartPole"]
    found = json.loads((tmp_path / "docs" / "results.json").read_text())["CartPole"]
    tuned = outcomes.read_episodes(folder / "ppo" / "pretrained").returns
    scratch = outcomes.read_episodes(folder / "ppo" / "from_scratch").returns
    judged = outcomes.read_episodes(folder / "judged")
    seeds = outcomes.read_episodes(folder / "ppo" / "pretrained").seeds
    taught = np.array([judged.returns[0][list(judged.seeds).index(s)] for s in seeds])
    # Two seeds: nothing is cut, and the IQM is the mean.
    assert found["arms"]["fine_tuned"]["iqm"] == pytest.approx(tuned.mean())
    assert found["gain_on_teacher"]["iqm"] == pytest.approx((tuned - taught).mean())
    assert found["gain_on_scratch"]["iqm"] == pytest.approx((tuned - scratch).mean())
    assert results_page.span(found["arms"]["fine_tuned"]) in page
    assert found["data"]["sha256"] in page and str(tmp_path) not in page
    drawn = (tmp_path / "docs" / "CartPole.svg").read_text()
    assert all(f">{name}</text>" in drawn for name in ("fine-tuned", "from scratch", "clone"))
    met = {t["what"]: t["met"] for t in found["targets"]}
    assert met["worst seed at least 500"] == (tuned.mean(1).min() >= 500)

    # The page again, from what lies there; and a row that fails does not stop the others.
    before = {p.name: p.read_bytes() for p in (tmp_path / "docs").iterdir()}
    assert typed(tmp_path, "--page").returncode == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "docs").iterdir()} == before
    failing = typed(tmp_path, "--only=Taxi,CartPole", "--set=bc.batch_size=64", "--no_dagger")
    assert failing.returncode == 1
    assert "Taxi failed: config.bc.batch_size=64 is larger" in failing.stdout
    assert failing.stdout.index("Taxi failed") < failing.stdout.index("== CartPole")


def test_what_cannot_be_run_is_told_in_a_line(monkeypatch, capsys, tmp_path):
    for words, line in (
        (["--only=Chess", "--workdir=x"], "error: there is no row 'Chess'; there are CartPole, "),
        (["--only=CartPole"], "error: --workdir is not given"),
        (["--workdir=x", "--set=ppo.gama=1"], "error: config.ppo.gama is not a field; did you"),
        (["--workdir=x", "--page", f"--docs={tmp_path}"], "error: no row is finished in "),
    ):
        monkeypatch.setattr(sys, "argv", ["results.py", *words])
        assert sidebyside.exit_code(results.main) == 2
        captured = capsys.readouterr()
        assert (captured.out + captured.err).startswith(line)
    assert not list(tmp_path.iterdir()), "a page of nothing was written"


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_row_holds_environment_teacher_and_budget_alone(row):
    args = argparse.Namespace(seed=70_000, members=10, set=[])
    ours = results.configured(row, args, "heuristic").to_dict()
    plain = jaxmaze.make_config({}).to_dict()
    changed = {
        f"{section}.{name}"
        for section in ("env", "network", "rollout", "bc", "dagger", "ppo", "evaluation")
        for name, value in ours[section].items()
        if value != plain[section][name]
    }
    allowed = {"env.id", "env.kwargs", "ppo.total_env_steps", "ppo.eval_every"}
    assert changed <= allowed | ({"network.memory"} if row.name == "LunarLanderHidden" else set())
    section = to_settings(results.configured(row, args, "heuristic")).ppo
    segment = section.num_envs * segment_steps(section)
    iterations = row.budget // segment
    assert iterations // ours["ppo"]["eval_every"] >= results.EVALUATIONS
    assert ours["ppo"]["eval_every"] <= plain["ppo"]["eval_every"]


def test_the_environments_and_the_figures_asked_for_are_there():
    assert len(ROWS) == 15
    asked = {name: row.at_least for name, row in ROWS.items() if row.at_least is not None}
    assert asked == {
        "CartPole": 500,
        "Pendulum": -155,
        "Acrobot": -76,
        "LunarLander": 285,
        "LunarLanderContinuous": 285,
        "HalfCheetah": 6500,
        "Hopper": 3000,
        "Walker2d": 4000,
        "BipedalWalker": 310,
    }
    assert (ROWS["LunarLander"].worst, ROWS["LunarLander"].within) == (275, (270, 50_000))
    assert sum(row.peer for row in ROWS.values()) >= 4
    assert all(p.source.startswith("https://") for row in ROWS.values() for p in row.published)


def curve(*means: list[float]) -> report.Curve:
    """Evaluations of seeds with these means, in one episode."""
    returns = np.array(means, float)[:, :, None]
    return report.Curve(np.arange(len(means)) * 100, returns, np.array([1]))


def test_steps_to_the_teacher_want_two_evaluations_in_a_row():
    lucky = curve([0, 0], [6, 6], [2, 2], [5, 5], [7, 5])
    assert results_figures.steps_to(lucky, 5) == 300
    assert results_figures.steps_to(lucky, 6) == 400  # the last one counts alone
    assert results_figures.steps_to(lucky, 9) is None
    saved = results_figures._saved({"fine_tuned": 100, "from_scratch": None}, 400)
    assert saved == {"steps": 300, "at_least": True}
    assert results_figures._saved({"fine_tuned": None, "from_scratch": 100}, 400) is None


def test_a_dip_is_in_percent_of_the_way_to_the_teacher():
    dip = results_figures._dip(curve([100, 90], [80, 95], [120, 60]), 200.0)
    assert dip["members"] == [10.0, 15.0] and dip["worst"] == 15.0 and dip["mean"] == 12.5


def test_a_dip_is_sure_where_episodes_agree_on_it():
    """Three seeds fall by 10 % on average: all episodes do, one of 20 does, or none falls."""
    before = np.full((3, 20), 100.0)
    after = before.copy()
    after[0] = 90 + np.resize([-1, 1], 20)  # evenly
    after[1, 0] = -100  # one episode that is lost, and the rest as before
    later = before + 1
    deep = report.Curve(np.arange(3), np.stack([before, after, later]), np.arange(20))
    dip = results_figures._dip(deep, 100.0)
    assert dip["members"] == pytest.approx([10, 10, 0]) and dip["sure"] == 1
    low = results_figures._at_least(deep, 100.0)
    fallen = [100 - x for x in after[0]]
    spread = np.std(fallen, ddof=1) / 20**0.5
    assert low[0] == pytest.approx(np.mean(fallen) - 1.7291 * spread, abs=1e-3)  # t, 19 degrees
    assert low[1] < 0 and low[2] == 0
    assert results_figures._dip(deep._replace(returns=deep.returns[..., :1]), 100.0)["sure"] == 0


def test_falls_with_noise_are_those_of_training_episodes(tmp_path):
    """Windows of 40, however many episodes end in a segment; evaluations do not count."""
    rng = np.random.default_rng(0)
    played = [rng.normal(level, 10, 60) for level in (100, 80, 130)]  # of seed 0; seed 1 is better
    with metrics.MetricsWriter(tmp_path) as log:
        for at, returns in enumerate(np.concatenate(played).reshape(-1, 5)):
            # seed 1 has no episode in every other segment
            both = [returns, returns + at if at % 2 else np.zeros(0)]
            ended = metrics.per_member([metrics.rollout_stats(x, x) for x in both])
            log.write(at, "train", "rollout_stats", ended)
            log.write(at, "eval", "rollout_stats", ended | {"reward/mean": np.array([500.0, -500])})
    found = results_noise.fall(tmp_path, 200.0, limit=5.0)
    windows = np.concatenate(played)[: 4 * 40].reshape(4, 40)
    fallen = windows[0].mean() - windows.mean(1)
    deepest = int(fallen.argmax())
    assert found["members"][0] == pytest.approx(100 * fallen[deepest] / 200, rel=1e-5)
    assert found["members"][1] < 0 and found["worst"] == max(found["members"])
    assert found["mean"] == pytest.approx(found["worst"] / 2)
    assert found["sure"] == 1
    error = 100 / 200 * np.sqrt((windows[[0, deepest]].var(1, ddof=1) / 40).sum())
    surely = found["worst"] - stats.norm.ppf(0.95) * error
    assert results_noise.fall(tmp_path, 200.0, limit=surely - 0.01)["sure"] == 1
    assert results_noise.fall(tmp_path, 200.0, limit=surely + 0.01)["sure"] == 0
    assert results_noise.fall(tmp_path, 0.0, limit=5.0) is None


def test_lost_episodes_are_counted_by_seed_and_start():
    returns = np.array([[250, 100, 260], [-5, 150, 270]])
    lengths = np.array([[90, 1000, 80], [70, 1000, 60]])
    found = lost_episodes.losses(returns, lengths, 200)
    assert list(found.values()) == pytest.approx(
        [
            returns.mean(),
            50,
            200 / 3,
            260,
            2,
            2,
            2,
            np.std([122.5, 125, 265]),
            np.mean([250, 150, 270]),
        ]
    )
    played = outcomes.Table(np.array([7, 8, 9]), returns, lengths)
    lines = lost_episodes.worst(played, {"members": [{"seed": 30}, {"seed": 31}]}).splitlines()
    assert lines[2:4] == ["| 1 | 31 | 7 | -5.0 | 70 |", "| 0 | 30 | 8 | 100.0 | 1000 |"]
    assert (
        lost_episodes.losses(returns, lengths, -9)["of these, percent as long as the longest"] == 0
    )


def test_targets_are_missed_where_they_are_missed():
    def figures(high: float, dip: float, worst: float) -> dict:
        gain = {"iqm": 0.0, "iqm_low": -9.0, "iqm_high": high}
        return {
            "gain_on_teacher": gain,
            "gain_on_scratch": gain,
            "dip": {"worst": dip, "sure": 0},
            "arms": {"fine_tuned": {"iqm": 286.0, "worst": worst}},
            "curves": {"fine_tuned": {"env_steps": [0, 40_000, 60_000], "iqm": [200, 269, 280]}},
        }

    def met(*values: float) -> list[bool]:
        return [t["met"] for t in results_figures.targets(ROWS["LunarLander"], figures(*values))]

    assert met(1.0, 5.0, 275.0) == [True, True, True, True, True, False]
    assert met(-0.1, 5.1, 274.9) == [False, False, False, True, False, False]


def test_a_teacher_is_found_at_the_first_evaluation_with_its_return(tmp_path):
    lines = [
        {"step": 0, "split": "eval", "returns": [[9, 9]]},  # nothing is trained yet
        {"step": 30, "split": "eval", "returns": [[2, 2]]},
        {"step": 50, "split": "train"},
        {"step": 100, "split": "eval", "returns": [[5, 4]]},
        {"step": 200, "split": "eval", "returns": [[9, 9]]},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    assert results_teachers._first(tmp_path, 4.0) == (100, 4.5)
    assert results_teachers._first(tmp_path, 10.0) is None


def test_the_next_seed_is_tried_where_one_does_not_get_there(tmp_path, monkeypatch):
    tried = []

    def run(settings, folder, change):
        assert settings.members == 1
        tried.append(settings.seed)
        folder.mkdir(parents=True)
        line = {"step": 2048, "split": "eval", "returns": [[10.0 * len(tried)]]}
        (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        change(None)

    monkeypatch.setattr(results_teachers.ppo, "run", run)
    row = results_envs.Row("Tiny", {"id": "CartPole-v1"}, 1000)
    search = results_teachers._search
    assert search(row, results_envs.Medium(20), tmp_path / "a") == (1, 2048)
    assert tried == [0, 1]
    with pytest.raises(UserError, match=r"Tiny: no seed had 99 in 1,500,000 steps"):
        search(row, results_envs.Medium(99, seeds=3), tmp_path / "b")
    assert tried == [0, 1, 0, 1, 2]


def test_a_teacher_is_trained_recorded_and_kept(tmp_path, monkeypatch):
    row = results_envs.Row(
        "Tiny", {"id": "CartPole-v1"}, 1000, results_envs.Medium(30, 12_288, 1, seeds=1)
    )
    monkeypatch.setattr(results_teachers, "CACHE", tmp_path)
    monkeypatch.setattr(results_teachers, "EPISODES", 5)
    run, recorded = results_teachers.medium(row)
    about = json.loads((tmp_path / "Tiny" / "teacher.json").read_text())
    assert about["env_steps"] == 2048 and about["recorded"]["episodes"] == 5
    assert about["returns"]["mean"] >= 15
    made = run.stat().st_mtime_ns
    assert results_teachers.medium(row) == (run, recorded) and run.stat().st_mtime_ns == made


def test_teachers_of_the_benchmark_s_own_environments():
    def mean(name: str, episodes: int) -> float:
        row = ROWS[name]
        config = results_teachers.config_of(row)
        return jaxmaze.evaluate(config, row.teacher, episodes)["mean"]

    assert 6.5 < mean("Taxi", 50) < 9.5  # the shortest ways; 7.9 over many
    assert 4.5 < mean("Catch", 20) < 9.5  # some fall too far away
    assert mean("LunarLanderHidden", 10) > 150


def test_catch_pays_for_balls_that_are_caught():
    env, total, steps, ended = results_envs.Catch(), 0.0, 0, False
    look, _ = env.reset(seed=0)
    assert look.sum() == 255 * 4
    while not ended:
        action = 1 + int(np.sign(env.column - env.paddle))
        _, reward, ended, _, _ = env.step(action)
        total, steps = total + reward, steps + 1
    assert (total, steps) == (10.0, 10 * 19)
