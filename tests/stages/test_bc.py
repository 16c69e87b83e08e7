"""Which of a clone's epochs is handed over."""

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.core import bc as core
from jaxmaze.envs import environment
from jaxmaze.runs import checkpoint, trajectories
from jaxmaze.stages import bc


@pytest.mark.parametrize("refit", [False, True])
def test_the_epoch_with_the_lowest_validation_loss_is_handed_over(small, recorded, tmp_path, refit):
    # So high a learning rate that the loss goes up and down, and the last epoch is not the best.
    changes = {"bc.learning_rate": 0.1, "bc.num_epochs": 10, "bc.patience": 0, "bc.eval_every": 0}
    config = api.override(small, changes | {"bc.refit": refit})
    run = api.clone(config, recorded, tmp_path / "run")
    name = "imitation/policy_loss"
    held_out = [x["members"][name] for x in run.metrics() if x["split"] == "eval" and name in x]
    losses = np.array(held_out)
    assert losses.shape == (10, 2)
    best = losses.argmin(0)
    assert [m["best_epoch"] for m in run.summary["members"]] == (best + 1).tolist()
    assert (best < 9).any() and len(set(losses[-1])) == 2
    refitted = [x for x in run.metrics() if "refit/policy_loss" in x]
    assert len(refitted) == (best.max() + 1 if refit else 0)
    info = environment.describe(environment.EnvConfig.of(config.env))
    problem = bc.prepare(config, trajectories.read(recorded.folder, info), info)
    networks, population, _ = checkpoint.load_best(run.folder)
    for m in range(2):
        policy = jax.tree.map(lambda x, m=m: x[m], population)
        validation = problem.validation[m].astype(np.float32)
        loss = float(core.evaluate(networks, policy, problem.data, validation)["policy_loss"])
        same = loss == pytest.approx(losses[:, m].min(), rel=1e-4)
        assert same != refit
