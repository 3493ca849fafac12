"""From a request to a plan: everything that can be wrong is found here, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from operator import index
from typing import Any

from backend.canvas import OPEN
from backend.decoders.base import Decoder, Layout, resolved
from backend.decoders.catalogue import DECODERS, find_decoder
from backend.errors import ModelError, Problem, RequestError
from backend.events import RunRequest
from backend.fitting import lacking, unfit
from backend.forks import checked as checked_forks
from backend.models.base import Model

SEED_MAX = 2**63 - 1
TOP_K_MAX = 64


@dataclass(frozen=True)
class Plan:
    """A request that can be run: its decoder, settings with defaults, and the canvas at the start."""

    request: RunRequest
    decoder: Decoder
    settings: Any
    layout: Layout
    canvas: tuple[int, ...]
    mask_id: int
    """The id of an open position: the model's mask, or ``OPEN`` for a causal model."""

    @property
    def settings_shown(self) -> dict[str, Any]:
        """The settings by name, defaults filled in."""
        return asdict(self.settings)


def prepare(model: Model, request: RunRequest, *, canvas_max: int | None = None) -> Plan:
    """Return the plan of ``request`` on ``model``; ``canvas_max`` narrows the model's window.

    Raises ``RequestError`` that lists every wrong field with its value, limit and remedy.
    """
    problems: list[Problem] = []
    request = _normal(request, model)
    prompt_ids = _prompt_ids(model, request, problems)
    decoder = _decoder(model, request.decoder, problems)
    _check_numbers(model, request, problems)
    window = min(model.max_length, canvas_max or model.max_length)
    length = _checked_length(window, request.length, len(prompt_ids), problems)
    fixed = _fixed(model, request, problems)
    if decoder is None:
        raise RequestError(problems)
    layout = _layout(len(prompt_ids), length, fixed)
    settings, wrong = resolved(decoder, request.settings, layout)
    if any(problem.field == "length" for problem in problems):
        raise RequestError([*problems, *wrong])
    wrong = wrong or unfit(model, decoder, settings, layout)
    if problems or wrong:
        raise RequestError([*problems, *wrong])
    extent = decoder.extent(settings, layout)
    if len(prompt_ids) + extent > window:
        raise RequestError([Problem("length", f"{request.length} positions become {extent} in whole blocks, after {len(prompt_ids)} "
                                              f"of the prompt, and the window is {window}; ask for fewer.")])
    layout = _layout(len(prompt_ids), extent, fixed)
    wrong = checked_forks(model, request, layout)
    if wrong:
        raise RequestError(wrong)
    mask_id = OPEN if model.mask_id is None else model.mask_id
    answer = [fixed.get(at, mask_id) for at in range(extent)]
    return Plan(request, decoder, settings, layout, (*prompt_ids, *answer), mask_id)


def _normal(request: RunRequest, model: Model) -> RunRequest:
    """Return the request with tuples for lists, and the model's example where no prompt was given."""
    prompt, ids = request.prompt, request.prompt_ids
    if prompt is not None and not isinstance(prompt, str):
        raise RequestError([Problem("prompt", f"{prompt!r} is not a text; give a string, or ids as prompt_ids.")])
    if prompt is None and ids is None:
        prompt, ids = model.example_prompt, None if model.example_prompt else ()
    try:
        ids = None if ids is None else tuple(map(index, ids))
        fixed = {index(at): index(token) for at, token in dict(request.fixed).items()}
        settings = dict(request.settings)
        forks = tuple(replace(fork) for fork in request.forks)
    except (TypeError, ValueError) as error:
        raise RequestError([Problem("request", "prompt_ids must be whole numbers, fixed must map positions to token ids, "
                                               f"settings must map names to values, forks must be Forks; {error}.")]) from error
    return replace(request, prompt=prompt, prompt_ids=ids, settings=settings, fixed=fixed, forks=forks)


def _prompt_ids(model: Model, request: RunRequest, problems: list[Problem]) -> tuple[int, ...]:
    if request.prompt_ids is not None:
        if request.prompt is not None:
            problems.append(Problem("prompt_ids", "Both prompt and prompt_ids are given; give one of them."))
        for token in request.prompt_ids:
            if not 0 <= token < model.vocab_size:
                problems.append(Problem("prompt_ids", f"{token} is outside the vocabulary; give 0 to {model.vocab_size - 1}."))
        return request.prompt_ids
    try:
        (request.prompt or "").encode("utf-8")
    except UnicodeEncodeError as error:
        problems.append(Problem("prompt", f"Character {error.start} is half of one ({request.prompt[error.start]!r}), which is no text; "
                                          "leave it out, or give the prompt as UTF-8."))
        return ()
    try:
        return model.encode(request.prompt or "")
    except ModelError as error:
        problems.append(Problem("prompt", str(error)))
        return ()


def _decoder(model: Model, name: str, problems: list[Problem]) -> Decoder | None:
    decoder = find_decoder(name)
    if decoder is None:
        names = ", ".join(item.name for item in DECODERS)
        problems.append(Problem("decoder", f"There is no decoder {name!r}; the decoders are {names}."))
        return None
    problems.extend(lacking(model, decoder, decoder.needs))
    return decoder


def _check_numbers(model: Model, request: RunRequest, problems: list[Problem]) -> None:
    if model.mask_id is None and model.kind == "masked_diffusion":
        problems.append(Problem("model", f"The mask token of {model.name} is not known; load it with mask_id=..., "
                                         "or add mask_token_id to its config.json."))
    for field, value, low, high in (
        ("seed", request.seed, 0, SEED_MAX),
        ("top_k", request.top_k, 1, min(TOP_K_MAX, model.vocab_size)),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            problems.append(Problem(field, f"{value!r} is out of range; give a whole number from {low} to {high}."))


def _checked_length(window: int, length: Any, prompt_length: int, problems: list[Problem]) -> int:
    """Return the length, or the longest possible one to judge the settings by where it is wrong."""
    room = window - prompt_length
    if room < 1:
        problems.append(Problem("prompt", f"The prompt has {prompt_length} tokens and the window is {window}; "
                                          f"shorten it to {window - 1} tokens or fewer."))
        room = window
    if isinstance(length, int) and not isinstance(length, bool) and 1 <= length <= room:
        return length
    problems.append(Problem("length", f"{length!r} is out of range; with this prompt the answer may have "
                                      f"1 to {room} positions (window {window})."))
    return room


def _fixed(model: Model, request: RunRequest, problems: list[Problem]) -> Mapping[int, int]:
    for at, token in request.fixed.items():
        if not (isinstance(request.length, int) and 0 <= at < request.length):
            problems.append(Problem("fixed", f"Position {at} is outside the answer; give 0 to {request.length} - 1."))
        if not 0 <= token < model.vocab_size:
            problems.append(Problem("fixed", f"Token {token} is outside the vocabulary; give 0 to {model.vocab_size - 1}."))
        if token == model.mask_id:
            problems.append(Problem("fixed", f"Token {token} is the mask, which cannot stay; leave position {at} out to have it written."))
    return request.fixed


def _layout(prompt_length: int, length: int, fixed: Mapping[int, int]) -> Layout:
    free = tuple(prompt_length + at for at in range(length) if at not in fixed)
    return Layout(prompt_length, length, free)
