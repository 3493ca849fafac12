"""Explanations where the models are on other machines: the same plans, made and carried out beside the model.

What travels is the planner (a function of this package, by name), the query and the run's events; what comes back is
how far the work is, then the answer as text, as a kept one is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from backend.canvas import start_of
from backend.engine import Elsewhere
from components import wire
from components.explain_query import WHOLE, Query, half_of
from components.routes import Events

if TYPE_CHECKING:
    from backend.explanations.base import Explaining
    from backend.models.base import Model

POINTED = "plan_attribution"
"""The planner whose answers are asked for again with more points; here, too, no other one has a half."""


def parts(
    engine: Elsewhere, name: str, planner: Callable[..., Any], run_id: str, events: Events, query: Query,
) -> tuple[tuple[Any, ...], Explaining[str], Callable[[str, float], dict[str, Any]], tuple[Any, ...] | None]:
    """Return the parts of a ``Plan`` that is carried out beside the model called ``name``: key, work, shape, half."""
    named = planner.func if isinstance(planner, partial) else planner
    key = (run_id, named.__name__, len(events), start_of(events).model.weights_hash)
    work = engine.explaining(name, partial(answering, planner, query), run_id, events)
    half = _halved(dict(query.asked)) if named.__name__ == POINTED else None
    # How long it took stands in the text.
    return (*key, *query.asked), work, lambda text, _: json.loads(text), half and (*key, *half)


def _halved(asked: dict[str, str]) -> tuple[tuple[str, str], ...] | None:
    points = asked.get("n_steps", "")
    # Keys hold the text as given: of all the ways to write a number, one has a half, or each would be answered free of charge.
    usual = WHOLE.fullmatch(points) is not None and points == str(int(points))
    half = half_of(asked.get("method", ""), int(points)) if usual else None
    return None if half is None else tuple(sorted((asked | {"n_steps": str(half)}).items()))


def answering(planner: Callable[..., Any], query: Query, model: Model, run_id: str, events: Events) -> Explaining[str]:
    """Plan and compute one explanation; return its answer as text. Raises what ``planner`` raises, at the first step."""
    begun = time.monotonic()
    plan = planner(model, run_id, events, query)
    found = yield from plan.work
    return wire.dumps(plan.shape(found, time.monotonic() - begun))
