"""What an explanation is: requests in, arrays over the canvas out, in pieces that can be cancelled.

A method sees one canvas and the targets that were written on it. It is a generator: it yields
``Progress`` between passes of the model and returns its ``Shares``, so that whoever drives it may
show how far it is or close it. A new method is one file and one line in the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from backend.explanations.objectives import Canvas
    from backend.shapes import Float

OBJECTIVES = ("log_prob", "logit", "contrast")
BASELINES = ("mask", "pad", "zero", "mean")
ROWS = 1024
"""Canvases x positions of one pass with gradients: about what a processor's cache holds."""


@dataclass(frozen=True)
class AttributionRequest:
    """Which choice is to be explained, on which canvas, and how.

    ``ids``: the canvas [L] before the choice. ``token``: None takes what stands at ``position``, or
    the model's favourite where it is masked. ``against``: the other token of a ``contrast``.
    ``rows``: canvases x positions of one pass; lower it when memory runs out.
    """

    ids: tuple[int, ...]
    position: int
    token: int | None = None
    method: str = "integrated_gradients"
    objective: str = "log_prob"
    against: int | None = None
    baseline: str = "mask"
    n_steps: int = 32
    rows: int = ROWS


@dataclass(frozen=True)
class Attribution:
    """How much each position of the canvas pushed one choice.

    ``scores`` [L], signed, in the unit of the objective (nats or logits); ``norms`` [L] >= 0, the
    length of the attribution vector of each position. ``value`` and ``baseline_value``: the objective
    on the canvas and on the baseline. ``delta`` = sum of scores - (value - baseline_value): what the
    quadrature missed where ``complete``; NaN where the method explains no difference.
    """

    request: AttributionRequest
    token: int
    scores: Float["L"]
    norms: Float["L"]
    value: float
    baseline_value: float
    delta: float
    complete: bool
    warnings: tuple[str, ...] = ()

    @property
    def relative_delta(self) -> float:
        """|delta| as a share of the explained difference, or of 0.1 where that is smaller."""
        return abs(self.delta) / max(abs(self.value - self.baseline_value), 0.1)


@dataclass(frozen=True)
class FlowRequest:
    """Whose vector is traced back, and how thin an edge may be.

    ``threshold``: an edge is kept when its weight is above it. ``renormalise``: contributions of one
    head from one position up to this value are set to 0 first and the others divided by what remains
    (the original paper's mechanism); None leaves them. ``token`` is only a label: every token read from
    one position shares one graph.
    """

    ids: tuple[int, ...]
    position: int
    token: int | None = None
    threshold: float = 0.04
    per_head: bool = False
    renormalise: float | None = None


@dataclass(frozen=True)
class Progress:
    """Passes or layers done, of how many."""

    done: int
    total: int


@dataclass(frozen=True)
class Shares:
    """What a method found for T targets on one canvas: signed scores and norms, both [T, L]."""

    scores: Float["T L"]
    norms: Float["T L"]


Result = TypeVar("Result")
Explaining = Generator[Progress, None, Result]
Watcher = Callable[[Progress], None]


class Method(Protocol):
    """One way to attribute a choice: its declaration, and its shares for one canvas."""

    name: str
    title: str
    mark: str
    """``sourced`` or ``reconstructed``."""
    source: str
    help: str
    needs: frozenset[str]
    signed: bool
    """False: shares that add up to 1 at most, in no unit."""
    complete: bool
    """The scores add up to value - baseline_value, but for ``delta``."""

    def shares(self, canvas: Canvas) -> Explaining[Shares]:
        """Yield progress and return the shares of every position, per target."""


def finished(work: Explaining[Result], watch: Watcher | None = None) -> Result:
    """Run an explanation to its end and return what it found; ``watch`` hears of the progress.

    Whatever ``watch`` raises ends the work.
    """
    try:
        while True:
            progress = next(work)
            if watch is not None:
                watch(progress)
    except StopIteration as end:
        return end.value
    finally:
        work.close()
