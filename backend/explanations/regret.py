"""Regret: written tokens that the finished canvas no longer supports.

Every written token is masked alone on the final canvas and scored again. Regret is log p when it was
written minus log p now, in nats: above 0, the model would be less sure of it today. This is a
pseudo-likelihood, one position at a time; two tokens that only support each other show no regret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from backend.canvas import replay, start_of, steps_of
from backend.errors import Problem, RequestError
from backend.events import Event
from backend.explanations.base import ROWS, Explaining, Progress, Watcher, finished
from backend.models.base import Model
from backend.shapes import Float

TINY = 1e-30
NOTABLE = 0.1
"""Nats of regret below which a sentence says that there is none: a probability that fell by a tenth."""


@dataclass(frozen=True)
class Regret:
    """A written token then and now: its step, its probabilities in 0..1, and the regret in nats."""

    position: int
    token: int
    step: int
    then: float
    now: float
    nats: float
    favourite: int
    """The token that the final canvas prefers there."""


def regrets(model: Model, events: Iterable[Event], watch: Watcher | None = None) -> tuple[Regret, ...]:
    """Return the regret of every token that was written and stayed, in order of position.

    Raises ``RequestError`` for a model without a mask, and for a run by a model with another vocabulary.
    """
    return finished(regretting(model, tuple(events)), watch)


def regretting(model: Model, events: tuple[Event, ...], rows: int = ROWS * 4) -> Explaining[tuple[Regret, ...]]:
    """Yield progress and return the regrets."""
    start = start_of(events)
    if model.mask_id is None:
        raise RequestError([Problem("events", f"{model.name} has no mask token, so what it wrote cannot be masked and scored again. "
                                              "Regret is for masked diffusion models.")])
    if start.model.vocab_size != model.vocab_size:
        raise RequestError([Problem("events", f"This run was made by {start.model.name} with {start.model.vocab_size} tokens; "
                                              f"{model.name} cannot score it again. Load the model of the run.")])
    final = replay(events, len(steps_of(events)))
    kept = _last_writes(events, final)
    positions, found = sorted(kept), []
    per_pass = max(1, rows // len(final))
    for begin in range(0, len(positions), per_pass):
        yield Progress(begin, len(positions))
        chunk = positions[begin : begin + per_pass]
        for position, probs in zip(chunk, _alone(model, final, chunk), strict=True):
            step, token, then = kept[position]
            now = float(probs[token])
            nats = float(torch.tensor([then, now]).clamp_min(TINY).log().diff().neg())
            found.append(Regret(position, token, step, then, now, nats, int(probs.argmax())))
    yield Progress(len(positions), len(positions))
    return tuple(found)


def in_words(model: Model, found: Sequence[Regret]) -> str:
    """Return one line about the regrets of a run: how many there are, and the largest one."""
    if not found:
        return "Nothing that was written stands on the finished canvas, so nothing can be regretted."
    worst = max(found, key=lambda item: item.nats)
    fewer = sum(item.now < item.then for item in found)
    line = (f"Masked alone on the finished canvas, {fewer} of {len(found)} written tokens are less probable than when they "
            f"were written.")
    if worst.nats <= NOTABLE:
        return f"{line} None by more than {NOTABLE} nats: the run regrets nothing."
    other = "" if worst.favourite == worst.token else f"; the model would now write {model.token(worst.favourite)!r} there"
    return (f"{line} The largest regret is {worst.nats:.2f} nats: {model.token(worst.token)!r} at position {worst.position} had "
            f"probability {_digits(worst.then)} at step {worst.step} and has {_digits(worst.now)} now{other}.")


def _digits(prob: float) -> str:
    """Return a probability with three digits; what is not certain reads neither as 0 nor as 1."""
    return "below 0.001" if 0 < prob < 0.0005 else "above 0.999" if 0.9995 <= prob < 1 else f"{prob:.3f}"


def _last_writes(events: tuple[Event, ...], final: tuple[int, ...]) -> dict[int, tuple[int, int, float]]:
    """Return position -> (step, token, probability) of the writes that the final canvas still shows."""
    writes: dict[int, tuple[int, int, float]] = {}
    for step in steps_of(events):
        for at, count in step.grows:
            writes = {position + count * (position >= at): write for position, write in writes.items()}
        for position in step.erases:
            writes.pop(position, None)
        writes |= {position: (step.index, token, prob) for position, token, prob in step.writes}
    return {position: write for position, write in writes.items() if final[position] == write[1]}


@torch.no_grad()
def _alone(model: Model, final: tuple[int, ...], positions: list[int]) -> Float["n V"]:
    """Return the distribution of each position on the canvas where it alone is masked."""
    canvases = torch.tensor([final]).repeat(len(positions), 1)
    project = torch.zeros(canvases.shape, dtype=torch.bool)
    project[torch.arange(len(positions)), positions] = True
    logits = model.forward(canvases.masked_fill(project, model.mask_id), project=project).logits
    return logits.float().softmax(dim=-1).cpu()
