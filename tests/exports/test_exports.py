"""Policies as files: each format acts as the policy did, for all that a policy may be made of."""

import importlib.util
import json
import shutil
import subprocess
import sys

import flax.linen as nn
import jax
import jax.export
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import jaxmaze
from jaxmaze import exports
from jaxmaze.config import Settings
from jaxmaze.core import encoders
from jaxmaze.core.networks import Memory, Networks
from jaxmaze.core.observations import Observations, Part
from jaxmaze.core.spaces import Box, Discrete, Spaces
from jaxmaze.core.types import NetworkSpec, Policy
from jaxmaze.envs.environment import EnvConfig, EnvInfo
from jaxmaze.errors import UserError
from jaxmaze.exports import function, proof
from jaxmaze.exports.function import Source
from jaxmaze.runs import checkpoint, run_folder
from jaxmaze.training import audit
from tests.conftest import HERE, command
from tests.test_cli import fails

FLAT = Observations.array(5)
NESTED = Observations(
    (Part(("at", "goal"), (2,)), Part(("at", "me"), (3,)), Part(("seen",), (2, 2)))
)
FOUR = Discrete(4)
SMALL, SCALE = NetworkSpec((16, 8)), 0.5
TWO = Box((-1.0, -0.5), (1.0, 0.25))


@pytest.fixture(scope="module", autouse=True)
def onnx():
    """What the tests of all formats need; installed with the extras ``onnx`` and ``dev``."""
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("onnx")


def made(folder, obs=FLAT, action=FOUR, spec=SMALL, members=2, sharp=False):
    """A finished run with random policies, which have seen observations far from 0."""
    networks, rng = Networks(Spaces(obs, action), spec), np.random.default_rng(0)
    each = []
    for _ in range(members):
        shapes = networks.policy_shapes()
        params = jax.tree.map(lambda x: rng.normal(0, SCALE, x.shape).astype(np.float32), shapes)
        params = networks.project(params | ({"log_std": np.full(2, -3.0)} if sharp else {}))
        params = jax.tree.map(np.float32, params)
        mean, var = rng.normal(3, 5, obs.size), rng.uniform(0.01, 9, obs.size)
        stats = networks.init_stats()._replace(mean=np.float32(mean), var=np.float32(var))
        each.append(Policy(jax.device_get(params), stats))
    population = jax.tree.map(lambda *x: np.stack(x), *each)
    rows = rng.normal(3, 8, (members, audit.STATES, obs.size)).astype(np.float32)
    rows[:, 0] = 1e4  # beyond the clipping
    taken = np.stack([action.from_env(action.uniform(rng, audit.STATES)) for _ in each])
    if sharp:  # actions that such policies would take
        for policy, mine, actions in zip(each, obs.unflatten(rows), taken, strict=True):
            dist = networks.distribution(policy.params, policy.obs_stats, mine)
            actions[:] = dist.sample(jax.random.key(0))
    info = EnvInfo(EnvConfig("none"), EnvSpec("none"), None, None, networks.spaces)
    run_folder.claim(folder, run_folder.identity(Settings(), "bc"))
    with checkpoint.Checkpoints(folder) as checkpoints:
        meta = checkpoint.describe(networks, tuple(range(members)), "bc")
        checkpoints.save(1, {"nothing": np.zeros(1)}, population, meta)
    audit.write(folder, networks, population, info, Settings(), (obs.unflatten(rows), taken))
    run_folder.write_json(folder / "summary.json", {"kind": "bc", "members": []})
    return networks, each, obs.unflatten(rows)


def acts(format, networks, policy, folder):
    """What was written, loaded from the disk."""
    source = Source(networks, policy)
    loaded = exports.FORMATS[format].load(source, folder)
    return lambda obs: loaded(function.batch(source, obs))


CASES = [
    *((FLAT, FOUR, NetworkSpec((16, 8), name)) for name in encoders.ACTIVATIONS),
    (FLAT, TWO, NetworkSpec((16,), "tanh")),
    (FLAT, TWO, NetworkSpec((), "tanh")),
    (NESTED, TWO, NetworkSpec((32, 32), "gelu")),
    (FLAT, Box((-200.0, 3.0), (200.0, 3.5)).in_units(), NetworkSpec((16,), "tanh")),
    (NESTED, FOUR, NetworkSpec((32,), "silu")),
    (FLAT, Box((-2.0,), (2.0,), dims=()), NetworkSpec((16,), "tanh")),  # one number, no array
]


@pytest.mark.parametrize(
    "format,case",
    [(f, i) for f in exports.FORMATS for i in range(len(CASES)) if f != "jax" or i % 3 == 2],
)
def test_an_export_acts_as_the_policy_in_batches_of_any_size(format, case, tmp_path):
    obs, action, spec = CASES[case]
    networks, each, rows = made(tmp_path / "run", obs, action, spec)
    out = jaxmaze.export(tmp_path / "run", tmp_path / "out", format, member=1)
    mine = jax.tree.map(lambda x: x[1], rows)
    act, policy = acts(format, networks, each[1], out), jaxmaze.load_policy(tmp_path / "run", 1)
    for count in (1, audit.STATES):
        some = jax.tree.map(lambda x, n=count: x[:n], mine)
        outputs = act(some)
        dist = networks.distribution(each[1].params, each[1].obs_stats, some)
        np.testing.assert_allclose(outputs["action"], policy(some), atol=1e-4, rtol=1e-5)
        for name, x in dist._asdict().items():
            np.testing.assert_allclose(outputs[name], x, atol=1e-4, rtol=1e-4)
    about = json.loads((out / "policy.json").read_text())
    assert about["format"] == format and about["member"] == 1
    assert about["proof"]["states"] == 512
    assert about["proof"]["max_log_prob_difference"] < 1e-2
    assert set(about["outputs"]) == set(outputs)
    assert {n: s["shape"][1:] for n, s in about["outputs"].items()} == {
        n: list(x.shape[1:]) for n, x in outputs.items()
    }


class Remembering(nn.Module):
    """A gated recurrent unit: what an encoder that remembers is made of."""

    obs: object
    spec: NetworkSpec

    @staticmethod
    def carry_size(spec):
        return spec.hidden_sizes[-1]

    @nn.compact
    def __call__(self, rows, carry, begin):
        carry = carry * (1.0 - begin)[..., None]
        carry, features = nn.GRUCell(self.spec.hidden_sizes[-1], name="cell")(carry, rows)
        return carry, features


class Seeing(nn.Module):
    """Convolutions with a residual and pooling: what an encoder of images is made of."""

    obs: object
    spec: NetworkSpec

    @staticmethod
    def carry_size(spec):
        return 0

    @nn.compact
    def __call__(self, rows, carry, begin):
        lead = rows.shape[:-1]
        image = rows.reshape((-1, 12, 10, 3))
        image = nn.Conv(4, (4, 4), (2, 2), padding="VALID", name="first")(image)
        image = nn.max_pool(image, (3, 3), (2, 2), padding="SAME")
        image = image + nn.Conv(4, (3, 3), name="second")(nn.relu(image))
        image = nn.LayerNorm(name="norm")(image)
        return nn.relu(nn.Dense(8, name="last")(image.reshape((*lead, -1)))), carry


@pytest.mark.parametrize("format", ["jax", "onnx"])
def test_what_sees_is_exported(format, tmp_path, monkeypatch):
    monkeypatch.setitem(encoders.ENCODERS, "seeing", Seeing)
    obs = Observations.array(12, 10, 3, dtype=np.uint8)
    networks, each, rows = made(tmp_path / "run", obs, FOUR, NetworkSpec((), encoder="seeing"))
    out = jaxmaze.export(tmp_path / "run", tmp_path / "out", format)
    outputs = acts(format, networks, each[0], out)(rows[0][:5])
    dist = networks.distribution(each[0].params, each[0].obs_stats, rows[0][:5])
    np.testing.assert_allclose(outputs["logits"], dist.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("format", ["jax", "onnx"])
def test_what_remembers_is_exported_with_its_memory(format, tmp_path, monkeypatch):
    monkeypatch.setitem(encoders.ENCODERS, "remembering", Remembering)
    spec = NetworkSpec((8,), encoder="remembering")
    networks, each, rows = made(tmp_path / "run", spec=spec)
    out = jaxmaze.export(tmp_path / "run", tmp_path / "out", format)
    loaded = exports.FORMATS[format].load(Source(networks, each[0]), out)
    carry, wanted = np.zeros((3, 8), np.float32), np.zeros((3, 8), np.float32)
    for t in range(4):
        given = {"obs": rows[0, t : t + 3], "carry": carry, "begin": np.float32([t == 0] * 3)}
        outputs = loaded(given)
        dist, wanted = networks.step(each[0], given["obs"], wanted, given["begin"])
        carry = outputs["next_carry"]
        np.testing.assert_allclose(outputs["logits"], dist.logits, atol=1e-5)
        np.testing.assert_allclose(carry, wanted, atol=1e-5)
    fails_to(tmp_path, "npz", "plain layers .*, not the encoder 'remembering'")


def test_states_in_turn_are_what_a_sequence_is(tmp_path, monkeypatch):
    monkeypatch.setitem(encoders.ENCODERS, "remembering", Remembering)
    networks, each, rows = made(tmp_path / "run", spec=NetworkSpec((8,), encoder="remembering"))
    source, begin = Source(networks, each[0]), np.float32([1, 0, 0, 1, 0, 0, 0])
    act = jax.jit(lambda given: function.function(source)(*function.arguments(source, given)))
    found = function.in_turn(act, source, rows[0, :7], begin)
    memory = Memory(np.zeros(8, np.float32), begin)
    policy = each[0]
    wanted = networks.distribution(policy.params, policy.obs_stats, rows[0, :7], memory)
    np.testing.assert_allclose(found["logits"], wanted.logits, atol=1e-5)


def fails_to(folder, format, words):
    """An export ends in one line that holds the words, and leaves nothing behind."""
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match=words):
        jaxmaze.export(folder / "run", folder / "wrong", format)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("format", exports.FORMATS)
def test_a_sharp_gaussian_is_compared_as_far_as_float32_goes(format, tmp_path, monkeypatch):
    made(tmp_path / "run", FLAT, TWO, NetworkSpec((64, 64)), sharp=True)
    out = jaxmaze.export(tmp_path / "run", tmp_path / "out", format)
    about = json.loads((out / "policy.json").read_text())
    assert about["proof"]["max_log_prob_difference"] < 3e-3
    change_weights(format, monkeypatch)
    fails_to(tmp_path, format, "log-probabilities would differ")


def change_weights(format, monkeypatch):
    """Let a format write weights that are slightly wrong."""
    written = exports.FORMATS[format].write

    def slightly_wrong(source, folder):
        params = jax.tree.map(lambda x: x * np.float32(1 + 1e-4), source.policy.params)
        written(source._replace(policy=source.policy._replace(params=params)), folder)

    monkeypatch.setattr(exports.FORMATS[format], "write", slightly_wrong)


@pytest.mark.parametrize("format", exports.FORMATS)
def test_an_export_that_acts_otherwise_is_not_written(format, tmp_path, monkeypatch):
    made(tmp_path / "run")
    change_weights(format, monkeypatch)
    fails_to(tmp_path, format, r"log-probabilities would differ by .*more than 1e-05")


def test_an_export_of_another_policy_than_the_audits_is_refused(tmp_path):
    made(tmp_path / "run")
    record = dict(np.load(tmp_path / "run" / "audit.npz"))
    np.savez(tmp_path / "run" / "audit.npz", **record | {"digest": np.array("0" * 64)})
    fails_to(tmp_path, "npz", "another policy than its audit.npz")
    record["log_prob"][0, np.abs(record["log_prob"][0]).argmin()] += 1e-4
    np.savez(tmp_path / "run" / "audit.npz", **record)
    fails_to(tmp_path, "npz", r"log-probabilities would differ by 0\.0001 from")
    (tmp_path / "run" / "audit.npz").unlink()
    fails_to(tmp_path, "jax", r"has no audit\.npz.*--resume")


def test_what_cannot_be_exported_is_one_line(tmp_path, monkeypatch):
    made(tmp_path / "run")
    fails_to(tmp_path, "tflite", "no format 'tflite'; choose one of jax, npz, onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    fails_to(tmp_path, "onnx", r"a package that is missing.*jaxmaze\[onnx\]")
    monkeypatch.undo()
    with pytest.raises(UserError, match="members 0 to 1, not 2"):
        jaxmaze.export(tmp_path / "run", tmp_path / "wrong", member=2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="exists already"):
        jaxmaze.export(tmp_path / "run", tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="is not a folder"):
        jaxmaze.export(tmp_path / "nowhere", tmp_path / "wrong")
    encoder = type(
        "Sorting", (Seeing,), {"__call__": nn.compact(lambda s, r, c, b: (r.sort(-1), c))}
    )
    monkeypatch.setitem(encoders.ENCODERS, "sorting", encoder)
    shutil.rmtree(tmp_path / "run")
    made(tmp_path / "run", spec=NetworkSpec(encoder="sorting"))
    fails_to(tmp_path, "onnx", "does not know the operation 'sort'")


def test_the_script_needs_numpy_alone_and_tells_the_formula(tmp_path):
    networks, each, rows = made(tmp_path / "run", NESTED, TWO)
    out = jaxmaze.export(tmp_path / "run", tmp_path / "out", "npz")
    assert sorted(p.name for p in out.iterdir()) == ["policy.json", "policy.npz", "read_policy.py"]
    assert len((out / "read_policy.py").read_text().splitlines()) <= 35
    with np.load(out / "policy.npz", allow_pickle=False) as file:
        assert all(x.dtype == np.float32 for x in file.values())
    spec = importlib.util.spec_from_file_location("read_policy", out / "read_policy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mine = jax.tree.map(lambda x: x[0], rows)
    outputs = module.policy(mine)
    dist = networks.distribution(each[0].params, each[0].obs_stats, mine)
    action = np.clip(outputs["mean"], -2, 2)
    log_std = outputs["log_std"]  # and by the formula in the script's docstring:
    z = (action - outputs["mean"]) / np.exp(log_std)
    log_prob = (-(z**2) / 2 - log_std - np.log(2 * np.pi) / 2).sum(-1)
    np.testing.assert_allclose(log_prob, dist.log_prob(action), rtol=1e-4, atol=1e-4)
    code = "import sys, read_policy; print({'jax', 'jaxmaze'} & {*sys.modules})"
    alone = subprocess.run([sys.executable, "-c", code], cwd=out, capture_output=True, text=True)
    assert alone.stdout == "set()\n", alone.stderr


def test_the_stablehlo_is_loaded_by_jax_alone(tmp_path):
    _, _, rows = made(tmp_path / "run", NESTED, FOUR)
    out = jaxmaze.export(tmp_path / "run", tmp_path / "out")
    mine = jax.tree.map(lambda x: x[0, :9], rows)
    np.savez(tmp_path / "obs.npz", goal=mine["at"]["goal"], me=mine["at"]["me"], seen=mine["seen"])
    code = (
        "import sys, jax, jax.export, numpy as np\n"
        "x = np.load('obs.npz')\n"
        "obs = {'at': {'goal': x['goal'], 'me': x['me']}, 'seen': x['seen']}\n"
        "f = jax.export.deserialize(open('out/policy.stablehlo', 'rb').read())\n"
        "assert set(f.platforms) >= {'cpu', 'cuda', 'tpu'} and 'jaxmaze' not in sys.modules\n"
        "print(f.call(obs)['action'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=HERE, capture_output=True, text=True
    )
    policy = jaxmaze.load_policy(tmp_path / "run")
    assert json.loads(done.stdout) == policy(mine).tolist(), done.stderr
    assert out == tmp_path / "out"


def test_a_trained_policy_is_exported_by_the_command(cloned, tmp_path):
    for format in exports.FORMATS:
        jaxmaze.export(cloned, tmp_path / format, format, member=1)
    words = ("jaxmaze.export", "--format", "npz", cloned.folder, "--member=1")
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1]
    assert folder.parent == tmp_path / "outputs" / "run-export"
    same = [(path / "policy.npz").read_bytes() for path in (folder, tmp_path / "npz")]
    assert same[0] == same[1]
    fails(command(*words, "--workdir", folder), "exists already")
    fails(command("jaxmaze.export", cwd=tmp_path), "give the folder of one run")
    fails(command("jaxmaze.export", cloned.folder, "--config.seed=1"), "takes no --config fields")


def test_the_limit_is_the_issues():
    assert proof.TOLERANCE == 1e-5
