"""The one loop: model x decoder -> events.

A run is a generator that asks for forward passes and yields events (``decoding``). ``Lanes`` drives
any number of them, gives each its pass, and lets runs on canvases of one length share a forward
pass. ``run`` is one lane, ``run_many`` several, an engine lanes that come and go.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch

from backend.decoders.base import Choice, View
from backend.errors import AppError
from backend.events import Event, RunRequest
from backend.models.base import Model
from backend.noise import KeyedNoise, Noise
from backend.observing import Observer, Seen
from backend.requests import Plan, prepare
from backend.shapes import Bool, Float, Int
from backend.tape import Tape

log = logging.getLogger(__name__)

BATCH_ROWS = 16384
"""Sequences x positions of one shared forward pass, at most."""


@dataclass(frozen=True)
class Limits:
    """What one run may spend."""

    passes: int = 65536
    seconds: float = 86400.0


@dataclass(frozen=True)
class Pass:
    """A forward pass that a run asks for: its canvases, and the rows to project."""

    canvases: Int["B L"]
    project: Bool["B L"]


class Cancelled(Exception):
    """Thrown into a run that is to end now."""


Decoding = Generator[Pass | Event, Float["R V"] | None, None]


def run(model: Model, request: RunRequest, *, limits: Limits = Limits(), noise: Noise | None = None) -> Iterator[Event]:
    """Return the events of one run as they happen; closing the iterator cancels it.

    ``noise`` replaces the draws keyed by the request's seed (recorded draws in tests). Raises
    ``RequestError`` at once; failures during decoding end the run with reason ``error``.
    """
    plan = prepare(model, request)
    return _only_events(model, {0: decoding(model, plan, limits, noise)})


def run_many(model: Model, requests: Sequence[RunRequest], *, limits: Limits = Limits()) -> Iterator[tuple[int, Event]]:
    """Return (number of the request, event) pairs of several runs that share forward passes.

    Raises ``RequestError`` of the first request that cannot be run, before any pass.
    """
    plans = [prepare(model, request) for request in requests]
    return _pairs(model, {number: decoding(model, plan, limits) for number, plan in enumerate(plans)})


def _only_events(model: Model, runs: dict[int, Decoding]) -> Iterator[Event]:
    for _, event in _pairs(model, runs):
        yield event


def _pairs(model: Model, runs: dict[int, Decoding]) -> Iterator[tuple[int, Event]]:
    lanes = Lanes(model)
    try:
        for number, process in runs.items():
            yield from lanes.join(number, process)
        while lanes.waiting:
            yield from lanes.turn()
    finally:
        lanes.close()


class Lanes:
    """Runs of one model that take their forward passes together."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._waiting: dict[Hashable, tuple[Decoding, Pass]] = {}

    @property
    def waiting(self) -> tuple[Hashable, ...]:
        """The runs that go on, in the order of joining."""
        return tuple(self._waiting)

    def join(self, key: Hashable, process: Decoding) -> list[tuple[Hashable, Event]]:
        """Start a run and return its first events."""
        return self._advance(key, process, None)

    def turn(self) -> Iterator[tuple[Hashable, Event]]:
        """Give every waiting run one pass and yield the events that follow."""
        for group in self._groups():
            keys = [key for key in group if key in self._waiting]
            if not keys:
                continue
            asked = [self._waiting[key][1] for key in keys]
            try:
                parts: Sequence[Float["R V"] | Exception] = self._forward(asked)
            except Exception as error:  # any failure of the model ends the runs that shared the pass
                parts = [error] * len(keys)
            for key, part in zip(keys, parts, strict=True):
                if key in self._waiting:
                    yield from self._advance(key, self._waiting.pop(key)[0], part)

    def cancel(self, key: Hashable) -> list[tuple[Hashable, Event]]:
        """End a waiting run now and return its last events; nothing for a run that is over."""
        if key not in self._waiting:
            return []
        return self._advance(key, self._waiting.pop(key)[0], Cancelled())

    def close(self) -> None:
        """End all runs without events."""
        for process, _ in self._waiting.values():
            process.close()
        self._waiting.clear()

    def _advance(
        self, key: Hashable, process: Decoding, reply: Float["R V"] | Exception | None
    ) -> list[tuple[Hashable, Event]]:
        """Feed a run and collect its events until it asks for a pass or is over."""
        events: list[tuple[Hashable, Event]] = []
        try:
            item = process.throw(reply) if isinstance(reply, Exception) else process.send(reply)
            while not isinstance(item, Pass):
                events.append((key, item))
                item = next(process)
            self._waiting[key] = (process, item)
        except StopIteration:
            pass
        return events

    def _groups(self) -> list[list[Hashable]]:
        """Return the waiting runs, those of one canvas length together, within ``BATCH_ROWS``."""
        groups: list[list[Hashable]] = []
        room: dict[int, tuple[list[Hashable], int]] = {}
        for key, (_, asked) in self._waiting.items():
            length, rows = asked.canvases.shape[1], asked.canvases.numel()
            group, used = room.get(length, ([], BATCH_ROWS))
            if used + rows > BATCH_ROWS:
                group, used = [], 0
                groups.append(group)
            group.append(key)
            room[length] = (group, used + rows)
        return groups

    @torch.no_grad()
    def _forward(self, asked: Sequence[Pass]) -> list[Float["R V"]]:
        canvases = torch.cat([item.canvases for item in asked])
        project = torch.cat([item.project for item in asked])
        logits = self._model.forward(canvases, project=project).logits
        return list(logits.split([int(item.project.sum()) for item in asked]))


def decoding(model: Model, plan: Plan, limits: Limits, noise: Noise | None = None) -> Decoding:
    """Yield the events of one run, and a ``Pass`` wherever logits are to be sent in."""
    work = _Work(model, plan, noise or KeyedNoise(plan.request.seed))
    yield work.start()
    reason, message = "done", ""
    try:
        while work.tape.masked():
            message = work.over(limits)
            if message:
                reason = "budget"
                break
            yield work.step((yield work.ask()))
    except Cancelled:
        reason = "cancelled"
    except AppError as error:
        reason, message = "error", str(error)
    except Exception:
        log.exception("A run of %s failed.", plan.decoder.name)
        reason = "error"
        message = "The run failed inside the program; what it had written is kept. The log says more."
    yield work.tape.end(reason, message)


class _Work:
    """One run in progress: what it asks of the model and what becomes of the answer."""

    def __init__(self, model: Model, plan: Plan, noise: Noise) -> None:
        self._model, self._plan, self._noise = model, plan, noise
        self._observer = Observer(model.mask_id, plan.request.top_k)
        self._guidance = plan.decoder.guidance(plan.settings)
        self._state: object = None
        self.tape = Tape(model)

    def start(self) -> Event:
        plan = self._plan
        blocks = plan.decoder.blocks(plan.settings, plan.layout)
        return self.tape.start(plan.request, plan.canvas, plan.layout.prompt_length, blocks, plan.settings_shown)

    def over(self, limits: Limits) -> str:
        """Return why no further pass may run, or nothing."""
        if self.tape.passes >= limits.passes:
            return f"The run used its {limits.passes} forward passes; ask for fewer steps or a shorter answer."
        if self.tape.elapsed_s >= limits.seconds:
            return f"The run used its {limits.seconds:g} seconds; ask for fewer steps or a shorter answer."
        return ""

    def ask(self) -> Pass:
        """Return the pass over the canvas as it stands, twice when guided."""
        canvas = torch.tensor([self.tape.canvas])
        masked = canvas == self._model.mask_id
        masked[:, : self._plan.layout.prompt_length] = False
        if self._guidance:
            known = torch.tensor([self._plan.canvas]) != self._model.mask_id
            canvas = torch.cat([canvas, canvas.masked_fill(known, self._model.mask_id)])
            masked = masked.repeat(2, 1)
        return Pass(canvas, masked)

    def step(self, logits: Float["R V"]) -> Event:
        """Return the step that the decoder decides on these logits."""
        plan, tape = self._plan, self.tape
        tape.count_pass((2 if self._guidance else 1) * len(tape.canvas))
        seen = self._observer.observe(self._guided(logits), tape.masked())
        choice = plan.decoder.choose(self._view(seen), plan.settings, self._state)
        self._state = choice.state
        return tape.step(seen, choice.writes, erases=choice.erases, notes=_notes(choice))

    def _guided(self, logits: Float["R V"]) -> Float["M V"]:
        """Return logits with classifier-free guidance: un + (scale + 1)(cond - un)."""
        if not self._guidance:
            return logits
        conditional, unconditional = logits.float().chunk(2)
        return unconditional + (self._guidance + 1) * (conditional - unconditional)

    def _view(self, seen: Seen) -> View:
        return View(
            self.tape.next_step, self._plan.layout, seen.positions, seen.tokens, seen.probs,
            seen.entropies, seen.log_probs, self._noise, self._model.mask_id,
        )


def _notes(choice: Choice) -> dict[str, object]:
    return {"why": choice.why, **choice.notes}
