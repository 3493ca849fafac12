"""Health, readiness and counts, as whoever watches over a server reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from backend.engine import STUCK_MAX, LocalEngine
from backend.errors import BusyError
from backend.events import RunRequest
from backend.settings import Settings
from backend.tally import Counts
from components.server import application
from tests.app.fakes import FakeEngine
from tests.conftest import FakeModel
from tests.load.conftest import until


class Told(FakeEngine):
    """Is in the state that a test says."""

    told, there = Counts(0, 0, 0, False, False), False

    def counts(self) -> Counts:
        return self.told

    def ready(self, name: str) -> bool:
        return self.there


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[TestClient, Told]]:
    engine = Told()
    with TestClient(application(Settings(), engine)) as client:
        yield client, engine


@pytest.mark.parametrize(("counts", "loaded", "health", "ready", "why"), [
    (Counts(1, 0, 0, False, False), True, 200, 200, ""),
    (Counts(0, 0, 0, False, False), False, 200, 503, "not loaded"),
    (Counts(4, 32, 0, False, True), True, 200, 503, "full"),
    (Counts(0, 0, 0, True, False), True, 200, 503, "closing"),
    (Counts(0, 0, STUCK_MAX, False, True), True, 503, 503, "full"),
])
def test_health_asks_for_a_new_start_and_readiness_for_patience(
    watched: tuple[TestClient, Told], counts: Counts, loaded: bool, health: int, ready: int, why: str
) -> None:
    client, engine = watched
    engine.told, engine.there = counts, loaded
    assert client.get("/health").status_code == health
    answer = client.get("/ready")
    assert answer.status_code == ready and why in answer.json()["why"] and answer.json()["ready"] is (ready == 200)


def test_counts_are_told_where_they_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: FakeModel())
    settings = Settings(metrics="on", max_queued=0, max_running=1)
    engine = LocalEngine(settings)
    with TestClient(application(settings, engine)) as client:
        for length in (3, 4):
            list(engine.submit("tiny-diffusion", RunRequest("llada", prompt="2+2=", length=length)).batches(0.0))
        until(lambda: engine.counts().ended == {"done": 2})
        with engine._wake:  # nobody gets on: the second has no place
            engine.submit("tiny-diffusion", RunRequest("llada", prompt="2+2=", length=2))
            with pytest.raises(BusyError):
                engine.submit("tiny-diffusion", RunRequest("llada", prompt="2+2=", length=2))
        until(lambda: engine.counts().ended == {"done": 3})
        answer = client.get("/metrics")
    engine.close()
    assert answer.headers["content-type"].startswith("text/plain")
    told = dict(re.findall(r"^(unmask_\S+) (\S+)$", answer.text, re.M))
    assert {name: float(value) for name, value in told.items() if name.startswith(("unmask_runs", "unmask_steps", "unmask_passes", "unmask_queued"))} == {
        "unmask_runs_started_total": 3, "unmask_runs_refused_total": 1, "unmask_steps_total": 9, "unmask_passes_total": 9, "unmask_queued": 0,
        "unmask_runs_ended_total{reason=\"done\"}": 3, "unmask_runs_ended_total{reason=\"cancelled\"}": 0,
        "unmask_runs_ended_total{reason=\"budget\"}": 0, "unmask_runs_ended_total{reason=\"error\"}": 0,
    }
    assert "process_resident_memory_bytes" in answer.text and "# HELP unmask_steps_total Steps decoded." in answer.text
