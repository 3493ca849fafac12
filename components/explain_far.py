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
from components.explain_query import Query
from components.routes import Events

if TYPE_CHECKING:
    from backend.explanations.base import Explaining
    from backend.models.base import Model


def far_work(engine: Elsewhere, name: str, planner: Callable[..., Any], run_id: str, events: Events, query: Query) -> Explaining[str]:
    """Return the work of a plan as it gets on beside the model called ``name``; its result is the answer's text."""
    return engine.explaining(name, partial(answering, planner, query), run_id, events)


def far_key(planner: Callable[..., Any], run_id: str, events: Events, query: Query) -> tuple[Any, ...]:
    """Return the name of an answer among those kept: who is asked what, of which run, as far as it has come."""
    named = planner.func if isinstance(planner, partial) else planner
    return (run_id, named.__name__, len(events), start_of(events).model.weights_hash, *query.asked)


def far_shape(text: str, took_s: float) -> dict[str, Any]:
    """Return an answer that came as text as JSON types; how long it took stands in it already."""
    return json.loads(text)


def answering(planner: Callable[..., Any], query: Query, model: Model, run_id: str, events: Events) -> Explaining[str]:
    """Plan and compute one explanation; return its answer as text. Raises what ``planner`` raises, at the first step."""
    begun = time.monotonic()
    plan = planner(model, run_id, events, query)
    found = yield from plan.work
    return wire.dumps(plan.shape(found, time.monotonic() - begun))
