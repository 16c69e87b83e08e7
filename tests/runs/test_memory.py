"""Large data take little more than their arrays."""

import json
import subprocess
import sys

import numpy as np

from jaxmaze.runs import memory


def test_what_is_put_into_blocks_stays_as_it_was(monkeypatch):
    monkeypatch.setattr(memory, "BLOCK_BYTES", 100)
    rng = np.random.default_rng(0)
    shapes = [((n, 2), "f4") for n in (3, 5, 0, 4, 40)]
    shapes += [((4, 3), "f4"), ((4, 3), "f8"), ((4,), "i8"), ((2,), "i8")]
    parts = [rng.normal(size=shape).astype(dtype) for shape, dtype in shapes]
    blocks = memory.Blocks()
    kept = [blocks.put(part) for part in parts]
    for a, b in zip(parts, kept, strict=True):
        assert a.dtype == b.dtype and not np.shares_memory(a, b)
        np.testing.assert_array_equal(a, b)
    assert kept[0].base is kept[1].base and kept[1].base is not kept[4].base


def test_aligned_arrays_are_aligned():
    for n in range(1, 9):
        array = memory.aligned((n, 3), np.float32)
        assert array.shape == (n, 3) and array.ctypes.data % memory.ALIGNMENT == 0
    assert memory.aligned((0, 3), np.float32).shape == (0, 3)


PROGRAM = """
import json, resource, sys
import jax, numpy as np
from jaxmaze import api
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import Episode
from jaxmaze.policies import build_networks
from jaxmaze.runs import trajectories
from jaxmaze.training import bc_data, bc_learner

info = environment.describe(environment.EnvConfig("LunarLander-v3"))
config = api.make_config({"env.id": "LunarLander-v3", "bc.batch_size": 4096})
networks = build_networks(config, info.spaces)


def episodes(count, length):
    for i in range(count):
        obs = np.full((length + 1, 8), i, np.float32)
        yield Episode(i, i, obs, np.zeros(length, int), np.zeros(length), True)


def train(folder, count, length):
    trajectories.write_each(folder, episodes(count, length), info, {})
    dataset = trajectories.read(folder, info)
    problem = bc_data.prepare(config, dataset, networks)
    del dataset
    fitter = bc_learner.Fitter(config, networks, 0)
    state = fitter.init(problem.data, problem.train)
    epochs = fitter.epochs(problem.steps, True)
    arguments = problem.data, problem.train, problem.validation, fitter.hyper(1), fitter.each(1)
    jax.block_until_ready(epochs(state, *arguments))


from pathlib import Path
train(Path(sys.argv[1]) / "small", 5, 2000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
train(Path(sys.argv[1]) / "large", 20, 50_000)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps((after - before) * (1 if sys.platform == "darwin" else 1024)))
"""


def test_an_epoch_on_a_million_steps_takes_a_few_times_their_arrays(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    raw = 1_000_000 * (8 * 4 + 8 + 8 + 2)
    # Twice the arrays is what it should be, the compiler's share is as much again.
    assert json.loads(done.stdout.splitlines()[-1]) < 5 * raw
