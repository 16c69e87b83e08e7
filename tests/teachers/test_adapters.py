"""What users give as teachers: functions of a batch or of one, objects, models, tensors."""

import itertools

import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze.envs import environment
from jaxmaze.envs.episodes import play_episodes
from jaxmaze.errors import UserError, WorkerError
from jaxmaze.teachers.adapters.functions import Form, samples
from tests.conftest import SMALL

CART = environment.describe(environment.EnvConfig("CartPole-v1"))
SWING = environment.describe(environment.EnvConfig("Pendulum-v1"))
LANDER = environment.describe(environment.EnvConfig("LunarLander-v3", '{"continuous": true}'))
WEIGHTS = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)


class Tensor:
    """As torch's: no array before it is detached and brought to the CPU."""

    def __init__(self, value, grad=True, device="cuda"):
        self.value, self.grad, self.device = np.asarray(value), grad, device

    def detach(self):
        return Tensor(self.value, False, self.device)

    def cpu(self):
        return Tensor(self.value, self.grad, "cpu")

    def numpy(self):
        if self.grad or self.device != "cpu":
            raise RuntimeError("call detach() and cpu() first")
        return self.value

    def __array__(self, *_, **__):
        return self.numpy()


def lean(obs):
    return (obs[:, 2] + 3 * obs[:, 3] > 0).astype(int)


def lean_of_one(obs):
    return int(obs[2] + 3 * obs[3] > 0)


BATCH, ONE = Form(True, False), Form(False, False)
CASES = [
    (CART, lean, BATCH),
    (CART, lean_of_one, ONE),
    (CART, lambda obs: obs[2] + 3 * obs[3] > 0, ONE),  # of a batch: two rows' sums
    (CART, lambda obs: (lean(obs), None), Form(True, True)),
    (CART, lambda obs: (lean_of_one(obs), None), Form(False, True)),
    (CART, lambda obs: Tensor(lean(obs)), BATCH),
    (CART, lambda obs: Tensor(lean_of_one(obs)), ONE),
    (CART, lambda obs: [Tensor(x) for x in lean(obs)], BATCH),
    (CART, lambda obs: lean(obs).tolist(), BATCH),
    (CART, lambda obs: lean(obs)[:, None], BATCH),
    (CART, lambda obs: np.argmax(obs @ WEIGHTS[:, :4].T), ONE),
    (CART, lambda obs: np.argmax(obs @ WEIGHTS[:, :4].T, -1), BATCH),  # either way: a batch
    (SWING, lambda obs: -obs[2] * 0.2, ONE),
    (SWING, lambda obs: [-obs[2] * 0.2], ONE),
    (SWING, lambda obs: -obs[:, 2] * 0.2, BATCH),
    (SWING, lambda obs: -obs[:, 2:] * 0.2, BATCH),
    (SWING, lambda obs: (np.array([0.1]), None), Form(False, True)),
    (LANDER, lambda obs: (0.1, -0.2), ONE),  # a pair of numbers is an action, no pair with a state
    (LANDER, lambda obs: ([0.1, -0.2], None), Form(False, True)),
    (LANDER, lambda obs: WEIGHTS @ obs, ONE),
    (LANDER, lambda obs: np.clip(obs[..., :2], -1, 1), BATCH),
    (LANDER, lambda obs: obs[:2].tolist(), ONE),
]


@pytest.mark.parametrize("info,function,form", CASES)
def test_a_function_is_called_the_way_it_wants(info, function, form):
    act = policies.resolve(function, info, 0)
    assert act.form == form
    obs = samples(info)
    action = policies.checked(act, info)(obs)
    assert action.shape == (len(obs), *info.spaces.action.shape)
    for k in (1, 2, 4, 8):  # whatever the lengths
        more = np.resize(obs, (k, *obs.shape[1:]))
        np.testing.assert_allclose(
            policies.checked(act, info)(more), np.resize(action, (k, *action.shape[1:])), atol=1e-6
        )


def test_trial_observations_are_the_environments_own_and_of_another_length():
    for info, length in ((CART, 3), (SWING, 5)):
        obs = samples(info)
        assert len(obs) == length and len(np.unique(obs, axis=0)) == length
        assert all(info.observation_space.contains(x) for x in obs)


def neither(obs):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    "function,words",
    [
        (neither, r"take observations \[N, 4\] and give actions \[N\].*one observation.*KeyError"),
        (lambda obs: "left", "gave a str"),
        (lambda obs: None, "neither a function of a batch nor of one"),
        (lambda obs: np.full(len(obs), 7), "actions from 7 to 7.*has actions 0 to 1"),
        (lambda obs: np.full(len(obs), np.nan), "NaN"),
        (lambda obs: 5, "actions from 5 to 5"),
        (lambda obs: np.zeros((2, 2)), r"gave shape \(2, 2\)"),
        (7, "is a int; give a function"),
    ],
)
def test_what_fits_neither_way_is_told_the_contract(function, words, tmp_path):
    with pytest.raises(UserError, match=words) as error:
        api.record({"env": {"id": "CartPole-v1"}}, tmp_path / "run", policy=function)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_a_state_that_is_not_given_back_is_mentioned(capsys):
    policies.resolve(lambda obs: (lean(obs), None), CART, 0)
    assert "state" not in capsys.readouterr().out
    policies.resolve(lambda obs: (lean(obs), np.ones(3)), CART, 0)
    assert "note: " in (out := capsys.readouterr().out) and "reset(seed) and act(obs)" in out


class Model:
    """As Stable-Baselines3's and scikit-learn's: asked by ``predict``."""

    def predict(self, obs, deterministic=False):
        assert deterministic
        return lean(obs), None


class Memory:
    """Pushes by turns, after a first push that it draws; checks what it is told."""

    made = 0

    def __init__(self):
        type(self).made += 1
        self.seen = None

    def reset(self, seed):
        self.seen, self.rng = [], np.random.default_rng(seed)
        self.first = int(self.rng.integers(2))

    def act(self, obs, env=None):
        # The environment is the unwrapped one, at this very state.
        np.testing.assert_array_equal(np.array(env.state, np.float32), obs)
        self.seen.append(obs)
        return (self.first + len(self.seen)) % 2


class Plain:
    """Without the environment."""

    def reset(self, seed):
        self.steps = 0

    def act(self, obs):
        self.steps += 1
        return self.steps % 2


def returns(policy, num_envs, seeds=range(7)):
    act = policies.checked(policies.resolve(policy, CART, 0), CART)
    episodes = play_episodes(CART, act, list(seeds), num_envs, record=True)
    return [e.actions.tolist() for e in episodes]


@pytest.mark.parametrize("policy", [Memory, Memory(), Plain, Plain()])
def test_an_object_for_each_environment_and_episodes_that_do_not_depend_on_them(policy):
    alone = returns(policy, 1)
    assert alone == returns(policy, 3) == returns(policy, 7)
    assert returns(policy, 2, range(3, 7)) == alone[3:]
    for actions in alone:
        assert all(a != b for a, b in itertools.pairwise(actions))
    if policy is Memory:
        assert len({actions[0] for actions in alone}) == 2  # drawn from the episode's seed


def test_a_class_is_made_once_for_each_environment():
    Memory.made = 0
    returns(Memory, 3)
    assert Memory.made == 1 + 3  # and once to see whether it can be made


def test_what_cannot_be_copied_plays_in_one_environment():
    class Locked(Plain):
        def __deepcopy__(self, memo):
            raise TypeError("holds a handle")

    assert returns(Locked(), 1) == returns(Plain, 2)
    with pytest.raises(UserError, match=r"holds a handle.*rollout.num_envs=1"):
        returns(Locked(), 2)


def test_objects_that_lack_something_are_told():
    class NoReset:
        def act(self, obs):
            return 0

    class Wants:
        def __init__(self, weights):
            self.weights = weights

        reset = act = __init__

    class NoSeed(Plain):
        def reset(self):
            pass

    class Greedy(Plain):
        def act(self, obs, reward):
            return 0

    class Odd(Plain):
        def act(self, obs):
            return [0, 1]

    for policy, words in (
        (NoReset(), r"has no reset\(seed\)"),
        (NoReset, r"has no reset\(seed\)"),
        (Wants, "cannot be made without arguments"),
        (NoSeed, r"reset\(\) cannot be called as reset\(seed\): too many"),
        (NoSeed(), r"reset\(\) cannot be called as reset\(seed\): too many"),
        (Greedy, r"act\(obs, reward\) cannot be called as act\(obs\): missing .* 'reward'"),
    ):
        with pytest.raises(UserError, match=words):
            policies.resolve(policy, CART, 0)
    with pytest.raises(UserError, match=r"act\(obs\) gave shape \(2,\).*2 discrete actions"):
        returns(Odd, 1)


class Breaks(Plain):
    def act(self, obs):
        return {}["left"]


class BreaksLater(Plain):
    def reset(self, seed):
        super().reset(seed)
        self.begun = getattr(self, "begun", 0) + 1
        assert self.begun < 2, "a second episode"


def breaks_later(obs):
    if np.abs(obs).max() > 1.2:  # unlike the first ones
        raise ValueError("no such\nstate")
    return np.zeros(len(obs), int)


@pytest.mark.parametrize(
    "policy,words",
    [
        (Breaks, r"Breaks failed in act\(\): KeyError: 'left' \(test_adapters.py, line \d+\)$"),
        (BreaksLater, r"failed in reset\(\): AssertionError: a second episode \(test_adapters.py"),
        (breaks_later, r"breaks_later failed: ValueError: no such \(test_adapters.py, line \d+\)$"),
    ],
)
def test_what_a_teacher_raises_while_it_acts_names_it_and_keeps_the_traceback(policy, words):
    with pytest.raises(WorkerError, match=words) as caught:
        returns(policy, 1)
    assert "Traceback" in caught.value.details


def test_a_model_is_asked_by_predict_and_its_method_too():
    expected = returns(lean, 2)
    assert returns(Model(), 2) == expected == returns(Model, 3)
    assert returns(lambda obs: Model().predict(obs, True), 2) == expected


def test_a_trained_policy_is_taken_as_it_is(cloned):
    with pytest.raises(UserError, match=r"was trained for.*CartPole-v1 has"):
        policies.resolve(cloned.policy(), CART, 0)
    config = cloned.config
    assert api.evaluate(config, cloned.policy(), 3) == api.evaluate(config, cloned, 3)


@pytest.fixture(scope="module")
def config():
    changes = {"env.max_episode_steps": 40, "rollout.num_envs": 3, "members": 2}
    return api.override({"env": {"id": "CartPole-v1"}}, SMALL | changes)


@pytest.mark.slow
def test_objects_teach_everywhere(config, tmp_path):
    """Rollout, evaluation, dagger and compare ask it, each in its own environments."""
    run = api.record(config, tmp_path / "rollout", policy=Memory)
    assert run.config.rollout.policy == "tests.teachers.test_adapters:Memory"
    assert api.evaluate(config, Memory, 3)["episodes"] == 3
    taught = api.dagger(config, tmp_path / "dagger", policy=Memory)
    assert taught.config.dagger.policy == "tests.teachers.test_adapters:Memory"
    compared = api.compare([taught], tmp_path / "compare", teacher=Memory())
    played = compared.summary["teacher"]["evaluation"]
    assert played == api.evaluate(config, Memory)
    assert compared.summary["arms"]["dagger"]["gain"] is not None
    recorded = api.compare([taught], tmp_path / "again", teacher=run, trust=True)
    assert recorded.summary["teacher"]["evaluation"] == played


def test_dagger_labels_what_an_object_would_do(config, tmp_path):
    from jaxmaze.runs import trajectories

    class Counts(Plain):
        def act(self, obs):
            self.steps += 1
            return int(self.steps % 3 == 0)

    taught = api.dagger(config, tmp_path / "dagger", policy=Counts)
    info = environment.describe(environment.EnvConfig.of(config.env))
    data = trajectories.read(taught.folder / "seed_0", info)
    for episode in data.episodes:
        counted = np.arange(1, episode.length + 1) % 3 == 0
        np.testing.assert_array_equal(episode.labels, counted)
    # The clone acts in the second round, and the teacher only watches.
    assert any((e.actions != e.labels).any() for e in data.episodes[2:])


@pytest.mark.slow
def test_a_workflow_takes_a_python_teacher_and_goes_on_with_it(config, tmp_path):
    workflow = api.override(config, {"stage": "workflow"})
    run = api.train(workflow, tmp_path / "run", policy=lean)
    assert run.summary["teacher"]["evaluation"] == api.evaluate(config, lean)
    (run.folder / "summary.json").unlink()
    again = api.train(workflow, tmp_path / "run", policy=lean)
    assert again.summary["members"] == run.summary["members"]
    with pytest.raises(UserError, match="bc asks no teacher"):
        api.train(api.override(config, {"stage": "bc"}), tmp_path / "bc", policy=lean)
