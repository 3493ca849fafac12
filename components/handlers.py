"""The only glue between the page's inputs, the engine and the carriers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from backend.decoders.catalogue import DECODERS, find_decoder
from backend.engine import LocalEngine, RunHandle
from backend.errors import AppError, Problem, RequestError
from backend.events import RunRequest
from components import wire
from components.controls import Control, settings_of, whole
from components.examples import Opening
from components.html import Markup
from components.summary_view import decoder_line, model_line

EVERY_S = 0.05
"""Time between two messages to the browser: below it nobody sees a difference."""


class Desk:
    """What happens when a visitor touches the page; every method is one listener."""

    def __init__(
        self, engine: LocalEngine, controls: Sequence[Control], offered: Sequence[Opening]
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
        request = RunRequest(
            decoder=decoder,
            prompt=prompt,
            length=whole(length),
            settings=settings_of(self._controls, decoder, values),
            seed=whole(seed),
        )
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
        """Yield the state of a model while it is made ready."""
        if not self._engine.ready(model):
            yield model_line(model, "loading")
        try:
            self._engine.load(model)
        except AppError as error:
            yield model_line(model, "failed", str(error))
        else:
            yield model_line(model, "ready")

    def choose_decoder(self, name: str) -> tuple[Any, ...]:
        """Return the decoder's line, and which group of settings is shown."""
        shown = [gr.update(elem_classes=group_classes(item.name == name)) for item in DECODERS]
        decoder = find_decoder(name)
        return (decoder_line(decoder) if decoder else Markup(""), *shown)

    def open_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """Return prompt, model and length of the example that was picked."""
        index = event._data.get("index")
        if not isinstance(index, int) or not 0 <= index < len(self._offered):
            return (gr.skip(),) * 3
        opening = self._offered[index]
        return opening.prompt, opening.task.model, str(opening.task.length)

    def _notice(self, decoder: str, message: str = "", problems: Sequence[Problem] = ()) -> str:
        return json.dumps({
            "n": next(self._numbers),
            "decoder": decoder,
            "message": message,
            "problems": [{"field": item.field, "message": item.message} for item in problems],
        })


def group_classes(shown: bool) -> list[str]:
    """Return the classes of a decoder's group of settings; the hidden ones keep their values."""
    return ["settings-group", "shown"] if shown else ["settings-group"]


def idle() -> tuple[Any, Any]:
    """Return the state of Run and Stop while nothing runs."""
    return gr.update(value="Run", interactive=True), gr.update(interactive=False)


def _waiting(handle: RunHandle) -> list[dict[str, Any]]:
    """Return the place in the queue, or nothing: an empty message says that the line is alive."""
    return [wire.queue(handle.ahead)] if handle.ahead else []
