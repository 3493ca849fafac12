"""The engine on Ray: the visitors' side of ``LocalEngine``, with replicas in place of the thread that decodes.

The queue, places, fairness, pauses, kept runs and counts are those of this process. It loads no weights: of each model
it has the face (tokenizer, window, what it can do), which is all that a request is checked with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from backend.engine import LocalEngine
from backend.errors import BusyError
from backend.events import Event, RunRequest
from backend.handle import RunHandle
from backend.rays.cluster import Cluster, ReplicaLine
from backend.rays.courier import Courier
from backend.settings import Settings
from backend.shelf import Shelf

if TYPE_CHECKING:
    from backend.explanations.base import Explaining


class FaceShelf(Shelf):
    """The models of a front end: a replica loads the weights, this process the rest."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        super().__init__(settings)
        self._cluster = cluster
        self._lines: dict[str, str] = {}
        """Source -> the facts of its model in one line."""

    def line(self, name: str) -> str:
        """Return the facts of a loaded model in one line, or nothing."""
        return self._lines.get(self.source_of(name), "")

    def _read(self, source: str, **_: Any) -> object:
        from backend.models.loading import load_face

        facts = self._cluster.facts(source)
        self._lines[source] = facts["line"]
        return load_face(source, facts["weights_hash"])


class RayEngine(LocalEngine):
    """The engine of any number of machines; raises ``AppError`` when Ray is not there or does not answer."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = Cluster(settings)
        self._faces = FaceShelf(settings, self._cluster)
        super().__init__(settings, clock, self._faces, partial(Courier, ask=self._line))

    def card(self, name: str) -> str:
        """Return the facts of a loaded model in one line, or nothing."""
        return self._faces.line(name)

    def explaining(self, model_name: str, work: Callable[..., Explaining[Any]], run_id: str, events: Sequence[Event]) -> Explaining[Any]:
        """Return ``work(model, run_id, events)`` as it gets on at a replica; it raises what ``work`` raises there."""
        return self._cluster.explaining(self._faces.source_of(model_name), work, run_id, events)

    def close(self, seconds: float | None = None, why: str = "") -> bool:
        """Take no new runs, end every run, and leave the cluster; return whether the runs ended within ``seconds``."""
        done = super().close(seconds, why)
        self._cluster.close()
        return done

    def _line(self, model_name: str, request: RunRequest) -> ReplicaLine:
        return self._cluster.line(self._faces.source_of(model_name), request)

    def _refuse_beyond_limits(self, handle: RunHandle) -> None:
        super()._refuse_beyond_limits(handle)
        if self._cluster.pressed:
            raise BusyError("All replicas have as many runs as they may, those of other front ends among them.", self._advice())
