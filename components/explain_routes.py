"""What the page asks about one token: attribution, attribution matrix, routes, what a node points at.

Nothing is computed on the event loop: a job on a thread of its own does it, and stops at its next chunk
when the reader leaves or asks for another one in the same view. Answers are kept as text and given
again. Every refusal is JSON: message, remedy, and the fields that are wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from backend.canvas import start_of, steps_of
from backend.engine import Elsewhere, LocalEngine
from backend.errors import AppError, ModelError, Problem, RequestError
from components import explain_far, explain_wire, wire
from components.answers import Answers
from components.explain_query import Query, half_of, way_of
from components.explain_replies import FRESH, NotKept, refusal, sent
from components.rates import begins
from components.routes import Events, finder

if TYPE_CHECKING:
    from backend.explanations.base import Explaining
    from backend.explanations.jobs import Bureau, Job
    from backend.models.base import Model

log = logging.getLogger(__name__)

CELLS_MAX = 4_000_000
"""Rows x columns of an attribution matrix, unless the server's settings say otherwise."""
PIECE_S = 120.0
"""Seconds that a piece of an explanation may take."""
LOOK_S = 0.25
"""How often a waiting answer looks whether its reader is still there."""
PLACES_MAX = 256
"""Places (a view of a visitor's page) whose newest request is remembered; the oldest is forgotten."""


@dataclass(frozen=True)
class Plan:
    """One thing to compute: its name among the kept answers, the work, and its result as JSON types.

    What is wrong with a request is found while planning, and no pass is made: only a request that may begin costs one.
    """

    key: tuple[Any, ...]
    work: Explaining[Any]
    shape: Callable[[Any, float], dict[str, Any]]
    half: tuple[Any, ...] | None = None
    """The key of the same with half the points of its path, where it has points."""


Planner = Callable[["Model", str, Events, Query], Plan]


def router(desk: Desk, more: Sequence[tuple[str, Planner]] = (), cells_max: int = CELLS_MAX) -> APIRouter:
    """Return the routes of explanations and of ``more`` plans by name; a matrix has ``cells_max`` values at most."""
    routes = APIRouter()

    @routes.get("/runs/{run_id}/explanations")
    def offer(run_id: str) -> Response:
        try:
            return sent(wire.dumps(explain_wire.offer(desk.model(run_id, desk.events(run_id)))))
        except AppError as error:
            return refusal(error)

    for name, planner in (("attribution", plan_attribution), ("flow", plan_flow), ("lens", plan_lens), *more):
        routes.add_api_route(f"/runs/{{run_id}}/{name}", _whole(desk, name, planner), methods=["GET"])
    routes.add_api_route("/runs/{run_id}/attribution_matrix", _in_parts(desk, "matrix", partial(plan_matrix, cells_max=cells_max)), methods=["GET"])
    return routes


def plan_attribution(model: Model, run_id: str, events: Events, query: Query) -> Plan:
    """Plan the attribution of one token; ``token`` and ``against`` are ids."""
    from backend.explanations.attribution import attributing
    from backend.explanations.base import AttributionRequest
    from backend.explanations.checks import check_attribution
    from backend.explanations.moments import moment

    position, step = query.whole("position"), query.whole("step")
    way = way_of(query)
    against = query.whole("against", default=None)
    query.check()
    told = moment(events, position, step)
    request = AttributionRequest(told.ids, told.position, told.token, against=against, **way)
    check_attribution(model, request)
    key, half = (run_id, "attribution", told.step, told.position, against), half_of(request.method, request.n_steps)
    return Plan(
        (*key, *way.values()), attributing(model, request),
        lambda found, took_s: explain_wire.attribution(model, told, found, took_s),
        half and (*key, *(way | {"n_steps": half}).values()))


def plan_matrix(model: Model, run_id: str, events: Events, query: Query, cells_max: int = CELLS_MAX) -> Plan:
    """Plan the attribution matrix of a run as far as it has come."""
    from backend.explanations.attribution import attributing_matrix
    from backend.explanations.catalogue import find_method
    from backend.explanations.checks import method_problems, objective_problems, require
    from backend.explanations.moments import writings

    way = way_of(query)
    query.check()
    wrong = method_problems(model, way["method"], way["baseline"], way["n_steps"], 1) + objective_problems(way["objective"], against=0)
    if wrong:
        raise RequestError(wrong)
    method = find_method(way["method"])
    require(model, method.needs, method.title)
    rows, width = len(writings(events)), len(start_of(events).canvas)
    if rows * width > cells_max:
        raise RequestError([Problem("run", f"Its matrix has {rows} x {width} values; the limit is {cells_max}. "
                                           "Explain single tokens instead.")])
    return Plan(
        (run_id, "matrix", len(steps_of(events)), *way.values()), attributing_matrix(model, events, **way),
        lambda found, _: explain_wire.matrix(model, events, found))


def plan_flow(model: Model, run_id: str, events: Events, query: Query) -> Plan:
    """Plan the routes into one token."""
    from backend.explanations.base import FlowRequest
    from backend.explanations.checks import check_flow
    from backend.explanations.flow_routes import tracing
    from backend.explanations.moments import moment

    position, step = query.whole("position"), query.whole("step")
    threshold = query.share("threshold", default=0.01)
    query.check()
    told = moment(events, position, step)
    request = FlowRequest(told.ids, told.position, told.token, threshold, per_head=True)
    check_flow(model, request)
    return Plan(
        (run_id, "flow", told.step, told.position, threshold), tracing(model, request),
        lambda graph, took_s: explain_wire.flow(model, events, told, graph, took_s))


def plan_lens(model: Model, run_id: str, events: Events, query: Query) -> Plan:
    """Plan what one node of the routes points at: the token kind of ``kind``, ``layer`` and position ``at``."""
    from backend.explanations.lens import lens, reading
    from backend.explanations.moments import moment

    position, step = query.whole("position"), query.whole("step")
    node = (query.word("kind"), query.whole("layer"), query.whole("at"))
    query.check()
    told = moment(events, position, step)
    return Plan(
        (run_id, "lens", told.step, told.position, *node), primed(reading(model, told.ids, node)),
        lambda best, _: explain_wire.lens(model, told, node, best))


class Desk:
    """Finds runs, their models and kept answers, and starts jobs, those of the page and of programs in one turn.

    Pieces of a job are given up after ``piece_s``, and computed on ``threads`` cores, 0 for all.
    """

    def __init__(self, engine: LocalEngine, piece_s: float = PIECE_S, threads: int = 0) -> None:
        self._engine, self._find, self._piece_s, self._threads = engine, finder(engine), piece_s, threads
        self._bureau: Bureau | None = None
        self._answers = Answers()
        self._arrivals: OrderedDict[str, int] = OrderedDict()

    def arrived(self, place: str) -> int:
        """Return the number of a request among those of its place."""
        self._arrivals[place] = self._arrivals.pop(place, 0) + 1
        while len(self._arrivals) > PLACES_MAX:
            self._arrivals.popitem(last=False)
        return self._arrivals[place]

    def still_newest(self, place: str, number: int) -> None:
        """Raise ``Superseded`` when a newer request of this place has come meanwhile."""
        if self._arrivals.get(place, number) != number:
            from backend.explanations.latest import Superseded

            raise Superseded("This explanation was not begun because a newer one was asked for.", "Wait for the newer one.")

    def events(self, run_id: str) -> Events:
        """Return the events of a run; raises ``NotKept``."""
        try:
            events = self._find(run_id)
        except HTTPException as error:
            message, _, remedy = error.detail.partition(". ")
            raise NotKept(f"{message}.", remedy) from error
        if not events:
            raise NotKept("This run has not begun yet.", "Wait for its first step.")
        return events

    def model(self, run_id: str, events: Events) -> Model:
        """Return the loaded model that made a run; raises ``ModelError`` when it is another or not loaded."""
        name, made_by = self._name(run_id, events), start_of(events).model
        if not self._engine.ready(name):
            raise ModelError(f"An explanation asks the model again, and {name}, which made this run, is not loaded.",
                             "Choose it in the menu Model, then ask again.")
        model = self._engine.load(name)
        if model.weights_hash != made_by.weights_hash:
            raise ModelError(f"This run was recorded with other weights ({made_by.name}, {made_by.weights_hash}) than those of "
                             f"{model.name} that are loaded ({model.weights_hash}).", "Press Run for a new one.")
        return model

    def plan(self, run_id: str, planner: Planner, query: Query) -> tuple[Plan, str | None]:
        """Return what is to be computed, and the answer where it is kept."""
        events = self.events(run_id)
        model = self.model(run_id, events)
        try:
            plan = self._far(planner, run_id, events, query) or planner(model, run_id, events, query)
        except AppError:
            raise
        except Exception as error:
            log.exception("An explanation could not begin.")
            from backend.explanations.jobs import told

            raise told(error) from None  # its frames hold the tensors that were too many
        kept = self._answers.get(plan.key)
        if kept is not None:
            plan.work.close()
        return plan, kept

    def _far(self, planner: Planner, run_id: str, events: Events, query: Query) -> Plan | None:
        """Return the plan whose work is done where the model is; None when that is here."""
        if not isinstance(self._engine, Elsewhere):
            return None
        return Plan(*explain_far.parts(self._engine, self._name(run_id, events), planner, run_id, events, query))

    def _name(self, run_id: str, events: Events) -> str:
        """Return the name of the model that made a run."""
        handle = self._engine.find(run_id)
        return start_of(events).model.name if handle is None else handle.model_name

    def goes_on(self, plan: Plan) -> bool:
        """Tell whether a plan only adds points to an explanation that was answered with half as many, as none has yet."""
        return plan.half is not None and self._answers.pays(plan.half)

    def begin(self, place: str, plan: Plan, notify: Callable[[], None]) -> Job:
        """Start the job of a plan."""
        if self._bureau is None:
            from backend.explanations.jobs import Bureau

            self._bureau = Bureau(piece_s=self._piece_s, in_turn=not isinstance(self._engine, Elsewhere), threads=self._threads)
        job = self._bureau.begin(place, plan.work, notify)
        if plan.half is not None:
            self._answers.spend(plan.half)  # now: a reader who leaves before the answer is there has had the work all the same
        return job

    def look(self) -> None:
        """See to it that nobody waits for an explanation that does not come back."""
        if self._bureau is not None:
            self._bureau.look()

    def answer(self, plan: Plan, job: Job, took_s: float) -> str:
        """Return what a job that is over found, as text that is kept; raises what it failed with."""
        if job.error is not None:
            raise job.error
        text = wire.dumps(plan.shape(job.result, took_s))
        self._answers.put(plan.key, text)
        return text


class _Waiting:
    """A reader on the event loop who waits for a job on its thread."""

    def __init__(self, desk: Desk, request: Request, place: str, plan: Plan) -> None:
        loop, self._changed, self._request = asyncio.get_running_loop(), asyncio.Event(), request

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the server ends
                loop.call_soon_threadsafe(self._changed.set)

        self._begun, self._desk = time.monotonic(), desk
        self.job = desk.begin(place, plan, notify)

    @property
    def took_s(self) -> float:
        """Seconds since the job was started."""
        return time.monotonic() - self._begun

    async def changes(self) -> AsyncGenerator[None]:
        """Yield whenever the job has got on, until it is over; a reader who leaves stops it."""
        try:
            while not self.job.over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), LOOK_S)
                self._changed.clear()
                self._desk.look()
                if await self._request.is_disconnected():
                    break
                yield
        finally:
            self.job.leave()


def _whole(desk: Desk, view: str, planner: Planner) -> Callable[..., Any]:
    """Return an endpoint that answers once everything is computed."""

    async def endpoint(run_id: str, request: Request) -> Response:
        try:
            plan, kept, waiting = await _asked(desk, run_id, request, view, planner)
            if waiting is None:
                return sent(kept)
            async for _ in waiting.changes():
                pass
            if not waiting.job.over.is_set():
                return Response(status_code=204)  # nobody reads it
            return sent(await run_in_threadpool(desk.answer, plan, waiting.job, waiting.took_s))
        except AppError as error:
            return refusal(error)

    return endpoint


def _in_parts(desk: Desk, view: str, planner: Planner) -> Callable[..., Any]:
    """Return an endpoint that answers line by line: how far the job is, at last what it found."""

    async def endpoint(run_id: str, request: Request) -> Response:
        try:
            plan, kept, waiting = await _asked(desk, run_id, request, view, planner)
            if waiting is None:
                return sent(kept)
            changes = waiting.changes()
            async for _ in changes:
                if waiting.job.progress.total:  # the first piece is there: nothing was wrong with the request
                    break
            if waiting.job.error is not None:
                raise waiting.job.error
        except AppError as error:
            return refusal(error)
        return StreamingResponse(_lines(desk, plan, waiting, changes), media_type="application/x-ndjson", headers=FRESH)

    return endpoint


async def _asked(desk: Desk, run_id: str, request: Request, view: str, planner: Planner) -> tuple[Plan, str | None, _Waiting | None]:
    """Return the plan of a request and its kept answer, or the job that was started for it.

    Raises ``Superseded`` for a request whose planning took longer than that of a newer one of its place, and
    ``TooMany`` for one that begins an explanation while its address has to wait.
    """
    query = Query(request.query_params)
    place = _place(request, view, query)
    number = desk.arrived(place)  # before anything is awaited: the order of asking
    plan, kept = await run_in_threadpool(desk.plan, run_id, planner, query)
    if kept is not None:
        return plan, kept, None
    try:
        desk.still_newest(place, number)
        if not desk.goes_on(plan):
            begins(request.scope)
    except AppError:
        plan.work.close()
        raise
    return plan, None, _Waiting(desk, request, place, plan)


async def _lines(desk: Desk, plan: Plan, waiting: _Waiting, changes: AsyncGenerator[None]) -> AsyncIterator[str]:
    async with contextlib.aclosing(changes):
        async for _ in changes:
            yield wire.dumps({"done": waiting.job.progress.done, "total": waiting.job.progress.total}) + "\n"
    if waiting.job.over.is_set():
        try:
            yield await run_in_threadpool(desk.answer, plan, waiting.job, waiting.took_s) + "\n"
        except AppError as error:
            yield wire.dumps({"message": error.message, "remedy": error.remedy}) + "\n"


def primed(work: Explaining[Any]) -> Explaining[Any]:
    """Return a work whose own checks have been made: it raises here. For one that makes no pass before its first piece."""
    next(work)
    return work


def _place(request: Request, view: str, query: Query) -> str:
    """Return the view of the visitor that an explanation is for."""
    return f"{view} of {query.visitor or (request.client.host if request.client else '')}"
