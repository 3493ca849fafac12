"""Keeps the few likeliest continuations side by side and returns the one with the best total log-probability.

Every beam is extended by its best next tokens and the best extensions stay; an end of sequence
finishes a beam. Totals are divided by a power of the length, since longer texts are less likely. The
canvas shows the best beam, which may change; the tree is recorded as branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Choice, Layout, View, option
from backend.decoders.caches import CausalPrefix, prompt_problems
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """The width of the search, and how length counts."""

    beams: int = option(4, "int", "Continuations kept side by side.", low=1, high=16, title="Beams")
    length_penalty: float = option(1.0, "float", "Totals are divided by the length to this power.", low=0.0, high=5.0, step=0.1, title="Length penalty")


@dataclass(frozen=True)
class Beam:
    """One continuation: its canvas, total log-probability in nats, tokens counted, and node."""

    canvas: tuple[int, ...]
    total: float = 0.0
    count: int = 0
    node: int | None = None
    row: int = 0
    probs: dict[int, float] = field(default_factory=dict)

    def score(self, penalty: float) -> float:
        """Return the total divided by the length to the power of ``penalty``."""
        return self.total / max(self.count, 1) ** penalty


class BeamSearch(BaseDecoder):
    """Beam search over next tokens."""

    name = "beam"
    title = "Beam search: the likeliest text of several"
    source = "The standard meaning"
    needs = frozenset({"causal", "cache"})
    remasks = True
    cost = "One forward pass over the newest token of every beam; everything before is kept."
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse an empty prompt."""
        return prompt_problems(layout)

    def decode(self, world: World) -> Decoding:
        """Extend, rank and keep until enough beams have ended or the canvas is full."""
        settings, prefix = world.settings, CausalPrefix()
        live, finished, nodes = [Beam(world.canvas)], [], 0
        while live and len(finished) < settings.beams and world.mask_id in live[0].canvas:
            place = live[0].canvas.index(world.mask_id, world.layout.prompt_length)
            output = yield from prefix.predict(world, [beam.canvas for beam in live], place)
            views = [world.look(output.logits[:1].clone(), (place,)) if live[0].canvas[:place] == world.canvas[:place]
                     else world.peek(output.logits[:1].clone(), (place,))]
            views += [world.peek(output.logits[at : at + 1].clone(), (place,)) for at in range(1, len(live))]
            extended = _extended(live, views, place, settings.beams)
            live = []
            for rank, beam in enumerate(extended):
                ended = beam.canvas[place] in world.stop_ids
                kept = len(live) < settings.beams and (not ended or rank < settings.beams)
                nodes += 1
                yield world.branch(nodes, beam.node, beam.total, kept, ((place, beam.canvas[place], beam.probs[place]),))
                if kept:
                    (finished if ended else live).append(Beam(beam.canvas, beam.total, beam.count, nodes, beam.row, beam.probs))
                if len(live) == settings.beams:
                    break
            prefix.keep([beam.row for beam in live])
            best = live[0] if live else _best(finished, settings)
            yield world.step(_shown(world, best, live, finished))
        best = _best(finished if len(finished) >= settings.beams else [*finished, *live], settings)
        if best.canvas != world.canvas:
            yield world.step(_shown(world, best, live, finished))


def _extended(live: Sequence[Beam], views: Sequence[View], place: int, width: int) -> list[Beam]:
    """Return the best extensions of all beams, best first; ties go to the earlier beam, then the smaller id."""
    from backend import sampling

    found = []
    for row, (beam, view) in enumerate(zip(live, views, strict=True)):
        log_probs, tokens = sampling.largest(view.log_probs[:1], 2 * width)
        for token, gained in zip(tokens[0].tolist(), log_probs[0].tolist(), strict=True):
            canvas = (*beam.canvas[:place], token, *beam.canvas[place + 1 :])
            found.append((-(beam.total + gained), row, token, canvas, gained))
    found.sort(key=lambda item: item[:3])
    import math

    return [
        Beam(canvas, -minus, live[row].count + 1, live[row].node, row, live[row].probs | {place: math.exp(gained)})
        for minus, row, _, canvas, gained in found[: 2 * width]
    ]


def _best(beams: Sequence[Beam], settings: Settings) -> Beam:
    return max(beams, key=lambda beam: beam.score(settings.length_penalty))


def _shown(world: World, best: Beam, live: Sequence[Beam], finished: Sequence[Beam]) -> Choice:
    before = world.canvas
    changed = [at for at in range(len(before)) if before[at] != best.canvas[at]]
    penalty = world.settings.length_penalty
    return Choice(
        tuple((at, best.canvas[at], best.probs[at]) for at in changed if best.canvas[at] != world.mask_id),
        tuple(at for at in changed if before[at] != world.mask_id),
        f"{len(live)} beams go on and {len(finished)} have ended; the best one is shown.",
        notes={"scores": tuple(beam.score(penalty) for beam in live), "nodes": tuple(beam.node for beam in live), "finished": len(finished)},
    )
