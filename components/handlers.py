"""The only glue between the page's inputs, the engine and the carriers."""

from __future__ import annotations

import itertools
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from backend.decoders.catalogue import DECODERS, find_decoder
from backend.engine import Engine, RunHandle
from backend.errors import AppError, Problem, RequestError
from backend.events import Edit, Fork, RunRequest
from backend.forks import branched
from backend.holding import WISHES, Breakpoint, breakpoints
from backend.template import parsed
from components import links, wire
from components.controls import Control, settings_of, whole
from components.examples import Opening, prompt_of
from components.feeds import Feed, together
from components.html import Markup
from components.models_view import said
from components.second import chosen_of
from components.summary_view import decoder_line, model_line

log = logging.getLogger(__name__)

EVERY_LOADING_S = 0.3
"""Time between two lines about a model that is loading."""

KEPT = "-"
"""Stands for the run of a lane that stays as it is."""

EDITS_MAX = 512
"""Changes of one branch; a span that is masked is one for each of its tokens."""


class Desk:
    """What happens when a visitor touches the page; every method is one listener."""

    def __init__(
        self, engine: Engine, controls: Sequence[Control], offered: Sequence[Opening]
    ) -> None:
        self._engine = engine
        self._controls = tuple(controls)
        self._offered = tuple(offered)
        # An equal value does not reach the browser a second time, so notices are numbered.
        self._numbers = itertools.count()

    def press_run(self, request: gr.Request, *inputs: Any) -> Iterator[tuple[Any, ...]]:
        """Yield what ``submit`` does, for the visitor who asks."""
        yield from self.submit(*inputs, visitor=visitor_of(request))

    def submit(
        self, prompt: str, model: str, decoder: str, length: Any, seed: Any, template: str, second: str, *values: Any, visitor: str = ""
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the lanes' run ids (empty when refused), the notice, and the state of Run and Stop.

        ``values`` are those of the controls, then the breakpoints as JSON text where there are any.
        """
        count = len(self._controls)
        yield from self._started(decoder, lambda: [
            (model, self._request(prompt, model, decoder, length, seed, template, values[:count])),
            *self._second(second, prompt, length, seed, template, settings_of(self._controls, decoder, values[:count])),
        ], visitor, breaks=lambda: breaks_of(*values[count:]))

    def _started(
        self, decoder: str, asked: Callable[[], list[tuple[str, RunRequest]]], visitor: str, *lanes: str,
        breaks: Callable[[], tuple[Breakpoint, ...]],
    ) -> Iterator[tuple[Any, ...]]:
        """Yield what becomes of ``asked``, whose runs stand beside the ``lanes`` that stay as they are.

        When it is refused, a lane that is not over goes on as it was.
        """
        refused = (" ".join(lanes), gr.update(value="Running …", interactive=False), gr.update(interactive=True))
        if not lanes or KEPT in lanes:
            refused = ("", *idle())
        starting = gr.update(value="Starting …", interactive=False)
        yield "", self._notice(decoder), starting, gr.skip()
        try:
            handles = self._submit_all(asked(), visitor, breaks())
        except RequestError as error:
            yield refused[0], self._notice(decoder, problems=error.problems), *refused[1:]
        except AppError as error:
            yield refused[0], self._notice(decoder, message=str(error)), *refused[1:]
        else:
            running = gr.update(value="Running …", interactive=False)
            yield " ".join([*lanes, *(handle.id for handle in handles)]), gr.skip(), running, gr.update(interactive=True)

    def branch(self, event: gr.EventData, request: gr.Request | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield what ``submit`` does, for the branch of a kept run: it becomes lane B, and lane A stays.

        A parent that is not over, because it is paused, goes on being shown with its branch.
        """
        asked = carried(event)
        parent = self._engine.find(str(asked.get("run")))
        lane = parent.id if parent and not parent.ended else KEPT
        yield from self._started("", lambda: [self._branched(asked)], visitor_of(request), lane, breaks=lambda: breakpoints(asked.get("breaks", ())))

    def _branched(self, asked: Any) -> tuple[str, RunRequest]:
        """Return the model and request of a branch, from what the browser asks.

        Raises ``RequestError`` when that makes no sense, or the parent is not kept any more.
        """
        try:
            run_id, step = str(asked["run"]), asked["step"]
            edits = tuple(Edit(*edit) for edit in asked["edits"])
            then = None if asked.get("then") is None else str(asked["then"])
            decoder = None if asked.get("decoder") is None else str(asked["decoder"])
            settings = None if asked.get("settings") is None else dict(asked["settings"])
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise RequestError([Problem("forks", "What was asked for is no branch; reload the page.")]) from error
        if len(edits) > EDITS_MAX:
            raise RequestError([Problem("forks", f"A branch takes at most {EDITS_MAX} changes, and these are {len(edits)}; mask a shorter span.")])
        handle = self._engine.find(run_id)
        if handle is None:
            raise RequestError([Problem("forks", "The run to branch from is not kept here any more. Run it again, then branch.")])
        request = branched(handle.events_so_far, step, edits, decoder, settings, run_id)
        # After a move by hand, which is one step, another decoder goes on.
        return handle.model_name, request if then is None else replace(request, forks=(*request.forks, Fork(step + 1, decoder=then, parent=run_id)))

    def _submit_all(self, asked: Sequence[tuple[str, RunRequest]], visitor: str, breaks: tuple[Breakpoint, ...]) -> list[RunHandle]:
        """Hand in the runs of all lanes, or none: a run beside one that cannot start is taken back.

        Runs that are compared take one place between them, so that they go on side by side.
        """
        group = secrets.token_hex(8) if len(asked) > 1 else ""
        handles: list[RunHandle] = []
        problems: list[Problem] = []
        try:
            for lane, (model, request) in enumerate(asked):
                try:
                    handles.append(self._engine.submit(model, request, group, visitor, kept=True, breaks=breaks))
                except RequestError as error:
                    problems += _of_lane(lane, error.problems)
            if problems:
                raise RequestError(problems)
        except AppError:
            for handle in handles:
                handle.cancel()
            raise
        return handles

    def stream(self, run_ids: str) -> Iterator[Any]:
        """Yield the events of all lanes as numbered messages; a reader that leaves ends the runs.

        A run that another stream takes over, the one of its branch, is that one's to end.
        """
        handles = self._handles(run_ids)
        if not any(handles):
            yield gr.skip()
            return
        lanes = [Feed(handle, lane) for lane, handle in enumerate(handles) if handle]
        runs = [handle.id if handle else None for handle in handles]
        try:
            for number, events in enumerate(together(lanes)):
                yield wire.batch(runs, number, events)
                if any(feed.handle.feed is not feed for feed in lanes):
                    return
        finally:
            self._end([feed.handle for feed in lanes if feed.handle.feed is feed])

    def hold(self, run_ids: str, event: gr.EventData) -> None:
        """Pause the runs, let them go on or make one step, or set their breakpoints anew."""
        asked = carried(event)
        what = asked.get("what")
        for handle in self._handles(run_ids):
            if handle is None or handle.ended:
                continue
            if "breaks" in asked:
                handle.breaks = breakpoints(asked["breaks"])
            if what in WISHES:
                handle.wish(what)

    def rest(self, run_ids: str) -> tuple[Any, Any]:
        """Return the state of Run and Stop after a stream: idle, unless runs go on in another one."""
        going = any(handle is not None and not handle.ended for handle in self._handles(run_ids))
        return (gr.skip(), gr.skip()) if going else idle()

    def stop(self, run_ids: str) -> None:
        """End the runs before their next forward pass; their last events come through ``stream``."""
        self._end(self._handles(run_ids))

    def _handles(self, run_ids: str) -> list[RunHandle | None]:
        """Return the run of each lane; None for one that is not kept, or that stays as it is."""
        return [self._engine.find(run_id) for run_id in run_ids.split()]

    def _end(self, handles: Sequence[RunHandle | None]) -> None:
        for handle in handles:
            if handle is not None and not handle.ended:
                handle.cancel()

    def load(self, model: str) -> Iterator[Markup]:
        """Yield the state of a model while it is made ready: how far it is, then what it is."""
        if not self._engine.ready(model):
            yield model_line(model, "loading")
        loading = _Aside(lambda: self._engine.load(model))
        while not loading.over(EVERY_LOADING_S):
            share = self._engine.progress(model)
            yield model_line(model, "loading", f"{share:.0%} of its weights" if share else "")
        yield model_line(model, "failed", loading.failure) if loading.failure else self._ready(model)

    def open_model(self, source: str) -> Iterator[tuple[Any, Markup]]:
        """Yield the model menu and a line of progress while a folder or hub id is opened."""
        source = (source or "").strip()
        opening = _Aside(lambda: self._engine.open(source))
        while not opening.over(EVERY_LOADING_S):
            share = self._engine.progress(source)
            yield gr.skip(), said(f"Opening {source}: {share:.0%} of its weights." if share else f"Opening {source} …")
        if opening.failure:
            yield gr.skip(), said(opening.failure, bad=True)
        else:
            card = opening.result
            yield gr.update(choices=self._menu(), value=card.name), said(f"{card.title} is open: {self._engine.card(card.name)}.")

    def unload(self, model: str) -> tuple[Markup, Markup]:
        """Free a model's memory; return the model's line and what became of it."""
        try:
            self._engine.unload(model)
        except AppError as error:
            return self._ready(model), said(str(error), bad=True)
        return model_line(model, "unloaded"), said(f"{model} is unloaded. A run loads it again.")

    def menu(self) -> Any:
        """Return the choices of the model menu: visitors may have opened some."""
        return gr.update(choices=self._menu())

    def review(self, prompt: str, model: str, decoder: str, length: Any, seed: Any, template: str, second: str, *values: Any) -> str:
        """Return what of the request does not fit the chosen model; nothing of it is changed."""
        try:
            request = self._request(prompt, model, decoder, length, seed, template, values)
        except AppError as error:
            return self._notice(decoder, problems=getattr(error, "problems", ()), quiet=True)
        return self._notice(decoder, problems=self._engine.problems(model, request), quiet=True)

    def _menu(self) -> list[tuple[str, str]]:
        return [(card.title, card.name) for card in self._engine.models()]

    def _ready(self, model: str) -> Markup:
        return model_line(model, "ready", self._engine.card(model))

    def _request(
        self, prompt: str, model: str, decoder: str, length: Any, seed: Any, template: str, values: Sequence[Any]
    ) -> RunRequest:
        return self._asked(prompt, model, decoder, length, seed, template, settings_of(self._controls, decoder, values))

    def _asked(
        self, prompt: str, model: str, decoder: str, length: Any, seed: Any, template: str, settings: Mapping[str, Any]
    ) -> RunRequest:
        """Return a request of these inputs; a template of the answer says its length and what is fixed in it."""
        text, ids = prompt_of(prompt)
        places, fixed = parsed(self._engine.load(model), template) if (template or "").strip() else (whole(length), {})
        return RunRequest(
            decoder=decoder, prompt=text, prompt_ids=ids, length=places, settings=settings, seed=whole(seed), fixed=fixed,
        )

    def _second(
        self, second: str, prompt: str, length: Any, seed: Any, template: str, given: Mapping[str, Any],
    ) -> list[tuple[str, RunRequest]]:
        """Return the model and request of lane B: the prompt, length, seed and template are those of lane A."""
        chosen = chosen_of(second)
        if chosen is None:
            return []
        request = self._asked(prompt, chosen.model, chosen.decoder, length, seed, template, chosen.beside(given))
        return [(chosen.model, request)]

    def choose_decoder(self, name: str) -> tuple[Any, ...]:
        """Return the decoder's line, and which group of settings is shown."""
        shown = [gr.update(elem_classes=group_classes(item.name == name)) for item in DECODERS]
        decoder = find_decoder(name)
        return (decoder_line(decoder) if decoder else Markup(""), *shown)

    def open_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """Return prompt, model and length of the example that was picked."""
        index = carried(event).get("index")
        if not isinstance(index, int) or not 0 <= index < len(self._offered):
            return (gr.skip(),) * 3
        opening = self._offered[index]
        return opening.prompt, opening.task.model, str(opening.task.length)

    def open_link(self, event: gr.EventData) -> list[Any]:
        """Return the fields of a request that was not typed, and the opener's answer about it."""
        sent = carried(event)
        found = links.opened(sent, self._engine)
        return [*links.shown(found.asked, self._controls), links.answer(sent.get("n"), found)]

    def _notice(self, decoder: str, message: str = "", problems: Sequence[Problem] = (), quiet: bool = False) -> str:
        return json.dumps({
            "n": next(self._numbers),
            "decoder": decoder,
            "message": message,
            "quiet": quiet,
            "problems": [{"field": item.field, "message": item.message} for item in problems],
        })


class _Aside:
    """One piece of work on a thread of its own, so that its progress can be told meanwhile."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.failure = ""
        self._thread = threading.Thread(target=self._do, args=(work,), daemon=True)
        self._thread.start()

    def _do(self, work: Callable[[], Any]) -> None:
        try:
            self.result = work()
        except AppError as error:
            self.failure = str(error)
        except Exception:
            log.exception("A model could not be opened.")
            self.failure = "The model could not be opened: a failure inside the program; the log says more."

    def over(self, seconds: float) -> bool:
        """Wait up to ``seconds`` and tell whether the work is over."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


def visitor_of(request: gr.Request | None) -> str:
    """Return who asks, so that the queue is fair between visitors: an open page is one."""
    return (request.session_hash or "") if request else ""


def carried(event: gr.EventData) -> dict[str, Any]:
    """Return what the browser sent with an event: its fields, or none where it sent nothing of the kind."""
    return event._data if isinstance(event._data, dict) else {}


def group_classes(shown: bool) -> list[str]:
    """Return the classes of a decoder's group of settings; the hidden ones keep their values."""
    return ["settings-group", "shown"] if shown else ["settings-group"]


def idle() -> tuple[Any, Any]:
    """Return the state of Run and Stop while nothing runs."""
    return gr.update(value="Run", interactive=True), gr.update(interactive=False)


def _of_lane(lane: int, problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems with fields of lane B named as such."""
    return [Problem(f"b.{item.field}", item.message) for item in problems] if lane else list(problems)


def breaks_of(text: str = "") -> tuple[Breakpoint, ...]:
    """Return the breakpoints that the page sends as JSON text; raises ``RequestError`` for what it never sends."""
    try:
        return breakpoints(json.loads(text)) if text else ()
    except (ValueError, RecursionError) as error:
        raise RequestError([Problem("breaks", "The breakpoints could not be read; set them again.")]) from error
