"""A setting that does not exist costs a benchmark's user one line, and no time."""

import subprocess
import sys

import pytest

from tests.conftest import HERE, ROOT


@pytest.mark.parametrize("name", ["dagger", "handover", "memory", "results", "weak_teachers"])
def test_a_setting_that_does_not_exist_is_told_in_a_line(name, tmp_path):
    script = str(ROOT / "benchmarks" / f"{name}.py")
    command = [sys.executable, script, f"--workdir={tmp_path / 'runs'}", "--set=ppo.gama=1"]
    done = subprocess.run(command, env=HERE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: config.ppo.gama is not a field; did you mean")
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "runs").exists(), "something was begun"
