"""Orbax checkpoints of a run: the full training state, the best policies, and metadata.

A checkpoint ``checkpoints/<step>/`` has three items: ``state`` (the full training state), ``best``
(each member's best policy so far, a :class:`jaxmaze.core.types.Policy` with a leading axis of
members) and ``meta`` (spaces, network, seeds), from which a policy can be rebuilt without the
environment. The newest two are kept; each holds both the best policies and the latest state.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import jax
import numpy as np

from jaxmaze.core.networks import Networks
from jaxmaze.core.spaces import Spaces
from jaxmaze.core.types import Json, NetworkSpec, Policy, PyTree
from jaxmaze.errors import UserError
from jaxmaze.runs import disk

FOLDER = "checkpoints"
ROOM = 2**16
"""Bytes that a checkpoint may take in addition to twice its arrays."""


def describe(networks: Networks, seeds: tuple[int, ...], kind: str) -> Json:
    """The content of the item ``meta``."""
    return {
        "kind": kind,
        "seeds": list(seeds),
        "spaces": networks.spaces.to_plain(),
        "network": networks.spec._asdict(),
    }


def networks_of(meta: Json) -> Networks:
    """The networks that ``meta`` describes."""
    network = dict(meta["network"])
    network["hidden_sizes"] = tuple(network["hidden_sizes"])
    return Networks(Spaces.from_plain(meta["spaces"]), NetworkSpec(**network))


def there(run: Path) -> bool:
    """Whether a run's folder has checkpoints at all."""
    return (run / FOLDER).is_dir()


def blank_policies(networks: Networks, members: int) -> Policy:
    """Policies of zeros ``[M, ...]``, with the shapes of the networks' parameters."""
    shapes = Policy(networks.policy_shapes(), networks.init_stats())
    return jax.tree.map(lambda x: np.zeros((members, *x.shape), x.dtype), shapes)


def _like(template: PyTree, tree: PyTree) -> PyTree:
    """``tree`` with the structure of ``template``; dtypes and shapes must agree.

    Without this check Orbax would cast or reshape silently.
    """

    def leaf(t: np.ndarray, x: PyTree) -> np.ndarray:
        if t.dtype != x.dtype or t.shape != x.shape:
            raise UserError(
                f"the checkpoint holds {x.dtype}{x.shape} where the run needs {t.dtype}{t.shape}; "
                "was it written with another network?"
            )
        return np.asarray(x)

    return jax.tree.map(leaf, template, tree)


def _check_files(item: Path) -> None:
    """Read all arrays of a checkpoint's item once, one after another, to find damaged files.

    Orbax reads them all at once; if several fail, its storage threads print tracebacks.

    Raises:
      ValueError: if a file is missing or truncated.
    """
    import tensorstore

    if not item.is_dir():
        return  # Orbax reports this error in one line itself.
    base = {"driver": "file", "path": f"{item}/"}
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
    keys = store.list().result()
    if not keys:
        raise ValueError(f"there are no arrays in {item.name}")
    for key in keys:
        if not store.read(key).result().value:  # a missing file reads as empty
            raise ValueError(f"{key.decode()} has lost its file")


class Checkpoints:
    """The checkpoints of one run's folder."""

    def __init__(self, run: Path, read_only: bool = False):
        import orbax.checkpoint as ocp

        self._ocp = ocp
        folder = (run / FOLDER).resolve()
        if read_only and not folder.is_dir():
            raise UserError(f"{run} has no checkpoint; give the folder of a bc or ppo run")
        options = ocp.CheckpointManagerOptions(
            create=not read_only,
            preservation_policy=None
            if read_only
            else (ocp.checkpoint_managers.preservation_policy.LatestN(2)),
        )
        self._run, self._folder = run, folder
        self._manager = ocp.CheckpointManager(
            folder, options=options, item_names=("state", "best", "meta")
        )

    def save(self, step: int, state: PyTree, best: Policy, meta: Json) -> None:
        """Save a checkpoint of numpy arrays in the background; it appears whole or not at all.

        Raises:
          OSError: if the disk has no room for it.
        """
        size = sum(np.asarray(x).nbytes for x in jax.tree.leaves((state, best)))
        disk.check_room(self._folder / str(step), 2 * size + ROOM)
        args = self._ocp.args
        self._manager.save(
            step,
            args=args.Composite(
                state=args.StandardSave(state),
                best=args.StandardSave(best),
                meta=args.JsonSave(meta),
            ),
            force=True,
        )

    def latest(self) -> int | None:
        """The newest whole checkpoint's step, None without any."""
        return self._manager.latest_step()

    def meta(self, step: int | None = None) -> Json:
        """A checkpoint's description, the newest's by default.

        Raises:
          UserError: if there is no whole checkpoint.
        """
        return self._restore("meta", self._ocp.args.JsonRestore(), step)

    def steps(self) -> list[int]:
        """Steps of all whole checkpoints."""
        return list(self._manager.all_steps())

    def drop_after(self, step: int) -> None:
        """Delete checkpoints newer than ``step``, because training will write them again."""
        for newer in self.steps():
            if newer > step:
                self._manager.delete(newer)

    def wait(self) -> None:
        """Wait until what was saved is on disk."""
        self._manager.wait_until_finished()

    def restore(self, template: PyTree, step: int | None = None) -> PyTree:
        """A checkpoint's training state, with structure, dtypes and shapes of a template.

        Args:
          template: a state like the one that was saved.
          step: which checkpoint; the newest by default.

        Raises:
          UserError: if there is none, or it does not fit.
        """
        args = self._ocp.args.StandardRestore(template)
        return _like(template, self._restore("state", args, step))

    def best(self, networks: Networks, members: int) -> Policy:
        """Each member's best policy, arrays ``[M, ...]`` on the host.

        Raises:
          UserError: if there is none, or it does not fit.
        """
        template = blank_policies(networks, members)
        restored = self._restore("best", self._ocp.args.StandardRestore(template))
        return _like(template, restored)

    def arrays(self) -> PyTree:
        """The newest training state as it lies on disk: nested dicts and lists of arrays.

        Raises:
          UserError: if there is none.
        """
        return self._restore("state", self._ocp.args.StandardRestore())

    def _restore(self, item: str, args: PyTree, step: int | None = None) -> PyTree:
        step = self.latest() if step is None else step
        if step is None:
            raise UserError(f"{self._run} has no whole checkpoint; give a run that has saved one")
        try:
            if item != "meta":
                _check_files(self._folder / str(step) / item)
            restored = self._manager.restore(step, args=self._ocp.args.Composite(**{item: args}))
        except UserError:
            raise
        except Exception as error:  # Orbax passes on any error of its storage.
            raise UserError(self._damaged(step, error)) from error
        return restored[item]

    def _damaged(self, step: int, error: Exception) -> str:
        """An error message for a damaged checkpoint, with a remedy."""
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        earlier = [other for other in self.steps() if other < step]
        return (
            f"the checkpoint {self._run / FOLDER / str(step)} cannot be read: "
            f"{line if len(line) <= 200 else line[:200] + '...'}; "
            + (
                f"delete that folder to use the checkpoint before it, {max(earlier)}"
                if earlier
                else "there is none before it, so train the run anew in another folder"
            )
        )

    def close(self) -> None:
        """Wait for what is being written."""
        self._manager.wait_until_finished()
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def digest(policies: Policy) -> str:
    """SHA-256 over all parameters and statistics, in hexadecimal."""
    sha = hashlib.sha256()
    for leaf in jax.tree.leaves(policies):
        sha.update(np.asarray(leaf).tobytes())
    return sha.hexdigest()


def load_best(run: Path) -> tuple[Networks, Policy, Json]:
    """A run's networks, each member's best policy ``[M, ...]``, and the description.

    Raises:
      UserError: if the folder has no checkpoint that can be read.
    """
    with Checkpoints(run, read_only=True) as checkpoints:
        meta = checkpoints.meta()
        try:
            networks, members = networks_of(meta), len(meta["seeds"])
        except (KeyError, TypeError) as error:
            raise UserError(f"the checkpoint of {run} does not describe its networks") from error
        return networks, checkpoints.best(networks, members), meta
