"""One program over members: the same on a CPU's cores as in a batch, and compiled once."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmaze.runs import console, live
from jaxmaze.training import compiled


@contextlib.contextmanager
def compilations():
    """The names of what is compiled meanwhile (or taken from the cache on disk)."""
    found = []
    event = "/jax/core/compile/backend_compile_duration"
    active = True

    def listen(name, _seconds, **_):
        if active and name == event:
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    active = False


def step(x, scale, shift):
    """Of one member; ``scale`` is shared."""
    return {"y": jnp.tanh(x @ scale) + shift, "n": x.sum()}


@pytest.mark.parametrize("members", [1, 2, 3, 4])
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_members_are_computed_each_for_itself(monkeypatch, members, backend):
    """Also in the batch that accelerators are given."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    rng = np.random.default_rng(0)
    x, shift = rng.normal(size=(members, 5, 3)), rng.normal(size=(members, 4))
    x, shift, scale = (a.astype(np.float32) for a in (x, shift, rng.normal(size=(3, 4))))
    program = compiled.vmap_members(step, members, shared=(1,))
    found = jax.device_get(program(x, scale, shift))
    for m in range(members):
        alone = step(x[m], scale, shift[m])
        jax.tree.map(lambda a, b, m=m: np.testing.assert_allclose(a[m], b, atol=1e-5), found, alone)
    assert program.failed is None


def test_what_was_prepared_is_not_compiled_again():
    program = compiled.vmap_members(lambda x, y: x * 3 + y, 2)
    one = jax.ShapeDtypeStruct((2, 7), np.float32)
    program.prepare(one, one)
    program.wait()
    args = (np.ones((2, 7), np.float32),) * 2
    with compilations() as found:
        np.testing.assert_array_equal(program(*args), 4 * args[0])
    assert not found
    with compilations() as found:  # the measure itself can fail
        program(*(x[:, :5] for x in args))
    assert found


def test_what_could_not_be_prepared_is_kept():
    program = compiled.vmap_members(lambda x: x @ x, 1)
    program.prepare(jax.ShapeDtypeStruct((1, 2, 3), np.float32))
    program.wait()
    assert isinstance(program.failed, TypeError)


def test_what_is_waited_for_is_named(monkeypatch):
    monkeypatch.setattr(live, "EVERY", 1e9)
    named = []

    def made(arguments):
        return lambda x: named.append(console._works[-1].doing)

    program = compiled.Program(made)
    with console.progress("work", 2):
        program(1)
        program(2)
    assert named == [("compiles",), ()]
