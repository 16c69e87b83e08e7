"""Imitation learning and fine-tuning on ordinary gymnasium environments, compiled by JAX.

The whole workflow in plain Python::

    import jaxmaze

    config = jaxmaze.load_config("configs/lunar_lander.py")
    teacher = jaxmaze.record(config, "outputs/teacher", policy="heuristic", n_episodes=100)
    clone = jaxmaze.clone(config, teacher, "outputs/clone")
    tuned = jaxmaze.fine_tune(config, clone, "outputs/tuned")
    print(jaxmaze.evaluate(config, tuned))
    policy = jaxmaze.load_policy("outputs/tuned")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxmaze.api import (
        LoadedPolicy,
        Run,
        UserError,
        Viewer,
        clone,
        compare,
        convert,
        dagger,
        dataset,
        evaluate,
        export,
        fine_tune,
        inspect,
        load_config,
        load_policy,
        make_config,
        open_run,
        override,
        record,
        report,
        resume,
        train,
        video,
        view,
    )

__all__ = [
    "LoadedPolicy",
    "Run",
    "UserError",
    "Viewer",
    "clone",
    "compare",
    "convert",
    "dagger",
    "dataset",
    "evaluate",
    "export",
    "fine_tune",
    "inspect",
    "load_config",
    "load_policy",
    "make_config",
    "open_run",
    "override",
    "record",
    "report",
    "resume",
    "train",
    "video",
    "view",
]


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `jaxmaze train --help` need not import JAX.
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("jaxmaze.api"), name)
    raise AttributeError(f"module 'jaxmaze' has no attribute {name!r}")
