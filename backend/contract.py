"""What the page asks of an engine, wherever its models run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from backend.errors import Problem
from backend.events import Event, RunRequest
from backend.handle import RunHandle
from backend.holding import Breakpoint
from backend.models.catalogue import ModelCard
from backend.tally import Counts

if TYPE_CHECKING:
    from backend.explanations.base import Explaining


class Engine(Protocol):
    """What the page needs of any engine; every method may be called from any thread."""

    @property
    def start_model(self) -> str:
        """The name of the model that the page opens with."""

    def models(self) -> tuple[ModelCard, ...]:
        """Return the models that a visitor may choose."""

    def ready(self, name: str) -> bool:
        """Tell whether a run of this model would start without loading."""

    def load(self, name: str) -> object:
        """Return the model of this name, loading it when needed; raises ``ModelError``."""

    def progress(self, name: str) -> float:
        """Return the share of a loading model's weights that is in place, 0 to 1."""

    def open(self, source: str) -> ModelCard:
        """Load a folder or hub id and offer it; raises ``ModelError`` or ``BusyError``."""

    def card(self, name: str) -> str:
        """Return the facts of a loaded model in one line, or nothing."""

    def unload(self, name: str) -> None:
        """Free a model's memory; raises ``ModelError`` where visitors may not, ``BusyError`` while it runs."""

    def problems(self, model_name: str, request: RunRequest) -> tuple[Problem, ...]:
        """Return what of ``request`` does not fit a loaded model."""

    def submit(
        self, model_name: str, request: RunRequest, group: str = "", visitor: str = "", kept: bool | None = None,
        breaks: Sequence[Breakpoint] = (),
    ) -> RunHandle:
        """Queue a run; raises ``RequestError``, ``ModelError`` or ``BusyError`` at once."""

    def find(self, run_id: str) -> RunHandle | None:
        """Return a run that is still kept, or None."""

    def end_runs_of(self, visitor: str) -> None:
        """End all runs of a visitor who is gone before their next forward passes."""

    def keep(self, events: Sequence[Event]) -> RunHandle:
        """Keep a run that was made elsewhere; its events are whole and checked."""

    def counts(self) -> Counts:
        """Return how much is under way, and what was done so far."""

    def close(self, seconds: float | None = None, why: str = "") -> bool:
        """Take no new runs, end every run with ``why``, and return whether that was done within ``seconds``."""


@runtime_checkable
class Elsewhere(Protocol):
    """An engine whose models are on other machines, so that explanations are computed there, too."""

    def explaining(
        self, model_name: str, work: Callable[..., Explaining[str]], run_id: str, events: Sequence[Event],
    ) -> Explaining[Any]:
        """Return ``work(model, run_id, events)`` as it gets on elsewhere; raises there what ``work`` raises."""
