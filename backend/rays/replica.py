"""What runs on the other side: a ``LocalEngine`` that decodes, or a ``Bureau`` that explains, behind Ray Serve.

A replica is the engine of one machine without visitors. So runs of one replica share forward passes, a pass that hangs
is given up, memory that runs out is told with its remedy, and a line that closes ends its run before the next pass.
Models come and go by Serve's multiplexing: the least recently used one leaves when another needs its place.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve

from backend.decoders.catalogue import register_modules
from backend.describe import describe
from backend.engine import LocalEngine
from backend.errors import AppError, BusyError
from backend.events import from_json, request_from_json, to_lines
from backend.explanations.jobs import Bureau
from backend.models.placing import BALANCED
from backend.rays.wire import refused
from backend.settings import Settings
from backend.shelf import Shelf
from backend.worker import ended_by

log = logging.getLogger(__name__)

EVERY_S = 0.01
"""Time between two batches of events of one run, at least: steps that come faster travel together."""

LOOK_S = 0.25
"""How often a long explanation says how far it is, at least."""


class SpreadShelf(Shelf):
    """Loads every model over all GPUs that the replica has."""

    def _read(self, source: str, **options: Any) -> object:
        return super()._read(source, device=BALANCED, **options)


class Held:
    """A model that a replica has in memory; Serve deletes it when another one needs the place."""

    def __init__(self, name: str, model: Any, forget: Callable[[str], None]) -> None:
        self.name, self.model = name, model
        self._forget = forget

    def __del__(self) -> None:
        # Serve calls this itself when it lets go, the interpreter once more when nothing refers to it.
        forget, self._forget = self._forget, lambda _: None
        forget(self.name)


class Replica:
    """What both kinds have: models by their source, and threads that wait, so that the event loop does not."""

    def __init__(self, settings: Settings) -> None:
        register_modules(settings.decoders)
        self._settings = settings
        self._shelf = (SpreadShelf if settings.replica_gpus > 1 else Shelf)(settings)
        # Each run or explanation waits on a thread, loading on one more.
        self._threads = ThreadPoolExecutor(settings.replica_runs + 1, "unmask-replica")

    async def reconfigure(self, config: Mapping[str, str]) -> None:
        """Load the model that visitors begin with, before the first of them comes; Serve calls this at the start.

        It sends runs by preference where their model is: a replica that had none yet would get few.
        """
        try:
            await self.held(config["model"])
        except AppError as error:
            log.error("%s", error)  # whoever asks for it is told

    async def hold(self, source: str) -> Held:
        """Return the model of a source, loading it when needed; raises ``ModelError``."""
        name = (await self._aside(self._shelf.open, source)).name
        return Held(name, await self._aside(self._shelf.load, name), self.forget)

    def forget(self, name: str) -> None:
        """Let go of a model; its memory is free once nothing works on it."""
        self._shelf.put_away(name)

    async def held(self, source: str) -> Held:
        """Return what ``hold`` does, from as many models as a replica keeps (``with_models``)."""
        return await self.hold(source)

    async def _asked(self) -> Held:
        return await self.held(serve.get_multiplexed_model_id())

    async def _aside(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)


class Decoding(Replica):
    """Decodes runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._engine = LocalEngine(settings, shelf=self._shelf)

    def forget(self, name: str) -> None:
        """Let go of a model, here and where the engine keeps its runs."""
        self._engine.let_go(name)

    async def facts(self) -> Mapping[str, Any]:
        """Return what a front end shows of a model that it has not loaded, or the refusal."""
        try:
            model = (await self._asked()).model
        except AppError as error:
            return {"refused": refused(error)}
        return {"weights_hash": model.weights_hash, "line": describe(model).line().partition(": ")[2]}

    async def decode(self, request: Mapping[str, Any]) -> AsyncIterator[list[str]]:
        """Yield the events of one run as lines of JSON, several at a time; a reader that leaves ends it.

        Raises ``BusyError`` where this replica takes no runs any more: another one will.
        """
        try:
            name = (await self._asked()).name
            handle = await self._aside(self._engine.submit, name, request_from_json(request))
        except BusyError:
            raise
        except AppError as error:
            yield [*to_lines([ended_by("error", str(error))])]
            return
        batches = handle.batches(EVERY_S)
        try:
            while (batch := await self._aside(next, batches, None)) is not None:
                if batch:
                    yield [*to_lines(batch)]
        finally:
            handle.cancel()  # nothing happens to one that is over

    async def check_health(self) -> None:
        """Raise when models have kept too many threads: Serve then starts this replica anew."""
        counts = self._engine.counts()
        if counts.stuck and counts.full:
            raise RuntimeError(f"{counts.stuck} passes did not come back.")


class Explaining(Replica):
    """Explains tokens of runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        # Serve lets so many in; as many again, whose readers left, may still be at their last piece.
        self._bureau = Bureau(2 * settings.replica_runs, settings.pass_time_s, threads=settings.threads)

    async def explain(self, work: Callable[..., Any], run_id: str, lines: Iterable[str]) -> AsyncIterator[dict[str, Any]]:
        """Yield how far ``work(model, run_id, events)`` is, then its ``answer`` or the refusal; a reader who leaves stops it."""
        try:
            model = (await self._asked()).model
            events = tuple(map(from_json, lines))
            job = self._bureau.begin(secrets.token_hex(8), _late(work, model, run_id, events), (stirred := threading.Event()).set)
        except AppError as error:
            yield {"refused": refused(error)}
            return
        try:
            while not job.over.is_set():
                await self._aside(stirred.wait, LOOK_S)
                stirred.clear()
                self._bureau.look()
                yield {"done": job.progress.done, "total": job.progress.total}
            yield {"answer": job.result} if job.error is None else {"refused": refused(job.error)}
        finally:
            job.leave()


def _late(work: Callable[..., Any], model: Any, run_id: str, events: Sequence[Any]) -> Any:
    """Return a work that begins, checks and all, on the thread that drives it."""
    return (yield from work(model, run_id, events))


def with_models(kind: type[Replica], most: int) -> type[Replica]:
    """Return a kind of replica that keeps ``most`` models in memory."""
    return type(kind.__name__, (kind,), {"held": serve.multiplexed(max_num_models_per_replica=most)(kind.held)})
