"""PPO killed with SIGKILL goes on with the same result to the bit, and its logs are whole."""

import pytest

from tests.conftest import CONFIG, command, flags, goes_on_as, killed

OVERRIDES = {
    "members": 2,
    "env.max_episode_steps": 40,
    "network.hidden_sizes": (16, 16),
    "ppo.audit": "report",
    "ppo.observation_statistics": "adapt",
    "ppo.critic_fit_epochs": 1,
    "ppo.num_envs": 4,
    "ppo.num_steps": 32,
    "ppo.batch_size": 32,
    "ppo.total_env_steps": 128 * 24,
    "ppo.critic_burn_in": 2,
    "ppo.eval_every": 3,
    "ppo.eval_episodes": 4,
    "ppo.playoff_episodes": 4,
    "evaluation.episodes": 3,
}


@pytest.fixture(scope="module")
def arguments(cloned):
    return [
        "jaxmaze.train",
        f"--config={CONFIG}:ppo",
        f"--config.ppo.init_from={cloned.folder}",
        *flags(OVERRIDES),
    ]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = command(*arguments, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("at", [1, 25])
def test_killed_at_any_moment_it_goes_on_to_the_bit(arguments, whole, tmp_path, at):
    folder = tmp_path / "run"
    killed(arguments, folder, at)
    goes_on_as(folder, whole)
