"""What a decoder is: a pure rule that is asked, after every forward pass, what changes.

The runner owns the loop, the model, the clock and the recording. A decoder declares its settings
(the page draws their controls, the documentation lists them) and answers ``choose``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from backend.errors import Problem
from backend.events import Write

if TYPE_CHECKING:
    from backend.noise import Noise
    from backend.shapes import Float


@dataclass(frozen=True)
class Option:
    """One setting as the page, the command line and the documentation see it.

    ``low`` and ``high`` are inclusive; ``high`` may be ``"length"``, the response positions of the
    request. ``auto`` says in words what stands for a missing value; ``nullable`` that None is off.
    """

    kind: str
    help: str
    low: float | None = None
    high: float | str | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    nullable: bool = False
    auto: str | None = None
    title: str = ""


def option(default: Any, kind: str, help: str, **details: Any) -> Any:
    """Return a dataclass field that carries an ``Option``."""
    return field(default=default, metadata={"option": Option(kind, help, **details)})


CAPABILITIES: Mapping[str, str] = {
    "bidirectional": "reads to both sides, as masked diffusion models do",
    "causal": "reads from left to right",
    "uniform_diffusion": "refines a canvas of random tokens",
    "cache": "can keep keys and values from pass to pass",
    "attention": "can hand out its attention weights",
}
"""What a decoder may need of a model, in words that follow "a model that"."""


@dataclass(frozen=True)
class Score:
    """A value per masked position that a decoder adds to what every run records, and how to read it.

    Reads like a measure (``backend.measures.base``): ``low`` to ``top`` is the scale of its colours,
    values beyond it are drawn at its ends. ``when`` names settings and the values with which it is
    recorded; empty means always.
    """

    name: str
    title: str
    help: str
    unit: str
    higher: str
    """What a higher value means, in one or two words."""
    low: float = 0.0
    top: float = 1.0
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def high(self, vocab_size: int) -> float:
        """Return the top of the scale."""
        return self.top

    def recorded(self, settings: Mapping[str, Any]) -> bool:
        """Tell whether a run with these settings, defaults filled in, records it."""
        return all(settings.get(name) in values for name, values in self.when.items())


@dataclass(frozen=True)
class Layout:
    """Where a run happens: the response range, and the positions that may be written."""

    prompt_length: int
    length: int
    free: tuple[int, ...]
    """Canvas positions that were masked at the start, in order."""

    @property
    def end(self) -> int:
        """The position after the last response position."""
        return self.prompt_length + self.length


Block = tuple[int, int]


@dataclass(frozen=True)
class View:
    """What a decoder sees after a pass; lists are aligned with ``positions``, the masked ones.

    ``tokens`` are the arg-max tokens (never the mask), ``probs`` their probabilities in 0..1 as
    float64, ``entropies`` in nats: all from the distribution after guidance, before temperature.
    """

    step: int
    layout: Layout
    positions: tuple[int, ...]
    tokens: tuple[int, ...]
    probs: tuple[float, ...]
    entropies: tuple[float, ...]
    log_probs: Float["M V"]
    noise: Noise
    mask_id: int

    def within(self, block: Block) -> list[int]:
        """Return the indices into ``positions`` of the masked positions inside ``block``."""
        return [at for at, position in enumerate(self.positions) if block[0] <= position < block[1]]

    def drawn(self, temperature: float, stream: int = 0) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return one token per masked position at ``temperature`` and its probability at 1.

        At 0 the arg-max; otherwise an exact draw by the Gumbel-max rule, in float64, with noise
        keyed by step and position (LLaDA, ``add_gumbel_noise``, in its logarithmic form). ``stream``
        sets further draws for the same place apart (see ``noise``).
        """
        if temperature == 0 or not self.positions:
            return self.tokens, self.probs
        from backend import sampling  # needs torch, which a catalogue must not wait for

        return sampling.gumbel_max(self, temperature, stream)


@dataclass(frozen=True)
class Choice:
    """What changes on the canvas, and why; ``why`` is a sentence for the visitor."""

    writes: tuple[Write, ...] = ()
    erases: tuple[int, ...] = ()
    why: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    state: Any = None
    drafts: tuple[Write, ...] = ()
    rejects: tuple[int, ...] = ()
    scores: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Per-position values of the decoder's own, aligned with the view's positions."""


class Decoder(Protocol):
    """A decoding method: its declaration, and its rule."""

    name: str
    title: str
    summary: str
    source: str
    mark: str
    """``sourced``: the rule is read from the source; ``reconstructed``: it is our reading of it; ``own``: it is from no paper."""
    cost: str
    """What one step costs, as a sentence: forward passes, and the rows that they compute."""
    needs: frozenset[str]
    """Names of ``CAPABILITIES``."""
    scores: tuple[Score, ...]
    """What the decoder records besides the scores of every run."""
    Settings: type

    def check(self, settings: Any, layout: Layout) -> list[Problem]:
        """Return what is wrong with settings that are each in range but do not fit together."""

    def blocks(self, settings: Any, layout: Layout) -> tuple[Block, ...]:
        """Return the half-open ranges that are filled one after the other."""

    def guidance(self, settings: Any) -> float:
        """Return the classifier-free guidance scale; 0 asks for no second sequence."""

    def wants(self, settings: Any) -> frozenset[str]:
        """Return what these settings need of a model: ``needs``, or more."""

    def tokens(self, settings: Any) -> Mapping[str, tuple[int, ...]]:
        """Return the token ids that each setting names; they must be in the vocabulary, and not the mask."""

    def draws(self, settings: Any) -> bool:
        """Tell whether anything is drawn by lot, so that another seed may give another run."""

    def extent(self, settings: Any, layout: Layout) -> int:
        """Return the response positions of the real canvas, at least ``layout.length``."""

    def choose(self, view: View, settings: Any, state: Any) -> Choice:
        """Return what this pass changes; ``state`` is the last choice's, None at the start.

        A decoder that needs more than one pass over the canvas per step has ``decode(world)``
        instead: a generator that asks for passes and yields events (see ``backend.world``).
        """


DEFAULT_BLOCK = 32
"""Positions per block of the decoders that are made for blocks, where it divides the length."""


def default_block(length: int) -> int:
    """Return 32, or the length where 32 does not divide it."""
    return length if length % DEFAULT_BLOCK else DEFAULT_BLOCK


def cut(layout: Layout, size: int) -> tuple[Block, ...]:
    """Return the response range in blocks of ``size``, the last one shorter where it does not fit."""
    return tuple((start, min(start + size, layout.end)) for start in range(layout.prompt_length, layout.end, max(size, 1)))


class BaseDecoder:
    """The answers most decoders share: one block, no guidance, nothing more to check."""

    name = ""
    title = ""
    source = ""
    mark = "sourced"
    cost = "One forward pass over the whole canvas."
    needs: frozenset[str] = frozenset({"bidirectional"})
    scores: tuple[Score, ...] = ()
    remasks = False
    """Whether written positions may be erased or replaced, as in a search whose best branch changes."""

    @property
    def summary(self) -> str:
        """The first paragraph of the module (of the class, where the module has none), shown in the page."""
        import sys

        text = sys.modules[type(self).__module__].__doc__ or type(self).__doc__ or ""
        return " ".join(text.strip().split("\n\n")[0].split())

    def check(self, settings: Any, layout: Layout) -> list[Problem]:
        """Return no problem: single settings are checked against their own ranges."""
        return []

    def blocks(self, settings: Any, layout: Layout) -> tuple[Block, ...]:
        """Return blocks of the ``block_length`` setting, or one block where there is none."""
        return cut(layout, getattr(settings, "block_length", None) or layout.length)

    def wants(self, settings: Any) -> frozenset[str]:
        """Return ``needs``."""
        return self.needs

    def tokens(self, settings: Any) -> Mapping[str, tuple[int, ...]]:
        """Return none: settings of most decoders are numbers and words."""
        return {}

    def draws(self, settings: Any) -> bool:
        """Tell whether the ``temperature`` setting is above 0; without one nothing is drawn."""
        return getattr(settings, "temperature", 0.0) > 0

    def extent(self, settings: Any, layout: Layout) -> int:
        """Return the length that was asked for."""
        return layout.length

    def guidance(self, settings: Any) -> float:
        """Return the ``cfg_scale`` setting, or 0 where there is none."""
        return getattr(settings, "cfg_scale", 0.0)


def most_probable(view: View, among: Sequence[int], probs: Sequence[float]) -> list[int]:
    """Return ``among`` sorted by falling probability; ties go to the smallest position."""
    return sorted(among, key=lambda at: (-probs[at], view.positions[at]))


def writes_of(
    view: View, chosen: Sequence[int], tokens: Sequence[int], probs: Sequence[float]
) -> tuple[Write, ...]:
    """Return the writes of the chosen indices, by rising position."""
    return tuple((view.positions[at], tokens[at], probs[at]) for at in sorted(chosen))


def resolved(decoder: Decoder, given: Mapping[str, Any], layout: Layout) -> tuple[Any, list[Problem]]:
    """Return the decoder's settings with defaults filled in, and every problem of the given ones."""
    options = {item.name: item for item in fields(decoder.Settings)}
    problems = [
        Problem(f"settings.{name}", f"{decoder.name} has no setting {name!r}; it has "
                f"{', '.join(options) or 'none'}.")
        for name in given if name not in options
    ]
    values: dict[str, Any] = {}
    for name, item in options.items():
        value = given.get(name, MISSING)
        if value is MISSING:
            continue
        value, problem = checked(item.metadata["option"], name, value, layout.length)
        if problem:
            problems.append(problem)
        else:
            values[name] = value
    return decoder.Settings(**values), problems


def checked(option: Option, name: str, value: Any, length: int) -> tuple[Any, Problem | None]:
    """Return ``value`` as the option's type, or the problem with it."""

    def wrong(sentence: str) -> tuple[None, Problem]:
        return None, Problem(f"settings.{name}", f"{value!r} {sentence}")

    if value is None:
        if option.nullable or option.auto:
            return None, None
        return wrong(f"is not a value of this setting; {_range(option, length)}.")
    if option.kind == "choice":
        if value not in option.choices:
            return wrong(f"is not a choice; the choices are {', '.join(option.choices)}.")
        return value, None
    if option.kind == "text":
        if isinstance(value, str) and len(value) <= option.high:
            return value, None
        return wrong(f"is not a text of at most {option.high} characters.")
    if option.kind == "bool":
        return (value, None) if isinstance(value, bool) else wrong("is not true or false.")
    if isinstance(value, bool) or not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        return wrong(f"is not a number; {_range(option, length)}.")
    if option.kind == "int" and value != int(value):
        return wrong(f"is not a whole number; {_range(option, length)}.")
    high = length if option.high == "length" else option.high
    if (option.low is not None and value < option.low) or (high is not None and value > high):
        return wrong(f"is out of range; {_range(option, length)}.")
    return (int(value) if option.kind == "int" else float(value)), None


def _range(option: Option, length: int) -> str:
    if option.kind == "choice":
        return f"choose one of {', '.join(option.choices)}"
    high = length if option.high == "length" else option.high
    if high is None:
        return f"give {option.low} or more"
    return f"give {option.low} to {high}"
