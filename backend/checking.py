"""Whether events that came from outside are a run: right types, finite numbers, places inside the canvas.

Replay, tables and views take a run at its word, as they may: the runner wrote it. A file says what its
author likes, checksum and all, so it is held against the schema and folded once before anyone reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from math import isfinite
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from backend.canvas import OPEN
from backend.events import Branch, End, Event, Start, Step

CANVAS_MAX = 65536
"""Positions of a canvas, masks that come in later included."""

NUMBER_MAX = 2**63
"""Bound of every whole number, seeds included; fractions need only be finite."""

_PLAIN = {int: {int}, float: {int, float}, str: {str}, bool: {bool}, NoneType: {NoneType}}
"""The types that stand for a plain hint; true and false stand for neither number."""


def check_run(events: Sequence[Event]) -> None:
    """Raise ``ValueError`` that says what is wrong unless these events are one run."""
    if not events or not isinstance(events[0], Start):
        raise ValueError("It does not begin with the start of a run.")
    for at, event in enumerate(events):
        _refuse_unless(fits(event, type(event)), f"Event {at}, a {event.kind}, holds a value of the wrong type or size.")
        _refuse_unless((at == 0) == isinstance(event, Start), f"Event {at} starts a second run.")
    _refuse_unless(not any(isinstance(event, End) for event in events[:-1]), "The run goes on after its end.")
    start = events[0]
    _check_start(start)
    length, count = len(start.canvas), 0
    for event in events:
        if isinstance(event, Step):
            count += 1
            _refuse_unless(event.index == count, f"Step {event.index} stands where step {count} belongs.")
            length = _check_step(event, length, start.model.vocab_size, _known(start))
        elif isinstance(event, Branch):
            _check_places(f"Branch {event.node}", (at for at, _, _ in event.writes), length)


def _known(start: Start) -> set[int]:
    """Return the ids beyond the vocabulary that may stand on a run's canvas: what marks an open place."""
    return {OPEN, start.model.mask_id} - {None}


def _check_start(start: Start) -> None:
    length, vocabulary = len(start.canvas), start.model.vocab_size
    _refuse_unless(length <= CANVAS_MAX, f"The canvas has {length} positions; the limit is {CANVAS_MAX}.")
    _refuse_unless(0 <= start.prompt_length <= length, f"The prompt has {start.prompt_length} of {length} positions.")
    _refuse_unless(vocabulary >= 2, f"The vocabulary has {vocabulary} entries; at least 2 are needed.")
    _refuse_unless(all(0 <= token < vocabulary or token in _known(start) for token in start.canvas),
                   f"The canvas holds a token outside the vocabulary of {vocabulary}.")
    _refuse_unless(all(0 <= begin <= end <= length for begin, end in start.blocks), "A block reaches beyond the canvas.")


def _check_step(step: Step, length: int, vocabulary: int, known: set[int]) -> int:
    """Return the length of the canvas after a step; raise ``ValueError`` for one that cannot be made."""
    who = f"Step {step.index}"
    _check_places(who, step.masked, length)
    _refuse_unless(all(a < b for a, b in pairwise(step.masked)), f"{who} lists masked positions that do not rise.")
    _refuse_unless(all(len(row) == len(step.masked) for row in step.scores.values()), f"{who} has scores of another length than its masks.")
    kept = step.candidates
    _check_places(who, kept.positions, length)
    _refuse_unless(len(kept.positions) == len(kept.ids) == len(kept.probabilities) and
                   all(len(a) == len(b) for a, b in zip(kept.ids, kept.probabilities, strict=True)),
                   f"{who} has candidates that do not belong together.")
    _refuse_unless(all(0 <= token < vocabulary or token in known for row in kept.ids for token in row),
                   f"{who} weighs a token outside the vocabulary of {vocabulary}.")
    for at, count in step.grows:
        _refuse_unless(0 <= at <= length and 0 <= count and length + count <= CANVAS_MAX,
                       f"{who} puts {count} masks at {at} into a canvas of {length} positions; the limit is {CANVAS_MAX}.")
        length += count
    _check_places(who, (*step.erases, *step.rejects, *(at for at, _, _ in (*step.writes, *step.drafts))), length)
    _refuse_unless(all(0 <= token < vocabulary for _, token, _ in (*step.writes, *step.drafts)),
                   f"{who} writes a token outside the vocabulary of {vocabulary}.")
    return length


def _check_places(who: str, places: Iterable[int], length: int) -> None:
    for at in places:
        _refuse_unless(0 <= at < length, f"{who} names position {at} of a canvas with {length} positions.")


def fits(value: Any, hint: Any) -> bool:
    """Tell whether ``value`` is what a type hint of the schema says, its numbers finite and bounded."""
    if hint is Any:
        return _is_json(value)
    if hint in _PLAIN:
        return type(value) in _PLAIN[hint] and _bounded((value,))
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, item) for item in inner)
    if origin is tuple:
        return isinstance(value, tuple) and _tuple_fits(value, inner)
    if isinstance(hint, type) and issubclass(hint, tuple):  # a named tuple, each field by its own hint
        return type(value) is hint and all(map(fits, value, get_type_hints(hint).values()))
    if is_dataclass(hint):
        return isinstance(value, hint) and all(fits(getattr(value, name), item) for name, item in _hints(hint))
    return isinstance(value, dict) and all(fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items())


def _tuple_fits(value: tuple, inner: tuple) -> bool:
    if inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(fits, value, inner))
    kinds = _kinds(inner[0])
    if kinds:  # long rows of plain values are looked at as a whole: a run may hold millions
        return set(map(type, value)) <= kinds and _bounded(value)
    return all(fits(item, inner[0]) for item in value)


@cache
def _kinds(hint: Any) -> set[type]:
    """Return the types of a plain hint, or of a union of such; nothing for any other."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return set().union(*(_PLAIN[part] for part in parts)) if all(part in _PLAIN for part in parts) else set()


@cache
def _hints(cls: type) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(cls)
    return tuple((item.name, hints[item.name]) for item in fields(cls) if get_origin(hints[item.name]) is not ClassVar)


def _bounded(values: Sequence[Any]) -> bool:
    return (all(-NUMBER_MAX <= value < NUMBER_MAX for value in values if type(value) is int)
            and all(map(isfinite, (value for value in values if type(value) is float))))


def _is_json(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_json, value))
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, str | bool) or _bounded((value,)) and type(value) in (int, float)


def _refuse_unless(right: bool, message: str) -> None:
    if not right:
        raise ValueError(message)
