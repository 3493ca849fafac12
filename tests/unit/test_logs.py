"""The log: a line of text or of JSON, with a run's end and without what was typed or written."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from backend.engine import LocalEngine
from backend.events import RunRequest
from backend.logs import JsonLines
from backend.settings import Settings
from tests.conftest import FakeModel


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The record of a run's end."""
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: FakeModel())
    caplog.set_level(logging.INFO)
    engine = LocalEngine(Settings())
    handle = engine.submit("tiny-diffusion", RunRequest("llada", prompt="secret words", length=4))
    list(handle.batches(0.0))
    engine.close()
    record, = (item for item in caplog.records if item.name == "unmask.runs")
    assert handle.id not in record.getMessage() and handle.id[:8] in record.getMessage()
    return record


def test_a_runs_end_is_one_line_of_json_that_tells_what_it_cost_and_nothing_of_its_text(ended: logging.LogRecord) -> None:
    line = JsonLines().format(ended)
    told = json.loads(line)
    assert "\n" not in line and "secret" not in line
    assert {"level": "info", "logger": "unmask.runs", "decoder": "llada", "model": "tiny-diffusion", "reason": "done", "steps": 4, "passes": 4}.items() <= told.items()
    assert told["time"].endswith("+00:00") and told["message"].startswith("Run ")


def test_a_failure_carries_its_traceback_in_the_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "It %s.", ("failed",), sys.exc_info())
    told = json.loads(JsonLines().format(record))
    assert told["message"] == "It failed." and "ValueError: no" in told["exception"]
