"""Events as the browser reads them: small, numbered, scores packed to 16 bits over their range.

The exact floats stay in the run; ``assets/trace.js`` unpacks what is written here.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy

from backend.decoders.catalogue import find_decoder
from backend.events import Branch, End, Event, RunRequest, Start, Step
from backend.tasks.catalogue import find_task

if TYPE_CHECKING:
    from backend.decoders.base import Score
    from backend.holding import Standing
    from backend.measures.base import Measure

VERSION = 1
NO_SCORE = 65535
_TOP = NO_SCORE - 1
_DIGITS = 6


class Encoder:
    """Turns one run's events into wire objects, in order; knows how long its canvas is by now."""

    def __init__(self, run_id: str, lane: int = 0) -> None:
        self.run_id, self.lane = run_id, lane
        self._start: Start | None = None
        self._length = 0

    def encode(self, events: Iterable[Event], created: Iterable[float] = ()) -> list[dict[str, Any]]:
        """Return the wire objects of the next ``events``, with when each was made where known.

        ``created`` is in seconds since the epoch; the page measures its own delay with it.
        """
        encoded = [{"lane": self.lane, **self._one(event)} for event in events]
        for item, at in zip(encoded, created, strict=False):
            item["created"] = round(at, 4)
        return encoded

    def _one(self, event: Event) -> dict[str, Any]:
        if isinstance(event, Start):
            self._start, self._length = event, len(event.canvas)
            return start(event, self.run_id)
        if isinstance(event, Step):
            encoded = step(event, self._ranges(), self._length)
            self._length += sum(count for _, count in event.grows)
            return encoded
        if isinstance(event, End):
            return end(event, self._start)
        return branch(event)

    def _ranges(self) -> Mapping[str, tuple[float, float]]:
        return ranges(self._start) if self._start else {}


def batch(runs: Sequence[str | None], number: int, events: Sequence[Mapping[str, Any]]) -> str:
    """Return the ``number``-th message of a stream as JSON text; ``runs`` are those of the lanes.

    None is a lane that stays as it is.

    Text, because the UI library sends the difference to the last value: of two objects that is
    several times their size, of two texts it is the new one.
    """
    return dumps({"v": VERSION, "n": number, "runs": runs, "events": events})


def dumps(value: Any) -> str:
    """Return ``value`` as JSON text that can be sent: half a character, which cannot, becomes "?"."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def start(event: Start, run_id: str) -> dict[str, Any]:
    """Return the ``start`` object: what is needed to read every later one."""
    request, model = event.request, event.model
    decoder = find_decoder(request.decoder)
    task = find_task(request.prompt) if request.prompt else None
    return {
        "kind": "start",
        "run": run_id,
        "decoder": request.decoder,
        "decoder_title": decoder.title if decoder else request.decoder,
        "mark": decoder.mark if decoder else "reconstructed",
        "own_loop": _own_loop(request),
        "model": asdict(model),
        "canvas": event.canvas,
        "prompt_length": event.prompt_length,
        "length": len(event.canvas) - event.prompt_length,
        "mask": model.mask_id,
        "eos": model.eos_id,
        "fixed": [event.prompt_length + position for position in sorted(request.fixed)],
        "blocks": event.blocks,
        "settings": dict(event.settings),
        "request": {
            "decoder": request.decoder,
            "prompt": request.prompt,
            "length": request.length,
            "settings": dict(request.settings),
            "seed": request.seed,
            "top_k": request.top_k,
            "forks": [asdict(fork) for fork in request.forks],
        },
        "texts": _texts(event.texts),
        "measures": measures(event),
        "task": {"name": task.name, "title": task.title} if task else None,
    }


def _own_loop(request: RunRequest) -> bool:
    """Tell whether the decoder that was at work last drives its own loop: a branch of it is then no counterfactual."""
    names = [request.decoder, *(fork.decoder for fork in request.forks if fork.decoder)]
    return hasattr(find_decoder(names[-1]), "decode")


def step(event: Step, score_ranges: Mapping[str, tuple[float, float]], length: int) -> dict[str, Any]:
    """Return the ``step`` object; ``length`` is that of the canvas when the step's pass ran."""
    written = {position for position, _, _ in event.writes}
    return {
        "kind": "step",
        "index": event.index,
        "passes": event.passes,
        "rows": event.rows,
        "elapsed_s": round(event.elapsed_s, _DIGITS),
        "writes": _writes(event.writes),
        "erases": event.erases,
        "drafts": _writes(event.drafts),
        "rejects": event.rejects,
        "grows": event.grows,
        "notes": dict(event.notes),
        "texts": _texts(event.texts),
        "scores": {
            name: packed(event.masked, values, score_ranges.get(name, (0.0, 1.0)), length)
            for name, values in event.scores.items()
        },
        "candidates": candidates(event, written),
    }


def branch(event: Branch) -> dict[str, Any]:
    """Return the ``branch`` object."""
    return {"kind": "branch", **asdict(event), "writes": _writes(event.writes)}


def end(event: End, begun: Start | None) -> dict[str, Any]:
    """Return the ``end`` object, with the verdict of a finished answer that a program can judge."""
    return {
        "kind": "end",
        "reason": event.reason,
        "message": event.message,
        "text": event.text,
        "totals": asdict(event.totals),
        "verdict": verdict(event, begun),
    }


def verdict(event: End, begun: Start | None) -> dict[str, Any] | None:
    """Return the judgement of the answer, or None when it is unfinished or nothing can judge it."""
    prompt = begun.request.prompt if begun else None
    task = find_task(prompt) if prompt else None
    if task is None or event.reason != "done":
        return None
    judged = task.check(prompt, event.text)
    return {"task": task.name, "title": task.title, "right": judged.right, "why": judged.why}


def queue(ahead: int, lane: int = 0, wait_s: float | None = None) -> dict[str, Any]:
    """Return the object that says how many runs come first and, where it can be told, for how long."""
    return {"lane": lane, "kind": "queue", "ahead": ahead} | ({} if wait_s is None else {"wait_s": round(wait_s, 1)})


def pause(standing: Standing, lane: int = 0) -> dict[str, Any]:
    """Return the object that says that a run pauses or goes on."""
    return {"lane": lane, "kind": "pause", **asdict(standing)}


def candidates(event: Step, positions: Iterable[int] | None = None) -> list[list[Any]]:
    """Return ``[position, ids, probabilities]`` of the step's masked positions, or of those given."""
    wanted = None if positions is None else set(positions)
    kept = event.candidates
    return [
        [position, ids, [round(value, _DIGITS) for value in probabilities]]
        for position, ids, probabilities in zip(kept.positions, kept.ids, kept.probabilities, strict=True)
        if wanted is None or position in wanted
    ]


def measures(begun: Start) -> list[dict[str, Any]]:
    """Return how each score of a run is to be read: its range, unit and direction."""
    return [
        {
            "name": score.name,
            "title": score.title,
            "low": score.low,
            "high": score.high(begun.model.vocab_size),
            "unit": score.unit,
            "higher": score.higher,
            "help": score.help,
        }
        for score in _declared(begun)
    ]


def ranges(begun: Start) -> dict[str, tuple[float, float]]:
    """Return the declared range of every score of a run."""
    return {score.name: (score.low, score.high(begun.model.vocab_size)) for score in _declared(begun)}


def packed(
    positions: Sequence[int], values: Sequence[float | None], limits: tuple[float, float], length: int
) -> str:
    """Return ``length`` little-endian uint16 as base64: 0..65534 over ``limits``, 65535 = no score.

    Values outside the limits are shown at the limit.
    """
    low, high = limits
    row = numpy.full(length, NO_SCORE, dtype="<u2")
    known = [(at, value) for at, value in zip(positions, values, strict=True)
             if value is not None and not math.isnan(value) and at < length]
    if known:
        at, value = zip(*known, strict=True)
        share = (numpy.asarray(value, dtype=numpy.float64) - low) / (high - low)
        row[list(at)] = numpy.rint(numpy.clip(share, 0.0, 1.0) * _TOP)
    return base64.b64encode(row.tobytes()).decode("ascii")


def _declared(begun: Start) -> tuple[Measure | Score, ...]:
    """Return the scores of every run, then those that its decoder adds with its settings."""
    from backend.measures.catalogue import MEASURES  # pulls in torch: not at page start

    decoder = find_decoder(begun.request.decoder)
    return (*MEASURES, *(score for score in (decoder.scores if decoder else ()) if score.recorded(begun.settings)))


def _writes(writes: Iterable[tuple[int, int, float]]) -> list[list[float]]:
    return [[position, token, round(probability, _DIGITS)] for position, token, probability in writes]


def _texts(texts: Mapping[int, str]) -> dict[str, str]:
    return {str(token): shown for token, shown in texts.items()}
