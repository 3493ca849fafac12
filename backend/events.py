"""The schema of a run: a request goes in, a list of frozen events comes out.

Everything that Unmask shows, keeps, compares or exports is a fold over this list (see ``canvas``).
Events hold plain Python numbers, strings and tuples, so that they survive a JSON round trip exactly.
A missing number is ``None`` here and NaN in the arrays of ``canvas.scores``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

SCHEMA_VERSION = 1

Write = tuple[int, int, float]
"""(canvas position, token id, probability in 0..1 that the model gave this token)."""


class Edit(NamedTuple):
    """One thing that a reader changes at a step: ``write`` or ``pin`` a token, ``erase`` a position, or ``forbid`` a token there."""

    action: str
    position: int
    token: int | None = None


@dataclass(frozen=True)
class Fork:
    """Where a run leaves its parent: the step, what is changed there, and who goes on (see ``forks``).

    ``decoder`` None is the one at work, which keeps what it remembers. ``parent`` names the parent where it is shown.
    """

    step: int
    edits: tuple[Edit, ...] = ()
    decoder: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(Edit(*edit) for edit in self.edits))


@dataclass(frozen=True)
class RunRequest:
    """What a visitor asks for: one prompt, one decoder, its settings, one seed.

    ``length`` counts response positions. ``fixed`` maps response positions to token ids that stay.
    ``top_k`` is how many candidates are recorded per masked position and step. ``forks`` make the run a
    branch of the one without them.
    """

    decoder: str
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    length: int = 64
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    fixed: Mapping[int, int] = field(default_factory=dict)
    top_k: int = 8
    forks: tuple[Fork, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """Which weights produced a run, and the versions that its numbers depend on."""

    name: str
    family: str
    kind: str
    weights_hash: str
    dtype: str
    device: str
    vocab_size: int
    mask_id: int | None
    eos_id: int | None
    versions: Mapping[str, str] = field(default_factory=dict)
    stop_ids: tuple[int, ...] = ()
    """Every token that ends an answer, in rising order; empty in older files, where ``eos_id`` alone does."""


@dataclass(frozen=True)
class Candidates:
    """The K most probable tokens of every masked position at one pass, most probable first."""

    positions: tuple[int, ...] = ()
    ids: tuple[tuple[int, ...], ...] = ()
    probabilities: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Totals:
    """Counts of a finished run, with the tail after the first end-of-sequence and without it."""

    steps: int
    passes: int
    rows: int
    elapsed_s: float
    written: int
    tokens_per_pass: float
    answer_tokens: int
    answer_tokens_per_pass: float
    tail_tokens: int


@dataclass(frozen=True)
class Start:
    """The canvas before the first step, and everything needed to read the steps without the model."""

    kind: ClassVar[str] = "start"
    request: RunRequest
    model: ModelInfo
    canvas: tuple[int, ...]
    prompt_length: int
    blocks: tuple[tuple[int, int], ...]
    """Half-open position ranges that the decoder fills one after the other."""
    settings: Mapping[str, Any]
    """The decoder's settings with every default filled in."""
    texts: Mapping[int, str] = field(default_factory=dict)
    """Token id -> text, for the ids of the canvas and of the mask."""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Step:
    """What one decision of the decoder changed, and what the model saw when it was taken.

    ``passes`` and ``rows`` (sequences x positions) are cumulative. ``scores`` are aligned with
    ``masked``: the positions that were masked when the pass of this step ran. A canvas change is
    applied in the order grows, erases, writes.
    """

    kind: ClassVar[str] = "step"
    index: int
    passes: int
    rows: int
    elapsed_s: float
    writes: tuple[Write, ...] = ()
    erases: tuple[int, ...] = ()
    drafts: tuple[Write, ...] = ()
    """Tokens proposed and not written yet (draft-and-verify decoders)."""
    rejects: tuple[int, ...] = ()
    """Positions whose draft was refused in this step."""
    grows: tuple[tuple[int, int], ...] = ()
    """(position, count): this many masks are inserted before the position."""
    masked: tuple[int, ...] = ()
    scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    candidates: Candidates = Candidates()
    cache_ages: tuple[int | None, ...] = ()
    """Passes since each canvas row's keys and values were computed; empty without a cache."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)
    """Token id -> text, for the ids that this run shows for the first time."""


@dataclass(frozen=True)
class Branch:
    """One node of a search: a candidate canvas, its parent, its score, and whether it was kept."""

    kind: ClassVar[str] = "branch"
    node: int
    parent: int | None
    step: int
    score: float
    kept: bool
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True)
class End:
    """Why the run ended and what it amounts to; ``text`` is cut at the first token that ends an answer.

    ``reason`` is ``done``, ``cancelled``, ``budget`` or ``error``; ``message`` says more.
    """

    kind: ClassVar[str] = "end"
    reason: str
    text: str
    totals: Totals
    message: str = ""


Event = Start | Step | Branch | End

_KINDS: dict[str, type] = {cls.kind: cls for cls in (Start, Step, Branch, End)}
_NESTED: dict[str, type] = {
    "request": RunRequest,
    "model": ModelInfo,
    "candidates": Candidates,
    "totals": Totals,
}
_LISTED: dict[str, type] = {"forks": Fork}
_ID_KEYED = frozenset({"texts", "fixed"})
"""Mappings with integer keys: JSON objects only have text keys, so they travel as pairs."""


def to_json(event: Event) -> dict[str, Any]:
    """Return ``event`` as an object of JSON types (tuples stand for lists)."""
    return {"kind": event.kind, **_plain(event)}


def from_json(data: Mapping[str, Any] | str) -> Event:
    """Return the event that ``to_json`` wrote, from an object or its JSON text.

    Raises ``ValueError`` or ``TypeError`` when the object is not an event of this schema version.
    """
    record = dict(json.loads(data, parse_constant=_no_number) if isinstance(data, str) else data)
    kind = record.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"Event kind {kind!r} is unknown; the kinds are {', '.join(_KINDS)}.")
    version = record.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise ValueError(f"Schema version {version} is not {SCHEMA_VERSION}, the one read here.")
    return _built(_KINDS[kind], record)


def request_to_json(request: RunRequest) -> dict[str, Any]:
    """Return ``request`` as an object of JSON types, as a ``Start`` holds it."""
    return _plain(request)


def request_from_json(data: Mapping[str, Any]) -> RunRequest:
    """Return the request that ``request_to_json`` wrote; raises as ``from_json`` does."""
    return _built(RunRequest, data)


def to_lines(events: Iterable[Event]) -> Iterator[str]:
    """Yield one line of JSON per event; half a character, which no file can hold, as its escape."""
    for event in events:
        line = json.dumps(to_json(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        yield line.encode("utf-8", "backslashreplace").decode("utf-8")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number that an event may hold.")


def _plain(record: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for item in fields(record):
        value = getattr(record, item.name)
        if item.name in _NESTED:
            value = _plain(value)
        elif item.name in _LISTED:
            value = tuple(map(_plain, value))
        elif item.name in _ID_KEYED:
            value = sorted(value.items())
        plain[item.name] = value
    return plain


def _built(cls: type, record: Mapping[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for name, value in record.items():
        if name in _NESTED:
            value = _built(_NESTED[name], value)
        elif name in _LISTED:
            value = tuple(_built(_LISTED[name], one) for one in value)
        elif name in _ID_KEYED:
            value = {int(key): item for key, item in value}
        values[name] = _frozen(value)
    return cls(**values)


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
