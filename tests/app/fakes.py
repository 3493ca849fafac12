"""A recorded run of five positions and an engine that plays it, for the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.errors import AppError
from backend.events import (
    Candidates, End, Event, ModelInfo, RunRequest, Start, Step, Totals,
)
from backend.models.catalogue import MODELS, ModelCard
from backend.tally import Counts

RUN_ID = "0123456789abcdef0123456789abcdef"
MASK = 9
NASTY = "<img src=x onerror=alert(1)>${x}{{x}}`"


def recorded(prompt: str = "say:") -> tuple[Event, ...]:
    """Return a run of a two-token prompt and three answer positions, written in two steps."""
    model = ModelInfo("fake", "fake", "masked_diffusion", "0" * 16, "float32", "cpu", 10, MASK, 1)
    request = RunRequest("llada", prompt=prompt, length=3, seed=7)
    totals = Totals(2, 2, 10, 0.5, 3, 1.5, 2, 1.0, 1)
    return (
        Start(request, model, (4, 5, MASK, MASK, MASK), 2, ((2, 5),), {"steps": 2},
              {4: "say", 5: ":", MASK: "▒"}),
        Step(1, 1, 5, 0.2, writes=((3, 6, 0.75),), masked=(2, 3, 4),
             scores={"confidence": (0.5, 0.75, None)},
             candidates=Candidates((2, 3, 4), ((7, 6), (6, 7), (1, 6)), ((0.5, 0.2), (0.75, 0.1), (0.4, 0.3))),
             notes={"why": "the surest"}, texts={6: NASTY, 7: "b", 1: "⟨end⟩"}),
        Step(2, 2, 10, 0.4, writes=((2, 7, 0.9), (4, 1, 1.0)), masked=(2, 4),
             scores={"confidence": (0.9, 1.0)},
             candidates=Candidates((2, 4), ((7, 6), (1, 6)), ((0.9, 0.1), (1.0, 0.0)))),
        End("done", f"b{NASTY}", totals),
    )


class FakeHandle:
    """A handle whose run is already over, or never ends."""

    ahead = 2
    standing = None
    wait_s = None

    def __init__(self, events: Sequence[Event], ended: bool = True) -> None:
        self.id = RUN_ID
        self.events_so_far = tuple(events)
        self.times = tuple(float(at) for at in range(len(events)))
        self.ended = ended
        self.cancels = 0

    def batches(self, every_s: float) -> Iterator[tuple[Event, ...]]:
        """Yield a wait in the queue, then everything at once."""
        yield ()
        yield self.events_so_far
        while not self.ended:
            yield ()

    def cancel(self) -> None:
        """Count the calls."""
        self.cancels += 1


class FakeEngine:
    """Plays ``handle`` to whoever submits, or raises ``refusal``."""

    def __init__(self, handle: FakeHandle | None = None, refusal: AppError | None = None) -> None:
        self.handle, self.refusal = handle or FakeHandle(recorded()), refusal
        self.submitted: list[tuple[str, RunRequest]] = []

    @property
    def start_model(self) -> str:
        """Open with the first embedded model."""
        return MODELS[0].name

    def models(self) -> tuple[ModelCard, ...]:
        """Return the embedded models."""
        return MODELS

    def progress(self, name: str) -> float:
        """Say that nothing is in place yet."""
        return 0.0

    def card(self, name: str) -> str:
        """Know nothing about any model."""
        return ""

    def problems(self, model_name: str, request: RunRequest) -> tuple:
        """Find nothing wrong."""
        return ()

    def open(self, source: str) -> ModelCard:
        """Open anything, or fail."""
        if self.refusal:
            raise self.refusal
        return ModelCard(source, "Opened", "", "")

    def unload(self, name: str) -> None:
        """Unload anything, or fail."""
        if self.refusal:
            raise self.refusal

    def ready(self, name: str) -> bool:
        """Say that nothing is loaded yet."""
        return False

    def load(self, name: str) -> None:
        """Load nothing, or fail."""
        if self.refusal:
            raise self.refusal

    def submit(
        self, model_name: str, request: RunRequest, group: str = "", visitor: str = "", kept: bool | None = None, breaks: tuple = (),
    ) -> FakeHandle:
        """Keep the request."""
        if self.refusal:
            raise self.refusal
        self.submitted.append((model_name, request))
        return self.handle

    def keep(self, events: Sequence[Event]) -> FakeHandle:
        """Keep a run that was made elsewhere."""
        self.handle = FakeHandle(events)
        return self.handle

    def counts(self) -> Counts:
        """Do nothing."""
        return Counts(0, 0, 0, False, False)

    def close(self, seconds: float | None = None, why: str = "") -> bool:
        """Have nothing to close."""
        return True

    def find(self, run_id: str) -> FakeHandle | None:
        """Know one run."""
        return self.handle if run_id == RUN_ID else None

    def end_runs_of(self, visitor: str) -> None:
        """Have no visitors."""
