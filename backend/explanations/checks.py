"""Everything that can be wrong with a request to explain, found before any pass, all at once."""

from __future__ import annotations

from collections.abc import Sequence

from backend.errors import CapabilityError, Problem, RequestError
from backend.explanations.base import BASELINES, OBJECTIVES, AttributionRequest, FlowRequest
from backend.explanations.catalogue import METHODS, find_method
from backend.models.base import Model

STEPS_MAX = 1024
WORDS = {"gradients": "gradients to its input", "attention": "attention weights", "flow_routes": "layers that can be taken apart"}


def check_attribution(model: Model, request: AttributionRequest) -> None:
    """Raise ``RequestError`` that lists every wrong field, ``CapabilityError`` for what the model lacks."""
    problems = _canvas_problems(model, request.ids, request.position)
    problems += _token_problems(model, "token", request.token)
    problems += _token_problems(model, "against", request.against)
    problems += objective_problems(request.objective, request.against)
    problems += method_problems(model, request.method, request.baseline, request.n_steps, request.rows)
    if problems:
        raise RequestError(problems)
    method = find_method(request.method)
    require(model, method.needs, method.title)


def check_flow(model: Model, request: FlowRequest) -> None:
    """Raise ``RequestError`` that lists every wrong field, ``CapabilityError`` for what the model lacks."""
    problems = _canvas_problems(model, request.ids, request.position)
    problems += _token_problems(model, "token", request.token)
    problems += _share_problems("threshold", request.threshold)
    if request.renormalise is not None:
        problems += _share_problems("renormalise", request.renormalise)
    if problems:
        raise RequestError(problems)
    require(model, frozenset({"flow_routes"}), "Information flow routes")


def method_problems(model: Model, method: str, baseline: str, n_steps: int, rows: int) -> list[Problem]:
    """Return what is wrong with the way of explaining, whatever the canvas."""
    problems = []
    if find_method(method) is None:
        names = ", ".join(item.name for item in METHODS)
        problems.append(Problem("method", f"There is no method {method!r}; the methods are {names}."))
    problems += _baseline_problems(model, baseline)
    for field, value, high in (("n_steps", n_steps, STEPS_MAX), ("rows", rows, 1 << 24)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
            problems.append(Problem(field, f"{value!r} is out of range; give a whole number from 1 to {high}."))
    return problems


def objective_problems(objective: str, against: int | None) -> list[Problem]:
    """Return what is wrong with the objective."""
    if objective not in OBJECTIVES:
        return [Problem("objective", f"There is no objective {objective!r}; the objectives are {', '.join(OBJECTIVES)}.")]
    if objective == "contrast" and against is None:
        return [Problem("against", "A contrast compares two tokens and only one is given; give the other as against.")]
    return []


def require(model: Model, needs: frozenset[str], title: str) -> None:
    """Raise ``CapabilityError`` that says what ``title`` needs and the model lacks."""
    message = absence(model, needs, title)
    if message:
        raise CapabilityError(message, "Choose another method, or another model.")


def absence(model: Model, needs: frozenset[str], title: str) -> str:
    """Return the sentence that says what ``title`` needs and the model lacks; empty where it lacks nothing."""
    lacking = sorted(needs - model.capabilities)
    if not lacking:
        return ""
    words = " and ".join(WORDS.get(item, item) for item in lacking)
    return f"{title} needs {words}, and {model.name} ({model.family}) offers none."


def _canvas_problems(model: Model, ids: Sequence[int], position: int) -> list[Problem]:
    problems = []
    if not 1 <= len(ids) <= model.max_length:
        problems.append(Problem("ids", f"The canvas has {len(ids)} positions; {model.name} takes 1 to {model.max_length}."))
    wrong = [token for token in ids if not 0 <= token < model.vocab_size]
    if wrong:
        problems.append(Problem("ids", f"The canvas holds the token {wrong[0]}; {model.name} has 0 to {model.vocab_size - 1}. "
                                       "Is it a canvas of another model?"))
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(ids):
        problems.append(Problem("position", f"{position!r} is not in the canvas; give 0 to {len(ids) - 1}."))
    return problems


def _token_problems(model: Model, field: str, token: int | None) -> list[Problem]:
    if token is None or (isinstance(token, int) and 0 <= token < model.vocab_size):
        return []
    return [Problem(field, f"{token!r} is outside the vocabulary; give 0 to {model.vocab_size - 1}.")]


def _baseline_problems(model: Model, baseline: str) -> list[Problem]:
    if baseline not in BASELINES:
        return [Problem("baseline", f"There is no baseline {baseline!r}; the baselines are {', '.join(BASELINES)}.")]
    known = {"mask": model.mask_id, "pad": model.pad_id}
    if baseline in known and known[baseline] is None:
        others = ", ".join(name for name in BASELINES if known.get(name, 0) is not None and name != "zero")
        return [Problem("baseline", f"{model.name} has no {baseline} token; give {others}, or load it with {baseline}_id=...")]
    return []


def _share_problems(field: str, value: float) -> list[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        return [Problem(field, f"{value!r} is out of range; give a share from 0 up to, not including, 1.")]
    return []
