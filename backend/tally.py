"""What an engine has done since it began: counts that only rise, for whoever watches a server."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from dataclasses import dataclass, field

from backend.events import End, Event, Step
from backend.handle import RunHandle

log = logging.getLogger("unmask.runs")


@dataclass(frozen=True)
class Counts:
    """An engine at one moment: how much it does, and what it has done."""

    running: int
    """Runs that decode."""
    queued: int
    """Runs that wait."""
    stuck: int
    """Threads that a model has not given back."""
    closing: bool
    """Whether no new runs are taken."""
    full: bool
    """Whether one more run would be refused."""
    loaded: tuple[str, ...] = ()
    """The models in memory."""
    started: int = 0
    refused: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    """Runs by the reason of their end."""
    steps: int = 0
    passes: int = 0
    """Forward passes of the runs that ended."""
    gpu_bytes: dict[str, int] = field(default_factory=dict)
    """Memory that tensors hold, by GPU."""


def gpu_bytes() -> dict[str, int]:
    """Return the memory that tensors of this process hold on each GPU that is in use."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)  # whoever has not imported it, or not yet, uses no GPU
    if not hasattr(cuda, "memory_allocated") or not cuda.is_initialized():
        return {}
    return {f"cuda:{number}": cuda.memory_allocated(number) for number in range(cuda.device_count())}


class Tally:
    """The counters of one engine; used under its lock."""

    def __init__(self) -> None:
        self.started = self.refused = self.steps = self.passes = 0
        self.ended: Counter[str] = Counter()

    def note(self, handle: RunHandle, event: Event) -> None:
        """Count an event, and say in the log when it ends a run: nothing of what it read or wrote."""
        if isinstance(event, Step):
            self.steps += 1
        elif isinstance(event, End):
            totals = event.totals
            self.ended[event.reason] += 1
            self.passes += totals.passes
            log.info("Run %s on %s ended: %s after %d steps, %d passes, %.2f s.", handle.id[:8], handle.model_name, event.reason,
                     totals.steps, totals.passes, totals.elapsed_s,
                     extra={"run": handle.id[:8], "model": handle.model_name, "decoder": handle.request.decoder, "reason": event.reason,
                            "steps": totals.steps, "passes": totals.passes, "elapsed_s": round(totals.elapsed_s, 3)})
