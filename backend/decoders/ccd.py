"""Writes the tokens whose prediction stays certain and the same over the last passes, not merely the most certain ones.

Every pass puts the few most certain positions into a buffer. A position that was there before is
judged by its distribution averaged over those passes: what is certain only in one context loses.
The most confident token can thus be refused, which the notes show. With the adaptive budget (CCD-DS)
every coherent position is written at once, so that easy stretches go fast.

Source: Beyond Confidence (arXiv 2512.02044). Mode ``paper`` is our reconstruction from its formulas,
figures and slides; mode ``release`` is what github.com/tonyckc/CCD-DLM-code does, which averages
nothing and asks only that the favourite token has not changed. One buffer per block is ours, and so
is going on with the base rule where the released loop could end with masks left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.decoders.base import (
    BaseDecoder, Choice, Layout, Score, View, most_probable, option, writes_of,
)
from backend.decoders.schedules import active_block, block_problems, steps_per_block
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.shapes import Float

RARE = 1e-10
"""Added inside the logarithm of an entropy, as the released code does."""


@dataclass(frozen=True)
class Settings:
    """CCD's settings; those of one mode are not used by the other."""

    mode: str = option("paper", "choice", "The paper's averaging rule (reconstructed), or what the released code does.",
                       choices=("paper", "release"), title="Mode")
    adaptive: bool = option(True, "bool", "CCD-DS: write every coherent position at once instead of a fixed number.", title="Adaptive budget")
    steps: int | None = option(None, "int", "Passes of the uniform schedule; the adaptive budget usually needs fewer.",
                               low=1, high="length", auto="length", title="Steps")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length. The buffer is emptied at its end.",
                                      low=1, high="length", auto="length", title="Block length")
    certainty: str = option("entropy", "choice", "What ranks positions: entropy, probability of the favourite, or margin of the two best.",
                            choices=("entropy", "confidence", "margin"), title="Certainty")
    buffer_size: int = option(4, "int", "Paper: how many of the most certain positions a pass keeps (V); at least as many as it writes.", low=1, high=64, title="Buffer size")
    history: int = option(2, "int", "Paper: past passes the buffer holds (d).", low=0, high=8, title="History")
    history_rule: str = option("all", "choice", "Paper: a position counts when it was kept in all of these passes, in any, or in the last.",
                               choices=("all", "any", "last"), title="History rule")
    ds_rule: str = option("argmax_stable", "choice", "Paper, adaptive: coherent means an unchanged favourite token, or an averaged entropy below a bound.",
                          choices=("argmax_stable", "entropy_below_eps"), title="Adaptive rule")
    eps: float = option(0.5, "float", "Paper, adaptive: that bound, in nats.", low=0.0, high=20.0, step=0.05, title="Entropy bound")
    warm: int = option(5, "int", "Release: passes before the buffer is used.", low=1, high=64, title="Warm-up")
    expand: float = option(4.0, "float", "Release: how far the buffer may grow, in budgets.", low=0.0, high=16.0, step=0.5, title="Expansion")
    late: float = option(0.1, "float", "Release: share of the masks below which the buffer shrinks again.", low=0.0, high=1.0, step=0.05, title="Late phase")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")


Row = dict[int, Any]
"""One pass's buffer: position -> its distribution (paper) or None (release)."""


@dataclass(frozen=True)
class _Memory:
    """What a pass leaves for the next one, within one block; ``rows`` newest last."""

    block: int
    masks: int
    done: int = 0
    size: int = 1
    rows: tuple[Row, ...] = ()
    favourites: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Verdict:
    """What a mode decided: indices into the view, with the token of each where it is not the view's."""

    chosen: list[int]
    path: str
    size: int
    tokens: dict[int, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, tuple[float | None, ...]] = field(default_factory=dict)


class Ccd(BaseDecoder):
    """Coherent contextual decoding."""

    name = "ccd"
    title = "CCD: certain and coherent"
    source = "arXiv 2512.02044; mode release from github.com/tonyckc/CCD-DLM-code model.py"
    mark = "reconstructed"
    scores = (
        Score("disagreement", "Disagreement", "How far the belief about this place differs between the buffered passes and now: "
              "H(mean) - mean H of these distributions; none before the buffer holds the place. The scale ends at ln 3, the most that "
              "two buffered passes and the present one can differ.", "nats", "kept changing", 0.0, math.log(3), when={"mode": ("paper",)}),
    )
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse blocks that do not divide the length and step counts below one per block."""
        return block_problems(layout, settings.block_length, settings.steps)

    def choose(self, view: View, settings: Settings, state: _Memory | None) -> Choice:
        """Write the coherent positions of the active block, or the most certain ones."""
        blocks = self.blocks(settings, view.layout)
        active = active_block(view, blocks)
        inside = view.within(blocks[active])
        if state is None or state.block != active:
            state = _Memory(active, len(inside))
        passes = steps_per_block(settings.steps, len(blocks), view.layout.length)
        ranked = most_probable(view, inside, certainty(view, settings.certainty))
        decide = _paper if settings.mode == "paper" else _released
        verdict = decide(view, settings, state, ranked, passes)
        tokens, probs = self._tokens(view, settings, verdict)
        left = [at for at in ranked if at not in set(verdict.chosen)]
        return Choice(
            writes_of(view, verdict.chosen, tokens, probs), why=_why(view, verdict, ranked),
            notes={"block": active, "path": verdict.path, "budget": len(verdict.chosen), "buffer_size": verdict.size,
                   "buffer": _shown(view, state.rows), **_rejected(view, verdict, ranked), **verdict.notes},
            state=_next(view, settings, state, verdict, left), scores=verdict.scores,
        )

    def _tokens(self, view: View, settings: Settings, verdict: _Verdict) -> tuple[list[int], tuple[float, ...]]:
        from backend import sampling  # needs torch, which a catalogue must not wait for

        drawn, _ = view.drawn(settings.temperature)
        tokens = list(drawn)
        if settings.temperature == 0:
            for at, token in verdict.tokens.items():
                tokens[at] = token
        return tokens, sampling.probs_of(view, tokens)


def certainty(view: View, kind: str) -> tuple[float, ...]:
    """Return how sure the model is per masked position; higher is surer, comparable within one kind."""
    if kind == "confidence":
        return view.probs
    if kind == "entropy":
        return tuple(-value for value in view.entropies)
    best = view.log_probs.topk(2, dim=1).values.exp()
    return tuple((best[:, 0] - best[:, 1]).tolist())


def _paper(view: View, settings: Settings, memory: _Memory, ranked: list[int], passes: int) -> _Verdict:
    """Decide by distributions averaged over the buffered passes."""
    budget = max(1, memory.masks // passes)
    size = max(settings.buffer_size, budget)  # a buffer smaller than a pass's share could never fill it
    top = ranked[:size]
    current = [at for at in top if _in_history(view.positions[at], settings, memory.rows)]
    averages = {at: _average(view, at, memory.rows) for at in range(len(view.positions))}
    scores = {"disagreement": tuple(_disagreement(view, at, averages[at], memory.rows) for at in averages)}
    base = ranked[:budget]
    if len(memory.rows) < settings.history:
        return _Verdict(base, "warmup", size, scores=scores)
    if memory.done >= passes - 1:
        return _Verdict(base, "last_pass", size, scores=scores)
    if not current:
        return _Verdict(base, "fallback_no_overlap", size, scores=scores)
    entropies = {at: _entropy(averages[at]) for at in current}
    chosen = sorted(current, key=lambda at: (entropies[at], view.positions[at]))
    if settings.adaptive:
        chosen = [at for at in chosen if _coherent(view, at, settings, memory, entropies[at])]
        if len(chosen) < min(budget, len(ranked)):
            return _Verdict(base, "fallback_no_match", size, scores=scores)
    else:
        chosen = chosen[:budget]
        chosen += [at for at in top if at not in current][: budget - len(chosen)]
    tokens = {at: _favourite(view, averages[at]) for at in chosen if at in entropies}
    notes = {"averaged_entropies": tuple((view.positions[at], entropies[at]) for at in current)}
    return _Verdict(chosen, "matched", size, tokens, notes, scores)


def _released(view: View, settings: Settings, memory: _Memory, ranked: list[int], passes: int) -> _Verdict:
    """Decide as the released routine does: by an unchanged favourite token of buffered positions."""
    budget = max(1, memory.masks // passes)
    size = 1 if len(ranked) <= settings.late * memory.masks else memory.size
    size = 1 if memory.done < settings.warm - 1 else min(size + 1, budget + int(budget * settings.expand))
    top = ranked[:budget]
    if memory.done < settings.warm or memory.done >= passes - 1:
        return _Verdict(top, "warmup" if memory.done < settings.warm else "last_pass", size)
    before = memory.rows[-1] if memory.rows else {}
    if not any(view.positions[at] in before for at in top):
        return _Verdict(top, "fallback_no_overlap", size)
    match = [at for at in ranked[:size] if view.positions[at] in before
             and memory.favourites.get(view.positions[at]) == view.tokens[at]]
    if len(match) < len(top):
        return _Verdict(top, "fallback_no_match", size)
    return _Verdict(match if settings.adaptive else match[:budget], "matched", size)


def _next(view: View, settings: Settings, memory: _Memory, verdict: _Verdict, left: list[int]) -> _Memory:
    """Return what the next pass is told: the most certain positions that are still masked."""
    paper = settings.mode == "paper"
    kept = {view.positions[at]: view.log_probs[at].exp() if paper else None for at in left[: verdict.size]}
    stored = paper or memory.done >= settings.warm - 2
    depth = settings.history if paper else 1
    rows = (*memory.rows, kept)[-depth:] if stored and depth else ()
    favourites = dict(zip(view.positions, view.tokens, strict=True))
    return _Memory(memory.block, memory.masks, memory.done + 1, verdict.size, rows, favourites)


def _in_history(position: int, settings: Settings, rows: tuple[Row, ...]) -> bool:
    if settings.history_rule == "last":
        return bool(rows) and position in rows[-1]
    return (all if settings.history_rule == "all" else any)(position in row for row in rows)


def _coherent(view: View, at: int, settings: Settings, memory: _Memory, entropy: float) -> bool:
    if settings.ds_rule == "entropy_below_eps":
        return entropy < settings.eps
    return memory.favourites.get(view.positions[at]) == view.tokens[at]


def _past(view: View, at: int, rows: tuple[Row, ...]) -> list[Float["V"]]:
    return [row[view.positions[at]] for row in rows if view.positions[at] in row]


def _average(view: View, at: int, rows: tuple[Row, ...]) -> Float["V"]:
    """Return the mean of the distribution now and those of the buffered passes that hold the position."""
    past = _past(view, at, rows)
    return sum(past, view.log_probs[at].exp()) / (1 + len(past))


def _disagreement(view: View, at: int, average: Float["V"], rows: tuple[Row, ...]) -> float | None:
    """Return H(mean) - mean H over the averaged distributions, nats; None without a past."""
    past = _past(view, at, rows)
    if not past:
        return None
    each = [_entropy(row) for row in (*past, view.log_probs[at].exp())]
    return max(0.0, _entropy(average) - sum(each) / len(each))


def _entropy(probs: Float["V"]) -> float:
    return float(-(probs * (probs + RARE).log()).sum())


def _favourite(view: View, probs: Float["V"]) -> int:
    token = int(probs.argmax())
    if token != view.mask_id:
        return token
    others = probs.clone()
    others[token] = -1.0
    return int(others.argmax())


def _shown(view: View, rows: tuple[Row, ...]) -> tuple[tuple[tuple[int, int, float], ...], ...]:
    """Return the buffer for the eye, oldest pass first: (position, favourite, entropy in nats) per entry."""
    return tuple(
        tuple((position, _favourite(view, probs), _entropy(probs)) if probs is not None else (position, -1, 0.0)
              for position, probs in row.items())
        for row in rows
    )


def _rejected(view: View, verdict: _Verdict, ranked: list[int]) -> dict[str, Any]:
    """Return the most certain position when it was not written."""
    return {} if ranked[0] in verdict.chosen else {"rejected_top1": view.positions[ranked[0]]}


def _why(view: View, verdict: _Verdict, ranked: list[int]) -> str:
    count, masked = len(verdict.chosen), len(ranked)
    if verdict.path != "matched":
        reason = {
            "warmup": "the buffer is not full yet", "last_pass": "the schedule is at its end",
            "fallback_no_overlap": "none of the most certain ones was in the buffer before",
            "fallback_no_match": "too few buffered ones kept their favourite token",
        }[verdict.path]
        return f"{count} of {masked} masked positions written: the most certain, because {reason}."
    refused = "" if ranked[0] in verdict.chosen else f"; the most certain place, {view.positions[ranked[0]]}, is refused"
    return f"{count} of {masked} masked positions written: certain and coherent over the last passes{refused}."
