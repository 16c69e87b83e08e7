"""Stable-Baselines3 zips: read without torch, acting as the library does, running nothing."""

import base64
import json
import pickle
import shutil
import sys
import types
import typing
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxmaze import api, policies
from jaxmaze.envs import environment
from jaxmaze.errors import UserError
from jaxmaze.runs import console
from jaxmaze.teachers import sb3
from tests.conftest import ROOT, command

ZIPS = ROOT / "tests" / "data" / "sb3"
RECORDED = np.load(ZIPS / "recorded.npz")
STANDARD = sorted(p.stem for p in ZIPS.glob("*.zip") if "recurrent" not in p.stem)


def info_of(name, **kwargs):
    env = "CartPole-v1" if "cartpole" in name else "Pendulum-v1"
    return environment.describe(environment.EnvConfig(env, **kwargs))


@pytest.fixture(autouse=True)
def without_the_library(monkeypatch):
    """Nothing here may need torch or the library."""
    for name in ("torch", "stable_baselines3", "sb3_contrib"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", STANDARD)
def test_it_acts_as_predict_does(name):
    assert len(STANDARD) == 12
    info = info_of(name)
    act = policies.checked(policies.resolve(f"sb3:{ZIPS / name}.zip", info, 0), info)
    obs, expected = RECORDED[f"{name}.obs"], RECORDED[f"{name}.actions"]
    assert len(obs) == 200 and len(np.unique(expected)) > 1
    if "cartpole" in name:
        np.testing.assert_array_equal(act(obs), expected)
    else:
        np.testing.assert_allclose(act(obs), expected, atol=1e-5)
        # Each row for itself, and in the environment's units, beyond [-1, 1].
        np.testing.assert_allclose(act(obs[7:8]), expected[7:8], atol=1e-5)


def test_some_actions_are_clipped_and_some_squashed():
    assert (np.abs(RECORDED["ppo_pendulum.actions"]) == 2).mean() > 0.1
    assert 1 < np.abs(RECORDED["td3_pendulum.actions"]).max() < 2


def test_it_is_recorded_from_by_its_name_without_a_suffix(tmp_path, monkeypatch):
    shutil.copy(ZIPS / "ppo_cartpole.zip", tmp_path / "expert.zip")
    done = command(
        "jaxmaze.rollout",
        "--config=cartpole",
        "--policy=sb3:expert",
        "--n_episodes=2",
        "--record",
        "--workdir=run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    digest = config["policy_sha256"]
    assert digest == sb3.load(f"sb3:{tmp_path}/expert.zip", info_of("cartpole")).sha256
    assert len(digest) == 64


def rewritten(tmp_path, name, data=None, pickled=None):
    """A copy of a zip with something else in it."""
    target = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(ZIPS / f"{name}.zip") as file, zipfile.ZipFile(target, "w") as out:
        for part in file.namelist():
            content = file.read(part)
            if part == "data" and data is not None:
                content = json.dumps(json.loads(content) | data).encode()
            if part == "policy.pth" and pickled is not None:
                content = repacked(content, pickled)
            out.writestr(part, content)
    return target


def repacked(content, pickled):
    import io

    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as file, zipfile.ZipFile(made, "w") as out:
        for part in file.namelist():
            out.writestr(part, pickled if part.endswith("data.pkl") else file.read(part))
    return made.getvalue()


class Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (Path.write_text, (Path(self.marker), "ran"))


def serialized(value, **more):
    text = base64.b64encode(pickle.dumps(value)).decode()
    return {":type:": "<class 'dict'>", ":serialized:": text} | more


def test_nothing_in_a_zip_is_run(tmp_path):
    marker, name = tmp_path / "marker", "ppo_cartpole"
    planted = Planted(marker)
    pickle.loads(pickle.dumps(planted))
    assert marker.exists()  # so would a pickle that is loaded
    marker.unlink()
    # Where nothing is looked at, it does not matter.
    odd = rewritten(tmp_path, name, {"lr_schedule": serialized(planted)})
    act = policies.resolve(f"sb3:{odd}", info_of(name), 0)
    np.testing.assert_array_equal(act(RECORDED[f"{name}.obs"]), RECORDED[f"{name}.actions"])
    # Where it is, the policy is not standard, and there is no library here to run it.
    for changes in (
        {"data": {"policy_class": serialized(planted)}},
        {"data": {"policy_kwargs": serialized({"net_arch": [8, 8], "x": planted})}},
        {"data": {"policy_kwargs": serialized(planted, activation_fn="torch.nn.ReLU")}},
        {"pickled": pickle.dumps(planted)},
        {"pickled": pickle.dumps({"action_net.weight": planted})},
    ):
        target = rewritten(tmp_path, name, **changes)
        with pytest.raises(UserError, match=r"not a standard policy.*pip install 'jaxmaze\[sb3\]'"):
            policies.resolve(f"sb3:{target}", info_of(name), 0)
    assert not marker.exists()


def test_a_zip_whose_code_is_run_is_said_unless_quiet(tmp_path, monkeypatch, capsys):
    class PPO:
        @staticmethod
        def load(path, device):
            return PPO()

        def predict(self, obs, state=None, episode_start=None, deterministic=False):
            return np.zeros(len(obs), int), None

    package = types.SimpleNamespace(PPO=PPO)
    monkeypatch.setitem(sys.modules, "stable_baselines3", package)
    odd = rewritten(tmp_path, "ppo_cartpole", {"policy_class": serialized([])})
    for quiet in (False, True):
        console.loudness(quiet=quiet)
        try:
            policies.resolve(f"sb3:{odd}", info_of("cartpole"), 0)
        finally:
            console.loudness()
        said = capsys.readouterr().out
        assert ("is not a standard policy" in said and "runs code" in said) is not quiet


@pytest.mark.parametrize(
    "name,env,words",
    [
        ("ppo_cartpole", "Pendulum-v1", "takes observations of 4 numbers, but Pendulum-v1"),
        ("sac_pendulum", "CartPole-v1", "takes observations of 3 numbers, but CartPole-v1"),
        ("nothing", "CartPole-v1", "cannot be read: No such file"),
    ],
)
def test_it_must_fit(name, env, words):
    info = environment.describe(environment.EnvConfig(env))
    with pytest.raises(UserError, match=words):
        policies.resolve(f"sb3:{ZIPS / name}.zip", info, 0)


def test_other_bounds_and_other_files_are_refused(tmp_path):
    info = info_of("pendulum")
    narrow = rewritten(tmp_path, "sac_pendulum", {"action_space": {"low": "[-1.]", "high": "[1.]"}})
    with pytest.raises(UserError, match=r"for other actions \(low \[-1\.\], high \[1\.\]\)"):
        policies.resolve(f"sb3:{narrow}", info, 0)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(UserError, match="not a model saved by Stable-Baselines3"):
        policies.resolve(f"sb3:{tmp_path}/text.zip", info, 0)


def test_vecnormalize_is_asked_for_without_its_pickle(tmp_path):
    name, info = "sac_pendulum", info_of("pendulum")
    target = shutil.copy(ZIPS / f"{name}.zip", tmp_path / "model.zip")
    (tmp_path / "vecnormalize.pkl").write_bytes(b"")
    with pytest.raises(UserError, match=r"vecnormalize.pkl lies beside.*numpy\.savez\("):
        policies.resolve(f"sb3:{target}", info, 0)
    mean, var = np.array([0.5, -0.25, 1.0]), np.array([4.0, 0.25, 1.0])
    numbers = tmp_path / "model.vecnormalize.npz"
    np.savez(numbers, mean=mean, var=var, clip=3.0, epsilon=1e-8)
    act = policies.resolve(f"sb3:{target}", info, 0)
    seen = RECORDED[f"{name}.obs"]  # what the network is to see
    raw = seen * np.sqrt(var + 1e-8) + mean
    inside = (np.abs(seen) < 3).all(1)
    expected = RECORDED[f"{name}.actions"]
    np.testing.assert_allclose(act(raw)[inside], expected[inside], atol=1e-5)
    assert inside.any() and not inside.all()
    clipped = policies.resolve(f"sb3:{ZIPS / name}.zip", info, 0)(np.clip(seen, -3, 3))
    np.testing.assert_allclose(act(raw), clipped, atol=1e-5)
    plain = policies.digest_of(policies.resolve(f"sb3:{ZIPS / name}.zip", info, 0))
    assert policies.digest_of(act) != plain
    np.savez(numbers, mean=mean[:2], var=var[:2], clip=3.0, epsilon=1e-8)
    with pytest.raises(UserError, match="statistics of shape"):
        policies.resolve(f"sb3:{target}", info, 0)


class Recurrent:
    """As the library's models act: a state is given back with each call."""

    loaded: typing.ClassVar[list[str]] = []

    @classmethod
    def load(cls, path, device):
        cls.loaded.append(Path(path).name)
        return cls()

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        count = 0 if state is None or episode_start.all() else state[0]
        assert deterministic
        return np.full(len(observation), int(count % 2)), (count + 1,)


def test_what_is_not_standard_is_loaded_by_the_library_with_a_warning(monkeypatch, capsys):
    library = types.SimpleNamespace(RecurrentPPO=Recurrent)
    monkeypatch.setitem(sys.modules, "sb3_contrib", library)
    config = {"env": {"id": "CartPole-v1"}, "rollout": {"num_envs": 2}}
    name = f"sb3:{ZIPS}/recurrent_cartpole.zip"
    played = api.evaluate(config, name, 4)
    assert "warning: " in (printed := capsys.readouterr().out) and "runs code" in printed
    assert Recurrent.loaded == ["recurrent_cartpole.zip"]
    # It remembers: it alternates, which holds the pole for longer than either action.
    assert played["min"] > 15
    info = info_of("cartpole")
    assert policies.digest_of(policies.checked(policies.resolve(name, info, 0), info))
