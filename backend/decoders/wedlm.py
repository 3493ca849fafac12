"""Streams: a window of open places slides over the text, fills where the entropy is low, and commits its filled left end.

Entropies are raised by a penalty for the distance from the first open place, so that filling leans to
the left; everything below a threshold is filled at once, else the lowest one. Filled places at the
window's left end are committed with the next pass and the window is refilled on the right, so the load
per pass is constant and a text of any length streams out from left to right.

Source: WeDLM (arXiv 2512.22737), github.com/Tencent/WeDLM at 0216110f. The model trained for it uses
causal attention over a reordered sequence and a final key/value cache; on a model with full attention
the reordering changes nothing, and this is the decoding policy alone (the notes show the order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Choice, View, option, writes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """The window, and the fill rule."""

    window: int = option(16, "int", "Places of the window.", low=1, high=256, title="Window")
    entropy_threshold: float | None = option(0.4, "float", "Nats below which a place is filled. Off: one place a pass.",
                                             low=0.0, high=20.0, step=0.05, nullable=True, title="Entropy threshold")
    penalty: float = option(0.02, "float", "Nats added per place of distance from the first open one.", low=0.0, high=5.0, step=0.01, title="Distance penalty")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.", low=0.0, high=5.0, step=0.1, title="Temperature")
    top_p: float | None = option(None, "float", "Keep the most probable tokens up to this mass.", low=0.01, high=1.0, step=0.01, nullable=True, title="Top-p")
    top_k: int | None = option(None, "int", "Keep this many of the most probable tokens.", low=1, high=1000, nullable=True, title="Top-k")


class Wedlm(BaseDecoder):
    """WeDLM's streaming policy."""

    name = "wedlm"
    title = "WeDLM: a streaming window"
    source = "arXiv 2512.22737; github.com/Tencent/WeDLM wedlm/engine @ 0216110f (policy only)"
    cost = "One forward pass over the canvas up to the end of the window."
    Settings = Settings

    def decode(self, world: World) -> Decoding:
        """Slide, fill and commit until the text has ended or nothing is open."""
        settings, layout = world.settings, world.layout
        committed, end = layout.prompt_length, min(layout.prompt_length + settings.window, layout.end)
        while world.masked:
            leading = leading_filled(world.canvas[committed:end], world.mask_id)
            refill = min(leading, layout.end - end)
            if not world.stop_ids.isdisjoint(world.canvas[committed : committed + leading]):
                return
            end += refill
            slots = world.canvas[committed:end]
            if world.mask_id not in slots:  # given tokens fill the whole window
                committed += leading
                continue
            view, _ = yield from world.predict(end=end)
            committed += leading
            filled, adjusted = to_fill(view.entropies, view.positions, settings.entropy_threshold, settings.penalty)
            yield world.step(_choice(world, view, filled, {
                "committed": committed, "refilled": refill, "committed_now": leading, "window": (committed, end),
                "physical_order": physical_order([token == world.mask_id for token in slots]), "adjusted_entropies": adjusted,
            }))


def leading_filled(slots: Sequence[int], mask_id: int) -> int:
    """Return how many slots are filled before the first open one."""
    return next((at for at, token in enumerate(slots) if token == mask_id), len(slots))


def physical_order(is_open: Sequence[bool]) -> tuple[int, ...]:
    """Return the slots in the order of computation: filled ones first, then open ones, each from left to right."""
    return tuple(sorted(range(len(is_open)), key=lambda at: (is_open[at], at)))


def to_fill(
    entropies: Sequence[float], places: Sequence[int], threshold: float | None, penalty: float
) -> tuple[list[int], tuple[float, ...]]:
    """Return the indices to fill and the entropies with the distance penalty, nats."""
    adjusted = tuple(value + penalty * (place - places[0]) for value, place in zip(entropies, places, strict=True))
    filled = [at for at, value in enumerate(adjusted) if threshold is not None and value < threshold]
    return filled or [min(range(len(adjusted)), key=lambda at: (adjusted[at], at))], adjusted


def _choice(world: World, view: View, filled: list[int], notes: dict) -> Choice:
    from backend import sampling

    settings, tokens = world.settings, view.tokens
    if settings.temperature:
        narrowed = sampling.filtered(sampling.filtered(view.log_probs, 0, top_k=settings.top_k), 0, top_p=settings.top_p)
        tokens = sampling.drawn_from(view, sampling.filtered(narrowed, settings.temperature))
    return Choice(
        writes_of(view, filled, tokens, sampling.probs_of(view, tokens)),
        why=f"{len(filled)} of {len(view.positions)} open places of the window filled; {notes['committed_now']} committed on the left.",
        notes=notes,
    )
