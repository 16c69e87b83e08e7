"""PPO from scratch on real environments, through the whole of the stage, seed after seed."""

import pytest

from jaxmaze import api
from tests.conftest import ROOT


def learned(config, folder, **fields):
    """Mean returns of each member's best policy in 50 episodes."""
    common = {
        "stage": "ppo",
        "env.workers": 0,
        "ppo.num_envs": 8,
        "ppo.batch_size": 64,
        "ppo.learning_rate": 1e-3,
        "ppo.entropy_coef": 0.0,
        "ppo.eval_every": 10,
        "ppo.eval_episodes": 10,
        "ppo.playoff_episodes": 0,
        "evaluation.episodes": 50,
    }
    run = api.fine_tune(api.override(config, common | fields), None, folder)
    return [member["evaluation"]["mean"] for member in run.summary["members"]]


def test_cartpole_is_solved_from_scratch(tmp_path):
    # Short segments, and episodes that are cut at 500 steps only once it is learned.
    config = api.load_config(ROOT / "configs" / "cartpole.py")
    returns = learned(
        config,
        tmp_path / "run",
        **{
            "members": 5,
            "ppo.total_env_steps": 40_000,
            "ppo.num_steps": 64,
            "ppo.num_epochs": 8,
            "ppo.gamma": 0.99,
            "ppo.gae_lambda": 0.95,
        },
    )
    assert min(returns) >= 450, returns


@pytest.mark.slow
def test_pendulum_is_swung_up_from_scratch(tmp_path):
    # Continuous actions, and episodes that nothing but the limit ends; random play returns -1200.
    config = api.make_config({"env": {"id": "Pendulum-v1"}})
    returns = learned(
        config,
        tmp_path / "run",
        **{
            "members": 3,
            "ppo.total_env_steps": 100_000,
            "ppo.num_steps": 128,
            "ppo.num_epochs": 10,
            "ppo.gamma": 0.95,
            "ppo.gae_lambda": 0.95,
        },
    )
    assert max(returns) < 0 and min(returns) > -250, returns
