"""What other programs ask of a running server: the documented endpoints, as ``gradio_client`` calls them.

Every endpoint takes and gives JSON types. Events travel as lines of JSON, the same as in an exported
``events.jsonl``: ``backend.from_json`` reads them. A refusal is an error whose text says what is wrong, with the
limit. A program that closes its stream ends its run, as a visitor who leaves does. Each client is a visitor, as
each open page is: it has so many runs at a time, and the queue is fair between it and the others.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from backend.comparing import compare as compared
from backend.engine import Engine, RunHandle
from backend.errors import AppError, ModelError, Problem, RequestError
from backend.events import Edit, RunRequest, to_lines
from backend.forks import branched
from components.controls import whole
from components.examples import prompt_of
from components.explain_query import Query
from components.explain_routes import LOOK_S, Desk, plan_attribution, plan_flow
from components.handlers import visitor_of

EVERY_S = 0.05
"""Time between two messages of a stream."""

EXPLAIN_S = 600
"""How long a program waits for an explanation."""

ENDPOINTS = ("decode", "compare", "branch", "explain")
"""The methods that are offered, by the name of their endpoint."""

Reply = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class _Asked:
    """One run as a program asked for it; nothing of it is checked yet."""

    model: str
    decoder: Any
    prompt: Any
    length: Any
    seed: Any
    settings: Any

    def request(self) -> RunRequest:
        """Return the request; raises ``RequestError`` for a prompt or settings of a wrong kind."""
        if not isinstance(self.settings, dict) or not isinstance(self.prompt, str):
            raise RequestError([Problem("settings", "Give the prompt as text and the settings as an object of names and values.")])
        text, ids = prompt_of(self.prompt)
        given = {str(name): whole(value) for name, value in self.settings.items()}
        return RunRequest(str(self.decoder), text, ids, length=whole(self.length), settings=given, seed=whole(self.seed))


class Programs:
    """The endpoints of one server."""

    def __init__(self, engine: Engine, explaining: Desk) -> None:
        self._engine, self._explaining = engine, explaining

    def decode(
        self, decoder: str, prompt: str, length: int = 64, seed: int = 0, settings: dict = {}, model: str = "",  # noqa: B006
        request: gr.Request | None = None,
    ) -> Reply:
        """Decode a prompt and stream the run.

        ``prompt`` is text, or token ids as in ``ids: 1, 2, 3``; ``settings`` are the decoder's that differ from its defaults;
        ``model`` is one of the server's, its first where it is left out. Each message is ``{"run": id, "events": [lines]}``.
        """
        asked = _Asked(str(model or self._engine.start_model), decoder, prompt, length, seed, settings)
        yield from _told(lambda: self._stream(self._submit([asked], visitor_of(request)), _alone))

    def compare(
        self, a: dict, b: dict, prompt: str, length: int = 64, seed: int = 0, model: str = "", request: gr.Request | None = None,
    ) -> Reply:
        """Decode a prompt twice, side by side, and say how the runs differ.

        ``a`` and ``b`` are ``{"decoder": name, "settings": {}, "model": name}``, the last two may be left out. Each message is
        ``{"runs": [ids], "lane": 0 or 1, "events": [lines]}``; the last one holds ``comparison`` (``backend.Comparison``) instead.
        """
        yield from _told(lambda: self._compare([self._side(side, prompt, length, seed, model) for side in (a, b)], visitor_of(request)))

    def branch(
        self, run: str, step: int, edits: list = [], decoder: str = "", settings: dict = {}, request: gr.Request | None = None,  # noqa: B006
    ) -> Reply:
        """Change a kept run at a step and stream the branch, as ``decode`` does.

        ``edits`` are ``[action, position, token]`` with the actions ``write``, ``pin``, ``forbid`` and ``erase`` (token null), and
        positions of the canvas at that step; ``decoder`` and ``settings`` say who goes on, the run's own where they are left out.
        """
        yield from _told(lambda: self._stream([self._branch(run, step, edits, decoder, settings, visitor_of(request))], _alone))

    def explain(self, run: str, step: int, position: int, kind: str = "attribution", options: dict = {}) -> dict:  # noqa: B006
        """Explain why a token was written at ``position`` in ``step`` of a kept run.

        ``kind`` is ``attribution`` or ``flow``; ``options`` are the fields of that route, such as ``{"method": "occlusion"}``.
        Where the sum of an attribution is off by more than 5 %, its ``remedy`` holds the ``n_steps`` to ask with next.
        """
        try:
            return self._explain(run, step, position, kind, options)
        except AppError as error:
            raise _refused(error) from error

    def _side(self, side: Any, prompt: str, length: Any, seed: Any, model: str) -> _Asked:
        if not isinstance(side, dict) or "decoder" not in side:
            raise RequestError([Problem("a, b", 'Give each side as {"decoder": name, "settings": {}}.')])
        return _Asked(str(side.get("model", model) or self._engine.start_model), side["decoder"], prompt, length, seed, side.get("settings", {}))

    def _submit(self, asked: Sequence[_Asked], visitor: str) -> list[RunHandle]:
        """Hand in all runs or none; those that are compared take one place between them."""
        group = secrets.token_hex(8) if len(asked) > 1 else ""
        handles: list[RunHandle] = []
        try:
            for each in asked:
                handles.append(self._engine.submit(each.model, each.request(), group, visitor, kept=True))
        except AppError:
            for handle in handles:
                handle.cancel()
            raise
        return handles

    def _compare(self, asked: Sequence[_Asked], visitor: str) -> Reply:
        handles = self._submit(asked, visitor)
        ids = [handle.id for handle in handles]
        yield from self._stream(handles, lambda lane, lines: {"runs": ids, "lane": lane, "events": lines})
        yield {"runs": ids, "comparison": asdict(compared(*(handle.events_so_far for handle in handles)))}

    def _branch(self, run: str, step: Any, edits: Any, decoder: str, settings: Any, visitor: str) -> RunHandle:
        try:
            changes = [Edit(*edit) for edit in edits]
        except TypeError as error:
            raise RequestError([Problem("edits", "Give each change as [action, position, token].")]) from error
        handle = self._engine.find(str(run))
        if handle is None:
            raise RequestError([Problem("run", "This run is not kept here any more. Decode it again, then branch.")])
        if not handle.events_so_far:
            raise RequestError([Problem("run", "This run has not begun yet. Wait for its first step, then branch.")])
        request = branched(handle.events_so_far, whole(step), changes, decoder or None, settings or None, handle.id)
        return self._engine.submit(handle.model_name, request, visitor=visitor)

    def _explain(self, run: str, step: int, position: int, kind: str, options: dict) -> dict:
        planner = {"attribution": plan_attribution, "flow": plan_flow}.get(kind)
        if planner is None or not isinstance(options, dict):
            raise RequestError([Problem("kind", f"{str(kind)[:40]!r} is no explanation; give attribution or flow, and its options as an object.")])
        query = Query({str(name): str(value) for name, value in options.items()} | {"step": str(whole(step)), "position": str(whole(position))})
        plan, kept = self._explaining.plan(str(run), planner, query)
        if kept is None:
            job = self._explaining.begin(f"program {run} {kind} {position}", plan, lambda: None)
            begun = time.monotonic()
            while not job.over.wait(LOOK_S):
                self._explaining.look()  # one that does not come back is given up, and the next have their turn
                if time.monotonic() < begun + EXPLAIN_S:
                    continue
                job.leave()
                raise ModelError(f"The explanation took longer than {EXPLAIN_S} seconds and was stopped.", "Ask for a cheaper one: fewer n_steps.")
            kept = self._explaining.answer(plan, job, time.monotonic() - begun)
        return json.loads(kept)

    def _stream(self, handles: Sequence[RunHandle], shaped: Callable[..., dict[str, Any]]) -> Reply:
        """Yield what is new of each run in turn until all are over; a reader that leaves ends them."""
        try:
            sent = [0] * len(handles)
            while True:
                over = all(handle.ended for handle in handles)  # asked first: what came before it is then sent
                for lane, handle in enumerate(handles):
                    events = handle.events_so_far[sent[lane]:]
                    sent[lane] += len(events)
                    if events:
                        message = shaped(lane, [*to_lines(events)])
                        yield message if "runs" in message else {"run": handle.id, **message}
                if over:
                    return
                next((handle for handle in handles if not handle.ended), handles[0]).wait(EVERY_S)
        finally:
            for handle in handles:
                if not handle.ended:
                    handle.cancel()


def _alone(lane: int, lines: list[str]) -> dict[str, Any]:
    return {"events": lines}


def _refused(error: AppError) -> gr.Error:
    """Return what carries a refusal to the program: its text, without a traceback in the log, which anybody could fill."""
    return gr.Error(str(error), print_exception=False)


def _told(work: Callable[[], Reply]) -> Reply:
    """Yield what ``work`` yields; a refusal becomes an error that carries its text."""
    try:
        yield from work()
    except AppError as error:
        raise _refused(error) from error


def offer(engine: Engine, explaining: Desk, limit: int) -> None:
    """Add the endpoints to the page that is being built; ``limit`` streams at a time, explanations are those of the page's desk."""
    programs = Programs(engine, explaining)
    for name in ENDPOINTS:
        endpoint = getattr(programs, name)
        gr.api(endpoint, api_name=name, api_description=(endpoint.__doc__ or "").strip(), concurrency_limit=limit)
