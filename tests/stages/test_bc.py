"""Which of a clone's epochs is handed over."""

import jax
import numpy as np
import pytest

from jaxmaze import api
from jaxmaze.core import bc as core
from jaxmaze.envs import environment
from jaxmaze.runs import checkpoint, trajectories
from jaxmaze.training import bc_data


@pytest.mark.parametrize("refit", [False, True])
def test_the_epoch_with_the_lowest_validation_loss_is_handed_over(small, recorded, tmp_path, refit):
    # So high a learning rate that the loss goes up and down, and the last epoch is not the best.
    changes = {"bc.learning_rate": 0.1, "bc.num_epochs": 10, "bc.patience": 0, "bc.eval_every": 0}
    changes |= {"bc.best_by": "validation_loss", "bc.learning_rate_schedule": "constant"}
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
    networks, population, _ = checkpoint.load_best(run.folder)
    problem = bc_data.prepare(config, trajectories.read(recorded.folder, info), networks)
    for m in range(2):
        policy = jax.tree.map(lambda x, m=m: x[m], population)
        validation = problem.validation[m].astype(np.float32)
        loss = float(core.evaluate(networks, policy, problem.data, validation)["policy_loss"])
        same = loss == pytest.approx(losses[:, m].min(), rel=1e-4)
        assert same != refit


def test_the_last_epoch_is_handed_over_by_default(small, recorded, tmp_path):
    """However the held-out loss went, and although patience would have run out."""
    changes = {"bc.learning_rate": 0.1, "bc.num_epochs": 10, "bc.patience": 1, "bc.eval_every": 0}
    run = api.clone(api.override(small, changes), recorded, tmp_path / "run")
    name = "imitation/policy_loss"
    losses = [x["members"][name] for x in run.metrics() if x["split"] == "eval" and name in x]
    assert len(losses) == 10 and (np.argmin(losses, 0) < 9).any()
    assert [m["best_epoch"] for m in run.summary["members"]] == [10, 10]
    assert len([x for x in run.metrics() if "refit/policy_loss" in x]) == 10


def test_the_refit_decays_as_training_did(small, recorded, tmp_path):
    """With nothing held out, both phases are the same; the last epoch must hardly move."""
    both = {}
    for schedule in ("linear", "constant"):
        changes = {"bc.num_epochs": 12, "bc.eval_every": 0, "bc.learning_rate_schedule": schedule}
        changes |= {"bc.learning_rate": 0.05}
        run = api.clone(api.override(small, changes), recorded, tmp_path / schedule)
        norms = [
            x["members"]["refit/policy_l2_norm"]
            for x in run.metrics()
            if "refit/policy_l2_norm" in x
        ]
        both[schedule] = np.abs(np.diff(norms, axis=0))[-1].max()
    assert both["linear"] < 0.3 * both["constant"]


def test_a_few_short_episodes_are_passed_over_more_often(small, recorded, tmp_path):
    changes = {"bc.num_epochs": None, "bc.num_updates": 3000, "bc.first_n": 2, "bc.eval_every": 0}
    changes |= {"bc.validation_percentage": 50.0, "bc.batch_size": 64}
    run = api.clone(api.override(small, changes), recorded, tmp_path / "run")
    minibatches = -(-run.summary["data"]["steps"] // 64)
    epochs = run.summary["members"][0]["best_epoch"]
    assert epochs == round(3000 / minibatches) > 200
    logged = [x["step"] for x in run.metrics() if "imitation/policy_loss" in x]
    assert max(logged) == epochs and len(logged) < 2 * 202
