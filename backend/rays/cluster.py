"""Ray and Ray Serve as the engine needs them: started here or found, two deployments, lines to their replicas.

The dashboard, usage statistics and the HTTP door of Serve stay off: the page is the only way in. A Ray that is started
here is on loopback and asks for its token; Serve's own port of each replica, which is on all addresses, asks for it, too.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backend.errors import AppError, BusyError, Problem, RequestError
from backend.events import Event, RunRequest, from_json, request_to_json, to_lines
from backend.explanations.base import Explaining, Progress
from backend.rays.calls import Calls, Full
from backend.rays.resume import Lost
from backend.rays.wire import refusal
from backend.settings import Settings

log = logging.getLogger(__name__)

APP = "unmask"
"""The applications of Serve are called ``unmask-decoding`` and ``unmask-explaining``; front ends of one cluster share them."""

STORE_BYTES = 100 << 20
"""Shared memory of a Ray that is started here: events are small and travel in messages."""

TARGET = 0.75
"""Share of a replica's runs beyond which another replica is started."""

UP_S, DOWN_S = 5.0, 120.0
"""How long demand must last until a replica is added, and be away until one is taken."""

START_S, LOOK_S = 300.0, 0.2
"""How long the first replicas may take to be there, and how often that is looked at."""

LOADING = "to initialize"
"""What Serve's message of a deployment says while a replica has its place and loads; one without a place waits "to be scheduled"."""

VAIN = {"DEPLOY_FAILED", "DELETING"}
"""States of an application that comes to nothing: the next start deploys it anew."""

AGAIN_S, BUSY_S = 0.5, 60.0
"""How often a run that no replica takes is offered again, and how long."""

HEARD_S = 0.25
"""How often an explanation from which nothing comes looks whether anybody still waits for it."""

CLOSE_S = 3.0
"""How long the end waits for threads that read from replicas to come back."""

PRESSED_S = 2.0
"""How long after such a refusal new runs are refused here."""

MISSING = AppError("The engine ray needs Ray, which is not installed here.",
                   "Install it with: pip install -r deploy/requirements-ray.txt, or leave out --engine.")


class Cluster:
    """One Ray with the deployments of Unmask; raises ``AppError`` when it cannot be had."""

    def __init__(self, settings: Settings) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MISSING
        if settings.replicas_min > settings.replicas_max:
            raise RequestError([Problem("replicas_min", f"{settings.replicas_min} is above replicas_max, {settings.replicas_max}; "
                                                        "lower it, or raise that.")])
        self._pressed_at, self._left = -PRESSED_S, False
        self._calls = Calls()
        self._own = _joined(settings)
        self._decoding, self._explaining = _deployed(settings)

    @property
    def pressed(self) -> bool:
        """Whether the replicas refused a run a moment ago: they have as many waiting as may."""
        return time.monotonic() - self._pressed_at < PRESSED_S

    def facts(self, source: str) -> Mapping[str, Any]:
        """Load a model on a replica and return what is to be known of it; raises ``ModelError``."""
        try:
            told = self._calls.begin(self._decoding.options(multiplexed_model_id=source).facts.remote).result()
        except Full:
            raise BusyError("All replicas have as many requests waiting as they may.", "Try again in a minute.") from None
        except Lost as error:
            raise AppError("The replica that was asked was lost.", "Try again; the log of the replicas says more.") from error
        if "refused" in told:
            raise refusal(told["refused"])
        return told

    def line(self, source: str, request: RunRequest) -> ReplicaLine:
        """Begin a run of the model of this source on whichever replica is free."""
        handle, asked = self._decoding.options(stream=True, multiplexed_model_id=source), request_to_json(request)
        return ReplicaLine(lambda: self._calls.begin(lambda: handle.decode.remote(asked)), self._refused)

    def explaining(self, source: str, work: Callable[..., Any], run_id: str, events: Sequence[Event]) -> Explaining[Any]:
        """Yield how far an explanation is, every ``HEARD_S`` at least, and return its answer; closing it stops the work there."""
        handle, answered, call = self._explaining.options(stream=True, multiplexed_model_id=source), None, None
        progress = Progress(0, 0)
        try:
            call = self._calls.begin(lambda: handle.explain.remote(work, run_id, [*to_lines(events)]))
            for told in call.in_time(HEARD_S):
                if told is None:
                    yield progress
                elif "refused" in told:
                    raise refusal(told["refused"])
                elif "answer" in told:
                    answered = told["answer"]
                else:
                    yield (progress := Progress(told["done"], told["total"]))
        except Full:
            raise BusyError("As many explanations wait for a replica as may.", "Try again in a few seconds.") from None
        except Lost as error:
            raise AppError("The replica that computed this explanation was lost.", "Ask again.") from error
        finally:
            if call is not None:
                call.cancel()
        return answered

    def close(self) -> None:
        """Leave the cluster; one that was started here ends with its replicas, at the latest with this program."""
        import ray

        if self._left or not self._calls.shut(CLOSE_S):
            return  # a thread is still inside Ray; shut down now, that would end the program in its midst
        self._left = True
        for handle in (self._decoding, self._explaining):
            handle.shutdown()  # its threads would go on asking
        if self._own:
            ray.shutdown()

    def _refused(self) -> None:
        self._pressed_at = time.monotonic()


class ReplicaLine:
    """The line to one run on a replica (``courier.Line``); a replica that has no place is asked again for a while."""

    def __init__(self, begin: Callable[[], Any], refused: Callable[[], None]) -> None:
        self._begin, self._refused = begin, refused
        self._changing, self._closed = threading.Lock(), threading.Event()
        self._call = begin()

    def __iter__(self) -> Iterator[Event]:
        """Yield the events; raises ``Lost`` when the replica is gone, ``BusyError`` when none takes the run."""
        until = time.monotonic() + BUSY_S
        while True:
            try:
                for lines in self._call:
                    yield from map(from_json, lines)
                return
            except Full:
                self._refused()
            if time.monotonic() > until:
                raise BusyError(f"No replica took the run within {BUSY_S:g} s: all have as many as they may.",
                                "Try again in a minute; the operator may raise --replicas-max.")
            self._closed.wait(AGAIN_S)
            with self._changing:
                if self._closed.is_set():
                    return
                self._call = self._begin()

    def close(self) -> None:
        """End the run before its next pass."""
        with self._changing:
            self._closed.set()
            self._call.cancel()


def _joined(settings: Settings) -> bool:
    """Connect to Ray and return whether it was started here."""
    # Read when Ray is imported: no statistics sent, no Ray but the one asked for, and one of one machine on its loopback address. The second name
    # says for whom it was made; on other systems Ray asks the network which address is its own, and listens there.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a thread of Serve that comes late would start another one
    # Ray forks to start its processes. In a process that had one before, threads of gRPC are there, its handlers of a fork
    # complain, and some of the new processes were seen to abort. All become other programs, which need no such handler.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    if not settings.ray_address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    if ray.is_initialized():
        return False
    hears = signal.getsignal(signal.SIGTERM)
    try:
        return _started(ray, settings)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, hears)  # Ray puts its own there, which ends the program without a word


def _started(ray: Any, settings: Settings) -> bool:
    replicas = settings.replicas_max + 1
    asked = {"address": settings.ray_address} if settings.ray_address else {
        "address": "local", "include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, replicas * settings.replica_cpus),
        "object_store_memory": STORE_BYTES,
    }
    try:
        ray.init(namespace=APP, log_to_driver=False, logging_level=logging.WARNING, **asked)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        kind = type(error).__name__
        if settings.ray_address:
            raise AppError(f"No Ray answers at {settings.ray_address} ({kind}).",
                           "Start one with: ray start --head; where it asks for a token, give that as RAY_AUTH_TOKEN; or leave out --ray-address.") from error
        raise AppError(f"Ray could not be started here ({kind}).", "Its logs are under /tmp/ray/session_latest/logs; or leave out --engine.") from error
    return not settings.ray_address


def _deployed(settings: Settings) -> tuple[Any, Any]:
    """Return the handles of both deployments, as another front end left them or made now."""
    from ray import serve

    from backend.rays.replica import Decoding, Explaining as Explainer, with_models

    serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # what it warns of here is met here, and said in a line of our own
    inside = replace(
        settings, auth="", engine="local", open_models="hub", max_running=settings.replica_runs, max_queued=1024, visitor_runs=1024,
    )
    kinds = {f"{APP}-{kind.__name__.lower()}": (kind, most) for kind, most in ((Decoding, settings.replicas_max), (Explainer, 1))}
    running = _coming(serve)
    targets = []
    for name, (kind, most) in kinds.items():
        if name not in running:
            made = serve.deployment(with_models(kind, settings.loaded_max), name=kind.__name__, **_options(settings, most))
            targets.append(serve.RunTarget(made.bind(inside), name, route_prefix=None))
    if targets:
        serve.run_many(targets, wait_for_applications_running=False)
    _wait_for(serve, kinds, [target.name for target in targets], own=not settings.ray_address)
    decoding, explaining = map(serve.get_app_handle, kinds)
    return decoding, explaining


def _coming(serve: Any) -> dict[str, Any]:
    """Return the applications that have their replicas, or may get them."""
    return {name: item for name, item in serve.status().applications.items() if _state(item) not in VAIN}


def _state(item: Any) -> str:
    return str(getattr(item.status, "value", item.status))


def _ready(item: Any) -> bool:
    """Tell whether an application has its replicas; Serve says so itself only once those before them are gone, too."""
    states = [{str(getattr(state, "value", state)) for state in part.replica_states} for part in item.deployments.values()]
    return _state(item) == "RUNNING" or bool(states) and all("RUNNING" in kinds <= {"RUNNING", "STOPPING"} for kinds in states)


def _loads(item: Any) -> bool:
    """Tell whether all that an application lacks is that its replicas come to the end of their loading."""
    return _state(item) == "DEPLOYING" and any(LOADING in part.message for part in item.deployments.values())


def _wait_for(serve: Any, names: Iterable[str], made: Iterable[str], own: bool = False) -> None:
    """Wait until the applications have their replicas; raises ``AppError`` when they get none, and takes down those ``made`` here.

    Those that only load for longer than ``START_S`` stay, for the next start; where Ray is this program's ``own``, and would end
    with it, they are waited for.
    """
    until, names = time.monotonic() + START_S, list(names)
    while True:
        there = serve.status().applications
        found = [there[name] for name in names if name in there]
        states = {*map(_state, found), *("DELETING" for name in names if name not in there)}
        if len(found) == len(names) and all(map(_ready, found)):
            return
        late = time.monotonic() > until
        loads = not states & VAIN and all(_ready(item) or _loads(item) for item in found)
        if late and loads and not own:
            raise AppError(f"The replicas have their places, but still load their model after {START_S:g} s; they go on with it.",
                           "Start again in a few minutes; the logs of the replicas say more.")
        if late and not loads or states & VAIN:
            for name in made:  # they would be in the way of the next start, which may ask for what there is
                serve.delete(name, _blocking=False)  # Serve takes minutes over a replica that never was
            serve.status()  # answered after those: this program may end now
            said = " ".join(part.message for item in found for part in item.deployments.values() if part.message)
            raise AppError(f"Ray gave no replica what it needs: {said[:400] or ', '.join(sorted(states))}",
                           "See that its nodes have the cores and GPUs of --replica-cpus and --replica-gpus, and this program.")
        time.sleep(LOOK_S)


def _options(settings: Settings, most: int) -> dict[str, Any]:
    """Return how a deployment of up to ``most`` replicas is run."""
    return {
        "autoscaling_config": {
            "min_replicas": min(settings.replicas_min, most), "max_replicas": most, "target_ongoing_requests": TARGET * settings.replica_runs,
            "upscale_delay_s": UP_S, "downscale_delay_s": DOWN_S, "metrics_interval_s": UP_S / 5, "look_back_period_s": UP_S,
        },
        "user_config": {"model": settings.model},
        # As many may wait for a replica as all of them take: what a front end lets run beyond that is told to wait there.
        "max_ongoing_requests": settings.replica_runs, "max_queued_requests": settings.replicas_max * settings.replica_runs,
        "ray_actor_options": {"num_cpus": settings.replica_cpus, "num_gpus": settings.replica_gpus},
        "graceful_shutdown_timeout_s": settings.run_time_s, "health_check_timeout_s": settings.pass_time_s,
    }
