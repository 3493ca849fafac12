"""How settled a run was, and whether an explanation of it can be believed: what the page fetches about both.

``trajectory`` is folded from the events alone; ``regret`` and ``faithfulness`` ask the model again, as
explanations do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import Response

from backend.canvas import steps_of
from backend.engine import Engine
from backend.errors import AppError
from backend.events import Event
from components import wire
from components.explain_query import Query, way_of
from components.explain_replies import refusal
from components.explain_routes import Desk, Plan, Planner, primed
from components.explain_wire import chosen, number, numbers
from components.routes import Events

if TYPE_CHECKING:
    import numpy

    from backend.explanations.base import Attribution
    from backend.explanations.faithfulness import Chance, Faithfulness
    from backend.explanations.moments import Moment
    from backend.explanations.regret import Regret
    from backend.models.base import Model

MIDDLE = (2.5, 97.5)
"""Percentiles that hold the middle 95 % of random rankings."""


def router(engine: Engine) -> APIRouter:
    """Return the route that needs no model: the trajectory of a run."""
    routes = APIRouter()
    desk = Desk(engine)

    @routes.get("/runs/{run_id}/trajectory")
    def trajectory(run_id: str) -> Response:
        try:
            text = wire.dumps(trajectory_object(run_id, desk.events(run_id)))
        except AppError as error:
            return refusal(error)
        return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})

    return routes


def trajectory_object(run_id: str, events: Sequence[Event]) -> dict[str, Any]:
    """Return the course of every position, the texts of the tokens that it names, and a line about the run."""
    from backend.explanations.trajectory import courses, in_words

    found = courses(events)
    texts = {token: text for step in steps_of(events) for token, text in step.texts.items()}
    named = {token for course in found for token in (course.token, *course.favourites)}
    return {
        "run": run_id, "steps": len(steps_of(events)), "sentence": in_words(events, found),
        "texts": {str(token): texts[token] for token in sorted(named & texts.keys())},
        "courses": [
            {"position": course.position, "settled": course.settled, "flips": course.flips, "written": course.written,
             "waited": course.waited, "token": course.token, "kept": course.kept, "steps": course.steps,
             "favourites": course.favourites, "kl": numbers(course.kl)}
            for course in found
        ],
    }


def plan_regret(model: Model, run_id: str, events: Events, query: Query) -> Plan:
    """Plan the second look at every written token, masked alone on the canvas as it is by now."""
    from backend.explanations.regret import in_words, regretting

    query.check()
    return Plan((run_id, "regret", len(steps_of(events))), primed(regretting(model, events)), lambda found, took_s: {
        "sentence": in_words(model, found), "regrets": [_regret(model, item) for item in found], "took_s": round(took_s, 3)})


def plan_faithfulness(model: Model, run_id: str, events: Events, query: Query) -> Plan:
    """Plan the test of one attribution against random rankings, on the canvas that it explains."""
    from backend.explanations.base import AttributionRequest
    from backend.explanations.checks import check_attribution
    from backend.explanations.faithfulness import judging
    from backend.explanations.moments import moment

    position, step, way = query.whole("position"), query.whole("step"), way_of(query)
    against = query.whole("against", default=None)
    query.check()
    told = moment(events, position, step)
    request = AttributionRequest(told.ids, told.position, told.token, against=against, **way)
    check_attribution(model, request)
    return Plan(
        (run_id, "faithfulness", told.step, told.position, against, *way.values()), judging(model, request),
        lambda found, took_s: faithfulness_object(model, told, *found) | {"took_s": round(took_s, 3)})


PLANS: tuple[tuple[str, Planner], ...] = (("regret", plan_regret), ("faithfulness", plan_faithfulness))


def faithfulness_object(model: Model, told: Moment, found: Attribution, judged: Faithfulness) -> dict[str, Any]:
    """Return the curves of an explanation beside those of random rankings, both measures, and the verdict."""
    from backend.explanations.catalogue import find_method

    method = find_method(found.request.method)
    return chosen(model, told) | {
        "method": method.name, "title": method.title, "counts": judged.counts, "whole": number(judged.whole),
        "deletion": _curve(judged.deletion, judged.random_deletion.numpy()),
        "insertion": _curve(judged.insertion, judged.random_insertion.numpy()),
        "rankings": len(judged.random_deletion),
        "comprehensiveness": _chance(judged.comprehensiveness), "sufficiency": _chance(judged.sufficiency),
        "better": judged.better, "verdict": judged.verdict,
    }


def _curve(values: Sequence[float], chance: numpy.ndarray) -> dict[str, Any]:
    """Return a curve of probabilities, and the mean and the middle 95 % of the random ones [K, P]."""
    import numpy

    low, high = numpy.percentile(chance, MIDDLE, axis=0)
    return {"values": numbers(values), "mean": numbers(chance.mean(axis=0)), "low": numbers(low), "high": numbers(high)}


def _chance(measure: Chance) -> dict[str, float | None]:
    return {name: number(value) for name, value in vars(measure).items()}


def _regret(model: Model, item: Regret) -> dict[str, Any]:
    return {
        "position": item.position, "text": model.token(item.token), "step": item.step, "then": number(item.then),
        "now": number(item.now), "nats": number(item.nats),
        "favourite": None if item.favourite == item.token else model.token(item.favourite),
    }
