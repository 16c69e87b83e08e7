"""Every config and recipe loads, and runs a few steps."""

from pathlib import Path

import pytest

from jaxmaze import api, config
from tests.conftest import ROOT, SMALL

RECIPES = {"lunar_lander": ("workflow", "guide", "bc", "ppo")}
CASES = [
    (path, recipe)
    for path in sorted((ROOT / "configs").glob("*.py"))
    for recipe in RECIPES[path.stem]
]


@pytest.mark.parametrize("path,recipe", CASES, ids=lambda x: x.stem if isinstance(x, Path) else x)
def test_a_config_runs(path, recipe, tmp_path, recorded):
    loaded = api.load_config(f"{path}:{recipe}", SMALL)
    if loaded.stage == "bc":
        loaded = api.override(loaded, {"bc.data": str(recorded.folder)})
    run = api.train(loaded, tmp_path / "run")
    assert run.summary["kind"] == loaded.stage
    assert config.from_dict(run.config.to_dict()).to_dict() == loaded.to_dict()


def test_continuous_actions_go_the_whole_way(tmp_path):
    loaded = api.load_config(
        ROOT / "configs" / "lunar_lander.py", SMALL | {"env.kwargs.continuous": True}
    )
    run = api.train(loaded, tmp_path / "run")
    assert run.summary["kind"] == "workflow"
    names = {name for line in api.Run(run.folder / "bc").metrics() for name in line}
    assert "imitation/box_mean_abs_deviation" in names
    import numpy as np

    action = api.load_policy(run.folder / "bc")(np.zeros((3, 8)), seed=0)
    assert action.shape == (3, 2) and np.abs(action).max() <= 1


def test_other_environments_go_the_whole_way(tmp_path):
    loaded = api.make_config(
        SMALL | {"env.id": "CartPole-v1", "rollout.policy": "random", "bc.batch_size": 32}
    )
    assert api.train(loaded, tmp_path / "run").summary["kind"] == "workflow"
