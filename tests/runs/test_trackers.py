"""Services that follow runs: what they are given, resuming, and what happens when they fail."""

import importlib.machinery
import json
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest

from jaxmaze import api, config
from jaxmaze.errors import UserError
from jaxmaze.runs import console, metrics, sender, trackers
from jaxmaze.runs.trackers import Histogram, mlflow
from tests.conftest import CONFIG, HERE, SMALL, command, flags, killed, lines

STEPS = (256, 512, 768, 1024)


def settings(*to, project="tests"):
    return config.to_settings(
        {"env": {"id": "CartPole-v1"}, "tracking": {"to": to, "project": project}}
    )


def written(run, chosen, steps, resume=None):
    """Log a step's figures for each of some steps, as a run does."""
    with metrics.MetricsWriter(run, resume, chosen) as writer:
        for step in steps:
            writer.write(step, "train", "ppo", {"loss": np.array([1.0, 2.0]) * step})
            writer.write(step, "eval", "rollout_stats", {"reward/mean": step / 10})
            histogram = Histogram(np.array([1, 2, 3]), np.arange(4) - 0.5)
            writer.add_histogram("train/actions", histogram, step)
            writer.flush()


def expected(steps=STEPS):
    """The points of these steps, by tag."""
    return {
        "train/ppo/loss": [(step, 1.5 * step) for step in steps],
        "eval/rollout_stats/reward/mean": [(step, step / 10) for step in steps],
        "eval/return": [(step, step / 10) for step in steps],
    }


class Fake:
    """A service that remembers; its module stands in the place of the true one."""

    def __init__(self):
        self.points, self.opened, self.ended = [], [], []
        self.key, self.place = {"id": "it"}, "somewhere"

    def check(self):
        pass

    def start(self, about, key):
        self.opened.append((about, key))
        return self

    def send(self, points):
        self.points += points

    def close(self, finished):
        self.ended.append(finished)

    def scalars(self):
        found = {}
        for step, tag, value in self.points:
            if isinstance(value, float):
                found.setdefault(tag, []).append((step, value))
        return found


@pytest.fixture
def fake(monkeypatch):
    service = Fake()
    monkeypatch.setattr(trackers, "find", lambda name: service)
    monkeypatch.setattr(sender, "GATHER", 0.01)
    return service


def test_a_service_is_given_what_metrics_hold_and_histograms(fake, tmp_path):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "config.json").write_text("{}")
    written(tmp_path / "outer" / "inner", settings("trackio"), STEPS)
    assert fake.scalars() == expected()
    drawn = [p for p in fake.points if isinstance(p.value, Histogram)]
    assert [p.step for p in drawn] == list(STEPS) and drawn[0].tag == "train/actions"
    ((about, key),) = fake.opened
    assert key is None and fake.ended == [True]
    assert about.group == f"{tmp_path.name}/outer" and about.name == f"{about.group}/inner"
    assert about.project == "tests" and about.config["env"]["id"] == "CartPole-v1"


def test_a_resumed_run_goes_on_in_the_same_run_and_sends_nothing_twice(fake, tmp_path):
    """Killed after step 768, its last checkpoint at 512: 768 is computed, but not sent, again."""
    written(tmp_path, settings("trackio"), STEPS[:3])
    written(tmp_path, settings("trackio"), STEPS[2:], resume=512)
    assert [key for _, key in fake.opened] == [None, {"id": "it"}]
    assert fake.scalars() == expected()
    assert [p.step for p in fake.points if isinstance(p.value, Histogram)] == list(STEPS)
    assert [line["step"] for line in metrics.read(tmp_path)] == [s for s in STEPS for _ in "ab"]


def test_a_service_gets_later_what_it_missed(fake, tmp_path):
    written(tmp_path, settings(), STEPS[:2])  # it was not named at first
    written(tmp_path, settings("trackio"), STEPS[2:], resume=512)
    assert fake.scalars() == expected()


def test_a_finished_run_started_again_hands_over_what_is_missing(fake, tmp_path, monkeypatch):
    """The service fails half-way in one part, was not named for the other, and is back later."""
    (tmp_path / "part").mkdir()
    about = json.dumps({"format": 3, "kind": "bc", "config": {"seed": 7}})
    for run in (tmp_path, tmp_path / "part"):
        (run / "config.json").write_text(about)
        (run / "summary.json").write_text("{}")
    send = fake.send
    monkeypatch.setattr(fake, "send", lambda points: send(p for p in points if p.step <= 512))
    written(tmp_path, settings("trackio"), STEPS[:2])
    monkeypatch.setattr(fake, "send", lambda points: 1 / 0)
    written(tmp_path, settings("trackio"), STEPS[2:], resume=512)
    written(tmp_path / "part", settings(), STEPS)
    monkeypatch.setattr(fake, "send", send)
    fake.opened.clear()
    assert metrics.finished_already(tmp_path, settings("trackio")) == {}
    assert [(a.folder, a.config, key) for a, key in fake.opened] == [
        (tmp_path, {"seed": 7}, {"id": "it"}),
        (tmp_path / "part", {"seed": 7}, None),
    ]
    of_part = expected()
    assert fake.scalars() == {tag: of_part[tag] * 2 for tag in of_part}
    fake.opened.clear()
    metrics.finished_already(tmp_path, settings("trackio"))
    assert fake.opened == []  # it has everything


@pytest.mark.slow
def test_every_stage_hands_over_what_is_missing(fake, monkeypatch, tmp_path):
    """Each stage, finished without a service, and started again with one."""
    monkeypatch.setattr(trackers, "check", lambda tracking: None)  # its package is not needed
    small = SMALL | {"env.id": "CartPole-v1", "bc.batch_size": 4}
    bc = api.clone(small, api.record(small, tmp_path / "data"), tmp_path / "clone")
    of_stage = {
        "bc": {"bc.data": str(tmp_path / "data")},
        "ppo": {"ppo.init_from": str(bc.folder)},
        "dagger": {},
        "workflow": {},
        "sweep": {"stage": "ppo", "sweep": {"learning_rate": (1e-3, 1e-4)}},
        "curve": {"bc.data": str(tmp_path / "data"), "curve.episodes": (1, 4), "curve.draws": 1},
    }
    for stage, fields in of_stage.items():
        settings = small | {"stage": stage} | fields
        run = api.train(settings, tmp_path / stage).folder
        fake.opened.clear()
        api.train(settings | {"tracking.to": ("trackio",)}, run)
        logs = run.rglob(metrics.run_folder.METRICS)
        missed = {path.parent for path in logs if path.stat().st_size}
        assert missed and {about.folder for about, _ in fake.opened} == missed, stage
    fake.opened.clear()
    tracked = small | {"tracking.to": ("trackio",)}
    api.record(tracked, tmp_path / "data")
    assert [about.folder for about, _ in fake.opened] == [tmp_path / "data"]


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:///a.db", "mlflow ui --backend-store-uri sqlite:///a.db"),
    ],
)
def test_a_server_is_named_by_its_address(uri, place):
    assert mlflow.Mlflow(types.SimpleNamespace(tracking_uri=uri), {}).place == place


def fails(monkeypatch, fake, name, effect):
    monkeypatch.setattr(fake, name, effect)
    monkeypatch.setattr(sender, "PATIENCE", 0.2)
    said = []
    monkeypatch.setattr(console, "listeners", [said.append])
    return said


@pytest.mark.parametrize("name", ["start", "send", "close"])
def test_a_service_that_fails_costs_one_warning_and_nothing_else(name, fake, monkeypatch, tmp_path):
    def broken(*_):
        raise ConnectionError("no\nroute")

    said = fails(monkeypatch, fake, name, broken)
    written(tmp_path, settings("trackio"), STEPS)
    warnings = [text for text in said if text.startswith("warning:")]
    assert warnings == [
        "warning: trackio cannot be written (ConnectionError: no route); the run goes on without, "
        "see metrics.jsonl"
    ]
    assert len(metrics.read(tmp_path)) == 2 * len(STEPS)
    monkeypatch.undo()
    if name == "send":  # once it is back, a resumed run brings it up to date
        monkeypatch.setattr(trackers, "find", lambda name: fake)
        written(tmp_path, settings("trackio"), (), resume=STEPS[-1])
        assert fake.scalars() == expected()


@pytest.mark.parametrize("name", ["start", "send", "close"])
def test_a_service_that_does_not_answer_is_not_waited_for(name, fake, monkeypatch, tmp_path):
    never = threading.Event()
    said = fails(monkeypatch, fake, name, lambda *_: never.wait(20))
    start = time.monotonic()
    written(tmp_path, settings("trackio"), STEPS)
    never.set()
    assert time.monotonic() - start < 10
    assert sum("did not answer" in text for text in said) == 1
    assert len(metrics.read(tmp_path)) == 2 * len(STEPS)


def test_an_interrupted_run_is_not_called_finished(fake, tmp_path):
    with pytest.raises(KeyboardInterrupt), metrics.MetricsWriter(tmp_path, None, settings("wandb")):
        raise KeyboardInterrupt
    assert fake.ended == [False]


def test_metrics_go_nowhere_else_if_so_chosen(tmp_path):
    written(tmp_path, settings(), STEPS)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_missing_package_is_said_before_anything_is_computed(monkeypatch, tmp_path):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    for name in ("wandb", "mlflow", "trackio"):
        chosen = {"env": {"id": "CartPole-v1"}, "stage": "ppo", "tracking": {"to": (name,)}}
        with pytest.raises(
            UserError, match=rf"{name}, which is not installed.*'jaxmaze\[{name}\]'"
        ):
            api.train(chosen, tmp_path / "run")
        with pytest.raises(UserError, match="not installed"):
            api.record(chosen, tmp_path / "run", policy="random")
    assert not (tmp_path / "run").exists()


def test_every_tracker_has_an_extra_of_its_name():
    from configparser import ConfigParser

    from tests.conftest import ROOT

    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = parser["options.extras_require"]
    assert set(config.FIELDS["tracking.to"].choices) <= set(extras)


STAND_IN = """
import json
def init(**about):
    note("init", about["name"], about["resume"])
    return Run(about["name"], about["project"])
def note(*what):
    with open({log!r}, "a") as file:
        file.write(json.dumps(what) + "\\n")
class Run:
    def __init__(self, name, project):
        self.name, self.project = name, project
    def log(self, values, step):
        note("log", step, {{k: v for k, v in values.items() if isinstance(v, float)}})
    def finish(self):
        note("finish")
class Histogram:
    def __init__(self, np_histogram):
        pass
class Image:
    def __init__(self, value):
        pass
"""


@pytest.mark.slow
def test_a_killed_run_is_resumed_with_the_same_tracker_run(recorded, tmp_path):
    """As a user types it, with SIGKILL between two checkpoints."""
    log, run = tmp_path / "log", tmp_path / "run"
    (tmp_path / "trackio.py").write_text(STAND_IN.format(log=str(log)))
    arguments = [
        *flags(SMALL | {"bc.num_epochs": 6, "bc.eval_every": 2, "bc.validation_percentage": 0}),
        f"--config={CONFIG}:bc",
        f"--config.bc.data={recorded.folder}",
        "--config.tracking.to=trackio",
    ]
    killed(["jaxmaze.train", *arguments], run, 5, cwd=tmp_path)
    done = command("jaxmaze.train", f"--resume={run}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    notes = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [note for note in notes if note[0] == "init"]
    assert [resume for _, _, resume in starts] == ["never", "must"]
    assert starts[0][1] == starts[1][1]
    sent = {}
    for _, step, values in (note for note in notes if note[0] == "log"):
        for tag, value in values.items():
            sent.setdefault(tag, []).append((step, value))
    wanted = {}
    for line in map(json.loads, lines(run)):
        for step, tag, value in metrics._points(line):
            wanted.setdefault(tag, []).append((step, value))
    assert sent == wanted and len(wanted) > 5


def test_a_stand_in_is_found_as_a_package_is(monkeypatch):
    """What the test above relies on."""
    module = types.ModuleType("trackio")
    module.__spec__ = importlib.machinery.ModuleSpec("trackio", None)
    monkeypatch.setitem(sys.modules, "trackio", module)
    trackers.check(settings("trackio", "tensorboard").tracking)
    assert HERE["PYTHONPATH"]


# The services themselves, where they are installed, writing files on this machine.


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def interrupted(run, service, monkeypatch):
    """A run that is resumed at step 512 after it was interrupted at 768."""
    warned = []
    monkeypatch.setattr(console, "listeners", [warned.append])
    written(run, settings(service, project="tests"), STEPS[:3])
    written(run, settings(service, project="tests"), STEPS[2:], resume=512)
    assert not [text for text in warned if text.startswith("warning:")]


@pytest.mark.slow
def test_mlflow_has_each_step_once(offline, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    interrupted(offline, "mlflow", monkeypatch)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    for tag, points in expected().items():
        history = client.get_metric_history(run.info.run_id, tag)
        assert sorted((m.step, m.value) for m in history) == points
    assert run.info.status == "FINISHED"
    assert run.data.params["env.id"] == "CartPole-v1" and run.data.params["ppo.gamma"]


@pytest.mark.slow
def test_mlflow_asks_for_what_it_has_where_the_mark_is_behind(offline, monkeypatch):
    """Killed after a batch was handed over and before that was noted."""
    mlflow = pytest.importorskip("mlflow")
    written(offline, settings("mlflow"), STEPS[:3])
    file = offline / "trackers" / "mlflow.json"
    mark = json.loads(file.read_text())
    file.write_text(json.dumps(mark | {"lines": 2}))
    written(offline, settings("mlflow"), STEPS[2:], resume=512)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    history = client.get_metric_history(run.info.run_id, "eval/return")
    assert sorted((m.step, m.value) for m in history) == expected()["eval/return"]


@pytest.mark.slow
def test_wandb_has_each_step_once(offline, monkeypatch):
    pytest.importorskip("wandb")
    interrupted(offline, "wandb", monkeypatch)
    folders = sorted(offline.glob("wandb/offline-run-*"))
    ids = {folder.name.rpartition("-")[2] for folder in folders}
    assert len(folders) == 2 and ids == {
        json.loads((offline / "trackers" / "wandb.json").read_text())["key"]["id"]
    }
    found = {}
    for folder in folders:
        for row in history(next(folder.glob("*.wandb"))):
            for tag in expected():
                if tag in row:
                    found.setdefault(tag, []).append((row["_step"], row[tag]))
    assert found == expected()


def records(data):
    """The records of a file in LevelDB's log format: 32 KiB blocks, a header of 7 bytes before."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        room = 32_768 - at % 32_768
        if room < 7:
            at += room
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def history(file):
    """The rows that an offline run of wandb holds."""
    from wandb.proto import wandb_internal_pb2

    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            row = {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in items}
            yield {"_step": record.history.step.num} | row


def test_wandb_without_a_key_is_said_at_once(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(UserError, match=r"no key.*wandb login.*WANDB_MODE=offline"):
        trackers.check(settings("wandb").tracking)


@pytest.mark.slow
def test_trackio_has_each_step_once(offline, monkeypatch):
    pytest.importorskip("trackio")
    # It reads TRACKIO_DIR when it is imported, so that another process looks.
    script = (
        "import sys; from pathlib import Path; import pytest\n"
        "from tests.runs import test_trackers as t\n"
        "with pytest.MonkeyPatch.context() as m:\n"
        "    t.interrupted(Path(sys.argv[1]), 'trackio', m)\n"
        "from trackio.sqlite_storage import SQLiteStorage as S\n"
        "import json; print(json.dumps([S.get_logs('tests', n) for n in S.get_runs('tests')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(offline)],
        env=HERE | {"TRACKIO_DIR": str(offline.parent / "trackio")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (rows,) = json.loads(done.stdout.splitlines()[-1])
    for tag, points in expected().items():
        assert sorted((row["step"], row[tag]) for row in rows if tag in row) == points
