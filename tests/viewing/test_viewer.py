"""The viewer without a browser: what it says of episodes, whom it trusts, whom it answers."""

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys

import gymnasium as gym
import h5py
import jax
import numpy as np
import pytest

import jaxmaze
from jaxmaze.core.networks import Networks
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs.leaves import arrays_of, leaves_of
from jaxmaze.envs.space_kinds import space_spec
from jaxmaze.errors import UserError
from jaxmaze.policies import LoadedPolicy
from jaxmaze.viewing import heads, html, ranking, traces
from jaxmaze.viewing.opinions import Judge, disagreement, plain
from jaxmaze.viewing.sources import Row
from tests.conftest import HERE, command
from tests.test_cli import fails
from tests.test_inspect import store
from tests.viewing.browser import served

S = gym.spaces
OBS = S.Box(-9, 9, (3,), np.float32)
KINDS = {
    "discrete": (S.Discrete(3, start=2), ["2", "3", "4"]),
    "multi_discrete": (S.MultiDiscrete([2, 3]), None),
    "multi_binary": (S.MultiBinary(3), None),
    "box": (S.Box(np.float32([-2, 1]), np.float32([2, 9]), dtype=np.float32), None),
    "dict": (S.Dict(a=S.Discrete(2), b=S.Tuple((S.Box(-1, 1, (1,)), S.Discrete(3)))), None),
}


def judge(action_space, seed, memory="none", squash=False, obs_space=OBS):
    """A policy with random parameters."""
    spec = NetworkSpec((8,), memory=memory, memory_size=8 if memory != "none" else 0)
    networks = Networks(
        space_spec(obs_space, action_space).in_units(), spec._replace(squash_actions=squash)
    )
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(np.float32), networks.policy_shapes()
    )
    return Judge(f"p{seed}", LoadedPolicy(networks, Policy(params, networks.init_stats())))


def batch(space, steps, seed=0):
    space.seed(seed)
    drawn = [space.sample() for _ in range(steps)]
    return jax.tree.map(lambda *x: np.array(x), *drawn)


@pytest.mark.parametrize("memory", ["none", "gru"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_policys_probabilities_are_those_of_its_networks(kind, memory):
    space, choices = KINDS[kind]
    policy = judge(space, 1, memory)
    steps = 70  # more than one batch's padding
    obs = np.random.default_rng(0).normal(size=(steps + 1, 3)).astype(np.float32)
    done = batch(space, steps)
    opinion = policy.on(obs, done)
    networks, own = policy.trained.networks, policy.trained.policy
    begin = np.eye(1, steps, dtype=np.float32)[0]
    dist = networks.distribution(own.params, own.obs_stats, obs[:-1], networks.blank(begin))
    inside = networks.spaces.action.from_env(done)
    np.testing.assert_allclose(opinion.log_prob, dist.log_prob(inside), rtol=1e-4, atol=1e-4)
    acted = policy.trained.networks.to_env(np.asarray(dist.mode()))
    for a, b in zip(jax.tree.leaves(opinion.mode), jax.tree.leaves(acted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    parts = heads.heads_of(leaves_of(space), ())
    said = plain(policy, opinion, parts)
    taken = heads.taken(parts, arrays_of(done))
    assert len(said["heads"]) == len(parts) == len(taken)
    total = np.zeros(steps)  # the log-probability once more, from what the page shows
    for head, column, part in zip(parts, taken, said["heads"], strict=True):
        if head.choices:
            p = np.array(part["p"], float)
            np.testing.assert_allclose(p.sum(1), 1, atol=1e-3)
            assert p.shape == (steps, len(head.choices))
            total += np.log(p[np.arange(steps), np.array(column, int)])
        else:
            z = (np.array(column) - np.array(part["mean"])) / np.array(part["std"])
            total += -0.5 * z**2 - np.log(part["std"]) - 0.5 * np.log(2 * np.pi)
            total += np.log((head.high - head.low) / 2)  # the policy's unit is half the range
    np.testing.assert_allclose(total, opinion.log_prob, rtol=2e-2, atol=2e-2)
    if choices is not None:
        assert list(parts[0].choices) == choices


def test_two_policies_are_compared_by_kl_and_by_what_was_done():
    space = S.Discrete(3)
    obs = np.random.default_rng(0).normal(size=(41, 3)).astype(np.float32)
    done = batch(space, 40)
    one, other = (judge(space, seed).on(obs, done) for seed in (1, 2))
    first, second, kl = disagreement([one, other])
    p, q = (jax.nn.softmax(np.asarray(o.dist.logits)) for o in (one, other))
    np.testing.assert_allclose(first, -np.log(p[np.arange(40), done]), rtol=1e-4)
    np.testing.assert_allclose(second, -np.log(q[np.arange(40), done]), rtol=1e-4)
    np.testing.assert_allclose(kl, (p * np.log(p / q)).sum(1), rtol=1e-3, atol=1e-5)
    box = S.Box(-1, 1, (2,), np.float32)
    done = batch(box, 40)
    mixed = [judge(box, 1).on(obs, done), judge(box, 2, squash=True).on(obs, done)]
    assert np.isnan(disagreement(mixed)[2]).all()  # two kinds of distribution


def test_peaks_are_the_largest_and_keep_apart():
    values = np.zeros(60)
    values[[10, 12, 30, 31, 50]] = [5, 4, 3, 3.5, np.nan]
    assert ranking.peaks(values)[:2] == [10, 31]
    assert all(abs(a - b) > ranking.APART for a in ranking.peaks(values) for b in [10] if a != 10)
    assert 50 not in ranking.peaks(values)
    rows = [Row(i, i, 5, total, "terminated") for i, total in enumerate([3.0, -1.0, 9.0, 4.0])]
    assert ranking.spread(rows, 2) == [1, 2] and ranking.spread(rows, 9) == [0, 1, 2, 3]


def test_names_come_from_the_configuration_the_environment_or_what_is_known(tmp_path, recorded):
    def called(**more):
        viewer = jaxmaze.view(recorded, **more)
        e = viewer.episode(0, 0)
        viewer.close()
        return [t["name"] for t in e["observations"]["numbers"]], e["heads"][0]["choices"]

    names, choices = called()
    assert names[4] == "angle" and choices[2] == "2 main engine"
    own = {"id": "LunarLander-v3", "observation_names": tuple("abcdefgh")}
    names, choices = called(config={"env": own | {"action_names": ("w", "x", "y", "z")}})
    assert names == list("abcdefgh") and choices == ["0 w", "1 x", "2 y", "3 z"]
    names, _ = called(config={"env": own | {"observation_names": ("too", "few")}})
    assert names[0] == "obs[0]" and len(names) == 8
    config = {"env": {"id": "tests.viewing.test_viewer:Named-v0"}, "rollout": {"n_episodes": 1}}
    run = jaxmaze.record(config, tmp_path / "named", policy="random")
    viewer = jaxmaze.view(run, trust=True)
    e = viewer.episode(0, 0)
    viewer.close()
    assert [t["name"] for t in e["observations"]["numbers"]] == ["left", "right"]
    assert e["heads"][0]["choices"] == ["0 stay", "1 go"]


class Named(gym.Env):
    """Gives names, and draws nothing."""

    observation_space, action_space = S.Box(-1, 1, (2,), np.float32), S.Discrete(2)
    observation_names = ("left", "right")

    def __init__(self, render_mode=None):
        assert render_mode is None, "it draws nothing"

    def action_names(self):
        return ["stay", "go"]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        return np.full(2, action, np.float32), 1.0, False, False, {}


class Silent(Named):
    """Its pictures fail, some without a word."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None, gives=None):
        self.render_mode, self.gives = render_mode, gives

    def render(self):
        if self.gives is None:
            raise NotImplementedError
        return self.gives


gym.register("Named-v0", entry_point=Named, max_episode_steps=5)
gym.register("Silent-v0", entry_point=Silent, max_episode_steps=5)


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        (None, r"Silent-v0 cannot be rendered: NotImplementedError \(test_viewer.py, line \d+\)"),
        ("text", r"Silent-v0 draws no pictures: .* gave 'text'; a picture needs an array .* bytes"),
    ],
)
def test_why_there_are_no_pictures_is_a_whole_sentence(tmp_path, gives, says):
    env = {"id": "tests.viewing.test_viewer:Silent-v0", "kwargs": {"gives": gives}}
    config = {"env": env, "rollout": {"n_episodes": 1}}
    run = jaxmaze.record(config, tmp_path / "run", policy="random")
    viewer = jaxmaze.view(run, trust=True)
    found = viewer.replay(0, 0)
    assert re.fullmatch(says, found["says"]) and (found["frames"], found["differs_at"]) == (0, None)
    viewer.close()


def test_an_environment_that_draws_nothing_is_still_played_again(tmp_path):
    config = {"env": {"id": "tests.viewing.test_viewer:Named-v0"}, "rollout": {"n_episodes": 1}}
    run = jaxmaze.record(config, tmp_path / "run", policy="random")
    viewer = jaxmaze.view(run, trust=True)
    found = viewer.replay(0, 0)
    assert found["frames"] == 0 and found["differs_at"] is None and "draws nothing" in found["says"]
    assert viewer.frame(0, 0, 0) is None
    viewer.close()
    with h5py.File(run.folder / "trajectory_data/data/main_data.hdf5", "a") as file:
        file["episode_0/rewards"][2] = 7.0
    changed = jaxmaze.view(run, trust=True)
    assert changed.replay(0, 0)["differs_at"] == 3
    changed.close()


def test_code_that_a_folder_names_is_imported_only_if_trusted(
    recorded, cloned, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "marker"
    (tmp_path / "sown_view.py").write_text(f"open({str(marker)!r}, 'w').close()")
    for name, run in (("data", recorded), ("clone", cloned)):
        shutil.copytree(run.folder, tmp_path / name)
        about = json.loads((tmp_path / name / "config.json").read_text())
        about["config"]["env"]["id"] = "sown_view:Mine-v0"
        (tmp_path / name / "config.json").write_text(json.dumps(about))
    viewer = jaxmaze.view("data")
    assert "--trust" in viewer.overview()["sources"][0]["no_pictures"]
    assert viewer.episode(0, 0)["length"] > 0  # all else is there
    with pytest.raises(UserError, match="--trust"):
        jaxmaze.view("clone")
    fails(command("jaxmaze.view", "clone", "--export=x.html", cwd=tmp_path), "--trust", "sown_view")
    assert not marker.exists() and not (tmp_path / "x.html").exists()
    with pytest.raises(UserError, match=r"registers no such|cannot be made"):
        jaxmaze.view("clone", trust=True)
    assert marker.exists()
    own = jaxmaze.view("data", config={"env": {"id": "LunarLander-v3"}})
    assert own.replay(0, 0)["differs_at"] is None
    own.close()


def test_damaged_episodes_are_in_the_table_and_the_others_are_shown(recorded, tmp_path):
    shutil.copytree(recorded.folder, tmp_path / "run")
    with h5py.File(tmp_path / "run/trajectory_data/data/main_data.hdf5", "a") as file:
        del file["episode_2/rewards"]
        file["episode_3/rewards"][1] = np.nan
    viewer = jaxmaze.view(tmp_path / "run")
    rows = viewer.overview()["sources"][0]["rows"]
    assert rows["end"][2] == "cannot be read" and rows["total"][2] is None
    assert rows["total"][3] is None and viewer.episode(0, 3)["rewards"][1] is None
    with pytest.raises(UserError, match="episode 2 of run cannot be read"):
        viewer.episode(0, 2)
    with pytest.raises(UserError, match="has episodes 0 to 5"):
        viewer.episode(0, 6)
    assert json.loads(html.as_json(viewer.episode(0, 3)))["index"] == 3
    viewer.close()


def test_a_teachers_labels_are_what_policies_are_compared_with(small, tmp_path):
    run = jaxmaze.dagger(small, tmp_path / "dagger")
    viewer = jaxmaze.view(tmp_path / "dagger" / "seed_0", policies=[run])
    last = viewer.overview()["sources"][0]["episodes"] - 1
    e, kept = viewer.episode(0, last), viewer.sources[0].episode(last)
    assert e["labels"][0] == kept.labels[""].tolist() and e["labels"] != e["actions"]
    assert "the teacher's label" in e["measures"][0]["name"]
    p = np.array(e["policies"][0]["heads"][0]["p"], float)
    wanted = -np.log(p[np.arange(e["length"]), kept.labels[""]])
    np.testing.assert_allclose(e["measures"][0]["values"], wanted, rtol=0.02, atol=0.01)
    viewer.close()


@pytest.mark.slow
def test_the_value_is_the_critics_in_the_rewards_units(small, tmp_path):
    config = jaxmaze.override(small, {"members": 1})
    run = jaxmaze.fine_tune(config, None, tmp_path / "ppo")
    viewer = jaxmaze.view(run, n_episodes=1)
    value, critic = viewer.episode(0, 0)["policies"][0]["value"], viewer.judges[0].critic
    networks, e = viewer.judges[0].trained.networks, viewer.sources[0].episode(0)
    wanted = critic.scale * networks.value(critic.params, critic.stats, e.seen)
    np.testing.assert_allclose(value, wanted, rtol=1e-3, atol=1e-3)
    assert len(value) == len(e.rewards) + 1 and critic.scale != 1.0
    viewer.close()


def test_a_policy_of_other_spaces_is_refused_in_one_line(cloned, tmp_path):
    data = store(tmp_path / "data", [toy_episode()], OBS, S.Discrete(3))
    done = command("jaxmaze.view", data, f"--policies={cloned.folder}", "--export=x", cwd=tmp_path)
    fails(done, "was trained for", "the episodes have")
    fails(command("jaxmaze.view", cwd=tmp_path), "one or two folders")
    fails(command("jaxmaze.view", "nowhere", "--export=x", cwd=tmp_path), "nowhere is not a folder")
    fails(command("jaxmaze.view", data, f"--export={tmp_path}"), "is a folder; give a file")
    fails(command("jaxmaze.view", data, "--config.seed=3"), "give one too")
    config = {"env": {"id": "CartPole-v1"}, "rollout": {"n_episodes": 1}}
    played = jaxmaze.record(config, tmp_path / "played", save=False)
    with pytest.raises(UserError, match="no recorded episodes; play them with --record"):
        jaxmaze.view(played)
    with pytest.raises(UserError, match="heuristic is not a folder"):
        jaxmaze.view(data, policies=["heuristic"])


def toy_episode(steps=8):
    rng = np.random.default_rng(0)
    ends = np.arange(steps) == steps - 1
    return {
        "observations": rng.normal(size=(steps + 1, 3)).astype(np.float32),
        "actions": rng.integers(0, 3, steps),
        "rewards": np.ones(steps),
        "terminations": ends,
        "truncations": ends & False,
    }


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((9, 8), (9, 8)),
        ((9, 8, 1), (9, 8)),
        ((9, 8, 3), (9, 8, 3)),
        ((9, 8, 4), (9, 8)),
        ((3, 9, 20), (9, 20, 3)),
        ((4, 20, 21), (20, 21)),
        ((4, 9, 8, 3), (9, 8, 3)),
    ],
)
def test_observations_of_bytes_are_pictures(shape, wanted):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert traces.is_image(image[None]) and traces.as_picture(image).shape == wanted
    assert traces.png(traces.as_picture(image)).startswith(b"\x89PNG")
    assert not traces.is_image(np.zeros((5, 128), np.uint8))  # a game's memory
    assert not traces.is_image(np.zeros((5, 8, 8), np.float32))


# The server.


def ask(address, path, host=None):
    host_name, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host_name, int(port))
    connection.request("GET", path, headers={"Host": host or f"{host_name}:{port}"})
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, body


def test_the_server_answers_this_machine_and_its_own_page_alone(tmp_path):
    viewer = jaxmaze.view(store(tmp_path / "data", [toy_episode()], OBS, S.Discrete(3)))
    with served(viewer) as address:
        for path in ("/", "/page.js", "/api/overview", "/api/episode/0/0"):
            status, headers, _ = ask(address, path)
            assert status == 200
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert not any(name.startswith("access-control") for name in headers)
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
            status, _, body = ask(address, "/api/overview", host)
            assert status == 400 and b"sources" not in body
        assert ask(address, "/api/overview", "localhost:1")[0] == 200
        for path in ("/api/episode/0/7", "/api/episode/3/0", "/api/disagreements/0"):
            status, _, body = ask(address, path)
            assert status == 404 and "error" in json.loads(body)
        assert ask(address, "/page/../html.py")[0] == 404
        assert ask(address, "/frame/0/0/0")[0] == 204  # no seed, no picture
    viewer.close()


def test_without_the_servers_packages_it_says_what_to_install(tmp_path, monkeypatch):
    viewer = jaxmaze.view(store(tmp_path / "data", [toy_episode()], OBS, S.Discrete(3)))
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(UserError, match=r"pip install 'jaxmaze\[view\]'; --export"):
        viewer.serve()
    assert viewer.save(tmp_path / "page.html").is_file()


def test_a_page_holds_no_string_that_ends_its_script():
    held = html.as_json({"</script>": "<!--", "&": "]]>"})
    assert not set("<>&") & set(held)
    assert json.loads(held) == {"</script>": "<!--", "&": "]]>"}


def test_the_command_serves_until_ctrl_c_and_exports(tmp_path):
    data = store(tmp_path / "data", [toy_episode()], OBS, S.Discrete(3))
    arguments = [sys.executable, "-m", "jaxmaze", "view", str(data)]
    running = subprocess.Popen(
        arguments, env=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout.readline().startswith("note: no pictures of data: ")
    line = running.stdout.readline()
    address = line.split()[1].rstrip("/")
    assert line.endswith("Ctrl-C ends it\n") and address.startswith("http://127.0.0.1:")
    status, _, body = ask(address, "/api/overview")
    assert status == 200 and json.loads(body)["sources"][0]["episodes"] == 1
    taken = subprocess.run(
        [*arguments, f"--port={address.split(':')[2]}"], env=HERE, capture_output=True, text=True
    )
    fails(taken, "cannot be used", "give another")
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 0 and not running.stderr.read()
    done = command("jaxmaze.view", data, "--export=sub/page.html", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "sub/page.html"
    page = (tmp_path / "sub/page.html").read_text()
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
