"""Many runs by request: a form comes in as JSON, progress and results go out as lines of JSON."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from backend.crowd import Crowd, Crowds, ManyRequest
from backend.decoders.catalogue import DECODERS, find_decoder
from backend.engine import LocalEngine
from backend.ensemble import csv_text, ensemble, row_of
from backend.errors import AppError, BusyError, Problem, RequestError
from backend.events import Event
from backend.settings import Settings
from components import wire
from components.decoders_view import capable
from components.many_view import many_page, sentences

VISITOR = "unmask-visitor"
"""The cookie that tells visitors apart, and nothing else about them."""

BODY_MAX = 65536
"""Bytes of a request."""

_FIELDS = {"model": str, "decoder": str, "prompt": str, "task": str, "settings": dict}


def router(settings: Settings, engine: LocalEngine, look: dict[str, Any]) -> APIRouter:
    """Return the page of many runs and what it asks for."""
    routes, crowds, root = APIRouter(), Crowds(settings, engine), settings.root_path

    @routes.get("/many", response_class=HTMLResponse)
    def page(request: Request) -> HTMLResponse:
        answer = HTMLResponse(many_page(settings, engine.models(), look, (f"{root}/assets/many.js",)))
        if VISITOR not in request.cookies:
            answer.set_cookie(VISITOR, secrets.token_urlsafe(16), httponly=True, samesite="strict", path=root or "/")
        return answer

    @routes.get("/many/unfit")
    def unfit(model: str) -> Response:
        if model not in {card.name for card in engine.models()}:
            return JSONResponse({"message": "This model is not offered here. Choose one of the menu."}, 404)
        try:
            offers = engine.load(model).capabilities
        except AppError:
            return JSONResponse({})  # it cannot be asked; the run itself says why
        return JSONResponse({decoder.name: f"needs a model that {capable(decoder.needs)}." for decoder in DECODERS if decoder.needs - offers},
                            headers={"Cache-Control": "no-store"})

    @routes.post("/many")
    async def begin(request: Request) -> Response:
        visitor = _visitor(request)
        try:
            asked = asked_for(await _body(request))
            crowd = await run_in_threadpool(crowds.begin, visitor, asked)
        except RequestError as error:
            return JSONResponse({"problems": [asdict(problem) for problem in error.problems]}, 422)
        except AppError as error:
            return JSONResponse({"message": str(error)}, 429 if isinstance(error, BusyError) else 400)
        return _Lines(lines(crowd, asked), lambda: crowds.end(visitor, crowd))

    @routes.post("/many/stop")
    def stop(request: Request) -> dict[str, bool]:
        return {"stopped": crowds.stop(_visitor(request))}

    return routes


def asked_for(data: Any) -> ManyRequest:
    """Return the request that a page sent; raises ``RequestError`` for fields of a wrong kind."""
    if not isinstance(data, Mapping):
        raise RequestError([Problem("request", "is not an object of fields; send what the page sends.")])
    known = {"model", "decoder", "runs", "length", "seed", "settings", "prompt", "task"}
    problems = [Problem(str(name), f"is no field of this request; the fields are {', '.join(sorted(known))}.") for name in data if name not in known]
    for name, kind in _FIELDS.items():
        value = data.get(name)
        if value is not None and not isinstance(value, kind):
            problems.append(Problem(name, f"{value!r} is not {'a text' if kind is str else 'an object of settings'}."))
    problems += [Problem(name, "is missing; choose one.") for name in ("model", "decoder") if not data.get(name)]
    if (data.get("prompt") is None) == (data.get("task") is None):
        problems.append(Problem("prompt", "Give a prompt, or a task, and not both."))
    if problems:
        raise RequestError(problems)
    return ManyRequest(**{"runs": 2, "length": None, "seed": 0, **data, "settings": data.get("settings") or {}})


async def _body(request: Request) -> Any:
    """Return what was sent; raises ``RequestError`` for anything but JSON of a bounded size."""
    # Another site's form cannot send this type without asking first, and is then refused.
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise RequestError([Problem("request", "is not marked as JSON; send it with the type application/json.")])
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_MAX:
            raise RequestError([Problem("request", f"is longer than {BODY_MAX} bytes; shorten the prompt.")])
    try:
        return json.loads(body)
    except ValueError as error:
        raise RequestError([Problem("request", "is not JSON; send what the page sends.")]) from error


def _visitor(request: Request) -> str:
    """Return who asks: the cookie, or the address for those who keep none."""
    return request.cookies.get(VISITOR) or (request.client.host if request.client else "")


class _Lines(StreamingResponse):
    """Lines of JSON; ``over`` is called when they are sent, and when the reader has left."""

    def __init__(self, content: Iterator[dict[str, Any]], over: Callable[[], None]) -> None:
        super().__init__((f"{wire.dumps(line)}\n" for line in content), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})
        self._over = over

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


def lines(crowd: Crowd, asked: ManyRequest) -> Iterator[dict[str, Any]]:
    """Yield what the page is told: progress, a row per finished run, and at the end the view of them all."""
    finished: dict[int, tuple[Event, ...]] = {}
    try:
        for look in crowd.progress():
            for number, handle in look.ended:
                events = handle.events_so_far
                if events[-1].reason == "cancelled":
                    continue
                finished[number] = events
                yield {"kind": "row", **asdict(row_of(number + 1, events, ("confidence",)))}
            yield {"kind": "progress", "done": look.done, "of": look.of, "running": look.running, "ahead": look.ahead}
    except AppError as error:
        yield {"kind": "refused", "message": str(error)}
    if finished:
        yield result(finished, asked, stopped=len(finished) < len(crowd.requests))


def result(finished: Mapping[int, tuple[Event, ...]], asked: ManyRequest, stopped: bool) -> dict[str, Any]:
    """Return the last line: the view of the finished runs, how to read their scores, and the table as CSV."""
    runs = [events for _, events in sorted(finished.items())]
    measures = wire.measures(runs[0][0])
    view = ensemble(runs, {item["name"]: (item["low"], item["high"]) for item in measures})
    decoder = find_decoder(asked.decoder)
    draws = bool(decoder) and decoder.draws(decoder.Settings(**runs[0][0].settings))
    rows = [replace(row, number=number + 1) for number, row in zip(sorted(finished), view.rows, strict=True)]
    plain = asdict(view)
    del plain["rows"]
    return {
        "kind": "result", "stopped": stopped, "sentences": sentences(view, asked, draws), **plain,
        "measures": measures, "taus": [row.tau for row in view.rows], "csv": csv_text(rows),
    }
