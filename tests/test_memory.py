"""What only memory can tell: recorded, cloned, asked for and fine-tuned, as a user would."""

import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from tests.conftest import SMALL, command, flags, goes_on_as, killed
from tests.cue_env import Remembers

SETTINGS = SMALL | {
    "env.id": "tests.cue_env:Cue-v0",
    "env.max_episode_steps": None,
    "network.hidden_sizes": (16,),
    "network.memory": "gru",
    "network.memory_size": 16,
    "rollout.n_episodes": 60,
    "rollout.policy": "tests.cue_env:teacher",
    "bc.num_epochs": 6,
    "bc.batch_size": 32,
    "bc.sequence_length": 4,
    "bc.learning_rate": 1e-2,
    "bc.eval_every": 0,
    "evaluation.episodes": 30,
    "ppo.total_env_steps": 512,
    "ppo.critic_burn_in": 2,
    "ppo.burn_in_until": None,
    "ppo.num_steps": 16,
    "ppo.eval_every": 4,
}


@pytest.fixture(scope="module")
def config():
    return api.make_config(SETTINGS)


@pytest.fixture(scope="module")
def taught(config, tmp_path_factory):
    return api.record(config, tmp_path_factory.mktemp("taught") / "run", policy=Remembers())


@pytest.fixture(scope="module")
def clone(config, taught, tmp_path_factory):
    return api.clone(config, taught, tmp_path_factory.mktemp("clone") / "run")


def best(config):
    """The most that can be had in the test episodes: what the teacher has."""
    return api.evaluate(config, Remembers())["mean"]


def test_a_clone_with_memory_does_what_one_without_cannot(config, taught, clone, tmp_path):
    assert clone.summary["evaluation"]["mean"] == pytest.approx(best(config))
    without = api.clone(api.override(config, {"network.memory": "none"}), taught, tmp_path / "run")
    assert without.summary["evaluation"]["mean"] < 0.75 * best(config)


def test_a_clone_with_memory_plays_alone_as_it_is_evaluated(config, clone):
    """In slots that episodes begin in at different times; so it is told where, in each."""
    evaluated = clone.summary["members"][0]["evaluation"]["mean"]
    assert api.evaluate(config, clone)["mean"] == pytest.approx(evaluated)
    again = api.record(config, clone.folder.parent / "again", policy=str(clone.folder))
    assert again.summary["evaluation"]["mean"] == pytest.approx(5.15, abs=0.01)


CUES = np.array([[-1, 1], [1, 1]], np.float32)
BLANK = np.zeros((2, 2), np.float32)


def test_a_loaded_policy_remembers_each_row_until_its_episode_begins(clone):
    policy = api.load_policy(clone.folder)
    policy(CUES)
    for _ in range(3):
        np.testing.assert_array_equal(policy(BLANK), [0, 1])
    # Other cues; a row that is not told that an episode begins still acts for itself.
    policy(CUES[::-1], begin=np.array([True, True]))
    np.testing.assert_array_equal(policy(BLANK), [1, 0])
    policy.begin([1])
    policy(np.stack([BLANK[0], CUES[1]]))
    np.testing.assert_array_equal(policy(BLANK), [1, 1])
    kept = policy(BLANK, seed=3)
    np.testing.assert_array_equal(kept, [1, 1])
    with pytest.raises(ValueError, match="remembers 2 rows, but is given 1; keep all"):
        policy(CUES[:1])
    with pytest.raises(ValueError, match=r"begin has shape \(1,\), not \(2,\)"):
        policy(BLANK, begin=np.array([True]))
    policy.reset()
    policy(CUES[1:])
    np.testing.assert_array_equal(policy(BLANK[1:]), [1])


def test_a_policy_is_told_where_episodes_begin(config):
    """Whatever plays: by the slot, before its first action, through all that wraps the policy."""

    class Told:
        def __init__(self):
            self.slots, self.steps = [], 0

        def begin(self, slot, env, seed):
            self.slots.append((slot, self.steps))

        def __call__(self, obs):
            assert ((obs[:, 1] > 0.5) == [(s, self.steps) in self.slots for s in range(3)]).all()
            self.steps += 1
            return np.zeros(len(obs), int)

    told, info = Told(), environment.describe(environment.EnvConfig("tests.cue_env:Cue-v0"))
    seeds = range(100, 103)
    play_episodes(info, policies.checked(told, info), seeds, 3)
    assert sorted(told.slots) == [(0, 0), (1, 0), (2, 0)]


def test_dagger_fits_clones_that_remember_and_asks_teachers_that_do(config, clone, tmp_path):
    changes = {"dagger.n_episodes": 20, "bc.num_epochs": 20, "dagger.rounds": 2}
    asked = api.dagger(api.override(config, changes), tmp_path / "run", policy=clone)
    assert asked.summary["evaluation"]["mean"] == pytest.approx(best(config))
    agreement = [x["dagger/agreement"] for x in asked.metrics() if "dagger/agreement" in x]
    assert agreement[0] == 1 and agreement[1] > 0.95


@pytest.fixture(scope="module")
def tuned(config, clone, tmp_path_factory):
    changes = {"ppo.anchor_coef": 0.1, "ppo.cloning_coef": 0.1}
    folder = tmp_path_factory.mktemp("tuned") / "run"
    return api.fine_tune(api.override(config, changes), clone, folder)


@pytest.mark.slow
def test_a_clone_with_memory_is_handed_over_exactly(config, clone, tuned):
    audit = tuned.summary["audit"]
    assert audit["max_log_prob_difference"] == 0 and audit["max_return_difference"] == 0
    assert audit["held_out_demonstrations"] and audit["states"] == 2 * 2048
    assert tuned.summary["evaluation"]["mean"] == pytest.approx(best(config))
    logged = [x for x in tuned.metrics() if "ppo/clone_kl" in x]
    burnt_in = [x for x in logged if not x["ppo/critic_ready"]]
    # Segments end in the midst of episodes: the clone, too, remembers from one to the next.
    assert len(burnt_in) == 2 and all(x["ppo/clone_kl"] < 1e-8 for x in burnt_in)
    assert burnt_in[0]["ppo/approx_kl"] < 1e-8
    assert logged[-1]["ppo/clone_kl"] > 1e-7
    recorded = np.load(clone.folder / "audit.npz")
    assert np.isfinite(recorded["temperature"]).all() and recorded["begin"].sum() > 100
    fit = next(x for x in tuned.metrics() if "critic_fit/explained_variance" in x)
    assert fit["critic_fit/explained_variance"] > 0.1


@pytest.mark.slow
def test_a_changed_memory_is_noticed(config, clone, tmp_path):
    other = api.override(config, {"network.memory_size": 8})
    with pytest.raises(api.UserError, match=r"has network\.memory_size=16, but this run has 8"):
        api.fine_tune(other, clone, tmp_path / "run")
    other = api.override(config, {"network.memory": "none"})
    with pytest.raises(api.UserError, match=r"has network\.memory=gru, but this run has none"):
        api.fine_tune(other, clone, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bc", "ppo"])
def test_a_killed_run_goes_on_to_the_same_end(what, taught, clone, tmp_path):
    config = api.make_config(SETTINGS)
    changes = {"bc.eval_every": 2} if what == "bc" else {"ppo.total_env_steps": 1024}
    changes |= {"stage": what, "bc.data": str(taught.folder)}
    changes |= (
        {"ppo.init_from": str(clone.folder), "ppo.cloning_coef": 0.1} if what == "ppo" else {}
    )
    given = flags(SETTINGS | changes)
    arguments = ["jaxmaze.train", "--config=cartpole", *given]
    whole = api.train(api.override(config, changes), tmp_path / "whole")
    killed(arguments, tmp_path / "killed", 5)
    goes_on_as(tmp_path / "killed", whole.folder, "--trust")


def test_a_wrong_memory_stops_the_command_at_once():
    done = command("jaxmaze.train", "--config=cartpole:ppo", "--config.network.memory=lstm")
    assert done.returncode == 2 and "network.memory" in done.stderr and "gru" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
