"""Learning curves over the number of demonstrations."""

import csv
import json
import shutil

import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.config import to_settings
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import curves, intervals, outcomes, splits, trajectories
from jaxmaze.stages import curve
from tests.conftest import CONFIG, SMALL, command, flags

CURVE = {"stage": "curve", "curve.episodes": (3, 1, 6), "curve.draws": 2}


@pytest.fixture(scope="module")
def done(recorded, tmp_path_factory):
    """The command, as a user types it."""
    folder = tmp_path_factory.mktemp("curve") / "run"
    options = flags(SMALL | CURVE | {"bc.data": recorded.folder})
    return folder, command("jaxmaze.train", f"--config={CONFIG}", *options, f"--workdir={folder}")


@pytest.fixture(scope="module")
def finished(done):
    run = api.open_run(done[0])
    return run.config, run


@pytest.mark.slow
def test_one_command_draws_a_curve(done):
    folder, command = done
    assert command.returncode == 0, command.stderr
    assert command.stdout.splitlines()[-1] == str(folder)
    assert "IQM [95 %]" in command.stdout and "teacher, as recorded" in command.stdout
    assert "new best" not in command.stdout  # what each clone says would hide the whole
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["kind"] == "curve" and len(summary["points"]) == 3


@pytest.mark.slow
def test_a_curve_is_made_of_clones_of_nested_draws(finished, recorded, small):
    _, run = finished
    info = environment.describe(environment.EnvConfig.of(to_settings(small).env))
    whole = trajectories.read(recorded.folder, info)
    drawn = {}
    for n in (1, 3, 6):
        for draw in range(2):
            point = api.open_run(run.folder / f"episodes={n},draw={draw}")
            assert point.summary["data"]["episodes"] == n
            assert [m["seed"] for m in point.summary["members"]] == [2 * draw, 2 * draw + 1]
            data = trajectories.read(point.config.bc.data, info)
            if n == 6:  # the very data set, without a copy
                assert data.sha256 == whole.sha256
                assert point.config.bc.data == str(recorded.folder.resolve())
                continue
            origin = data.provenance["drawn_from"]
            assert origin["sha256"] == whole.sha256
            drawn[n, draw] = set(origin["episodes"])
            theirs = [whole.episodes[i] for i in origin["episodes"]]
            assert data.sha256 == trajectories.fingerprint(theirs)
            assert [e.seed for e in data.episodes] == [e.seed for e in theirs]
    assert all(drawn[1, d] < drawn[3, d] and len(drawn[3, d]) == 3 for d in range(2))
    assert drawn[3, 0] != drawn[3, 1]


@pytest.mark.slow
def test_its_figures_are_those_of_the_clones_on_the_test_episodes(finished, recorded):
    config, run = finished
    tables = {
        n: np.stack(
            [
                outcomes.read_episodes(run.folder / f"episodes={n},draw={d}").returns
                for d in range(2)
            ]
        )
        for n in (1, 3, 6)
    }
    points = run.summary["points"]
    assert [p["episodes"] for p in points] == [1, 3, 6]
    for point, table in zip(points, tables.values(), strict=True):
        assert table.shape == (2, 2, config.evaluation.episodes)
        wanted = intervals.estimate(table.mean(1))  # a draw counts once
        assert (point["iqm"], point["iqm_low"], point["iqm_high"]) == pytest.approx(wanted)
        assert point["of_draws"] == pytest.approx(table.mean((1, 2)).tolist())
    gain = intervals.estimate((tables[3] - tables[1]).mean(1))
    assert points[0]["gain"] is None
    assert points[1]["gain"]["iqm"] == pytest.approx(gain.value)
    assert points[1]["gain"]["iqm_low"] == pytest.approx(gain.low)
    teacher = run.summary["teacher"]["evaluation"]
    assert teacher["mean"] == pytest.approx(recorded.summary["evaluation"]["mean"])
    with (run.folder / "curve.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * 2 * 2
    for line in lines:
        n, draw, seed = (int(line[k]) for k in ("episodes", "draw", "seed"))
        mean = tables[n][draw, seed - 2 * draw].mean()
        assert float(line["mean_return"]) == pytest.approx(mean)
    assert (run.folder / "report/curve.png").stat().st_size > 10_000
    assert run.policy(1)(np.zeros((3, 8))).shape == (3,)
    assert run.summary["evaluation"]["mean"] == pytest.approx(tables[6][0].mean())


@pytest.mark.slow
def test_few_episodes_are_passed_over_more_often(finished, small, recorded):
    _, run = finished
    updates = {}
    for n in (1, 3, 6):
        point = api.open_run(run.folder / f"episodes={n},draw=0")
        section, steps = point.config.bc, point.summary["data"]["steps"]
        updates[n] = section.num_epochs * -(-steps // section.batch_size)
        assert section.validation_percentage == {1: 0.0, 3: 20.0, 6: 20.0}[n]
    assert updates[1] == pytest.approx(updates[6], rel=0.3)
    assert updates[3] == pytest.approx(updates[6], rel=0.3)
    config = to_settings(
        api.override(small, CURVE | {"curve.equal_updates": False, "bc.batch_size": 500})
    )
    info = environment.describe(environment.EnvConfig.of(config.env))
    dataset = trajectories.read(recorded.folder, info)
    point = curve._at(config, dataset, info, dataset.episodes[:1], 0, recorded.folder)
    assert point.bc.num_epochs == config.bc.num_epochs
    assert point.bc.batch_size == dataset.episodes[0].length  # all that there is


def test_at_least_one_episode_is_held_out_and_one_is_not():
    for share in (0, 1, 20, 50, 99):
        for n in range(1, 12):
            percentage = curve._held_out(share, n)
            held_out = splits.split(n, percentage, 0).sum()
            if share == 0 or n == 1:
                assert held_out == 0
            else:
                assert 1 <= held_out <= n - 1
                assert abs(held_out - n * share / 100) <= 1


@pytest.mark.slow
def test_a_curve_that_was_cut_off_goes_on(finished, tmp_path):
    _, run = finished
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / "episodes=3,draw=1")
    shutil.rmtree(folder / "data/episodes=3,draw=1")
    kept = (folder / "episodes=3,draw=0/summary.json").stat().st_mtime_ns
    again = api.resume(folder)
    assert again.summary["points"] == run.summary["points"]
    assert (folder / "episodes=3,draw=0/summary.json").stat().st_mtime_ns == kept
    with pytest.raises(UserError, match="finished already"):
        api.resume(folder)


def test_with_one_draw_the_interval_is_about_the_seeds():
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(1, 4, 5))
    point = curves.Point(3, np.array([9]), np.arange(4)[None], returns)
    np.testing.assert_array_equal(point.table(), returns[0])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"curve.episodes": (1, 7)}, "asks for 7 episodes, but"),
        ({"curve.episodes": (0, 1)}, "must be numbers of episodes"),
        ({"curve.episodes": ()}, "must be a tuple of integers"),
        ({"curve.episodes": (2.5,)}, "must be a tuple of integers"),
        ({"curve.episodes": (1, 1)}, "different numbers"),
        ({"bc.data": None}, "config.bc.data is not set"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused_before_anything(
    changes, says, small, recorded, tmp_path
):
    with pytest.raises(UserError, match=says):
        values = CURVE | {"bc.data": str(recorded.folder)} | changes
        api.train(api.override(small, values), tmp_path / "run")
    assert not list(tmp_path.iterdir())
