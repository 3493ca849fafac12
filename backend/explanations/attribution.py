"""``attribute``: one choice explained; ``attribution_matrix``: every written token of a run, a row each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from backend.canvas import start_of, steps_of
from backend.errors import Problem, RequestError
from backend.events import Event, Step
from backend.explanations.base import (
    ROWS, Attribution, AttributionRequest, Explaining, Method, Progress, Shares, Watcher, finished,
)
from backend.explanations.catalogue import find_method
from backend.explanations.checks import check_attribution, method_problems, objective_problems, require
from backend.explanations.moments import named_mask, runner_up, seen_by
from backend.explanations.objectives import Canvas, Target
from backend.models.base import Model
from backend.shapes import Float

ZERO_WARNING = (
    "A baseline of zeros is not recommended: networks with RMSNorm change on exponentially small inputs, so the path "
    "is cut into 25 panels and the rest is still in delta. Prefer mask or mean."
)
LARGE_DELTA = 0.05


def attribute(model: Model, request: AttributionRequest, watch: Watcher | None = None) -> Attribution:
    """Return how much each position of the canvas pushed the choice of a token.

    Raises ``RequestError`` listing every wrong field, ``CapabilityError`` for what the model lacks and
    ``MemoryFull``; whatever ``watch`` raises ends the work.
    """
    return finished(attributing(model, request), watch)


def attributing(model: Model, request: AttributionRequest) -> Explaining[Attribution]:
    """Yield progress between passes and return the attribution; closing the generator cancels."""
    check_attribution(model, request)
    method = find_method(request.method)
    token = _default_token(model, request) if request.token is None else request.token
    target = Target(request.position, token, request.objective, request.against)
    canvas = Canvas(model, tuple(request.ids), (target,), request.baseline, request.n_steps, request.rows)
    shares = yield from method.shares(canvas)
    return _attribution(request, method, canvas, shares)


def _attribution(request: AttributionRequest, method: Method, canvas: Canvas, shares: Shares) -> Attribution:
    value, base = canvas.values(torch.stack((canvas.embeds, canvas.absent)))[0].tolist()
    scores, norms = shares.scores[0], shares.norms[0]
    delta = float(scores.double().sum()) - (value - base) if method.signed else math.nan
    warnings = [ZERO_WARNING] if request.baseline == "zero" and method.complete else []
    found = Attribution(request, canvas.targets[0].token, scores, norms, value, base, delta, method.complete)
    if method.complete and found.relative_delta > LARGE_DELTA:
        warnings.append(f"The scores miss {found.relative_delta:.0%} of the difference that they should add up to. "
                        f"Double n_steps (now {request.n_steps}).")
    return Attribution(request, found.token, scores, norms, value, base, delta, method.complete, tuple(warnings))


@torch.no_grad()
def _default_token(model: Model, request: AttributionRequest) -> int:
    """Return the token that stands at the position, or the model's favourite where that is the mask."""
    there = request.ids[request.position]
    if there != model.mask_id:
        return there
    project = torch.zeros(1, len(request.ids), dtype=torch.bool)
    project[0, request.position] = True
    logits = model.forward(torch.tensor([request.ids]), project=project).logits[0].float()
    logits[model.mask_id] = -torch.inf
    return int(logits.argmax())


def attribution_matrix(
    model: Model, events: Iterable[Event], *, method: str = "integrated_gradients", objective: str = "log_prob",
    baseline: str = "mask", n_steps: int = 32, rows: int = ROWS, watch: Watcher | None = None,
) -> Float["W L"]:
    """Return one row of scores per written token, float32, at the canvas it was written on.

    Rows are in the order of writing, columns are positions; a row is 0 beyond its canvas where the
    canvas grew later. ``contrast`` sets each token against the best recorded other candidate. Raises
    like ``attribute``.
    """
    return finished(attributing_matrix(
        model, events, method=method, objective=objective, baseline=baseline, n_steps=n_steps, rows=rows), watch)


def attributing_matrix(
    model: Model, events: Iterable[Event], *, method: str = "integrated_gradients", objective: str = "log_prob",
    baseline: str = "mask", n_steps: int = 32, rows: int = ROWS,
) -> Explaining[Float["W L"]]:
    """Yield progress in written tokens and return the matrix; closing the generator cancels."""
    events = tuple(events)
    way = find_method(method)
    problems = method_problems(model, method, baseline, n_steps, rows) + objective_problems(objective, against=0)
    problems += _run_problems(model, events)
    if problems:
        raise RequestError(problems)
    require(model, way.needs, way.title)
    scenes = tuple(_scenes(events, objective))
    total = sum(len(scene.targets) for scene in scenes)
    matrix = torch.zeros(total, max((len(scene.ids) for scene in scenes), default=len(start_of(events).canvas)))
    done = 0
    for scene in scenes:
        canvas = Canvas(model, scene.ids, scene.targets, baseline, n_steps, rows)
        work = way.shares(canvas)
        shares = yield from _within(work, done, len(scene.targets), total)
        matrix[done : done + len(scene.targets), : len(scene.ids)] = shares.scores
        done += len(scene.targets)
    yield Progress(done, total)
    return matrix


@dataclass(frozen=True)
class _Scene:
    """The canvas before a step, and what the step wrote on it."""

    ids: tuple[int, ...]
    targets: tuple[Target, ...]


def _scenes(events: tuple[Event, ...], objective: str) -> Iterator[_Scene]:
    for step in steps_of(events):
        if step.writes:
            yield _Scene(seen_by(events, step), tuple(
                Target(position, token, objective, _other(step, position, token) if objective == "contrast" else None)
                for position, token, _ in step.writes))


def _other(step: Step, position: int, token: int) -> int:
    """Return the best recorded candidate that was not written; raises ``RequestError`` where there is none."""
    other = runner_up(step, position, token)
    if other is not None:
        return other
    raise RequestError([Problem("objective", f"Step {step.index} recorded no second candidate for position {position}, so "
                                             "there is nothing to contrast with. Run again with top_k of 2 or more.")])


def _run_problems(model: Model, events: tuple[Event, ...]) -> list[Problem]:
    start = start_of(events)
    if start.model.vocab_size != model.vocab_size or named_mask(start) != model.mask_id:
        return [Problem("events", f"This run was made by {start.model.name} with {start.model.vocab_size} tokens; {model.name} "
                                  f"has {model.vocab_size}. Load the model of the run.")]
    if len(start.canvas) > model.max_length:
        return [Problem("events", f"The canvas has {len(start.canvas)} positions; {model.name} takes {model.max_length}.")]
    return []


def _within(work: Explaining[Shares], done: int, count: int, total: int) -> Explaining[Shares]:
    """Pass a part's progress on as progress of the whole, in written tokens."""
    try:
        while True:
            progress = next(work)
            yield Progress(done + count * progress.done // max(1, progress.total), total)
    except StopIteration as end:
        return end.value
    finally:
        work.close()
