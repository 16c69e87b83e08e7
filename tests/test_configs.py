"""Every config and recipe loads, and runs a few steps."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from jaxmaze import api, config
from jaxmaze.errors import UserError
from tests.conftest import ROOT, SMALL

FILES = sorted((ROOT / "configs").glob("*.py"))
CASES = [(path, recipe) for path in FILES for recipe in runpy.run_path(str(path))["RECIPES"]]


def name(x: object) -> object:
    """A file's name in a test's."""
    return x.stem if isinstance(x, Path) else x


@pytest.fixture(scope="module")
def workflows(tmp_path_factory):
    """Runs the workflow of a config file, once."""
    done = {}

    def run(path: Path) -> api.Run:
        if path not in done:
            folder = tmp_path_factory.mktemp(path.stem) / "run"
            done[path] = api.train(api.load_config(path, SMALL), folder)
        return done[path]

    return run


@pytest.mark.parametrize("path,recipe", CASES, ids=name)
def test_a_config_runs(path, recipe, tmp_path, workflows):
    loaded = api.load_config(f"{path}:{recipe}", SMALL)
    plain = api.load_config(path, SMALL)
    same = api.override(plain, {"stage": loaded.stage}).to_dict() == loaded.to_dict()
    if same and loaded.stage != "dagger":
        run = workflows(path)  # which goes through this very stage, and is not run again for it
        folder = {"workflow": ".", "bc": "bc", "ppo": "ppo/from_scratch"}[loaded.stage]
        assert api.Run(run.folder / folder).summary["kind"] == loaded.stage
        loaded = plain
    else:
        run = api.train(loaded, tmp_path / "run")
        assert run.summary["kind"] == loaded.stage
    assert config.from_dict(run.config.to_dict()).to_dict() == loaded.to_dict()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_config_tells_its_command_and_recipes(path):
    module = runpy.run_path(str(path))
    assert f"python -m jaxmaze.train --config=configs/{path.name}\n" in module["__doc__"]
    for recipe in module["RECIPES"]:
        assert recipe == "workflow" or f"\n  {recipe} " in module["__doc__"]
    with pytest.raises(UserError, match=r"no recipe 'gide'.*workflow.*ppo"):
        api.load_config(f"{path}:gide")


def test_continuous_actions_go_the_whole_way(workflows):
    run = workflows(ROOT / "configs" / "lunar_lander_continuous.py")
    assert run.summary["kind"] == "workflow"
    names = {name for line in api.Run(run.folder / "bc").metrics() for name in line}
    assert "imitation/box_mean_abs_deviation" in names
    action = api.load_policy(run.folder / "bc")(np.zeros((3, 8)), seed=0)
    assert action.shape == (3, 2) and np.abs(action).max() <= 1
