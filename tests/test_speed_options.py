"""What makes runs faster must not change what they compute, unless it says so."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.runs import checkpoint
from tests.conftest import CONFIG, SMALL, flags


def lines(run):
    text = (run.folder / "metrics.jsonl").read_text()
    return [json.loads(x) for x in text.splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    config = api.load_config(f"{CONFIG}:ppo", SMALL)
    return api.train(config, tmp_path_factory.mktemp("plain") / "run")


def test_overlap_acts_one_update_late_and_does_not_depend_on_workers(plain, tmp_path):
    runs = []
    for workers in (0, 2):
        config = api.override(plain.config, {"ppo.overlap": True, "env.workers": workers})
        runs.append(api.train(config, tmp_path / str(workers)))
    assert lines(runs[0]) == lines(runs[1])
    found, expected = ([x for x in lines(r) if x["split"] == "train"] for r in (runs[0], plain))
    # The first segment between two evaluations is collected with the latest policy, as ever.
    first = [i for i, x in enumerate(expected) if x["step"] == expected[0]["step"]]
    assert [found[i] for i in first] == [expected[i] for i in first]
    assert found != expected
    # An older policy acted: the new one differs from it before its first step already.
    late, prompt = (
        np.mean([x["ppo/approx_kl"] for x in lines_ if "ppo/approx_kl" in x])
        for lines_ in (found, expected)
    )
    assert late > 1.2 * prompt


def test_a_member_is_the_same_to_the_bit_whoever_is_beside_it(plain, tmp_path):
    """Two members on two devices; one alone, its policy and critic apart."""
    alone = api.train(api.override(plain.config, {"members": 1, "seed": 1}), tmp_path / "run")
    together = checkpoint.load_best(plain.folder)[1]
    single = checkpoint.load_best(alone.folder)[1]
    both = zip(*(_leaves(x) for x in (together, single)), strict=True)
    assert all(np.array_equal(a[1], b[0]) for a, b in both)


def _leaves(tree):
    import jax

    return jax.tree.leaves(tree)


def run_with(cache, folder, **environment):
    arguments = flags(SMALL | {"members": 1, "ppo.total_env_steps": 384})
    environment = {k: v for k, v in os.environ.items() if "COMPILATION_CACHE" not in k} | {
        "XDG_CACHE_HOME": str(cache),
        **environment,
    }
    environment = {k: v for k, v in environment.items() if "PERSISTENT_CACHE" not in k}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "jaxmaze.train",
            f"--config={CONFIG}:ppo",
            f"--workdir={folder}",
            *arguments,
        ],
        check=True,
        env=environment,
        capture_output=True,
    )
    return (folder / "metrics.jsonl").read_text()


def test_compiled_programs_are_kept_and_change_nothing(tmp_path):
    cache = tmp_path / "cache"
    first = run_with(cache, tmp_path / "a")
    kept = sorted(p.name for p in (cache / "jaxmaze" / "xla").iterdir())
    assert kept
    assert run_with(cache, tmp_path / "b") == first
    programs = {name for name in kept if not name.endswith("-atime")}
    after = {p.name for p in (cache / "jaxmaze" / "xla").iterdir()}
    assert {name for name in after if not name.endswith("-atime")} == programs
    elsewhere = tmp_path / "elsewhere"
    other = run_with(elsewhere, tmp_path / "c", JAX_ENABLE_COMPILATION_CACHE="false")
    assert other == first
    assert not any(elsewhere.rglob("*cache"))


def test_a_run_in_which_nobody_learns_is_evaluated_all_the_same(plain, tmp_path):
    frozen = api.train(api.override(plain.config, {"ppo.learning_rate": 0.0}), tmp_path / "run")
    returns = [
        x["rollout_stats/reward/mean"]
        for x in lines(frozen)
        if x["split"] == "eval" and "rollout_stats/reward/mean" in x
    ]
    assert len(returns) >= 2 and len(set(returns)) == 1
    assert not [x for x in lines(frozen) if x["split"] == "train"]
