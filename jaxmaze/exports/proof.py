"""Export of a run's policy to files, checked against the run's audit before it is kept."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from jaxmaze.core.distributions import Distribution
from jaxmaze.core.types import Json
from jaxmaze.errors import UserError
from jaxmaze.exports import FORMATS, function
from jaxmaze.exports.function import Loaded, Source
from jaxmaze.runs import checkpoint, disk, run_folder
from jaxmaze.training import audit

TOLERANCE = 1e-5
"""Largest difference of log-probabilities, relative to their size where that is above 1."""
ROUNDING = 1e-6
"""Rounding error of float32 in a distribution's parameters, relative to the largest of their
kind. If it changes a log-probability by more, as in a narrow Gaussian, that much is tolerated."""
FEW = 3
"""Rows of a smaller batch, on which the export must act as in the whole batch."""
ABOUT = "policy.json"


def export(run: Path, path: Path, format: str = "jax", member: int = 0) -> Json:
    """Write the policy that a run hands over into a folder.

    Args:
      run: the run's folder.
      path: the folder to write, new or empty; it appears whole or not at all.
      format: one of ``FORMATS``.
      member: which of the run's members.

    Returns:
      The content of ``policy.json``.

    Raises:
      UserError: one line: for a run without a policy or an audit record, a policy that the format
        cannot hold, or an export that does not reproduce the policy.
    """
    if format not in FORMATS:
        raise UserError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"{path} exists already; give another folder to write")
    run = run_folder.delivering(run)
    source, record = _read(run, member)
    kind, about = FORMATS[format], _about(source, run, format, member)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.whole(path) as temporary:
            temporary.mkdir()
            kind.write(source, temporary)
            about["proof"] = _prove(kind.load(source, temporary), source, record, run, format)
            run_folder.write_json(temporary / ABOUT, about)
    except ImportError as error:
        raise UserError(
            f"format {format} needs a package that is missing ({error.name}): {kind.NEEDS}"
        ) from error
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error
    except Exception as error:  # Compilers and runtimes may raise anything.
        line = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"the policy of {run} cannot be exported as {format}: {type(error).__name__}: "
            f"{line:.200}; nothing was written"
        ) from error
    return about


def _read(run: Path, member: int) -> tuple[Source, audit.Record]:
    """A member's policy, and its audit record.

    Raises:
      UserError: if there is no such member, or no record of this policy.
    """
    networks, population, meta = checkpoint.load_best(run)
    count = len(meta["seeds"])
    if not 0 <= member < count:
        raise UserError(f"{run} has members 0 to {count - 1}, not {member}")
    record = audit.read(run, networks)
    if record is None:
        raise UserError(
            f"{run} has no {audit.FILE}, which an export is checked against; a run has one once it "
            f"is finished: jaxmaze train --resume={run}"
        )
    if checkpoint.digest(population) != str(record.digest):
        raise UserError(
            f"{run} has another policy than its {audit.FILE} is about; train the run anew"
        )
    source = Source(networks, jax.tree.map(lambda x: x[member], population))
    each = {"obs", "action", "log_prob", "begin"} & set(record._fields)
    mine = {n: jax.tree.map(lambda x: x[member], getattr(record, n)) for n in each}
    return source, record._replace(**mine)


def _about(source: Source, run: Path, format: str, member: int) -> Json:
    """The description of inputs, outputs and origin in ``policy.json``."""
    networks = source.networks
    shapes = function.arguments(source, function.inputs(source, 1))
    outputs = jax.eval_shape(function.function(source), *shapes)

    def shown(named: Json) -> Json:
        # The batch may have any size: the first axis is N.
        return {
            name: {"shape": ["N", *x.shape[1:]], "dtype": str(x.dtype)} for name, x in named.items()
        }

    return {
        "format": format,
        "run": str(run),
        "member": member,
        "policy_sha256": checkpoint.digest(source.policy),
        "versions": run_folder.versions(),
        "observations": networks.spaces.obs.describe(),
        "actions": networks.spaces.action.describe(),
        "network": networks.spec._asdict(),
        "inputs": shown(function.inputs(source, 1)),
        "outputs": shown(outputs),
    }


def _prove(act: Loaded, source: Source, record: audit.Record, run: Path, format: str) -> Json:
    """Compare the loaded export with the run's audit record.

    Args:
      act: the loaded policy.
      source: the policy.
      record: the audit record of one member: ``[S, ...]``.
      run: the run that the record is of.
      format: the format of the export.

    Returns:
      The differences found.

    Raises:
      UserError: if they are too large.
    """
    begin = getattr(record, "begin", None)
    outputs = act(function.batch(source, record.obs))
    few = act(function.batch(source, jax.tree.map(lambda x: x[:FEW], record.obs)))
    if not all(np.allclose(x, outputs[n][:FEW], atol=1e-4, rtol=1e-4) for n, x in few.items()):
        raise UserError(
            f"the policy of {run} cannot be exported as {format}: it depends on the size of the "
            "batch; nothing was written"
        )
    if begin is not None:  # a sequence of states, with the hidden state between them
        outputs = function.in_turn(act, source, record.obs, begin)
    dist = function.distribution(source, outputs)
    gap = np.abs(np.asarray(dist.log_prob(record.action)) - record.log_prob)
    if not (gap <= _allowed(dist, record)).all():
        raise UserError(
            f"the policy of {run} cannot be exported as {format}: its log-probabilities would "
            f"differ by {gap.max():.2g} from those in {audit.FILE}, more than {TOLERANCE:g}; "
            "nothing was written"
        )
    modes = dict(function.named("action", source.networks.to_env(dist.mode())))
    for name, mode in modes.items():
        if not np.allclose(outputs[name], mode, atol=TOLERANCE, rtol=TOLERANCE):
            raise UserError(
                f"the policy of {run} cannot be exported as {format}: {name} is not its "
                "distribution's mode; nothing was written"
            )
    return {"states": int(gap.size), "max_log_prob_difference": float(gap.max())}


def _allowed(dist: Distribution, record: audit.Record) -> np.ndarray:
    """The tolerance of each log-probability ``[S]``."""

    def total(changed: Distribution) -> jax.Array:
        return changed.log_prob(record.action).sum()  # type: ignore[return-value]

    numbers, slopes = jax.tree.leaves(dist), jax.tree.leaves(jax.grad(total)(dist))
    moves = [
        # Sums of large terms that nearly cancel have the rounding error of the large terms.
        (np.abs(x).max(0) * np.abs(slope)).reshape(len(x), -1).sum(1)
        for x, slope in zip(numbers, slopes, strict=True)
    ]
    limit = TOLERANCE * np.maximum(1.0, np.abs(record.log_prob))
    allowed: np.ndarray = np.maximum(limit, ROUNDING * np.nan_to_num(sum(moves)))
    return allowed
