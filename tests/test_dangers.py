"""Full disks, limits, signals: one line, nothing left behind, nothing lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from jaxmaze import api
from tests.conftest import CONFIG, ROOT, SMALL, command, flags

PPO = ["jaxmaze.train", f"--config={CONFIG}:ppo", *flags(SMALL)]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_when_a_step_hangs(sent, tmp_path):
    fields = SMALL | {"env.id": "tests.hanging_env:Hanging-v0", "env.kwargs": {}, "env.workers": 2}
    hangs = tmp_path / "hangs"
    hangs.mkdir()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jaxmaze.train",
            f"--config={CONFIG}:ppo",
            *flags(fields),
            f"--workdir={tmp_path / 'run'}",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"HANGS": str(hangs)},
        # A shell ignores Ctrl-C for what it starts in the background, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    workers: list[int] = []
    while len(workers) < 2 and process.poll() is None and time.monotonic() < deadline:
        workers = [int(p.name) for p in hangs.iterdir()]
        time.sleep(0.1)
    assert len(workers) == 2 and process.pid not in workers
    assert process.poll() is None and all(map(alive, workers))
    process.send_signal(sent)
    deadline = time.monotonic() + 5
    while (process.poll() is None or any(map(alive, workers))) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if alive(pid)]
    ended = process.poll()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    assert not left and ended is not None
    assert ended == (130 if sent == signal.SIGINT else -sent)


def limited(size, arguments):
    """A command whose files may have ``size`` bytes at most."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=limit,
    )


def test_training_goes_on_without_tensorboard(tmp_path):
    """The event file is the largest of a run that is logged so often; it alone hits the limit."""
    run = tmp_path / "run"
    script = (
        "import resource, sys\n"
        "from jaxmaze import api, cli\n"
        "from jaxmaze.runs import board\n"
        "cli.prepare()\n"
        "add = board.Board._add\n"
        "def full(self, summary, step):\n"
        "    if step > 128 and self._writer is not None:\n"
        "        file = self._writer._py_recordio_writer._writer\n"
        "        file.flush(); resource.setrlimit(resource.RLIMIT_FSIZE, (file.tell(), -1))\n"
        "        try:\n"
        "            add(self, summary, step); self.flush()\n"
        "        finally:\n"
        "            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "    else:\n"
        "        add(self, summary, step)\n"
        "board.Board._add = full\n"
        f"api.train(api.load_config({str(CONFIG) + ':ppo'!r}, {SMALL!r}), {str(run)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    warnings = [x for x in done.stdout.splitlines() if "TensorBoard" in x]
    assert len(warnings) == 1 and "File too large" in warnings[0], done.stdout
    steps = [json.loads(x)["step"] for x in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 768 and (run / "summary.json").exists()


def test_a_file_that_may_not_grow_ends_a_run_with_one_line(tmp_path):
    done = limited(10_000, [*PPO, f"--workdir={tmp_path / 'run'}"])
    assert done.returncode == 1, (done.returncode, done.stderr[-2000:])
    assert done.stderr.count("error:") == 1 and "File too large" in done.stderr
    assert "Traceback" not in done.stderr


def test_room_is_what_a_file_may_still_grow(tmp_path):
    """Under a limit of 1000 bytes, a file of 600 may grow by 400."""
    script = (
        "import errno, resource, sys\n"
        "from pathlib import Path\n"
        "from jaxmaze.runs import disk\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "file = Path(sys.argv[1])\n"
        "disk.check_room(file, 1000)\n"
        "file.write_bytes(bytes(600))\n"
        "disk.check_room(file, 400)\n"
        "try:\n"
        "    disk.check_room(file, 401)\n"
        "except OSError as error:\n"
        "    assert error.errno == errno.EFBIG and error.filename == str(file)\n"
        "else:\n"
        "    sys.exit('there is no room for that')\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "file")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@contextmanager
def full_disk(folder, size):
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_recording_onto_a_full_disk_is_one_line(tmp_path):
    record = ["jaxmaze.rollout", f"--config={CONFIG}", *flags(SMALL), "--record"]
    for size in ("40k", "600k"):
        with full_disk(tmp_path / size, size) as folder:
            done = command(*record, "--n_episodes=60", f"--workdir={folder / 'run'}")
            assert done.returncode == 1, (done.returncode, done.stderr[-2000:])
            assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr


def test_a_disk_that_gets_full_while_recording_is_one_line(tmp_path):
    """Room for some episodes beyond the reserve, and not for all."""
    with full_disk(tmp_path / "disk", "17m") as folder:
        done = command(
            "jaxmaze.rollout",
            f"--config={CONFIG}",
            "--record",
            "--n_episodes=300",
            "--policy=heuristic",
            f"--workdir={folder / 'run'}",
        )
        assert done.returncode == 1, (done.returncode, done.stderr[-2000:])
        assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr
        played = (folder / "run" / "episodes.jsonl").read_text().splitlines()
        assert 10 < len(played) < 300 and all(json.loads(x)["length"] > 0 for x in played)


def test_training_onto_a_full_disk_is_one_line(tmp_path):
    with full_disk(tmp_path / "disk", "100k") as folder:
        done = command(*PPO, f"--workdir={folder / 'run'}")
        assert done.returncode == 1, (done.returncode, done.stderr[-2000:])
        assert done.stderr.count("error:") == 1 and "No space left" in done.stderr


def test_a_command_that_fails_does_not_wait_for_its_compiler(tmp_path):
    script = (
        "import threading, time\n"
        "from jaxmaze import cli\n"
        "from jaxmaze.errors import UserError\n"
        "def main(overrides):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    raise UserError('the field is wrong')\n"
        "cli.run(main, '')\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "error: the field is wrong\n"
    assert time.monotonic() - start < 30  # the thread takes 60 s


def test_a_checkpoint_is_whole_after_the_disk_was_full(tmp_path):
    """What was saved before can be gone on from, once there is room again."""
    with full_disk(tmp_path / "disk", "700k") as folder:
        run = folder / "run"
        more = SMALL | {"ppo.total_env_steps": 12_800}
        done = command("jaxmaze.train", f"--config={CONFIG}:ppo", *flags(more), f"--workdir={run}")
        assert done.returncode == 1 and done.stderr.count("error:") == 1, done.stderr[-2000:]
        subprocess.run(["mount", "-o", "remount,size=40m", str(folder)], check=True)
        assert api.resume(run).summary["members"]
