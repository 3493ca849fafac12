"""Out of memory at the first, a middle and the last step: a message, the memory back, the next run right.

All fifty of each: ``python -m pytest -m nightly tests/load/test_memory.py -s``
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from backend import RunRequest, run, same_run
from backend.engine import LocalEngine
from backend.settings import Settings
from tests.conftest import FakeModel

NAME, LENGTH = "tiny-diffusion", 8
REQUEST = RunRequest("llada", prompt="2+2=", length=LENGTH)
AT = {"first": 1, "middle": LENGTH // 2, "last": LENGTH}


class Full(FakeModel):
    """A fake model that runs out of memory at the passes that a test names."""

    fails_at: int | None = None

    def forward(self, *inputs, **details):
        if self.fails_at is not None and self.passes + 1 == self.fails_at:
            self.fails_at = None
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
        return super().forward(*inputs, **details)


@pytest.fixture
def model() -> Full:
    return Full()


@pytest.fixture
def engine(model: Full, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEngine]:
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: model)
    opened = LocalEngine(Settings())
    yield opened
    opened.close()


def events_of(engine: LocalEngine) -> tuple:
    return tuple(event for batch in engine.submit(NAME, REQUEST).batches(0.0) for event in batch)


def run_out(engine: LocalEngine, model: Full, at: int) -> None:
    """Run out of memory at a pass, then run once more."""
    model.passes, model.fails_at = 0, at
    *steps, end = events_of(engine)
    assert (end.reason, len(steps)) == ("error", at)  # the start, and a step for every pass before
    assert "ran out of memory" in end.message and "shorter answer" in end.message
    assert "CUDA" not in end.message and "GiB" not in end.message
    assert end.totals.passes == at - 1
    assert same_run(events_of(engine), tuple(run(FakeModel(), REQUEST)))


@pytest.mark.parametrize("at", AT)
def test_running_out_of_memory_ends_the_run_with_the_remedy_and_the_next_one_is_right(engine: LocalEngine, model: Full, at: str) -> None:
    run_out(engine, model, AT[at])


def test_a_pass_that_does_not_fit_for_all_is_tried_for_each(engine: LocalEngine, model: Full) -> None:
    class Crowded(Full):
        def forward(self, input_ids=None, **details):
            if len(input_ids) > 1:
                raise torch.OutOfMemoryError("too many at once")
            return super().forward(input_ids, **details)

    crowded = Crowded()
    from backend import run_many

    found: dict[int, list] = {0: [], 1: [], 2: []}
    for number, event in run_many(crowded, [REQUEST] * 3):
        found[number].append(event)
    alone = tuple(run(FakeModel(), REQUEST))
    assert all(same_run(events, alone) for events in found.values())


@pytest.mark.nightly
@pytest.mark.parametrize("at", AT)
def test_fifty_times_out_of_memory(engine: LocalEngine, model: Full, at: str) -> None:
    for _ in range(50):
        run_out(engine, model, AT[at])
