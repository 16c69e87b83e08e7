"""What a recorded data set says of itself, read by Minari."""

import re

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.cli import app
from minari.dataset.minari_dataset import parse_dataset_id
from typer.testing import CliRunner

from jaxmaze import api
from jaxmaze.config.sections.rollout import is_minari_id
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import about, trajectories
from tests.conftest import command

CONFIG = {
    "env": {"id": "CartPole-v1", "max_episode_steps": 40},
    "rollout": {
        "policy": "heuristic",
        "n_episodes": 4,
        "dataset_id": "cartpole/small/expert-v3",
        "minari": True,
        "author": ("Ada", "Bo"),
        "author_email": "ada@example.org",
        "code_permalink": "https://example.org/code",
        "reference_episodes": 6,
    },
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("minari")


@pytest.fixture(scope="module")
def recorded(root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        return api.record(CONFIG, tmp_path_factory.mktemp("recorded") / "run")


@pytest.fixture
def loaded(recorded, root, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return minari.load_dataset("cartpole/small/expert-v3")


def test_minari_loads_it_by_its_id(loaded, recorded):
    assert loaded.total_episodes == 4
    info = environment.describe(environment.EnvConfig("CartPole-v1", max_episode_steps=40))
    ours = trajectories.read(recorded.folder, info)
    for mine, theirs in zip(ours.episodes, loaded.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(mine.observations, theirs.observations)
        np.testing.assert_array_equal(mine.actions, theirs.actions)


def test_minari_makes_its_environment(loaded, recwarn):
    env = loaded.recover_environment()
    assert env.spec.id == "CartPole-v1" and env.spec.max_episode_steps == 40
    assert not [w for w in recwarn if "equirement" in str(w.message)]
    assert loaded.storage.metadata["requirements"] == [
        f"gymnasium[classic-control]>={gym.__version__}"
    ]


def test_minari_normalises_by_random_and_teacher(loaded, recorded):
    metadata = loaded.storage.metadata
    teacher = recorded.summary["evaluation"]["mean"]
    assert metadata["ref_max_score"] == teacher and metadata["num_episodes_average_score"] == 6
    # The random policy is played once more, by hand.
    from jaxmaze.core import seeding
    from jaxmaze.envs.episodes import play_episodes
    from jaxmaze.policies import resolve

    info = environment.describe(environment.EnvConfig("CartPole-v1", max_episode_steps=40))
    seeds = seeding.episode_seeds(0, seeding.ROLLOUT, 6)
    again = play_episodes(info, resolve("random", info, 0), seeds, 16)
    random = np.mean([e.episode_return for e in again])
    assert metadata["ref_min_score"] == random < teacher
    scores = minari.get_normalized_score(loaded, np.array([random, teacher]))
    np.testing.assert_allclose(scores, [0, 1])


def test_minari_shows_and_lists_it(loaded):
    shown = CliRunner().invoke(app, ["show", "cartpole/small/expert-v3"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    for word in ("heuristic", "Ada", "Bo", "ada@example.org", "https://example.org/code"):
        assert word in shown.output
    assert "cartpole/small/expert-v3" in minari.list_local_datasets()


def test_what_is_there_is_not_overwritten_and_nothing_is_played(
    recorded, root, tmp_path, monkeypatch
):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    monkeypatch.setattr("jaxmaze.stages.rollout._play", lambda *args: 1 / 0)
    with pytest.raises(UserError, match="holds a Minari data set already, which nothing overwr"):
        api.record(CONFIG, tmp_path / "run")


def test_without_an_id_nothing_is_said_that_nobody_gave(tmp_path):
    plain = {"env": CONFIG["env"], "rollout": {"policy": "heuristic", "n_episodes": 1}}
    run = api.record(plain, tmp_path / "run")
    metadata = minari.MinariDataset(run.folder / "trajectory_data" / "data").storage.metadata
    assert metadata["dataset_id"] == about.DATASET_ID and not metadata["jpeg_encoding"]
    assert not {"author", "author_email", "code_permalink", "ref_min_score"} & set(metadata)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("cartpole/expert-v0", True),
        ("D4RL/door/human-v2", True),
        ("x-v10", True),
        ("my_data-1-v0", True),
        ("ab/x-v0", True),
        ("expert", False),
        ("expert-v", False),
        ("a/x-v0", False),
        ("/abs/x-v0", False),
        ("a//x-v0", False),
        ("../x-v0", False),
        ("ab/../x-v0", False),
        ("x y-v0", False),
        ("ab/x-v0/", False),
        ("x-v0\n", False),
    ],
)
def test_ids_are_those_that_minari_takes(name, right):
    assert is_minari_id(name) == right
    if right:
        parse_dataset_id(name)
        fields = {"rollout.dataset_id": name}
        assert api.override({"env": {"id": "CartPole-v1"}}, fields).rollout.dataset_id == name
    else:
        with pytest.raises(UserError, match="is not a Minari id; it must look like cartpole/exp"):
            api.override({"env": {"id": "CartPole-v1"}}, {"rollout.dataset_id": name})


def test_the_package_of_an_environment_is_required_too():
    class Spec:
        entry_point = "flax.nowhere:Env"

    info = environment.describe(environment.EnvConfig("LunarLander-v3"))
    assert about.requirements(info) == [f"gymnasium[box2d]>={gym.__version__}"]
    plain, flax = about.requirements(info._replace(spec=Spec()))
    assert plain == f"gymnasium>={gym.__version__}" and re.fullmatch(r"flax>=[\d.]+", flax)
    Spec.entry_point = "my_env:Env"  # a file of one's own is in no package
    assert about.requirements(info._replace(spec=Spec())) == [plain]


def test_a_copy_for_minari_needs_a_recording(tmp_path):
    fields = ["--config.rollout.minari=True", "--config.rollout.dataset_id=ab/c-v0"]
    done = command("jaxmaze.rollout", "--config=cartpole", *fields, cwd=tmp_path)
    assert done.returncode == 2 and "add --record" in done.stderr
    done = command("jaxmaze.rollout", "--config=cartpole", fields[0], "--record", cwd=tmp_path)
    assert done.returncode == 2 and "needs an id of your own" in done.stderr
    assert not list(tmp_path.iterdir())
