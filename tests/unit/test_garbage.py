"""What stays is not looked through again, and what is left later is found soon. In a process of its own: nothing unfreezes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import app
from backend.garbage import keep_for_good
from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LEFT = """
import gc, weakref
from backend.garbage import keep_for_good

class Ring:
    def __init__(self):
        self.itself = self

stays = [[] for _ in range(600_000)]
ring = Ring()
left = weakref.ref(ring)
gc.collect()  # both are of the oldest generation now, which is seldom searched
{call}
looked = any(item is stays for item in gc.get_objects())
ring = None
more = [[] for _ in range(100_000)]  # a sixth of what stays: no reason for a search through everything
print(looked, left() is None)
"""


def told(call: str) -> str:
    return subprocess.run([sys.executable, "-c", LEFT.format(call=call)], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_there_is_left_out_of_searches_and_what_comes_later_is_found() -> None:
    assert told("keep_for_good(); later = Ring(); left = weakref.ref(later); ring = later; later = None; gc.collect(1)") == "False True"


def test_without_it_everything_is_looked_through_and_a_ring_waits() -> None:
    assert told("") == "True False"


def test_the_program_asks_for_it_once_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr("components.server.listen", lambda settings: None)
    monkeypatch.setattr("components.server.serve", lambda settings, engine, listener, loaded: given.update(loaded=loaded, engine=engine))
    monkeypatch.setattr(app, "configure", lambda log: None)
    app._serve(Settings())
    given["engine"].close()
    assert given["loaded"] is keep_for_good
