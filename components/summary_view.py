"""Sentences about models, decoders and runs."""

from __future__ import annotations

from collections.abc import Sequence

from backend.canvas import end_of, start_of
from backend.decoders.base import Decoder
from backend.decoders.catalogue import find_decoder
from backend.events import Event
from components.html import Markup, join, tag

_MARKS = {
    "sourced": "The rule is read from the authors' code or paper.",
    "reconstructed": "The rule is our reading of the paper; the authors' code was not available.",
    "own": "A rule of its own, from no paper: something to compare with.",
}
_REASONS = {
    "done": "finished", "cancelled": "was stopped", "budget": "reached its limit", "error": "failed",
}


def decoder_line(decoder: Decoder) -> Markup:
    """Return one line: what the decoder does, where its rule comes from, and how sure that is."""
    return tag(
        "p",
        decoder.summary,
        " ",
        tag("span", decoder.mark, class_=f"mark mark-{decoder.mark}", title=_MARKS[decoder.mark]),
        " ",
        tag("span", decoder.source, class_="source"),
    )


def mark_line(decoder: Decoder) -> Markup:
    """Return the mark of a decoder's rule and what it means."""
    return join(tag("span", decoder.mark, class_=f"mark mark-{decoder.mark}"), " ", _MARKS[decoder.mark])


def model_line(name: str, state: str, detail: str = "") -> Markup:
    """Return the state of a model (``loading``, ``ready``, ``unloaded`` or ``failed``), in words and a dot."""
    shown = name.rstrip("/").rpartition("/")[2]  # of a folder or hub id, its own name
    words = {"loading": "is loading", "ready": "is ready", "unloaded": "is not loaded", "failed": "did not load"}[state]
    return tag(
        "p",
        tag("span", class_="dot", aria_hidden="true"),
        tag("span", shown or name, class_="name", title=name),
        f" {words}",
        tag("span", f"{'. ' if state == 'failed' else ' · '}{detail}", class_="detail") if detail else None,
        class_=f"model-state is-{state}",
        role="status",
    )


def run_line(events: Sequence[Event]) -> Markup:
    """Return one sentence: the decoder, the model, how the run ended and what it took."""
    begun, ended = start_of(events), end_of(events)
    decoder = find_decoder(begun.request.decoder)
    who = f"{decoder.title if decoder else begun.request.decoder} on {begun.model.name}"
    if ended is None:
        return tag("p", f"{who}: the run goes on.")
    totals = ended.totals
    how = _REASONS.get(ended.reason, ended.reason)
    counts = (
        f"{totals.written} tokens in {totals.passes} forward passes "
        f"({totals.tokens_per_pass:.2f} per pass), {totals.elapsed_s:.2f} s."
    )
    return join(tag("p", f"{who}: {how}. {counts}"), tag("p", ended.message) if ended.message else None)
