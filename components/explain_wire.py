"""Explanations as the browser reads them: arrays over the canvas, graphs as lists, words beside numbers."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backend.canvas import start_of
from backend.events import Event
from components.explain_query import N_STEPS_MAX

if TYPE_CHECKING:
    from backend.explanations.base import Attribution
    from backend.explanations.flow_routes import Node
    from backend.explanations.moments import Moment
    from backend.models.base import Model
    from backend.shapes import Float

DIGITS = 6
HEADS_MAX = 8
"""Heads of an edge that are sent, the largest first."""
EDGES_MAX = 20_000
"""Edges of a graph that are sent, the heaviest; the threshold in the answer says which."""
APART = 0.01
"""How far the explained probability may be from the recorded one before the reader is told."""


def offer(model: Model) -> dict[str, Any]:
    """Return what can be asked of a model: every method, objective and baseline, and why not where not."""
    from backend.explanations.catalogue import METHODS
    from backend.explanations.checks import absence
    from backend.explanations.choices import BASELINE_CHOICES, OBJECTIVE_CHOICES

    missing = {"mask": model.mask_id, "pad": model.pad_id}
    return {
        "methods": [
            {"name": way.name, "title": way.title, "mark": way.mark, "source": way.source, "help": way.help,
             "signed": way.signed, "complete": way.complete, "lacking": absence(model, way.needs, way.title)}
            for way in METHODS
        ],
        "objectives": [vars(choice) for choice in OBJECTIVE_CHOICES],
        "baselines": [
            vars(choice) | {"lacking": f"{model.name} has no {choice.name} token." if missing.get(choice.name, 0) is None else ""}
            for choice in BASELINE_CHOICES
        ],
        "routes": {"lacking": absence(model, frozenset({"flow_routes"}), "Information flow routes")},
        "layers": model.n_layers, "heads": model.n_heads,
    }


def chosen(model: Model, moment: Moment) -> dict[str, Any]:
    """Return which choice an explanation is of."""
    return {
        "step": moment.step, "position": moment.position, "token": moment.token, "text": model.token(moment.token),
        "probability": round(moment.probability, DIGITS), "length": len(moment.ids),
    }


def attribution(model: Model, moment: Moment, found: Attribution, took_s: float) -> dict[str, Any]:
    """Return an attribution: scores per position and per word, what they add up to, and how well.

    ``remedy`` tells a program, which has this one answer, what to ask with next. The page has a rule of its own: it asks
    twice and goes on while that moves a score, which no single answer can tell.
    """
    from backend.explanations.catalogue import find_method
    from backend.explanations.sentences import sentence
    from backend.explanations.words import merged, word_ranges

    asked, method = found.request, find_method(found.request.method)
    texts = [model.token(token) for token in moment.ids]
    scores, ranges = found.scores.tolist(), word_ranges(texts)
    more = method.complete and found.relative_delta > 0.05 and 2 * asked.n_steps <= N_STEPS_MAX
    against = None if asked.objective != "contrast" else {"token": asked.against, "text": model.token(asked.against)}
    return chosen(model, moment) | {
        "method": asked.method, "objective": asked.objective, "against": against, "baseline": asked.baseline,
        "n_steps": asked.n_steps, "signed": method.signed, "complete": method.complete,
        "unit": unit(asked.objective) if method.signed else "share",
        "scores": numbers(scores), "norms": numbers(found.norms.tolist()),
        "words": [[begin, end, score] for (begin, end), score in zip(ranges, numbers(merged(scores, ranges)), strict=True)],
        "value": number(found.value), "baseline_value": number(found.baseline_value), "sum": number(math.fsum(scores)),
        "delta": number(found.delta), "relative_delta": number(found.relative_delta), "sentence": sentence(model, found),
        "warnings": [*found.warnings, *_apart(moment, found)], "remedy": {"n_steps": 2 * asked.n_steps} if more else None, "took_s": round(took_s, 3),
    }


def _apart(moment: Moment, found: Attribution) -> list[str]:
    """Return a warning where the model, asked again on the whole canvas, is not as sure as the pass that wrote the token."""
    again = math.exp(min(found.value, 0.0)) if found.request.objective == "log_prob" else moment.probability
    if abs(again - moment.probability) <= APART:
        return []
    return [f"The run wrote this token at probability {moment.probability:.3f}; on the whole canvas, which is explained here, it has "
            f"{again:.3f}. The pass that wrote it saw something else: a block, a cache, a draft, a beam, guidance."]


def unit(objective: str) -> str:
    """Return the unit of an objective's scores."""
    return "nats" if objective == "log_prob" else "logits"


def matrix(model: Model, events: Sequence[Event], rows: Float["W L"]) -> dict[str, Any]:
    """Return an attribution matrix: float32 in base64, row by row, and which writing each row explains."""
    from backend.explanations.moments import writings

    return {
        "rows": [[step, position, token, model.token(token)] for step, position, token in writings(events)],
        "columns": rows.shape[1],
        "scores": base64.b64encode(rows.numpy().astype("<f4").tobytes()).decode("ascii"),
    }


def flow(model: Model, events: Sequence[Event], moment: Moment, graph: Any, took_s: float) -> dict[str, Any]:
    """Return a graph of routes: nodes as [kind, layer, position], edges by the numbers of their nodes."""
    edges, threshold = _heaviest(graph)
    nodes = sorted({graph.graph["target"]} | {end for source, into, _ in edges for end in (source, into)}, key=_place)
    at = {node: index for index, node in enumerate(nodes)}
    return chosen(model, moment) | {
        "target": at[graph.graph["target"]], "read_position": graph.graph["read_position"], "threshold": threshold,
        "layers": model.n_layers, "heads": model.n_heads, "nodes": [list(node) for node in nodes],
        "edges": [[at[source], at[into], number(data["weight"]), _heads(data), number(data.get("residual"))]
                  for source, into, data in edges],
        "columns": columns(model, events, moment, {position for _, _, position in nodes}),
        "coverage": number(graph.graph["coverage"]), "traced": number(graph.graph["traced"]),
        "error": number(graph.graph["error"]), "took_s": round(took_s, 3),
    }


def columns(model: Model, events: Sequence[Event], moment: Moment, wanted: set[int]) -> list[dict[str, Any]]:
    """Return what stood at each wanted position: its text and state, prompt, fixed, written, masked or target."""
    from backend.explanations.moments import written_at

    start, since = start_of(events), written_at(events, moment)
    found = []
    for position in sorted(wanted | {moment.position}):
        token, step = moment.ids[position], since[position]
        state = ("target" if position == moment.position else "masked" if token == start.model.mask_id
                 else "prompt" if position < start.prompt_length else "fixed" if step is None else "written")
        found.append({"position": position, "token": token, "text": model.token(token), "state": state, "step": step})
    return found


def lens(model: Model, moment: Moment, node: Node, best: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Return the tokens that a node of the routes points at."""
    return chosen(model, moment) | {
        "node": list(node),
        "tokens": [{"token": token, "text": model.token(token), "probability": number(prob)} for token, prob in best],
    }


def numbers(values: Sequence[float]) -> list[float | None]:
    """Return numbers as they travel."""
    return [number(value) for value in values]


def number(value: float | None) -> float | None:
    """Return a number with six significant digits; None for what is none."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def _heaviest(graph: Any) -> tuple[list[tuple[Node, Node, dict[str, Any]]], float]:
    """Return the edges that are sent, and the threshold that they are all above."""
    edges = list(graph.edges(data=True))
    if len(edges) <= EDGES_MAX:
        return edges, graph.graph["threshold"]
    threshold = sorted((data["weight"] for _, _, data in edges), reverse=True)[EDGES_MAX]
    return [edge for edge in edges if edge[2]["weight"] > threshold], threshold


def _heads(data: dict[str, Any]) -> list[list[float]]:
    return [[head, number(weight)] for head, weight in data.get("heads", ())[:HEADS_MAX] if weight >= 1e-4]


def _place(node: Node) -> tuple[int, int, str]:
    kind, layer, position = node
    return -1 if kind == "token" else layer, position, kind
