"""What whoever watches over a server asks: does it answer, does it take runs, and what has it done."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from backend.engine import STUCK_MAX, Engine
from backend.settings import Settings


def router(settings: Settings, engine: Engine) -> APIRouter:
    """Return ``/health``, ``/ready``, and ``/metrics`` where it was asked for."""
    routes = APIRouter()

    @routes.get("/health")
    def health() -> Response:
        """Answer 503 once only a new start helps."""
        stuck = engine.counts().stuck
        broken = stuck >= STUCK_MAX
        return JSONResponse({"status": "restart" if broken else "ok", "stuck": stuck}, 503 if broken else 200)

    @routes.get("/ready")
    def ready() -> Response:
        """Answer 503, and why, while a new run would be refused or would wait for the start model."""
        why = unready(engine)
        return JSONResponse({"ready": not why, "why": why}, 503 if why else 200)

    if settings.metrics == "on":
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        registry = registered(engine)

        @routes.get("/metrics")
        def metrics() -> Response:
            return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return routes


def unready(engine: Engine) -> str:
    """Return why no run can begin now; nothing when one can."""
    counts = engine.counts()
    if counts.closing:
        return "The server is closing."
    if not engine.ready(engine.start_model):
        return "The start model is not loaded yet."
    return "The queue is full." if counts.full else ""


def registered(engine: Engine):
    """Return a registry that reads the engine's counts whenever it is asked, and those of the process."""
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

    class Collector:
        def collect(self) -> Iterator[Metric]:
            counts = engine.counts()
            for name, help_, value in (
                ("running", "Runs that decode.", counts.running), ("queued", "Runs that wait.", counts.queued),
                ("stuck_threads", "Threads that a model has not given back.", counts.stuck),
                ("models_loaded", "Models in memory.", len(counts.loaded)), ("ready", "Whether a new run can begin.", int(not unready(engine))),
            ):
                yield GaugeMetricFamily(f"unmask_{name}", help_, value=value)
            for name, help_, value in (
                ("runs_started", "Runs taken in.", counts.started), ("runs_refused", "Runs refused because there was no place.", counts.refused),
                ("steps", "Steps decoded.", counts.steps), ("passes", "Forward passes of the runs that ended.", counts.passes),
            ):
                yield CounterMetricFamily(f"unmask_{name}", help_, value=value)
            ended = CounterMetricFamily("unmask_runs_ended", "Runs that ended, by reason.", labels=("reason",))
            for reason in ("done", "cancelled", "budget", "error"):
                ended.add_metric((reason,), counts.ended.get(reason, 0))
            yield ended
            memory = GaugeMetricFamily("unmask_gpu_memory_bytes", "Memory that tensors hold.", labels=("device",))
            for device, size in counts.gpu_bytes.items():
                memory.add_metric((device,), size)
            yield memory

    registry = CollectorRegistry()
    registry.register(Collector())
    ProcessCollector(registry=registry)
    return registry
