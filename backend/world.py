"""What a decoder may do: ask for metered passes, look at what they say, and make steps.

A decoder's ``decode`` is a generator over this. It gets predictions with ``yield from
world.predict(...)`` and yields the events that ``world.step`` and ``world.branch`` return.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from backend.decoders.base import Choice, Decoder, Layout, View
from backend.errors import AppError
from backend.events import Branch, Event, Start, Step, Write
from backend.forks import Interventions
from backend.models.base import Model
from backend.noise import KeyedNoise, Noise
from backend.observing import Observer, Seen, Watch, glance
from backend.passes import Pass, Reply
from backend.requests import Plan
from backend.shapes import Bool, Float, Int
from backend.tape import Tape

Asking = Generator[Pass, Reply, Any]
"""A generator that asks for passes and returns something."""

Decoding = Generator[Pass | Event, Reply | None, None]


@dataclass(frozen=True)
class Limits:
    """What one run may spend."""

    passes: int = 65536
    seconds: float = 86400.0


class Spent(AppError):
    """The run used what it may spend."""

    code = "budget"


class World:
    """One run in progress, as its decoder sees it."""

    def __init__(
        self, model: Model, plan: Plan, limits: Limits = Limits(), noise: Noise | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._plan, self._limits = model, plan, limits
        self._tape = Tape(model, clock)
        self._observer = Observer(self.mask_id, plan.request.top_k)
        self._seen: Seen | None = None
        self._interventions = Interventions(plan.request.forks)
        self.given_settings = plan.request.settings
        """The settings of the decoder at work as they were asked for, defaults left out."""
        self.noise = noise or KeyedNoise(plan.request.seed)

    # -- what is known ---------------------------------------------------------------------------

    @property
    def settings(self) -> Any:
        """The decoder's settings, defaults filled in."""
        return self._plan.settings

    @property
    def layout(self) -> Layout:
        """Where the run happens."""
        return self._plan.layout

    @property
    def layout_now(self) -> Layout:
        """Where a decoder that takes over now would work: only what is masked is free."""
        first = self.layout.prompt_length
        return Layout(first, len(self._tape.canvas) - first, self.masked)

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """The half-open ranges that the decoder fills one after the other."""
        return self._plan.decoder.blocks(self.settings, self.layout)

    @property
    def first_canvas(self) -> tuple[int, ...]:
        """The canvas before the first step."""
        return self._plan.canvas

    @property
    def canvas(self) -> tuple[int, ...]:
        """The canvas as it stands."""
        return tuple(self._tape.canvas)

    @property
    def masked(self) -> tuple[int, ...]:
        """The response positions that hold a mask, in order."""
        return self._tape.masked()

    @property
    def mask_id(self) -> int:
        """The id that stands for an open position on the canvas."""
        return self._plan.mask_id

    @property
    def eos_id(self) -> int | None:
        """The end-of-sequence token, or None."""
        return self._model.eos_id

    @property
    def stop_ids(self) -> frozenset[int]:
        """Every token that ends an answer: end of sequence, and end of turn where there is one."""
        return self._model.stop_ids

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary."""
        return self._model.vocab_size

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return self._model.n_layers

    @property
    def capabilities(self) -> frozenset[str]:
        """What the model can do."""
        return self._model.capabilities

    @property
    def shifted(self) -> bool:
        """Whether the prediction for a position is read from the row before it."""
        return getattr(self._model, "shifted", False)

    @property
    def next_step(self) -> int:
        """The number of the step that comes next, from 1."""
        return self._tape.next_step

    @property
    def passes(self) -> int:
        """Model calls so far."""
        return self._tape.passes

    @property
    def rows(self) -> int:
        """Sequences x positions computed so far."""
        return self._tape.rows

    def masked_in(self, block: tuple[int, int]) -> tuple[int, ...]:
        """Return the masked positions inside ``block``."""
        return tuple(at for at in self.masked if block[0] <= at < block[1])

    # -- passes ----------------------------------------------------------------------------------

    def forward(self, canvases: Int["B L"], project: Bool["B L"], **choices: Any) -> Asking:
        """Ask for one pass, count it, and return its ``Reply``; ``choices`` as in ``Pass``.

        Raises ``Spent`` when the run's limits allow no further pass.
        """
        self._refuse_beyond_limits()
        asked = Pass(canvases, project, **choices)
        output = yield asked
        self._tape.count_pass(asked.rows)
        return output

    def predict(
        self, *, guidance: float = 0.0, end: int | None = None, among: Sequence[int] | None = None, **choices: Any
    ) -> Asking:
        """Ask for one pass over the canvas and return (``View`` of its masked positions, output).

        ``guidance`` runs a second sequence whose known tokens are masked; ``end`` cuts the canvas;
        ``among`` narrows the positions looked at (those that the pass computes, if not all).
        """
        canvas = torch.tensor([self._tape.canvas[:end]])
        wanted = canvas == self.mask_id
        wanted[:, : self.layout.prompt_length] = False
        if among is not None:
            looked_at = set(among)
            wanted[:, [at for at in range(canvas.shape[1]) if at not in looked_at]] = False
        positions = tuple(wanted[0].nonzero()[:, 0].tolist())
        if guidance:
            known = torch.tensor([self.first_canvas[:end]]) != self.mask_id
            canvas = torch.cat([canvas, canvas.masked_fill(known, self.mask_id)])
            wanted = wanted.repeat(2, 1)
        # Logits that change after the pass, by guidance or a forbidden token, are looked at here.
        alone = bool(guidance) or self._interventions.forbid
        watch = None if alone else Watch(self._observer, positions, self.masked)
        output = yield from self.forward(canvas, wanted, watch=watch, **choices)
        if output.seen is None:
            return self.look(guided(output.logits, guidance), positions), output
        self._seen = output.seen
        return self.view(output.seen), output

    def whole(self, positions: Sequence[int]) -> tuple[Int["B L"], Bool["B L"]]:
        """Return the canvas as a batch of one, and which of its rows are wanted."""
        canvas = torch.tensor([self._tape.canvas])
        wanted = torch.zeros_like(canvas, dtype=torch.bool)
        wanted[0, list(positions)] = True
        return canvas, wanted

    def decoding(self, decoder: Decoder) -> Decoding:
        """Return the decoder's own loop, or the one loop of all that only choose."""
        own = getattr(decoder, "decode", None)
        return self.choosing(decoder) if own is None else own(self)

    def hand_over(self, decoder: Decoder, settings: Any, given: Mapping[str, Any], layout: Layout) -> None:
        """Let another decoder, or the same with other settings, go on from here."""
        self._plan = replace(self._plan, decoder=decoder, settings=settings, layout=layout)
        self.given_settings = given

    def choosing(self, decoder: Decoder) -> Decoding:
        """Decode by asking ``decoder.choose`` after every pass over the whole canvas."""
        state, guidance = None, decoder.guidance(self.settings)
        while self.masked:
            view, _ = yield from self.predict(guidance=guidance)
            choice = decoder.choose(view, self.settings, state)
            state = choice.state
            yield self.step(choice)

    # -- what they say ---------------------------------------------------------------------------

    def look(self, logits: Float["M V"], positions: tuple[int, ...]) -> View:
        """Return the view of these positions' logits and record it with the next step."""
        logits = self._interventions.allowed(logits, positions, self.next_step)
        self._seen = self._observer.observe(logits, positions, self.masked)
        return self.view(self._seen)

    def barred(self, logits: Float["M V"], positions: Sequence[int]) -> Float["M V"]:
        """Return logits in which the tokens that the reader forbids are impossible, for a decoder that draws from them itself."""
        return self._interventions.allowed(logits, positions, self.next_step)

    def peek(self, logits: Float["M V"], positions: tuple[int, ...]) -> View:
        """Return the view of logits that belong to no step of the canvas, such as another beam's."""
        return self.view(glance(self._interventions.allowed(logits, positions, self.next_step), positions, self.mask_id))

    def view(self, seen: Seen) -> View:
        """Return what a decoder sees of a pass."""
        return View(
            self.next_step, self.layout, seen.positions, seen.tokens, seen.probs, seen.entropies,
            seen.log_probs, self.noise, self.mask_id,
        )

    # -- events ----------------------------------------------------------------------------------

    def start(self) -> Start:
        """Return the run's first event."""
        plan = self._plan
        return self._tape.start(plan.request, plan.canvas, plan.layout.prompt_length, self.blocks, plan.settings_shown)

    def step(self, choice: Choice, cache_ages: tuple[int | None, ...] = ()) -> Step:
        """Return the step that makes this choice on the canvas, with what was seen last."""
        seen, self._seen = self._seen, None
        choice = self._interventions.applied(choice, self.next_step, self._tape.canvas, self.mask_id, seen)
        return self._tape.step(
            seen, choice.writes, erases=choice.erases, drafts=choice.drafts, rejects=choice.rejects,
            notes={"why": choice.why, **choice.notes}, cache_ages=cache_ages, scores=choice.scores,
        )

    def branch(self, node: int, parent: int | None, score: float, kept: bool, writes: tuple[Write, ...]) -> Branch:
        """Return the event of one node of a search, at the step that comes next."""
        return Branch(node, parent, self.next_step, score, kept, writes)

    def end(self, reason: str, message: str) -> Event:
        """Return the run's last event."""
        return self._tape.end(reason, message)

    def _refuse_beyond_limits(self) -> None:
        limits, remedy = self._limits, "ask for fewer steps or a shorter answer."
        if self._tape.passes >= limits.passes:
            raise Spent(f"The run used its {limits.passes} forward passes; {remedy}")
        if self._tape.elapsed_s >= limits.seconds:
            raise Spent(f"The run used its {limits.seconds:g} seconds; {remedy}")


def guided(logits: Float["R V"], scale: float) -> Float["M V"]:
    """Return logits with classifier-free guidance: un + (scale + 1)(cond - un)."""
    if not scale:
        return logits
    conditional, unconditional = logits.float().chunk(2)
    return unconditional + (scale + 1) * (conditional - unconditional)
