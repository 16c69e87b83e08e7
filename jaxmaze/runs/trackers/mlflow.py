"""MLflow, at ``MLFLOW_TRACKING_URI``; its own default is ``mlflow.db`` in the working folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxmaze.core.types import Json
from jaxmaze.runs.trackers import About, Point, flat

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MOST_METRICS, MOST_PARAMS, LONGEST = 1000, 100, 6000
"""What the server takes at once: metrics, parameters, characters of a parameter."""
_LOCAL = ("sqlite:", "file:")


def check() -> None:
    """Nothing is needed but the package."""


def start(about: About, key: Json | None) -> Mlflow:
    """Open a run, or go on with it."""
    import mlflow
    from mlflow.entities import Param
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # a new database is no news
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A local store is found again from another working folder; an address may hold a password.
    uri = mlflow.get_tracking_uri() if key is None else key.get("uri") or mlflow.get_tracking_uri()
    client = MlflowClient(uri)
    if key is not None:
        client.update_run(key["run_id"], status="RUNNING")
        return Mlflow(client, key, resumed=True)
    tags = {"mlflow.source.name": "jaxmaze", "group": about.group, "folder": str(about.folder)}
    run_id = client.create_run(
        _experiment(client, about.project), run_name=about.name, tags=tags
    ).info.run_id
    params = [Param(k, str(v)[:LONGEST]) for k, v in flat(about.config).items()]
    for at in range(0, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[at : at + MOST_PARAMS])
    kept = {"uri": uri} if uri.startswith(_LOCAL) else {}
    return Mlflow(client, {"run_id": run_id, **kept})


def _experiment(client: MlflowClient, name: str) -> str:
    """The experiment's id; arms that start side by side may all try to make it."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    try:
        return client.create_experiment(name)
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id


class Mlflow:
    """A run at MLflow, which has figures and pictures, but no histograms."""

    def __init__(self, client: MlflowClient, key: Json, resumed: bool = False):
        self._client, self.key, self._resumed = client, key, resumed
        self._known: dict[str, int] = {}
        uri = client.tracking_uri
        self.place = f"mlflow ui --backend-store-uri {uri}" if uri.startswith(_LOCAL) else uri

    def send(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(point.tag, float(point.value), now, point.step)
            for point in points
            if isinstance(point.value, float | int) and point.step > self._last(point.tag)
        ]
        for at in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self.key["run_id"], metrics=metrics[at : at + MOST_METRICS])
        for point in points:
            if isinstance(point.value, np.ndarray):
                self._client.log_image(self.key["run_id"], point.value, f"{point.tag}.png")

    def _last(self, tag: str) -> int:
        """The last step that is there from before an interruption; -1 for none."""
        if not self._resumed:
            return -1
        if tag not in self._known:
            history = self._client.get_metric_history(self.key["run_id"], tag)
            self._known[tag] = max((metric.step for metric in history), default=-1)
        return self._known[tag]

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self.key["run_id"], "FINISHED" if finished else "KILLED")
