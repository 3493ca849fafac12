"""The only glue between the page's inputs, the engine and the carriers."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from backend.decoders.catalogue import DECODERS, find_decoder
from backend.engine import Engine, RunHandle
from backend.errors import AppError, Problem, RequestError
from backend.events import RunRequest
from components import wire
from components.controls import Control, settings_of, whole
from components.examples import Opening, prompt_of
from components.html import Markup
from components.models_view import said
from components.summary_view import decoder_line, model_line

log = logging.getLogger(__name__)

EVERY_LOADING_S = 0.3
"""Time between two lines about a model that is loading."""

EVERY_S = 0.05
"""Time between two messages to the browser: below it nobody sees a difference."""


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

    def submit(
        self, prompt: str, model: str, decoder: str, length: Any, seed: Any, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the run's id (empty when refused), the notice, and the state of Run and Stop."""
        starting = gr.update(value="Starting …", interactive=False)
        yield "", self._notice(decoder), starting, gr.skip()
        request = self._request(prompt, decoder, length, seed, values)
        try:
            handle = self._engine.submit(model, request)
        except RequestError as error:
            yield "", self._notice(decoder, problems=error.problems), *idle()
        except AppError as error:
            yield "", self._notice(decoder, message=str(error)), *idle()
        else:
            running = gr.update(value="Running …", interactive=False)
            yield handle.id, gr.skip(), running, gr.update(interactive=True)

    def stream(self, run_id: str) -> Iterator[Any]:
        """Yield the run's events as numbered messages; a reader that leaves ends the run."""
        handle = self._engine.find(run_id) if run_id else None
        if handle is None:
            yield gr.skip()
            return
        encoder, sent = wire.Encoder(run_id), 0
        try:
            for number, batch in enumerate(handle.batches(every_s=EVERY_S)):
                created = handle.times[sent : sent + len(batch)]
                sent += len(batch)
                events = encoder.encode(batch, created) if batch else _waiting(handle)
                yield wire.batch(run_id, number, events)
        finally:
            if not handle.ended:
                handle.cancel()

    def stop(self, run_id: str) -> None:
        """End the run before its next forward pass; its last event comes through ``stream``."""
        handle = self._engine.find(run_id) if run_id else None
        if handle is not None:
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

    def review(self, prompt: str, model: str, decoder: str, length: Any, seed: Any, *values: Any) -> str:
        """Return what of the request does not fit the chosen model; nothing of it is changed."""
        request = self._request(prompt, decoder, length, seed, values)
        return self._notice(decoder, problems=self._engine.problems(model, request), quiet=True)

    def _menu(self) -> list[tuple[str, str]]:
        return [(card.title, card.name) for card in self._engine.models()]

    def _ready(self, model: str) -> Markup:
        return model_line(model, "ready", self._engine.card(model))

    def _request(self, prompt: str, decoder: str, length: Any, seed: Any, values: Sequence[Any]) -> RunRequest:
        text, ids = prompt_of(prompt)
        return RunRequest(
            decoder=decoder, prompt=text, prompt_ids=ids, length=whole(length),
            settings=settings_of(self._controls, decoder, values), seed=whole(seed),
        )

    def choose_decoder(self, name: str) -> tuple[Any, ...]:
        """Return the decoder's line, and which group of settings is shown."""
        shown = [gr.update(elem_classes=group_classes(item.name == name)) for item in DECODERS]
        decoder = find_decoder(name)
        return (decoder_line(decoder) if decoder else Markup(""), *shown)

    def open_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """Return prompt, model and length of the example that was picked."""
        index = (event._data or {}).get("index")
        if not isinstance(index, int) or not 0 <= index < len(self._offered):
            return (gr.skip(),) * 3
        opening = self._offered[index]
        return opening.prompt, opening.task.model, str(opening.task.length)

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


def group_classes(shown: bool) -> list[str]:
    """Return the classes of a decoder's group of settings; the hidden ones keep their values."""
    return ["settings-group", "shown"] if shown else ["settings-group"]


def idle() -> tuple[Any, Any]:
    """Return the state of Run and Stop while nothing runs."""
    return gr.update(value="Run", interactive=True), gr.update(interactive=False)


def _waiting(handle: RunHandle) -> list[dict[str, Any]]:
    """Return the place in the queue, or nothing: an empty message says that the line is alive."""
    return [wire.queue(handle.ahead)] if handle.ahead else []
