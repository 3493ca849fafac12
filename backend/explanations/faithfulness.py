"""Is this explanation any better than chance, on this very canvas?

Visible positions are ranked by their scores. Deletion masks them from the top, insertion starts from
nothing and puts them back from the top; p is the probability of the explained token. Source of the two
measures: DeYoung et al., ERASER (2020), averaged over the points of the curves:

    comprehensiveness = mean over k of  p(canvas) - p(canvas without its top k)     higher = better
    sufficiency       = mean over k of  p(canvas) - p(nothing but the top k)        lower = better

Both are compared with rankings drawn at random: their mean and the interval that holds 95 % of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from backend.explanations.attribution import attributing
from backend.explanations.base import ROWS, Attribution, AttributionRequest, Explaining, Progress, Watcher, finished
from backend.explanations.gradients import fitted
from backend.explanations.objectives import Canvas, Target
from backend.models.base import Model
from backend.noise import KeyedNoise, ranks
from backend.shapes import Float

POINTS, RANKINGS = 8, 24
FEWEST = 3
"""Visible positions below which no ranking can be told from another."""


@dataclass(frozen=True)
class Chance:
    """A measure for the explanation and for random rankings: mean, and the middle 95 % of them."""

    value: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Faithfulness:
    """Curves over ``counts`` positions masked or put back, probabilities in 0..1.

    ``deletion``, ``insertion``: one value per count; ``random_deletion``, ``random_insertion`` [rankings,
    counts]. ``better``: beats chance by both measures, ``verdict``: the same in words.
    """

    counts: tuple[int, ...]
    whole: float
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    random_deletion: Float["K P"]
    random_insertion: Float["K P"]
    comprehensiveness: Chance
    sufficiency: Chance
    better: bool
    verdict: str


def faithfulness(
    model: Model, ids: tuple[int, ...], position: int, token: int, scores: Float["L"], *, baseline: str = "mask",
    points: int = POINTS, rankings: int = RANKINGS, seed: int = 0, rows: int = ROWS * 4, watch: Watcher | None = None,
) -> Faithfulness:
    """Return how well ``scores`` foretell what happens when positions are masked or put back."""
    canvas = Canvas(model, tuple(ids), (Target(position, token),), baseline, rows=rows)
    return finished(measuring(canvas, scores, points, rankings, seed), watch)


def judging(model: Model, request: AttributionRequest, seed: int = 0) -> Explaining[tuple[Attribution, Faithfulness]]:
    """Yield progress and return an attribution with its measures; raises like ``attribute``.

    Whatever the objective, what is masked and shown is judged by the probability of the explained token.
    """
    found = yield from attributing(model, request)
    target = Target(request.position, found.token)
    canvas = Canvas(model, tuple(request.ids), (target,), request.baseline, rows=request.rows * 4)
    return found, (yield from measuring(canvas, found.scores, POINTS, RANKINGS, seed))


def measuring(canvas: Canvas, scores: Float["L"], points: int, rankings: int, seed: int) -> Explaining[Faithfulness]:
    """Yield progress and return the measures of ``scores`` among random rankings."""
    orders = np.stack([ranked(canvas, scores), *random_orders(canvas, rankings, seed)])
    found = yield from curves(canvas, orders, points)
    return _judged(found, len(canvas.visible))


@dataclass(frozen=True)
class Curves:
    """p(canvas), and p along each of K rankings with the top ``counts`` masked, or alone shown."""

    counts: tuple[int, ...]
    whole: float
    deletion: Float["K P"]
    insertion: Float["K P"]

    @property
    def comprehensiveness(self) -> Float["K"]:
        """Mean loss without the top positions."""
        return self.whole - self.deletion.mean(dim=1)

    @property
    def sufficiency(self) -> Float["K"]:
        """Mean loss with nothing but the top positions."""
        return self.whole - self.insertion.mean(dim=1)


def ranked(canvas: Canvas, scores: Float["L"]) -> np.ndarray:
    """Return the visible positions, highest score first, then smallest position."""
    visible = np.array(canvas.visible, dtype=np.int64)
    return visible[np.argsort(-scores.double().numpy()[visible], kind="stable")]


def random_orders(canvas: Canvas, count: int, seed: int) -> list[np.ndarray]:
    """Return the visible positions in ``count`` random orders, the same for the same seed."""
    visible = np.array(canvas.visible, dtype=np.int64)
    return [visible[np.argsort(ranks(KeyedNoise(seed), number, visible.tolist()))] for number in range(count)]


def curves(canvas: Canvas, orders: np.ndarray, points: int = POINTS) -> Explaining[Curves]:
    """Yield progress and return the curves of K rankings [K, visible] of the visible positions."""
    counts = _counts(orders.shape[1], points)
    shown = np.zeros((2, len(orders), len(counts), canvas.length), dtype=bool)
    shown[0][..., list(canvas.visible)] = True
    for number, ranking in enumerate(orders):
        for at, count in enumerate(counts):
            shown[0, number, at, ranking[:count]] = False
            shown[1, number, at, ranking[:count]] = True
    keep = torch.from_numpy(shown).flatten(0, 2)
    probs = yield from _probabilities(canvas, torch.cat((keep, torch.ones_like(keep[:1]))))
    return Curves(counts, float(probs[-1]), *probs[:-1].unflatten(0, (2, len(orders), len(counts))))


def _counts(visible: int, points: int) -> tuple[int, ...]:
    """Return how many positions are masked at each point of the curves, evenly spaced, each once."""
    return tuple(sorted({max(1, round(visible * at / (points + 1))) for at in range(1, points + 1)}))


def _probabilities(canvas: Canvas, keep: torch.Tensor) -> Explaining[Float["n"]]:
    """Return the target's probability on canvases of which only the ``keep`` positions are shown."""
    found = []
    per_pass = max(1, canvas.rows // canvas.length)
    for begin in range(0, len(keep), per_pass):
        yield Progress(begin, len(keep))
        chunk = keep[begin : begin + per_pass].to(canvas.embeds.device)
        found.append(fitted(lambda part, chunk=chunk: _placed(canvas, chunk, part), len(chunk), canvas))
    yield Progress(len(keep), len(keep))
    return torch.cat(found)


def _placed(canvas: Canvas, chunk: torch.Tensor, part: slice) -> Float["n"]:
    """Return the probabilities of a part of a chunk at their places, 0 elsewhere, to be added up."""
    probs = torch.zeros(len(chunk))
    embeds = torch.where(chunk[part][:, :, None], canvas.embeds, canvas.absent)
    probs[part] = canvas.values(embeds)[0].exp()
    return probs


def _judged(found: Curves, visible: int) -> Faithfulness:
    """Compare the first ranking with the others."""
    comprehensiveness, sufficiency = _chance(found.comprehensiveness), _chance(found.sufficiency)
    by_deletion, by_insertion = comprehensiveness.value > comprehensiveness.high, sufficiency.value < sufficiency.low
    return Faithfulness(
        found.counts, found.whole, tuple(found.deletion[0].tolist()), tuple(found.insertion[0].tolist()),
        found.deletion[1:], found.insertion[1:], comprehensiveness, sufficiency,
        by_deletion and by_insertion, _verdict(by_deletion, by_insertion, visible))


def _chance(values: Float["K"]) -> Chance:
    low, high = np.quantile(values[1:].numpy(), (0.025, 0.975))
    return Chance(float(values[0]), float(values[1:].mean()), float(low), float(high))


def _verdict(by_deletion: bool, by_insertion: bool, visible: int) -> str:
    if visible < FEWEST:
        return f"Only {visible} positions are visible here: too few to tell an explanation from chance."
    if by_deletion and by_insertion:
        return ("On this canvas the explanation beats chance: masking its top tokens hurts this choice more, and showing them "
                "alone restores it sooner, than random tokens do.")
    if by_deletion:
        return ("Masking its top tokens hurts this choice more than random tokens do, but showing them alone restores it "
                "no sooner.")
    if by_insertion:
        return "Showing its top tokens alone restores this choice sooner than random tokens do, but masking them hurts no more."
    return "On this canvas the explanation does no better than chance: do not lean on it."
