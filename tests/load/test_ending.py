"""A server that is told to end: no new runs, every run gets its end, the program is over within ten seconds with status 0.

Each takes a real server and some ten seconds: ``python -m pytest -m nightly tests/load/test_ending.py -s``
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.browser import free_port, wait_for
from tests.load.client import Visitor

pytestmark = pytest.mark.nightly

ROOT = Path(__file__).resolve().parents[2]
SLOW = """
import sys, time
import app
import backend.models.loading as loading
real = loading.load_model
def slow(*given, **options):
    model = real(*given, **options)
    forward = model.forward
    def later(*inputs, **details):
        time.sleep(0.2)
        return forward(*inputs, **details)
    model.forward = later
    return model
loading.load_model = slow
sys.exit(app.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_end_gives_every_run_its_end_and_exits_well(how: signal.Signals) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "-c", SLOW, "--port", str(port), "--max-running", "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(address, time.perf_counter() + 120)
        ends: dict[int, dict] = {}

        def watch(number: int) -> None:
            visitor = Visitor(address)
            visitor.arrive()
            visitor.call("submit", prompt="sum: 12+34=", length="60").finish()
            stream = visitor.call("stream").texts()
            for text in stream:
                for event in json.loads(text)["events"]:
                    if event["kind"] == "start":
                        begun.release()
                    if event["kind"] == "end":
                        ends[number] = event

        begun = threading.Semaphore(0)
        threads = [threading.Thread(target=watch, args=(number,)) for number in range(3)]  # two run, one waits
        for thread in threads:
            thread.start()
        assert begun.acquire(timeout=60) and begun.acquire(timeout=60)
        told = time.monotonic()
        server.send_signal(how)
        status = server.wait(timeout=30)
        took = time.monotonic() - told
        for thread in threads:
            thread.join(30)
    finally:
        server.kill()
    print(f"{how.name}: over after {took:.2f} s with status {status}, {len(ends)} ends")
    said = server.stderr.read()
    assert status == 0 and took < 10 and "Traceback" not in said, said[-2000:]
    assert len(ends) == 3 and {end["reason"] for end in ends.values()} == {"cancelled"}
    assert all("told to end" in end["message"] for end in ends.values())
