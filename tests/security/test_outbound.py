"""The server asks nobody: not at start, not in a run, not for an explanation.

Two witnesses. Python's audit hooks see every look-up and connection of the process; and where the system
allows a network namespace, the server runs in one that has no route, and works:
``python -m pytest -m nightly tests/security/test_outbound.py``
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.nightly

ROOT = Path(__file__).resolve().parents[2]

DAY = """
import json, os, sys, threading, time
asked = []
HERE = (None, "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost", "")
def heard(event, details):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        host = details[0] if event == "socket.getaddrinfo" else details[1][0] if isinstance(details[1], tuple) else None
        if host not in HERE:
            asked.append(f"{event} {host!r}")
sys.addaudithook(heard)
import app
from benchmarks.browser import free_port, wait_for
from tests.load.client import Visitor
port = free_port()
address = f"http://127.0.0.1:{port}"
def day():
    wait_for(address, time.perf_counter() + 120)
    visitor = Visitor(address)
    visitor.arrive()
    visitor.call("submit", prompt="sum: 12+34=", length="5").finish()
    stream = visitor.call("stream")
    messages = [json.loads(text) for text in stream.texts()]
    run, events = messages[0]["runs"][0], [event for message in messages for event in message["events"]]
    assert events[-1]["kind"] == "end" and events[-1]["reason"] == "done", events[-1]
    step = next(event for event in events if event["kind"] == "step")
    for path in ("", "help", "decoders", "many", "lessons", "assets/charts/plotly.js", f"runs/{run}/export.html", f"runs/{run}/run.unmask",
                 f"runs/{run}/attribution?step={step['index']}&position={step['writes'][0][0]}"):
        status, content = visitor.get("/" + path)
        assert status == 200, (path, status, content[:200])
    return len(events)
def told():
    try:
        found = {"events": day()}
    except BaseException as error:
        found = {"failed": repr(error)}
    print(json.dumps(found | {"asked": asked}), flush=True)
    os._exit(0)
threading.Thread(target=told).start()
app.main(["--port", str(port)])
"""


def lived(*before: str) -> str:
    """Return what a server says of its connections after a day in short: pages, a run, an explanation."""
    done = subprocess.run([*before, sys.executable, "-c", DAY], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert done.stdout, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def without_route() -> tuple[str, ...]:
    """Return the words before a command that give it a network of its own without a route; none where that is not allowed."""
    words = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    if shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        return words
    return ()


def test_the_server_asks_no_other_host() -> None:
    said = lived()
    assert '"asked": []' in said and '"events"' in said, said


def test_the_server_works_where_there_is_no_route() -> None:
    words = without_route()
    if not words:
        pytest.skip("this system gives no network namespace to a user")
    said = lived(*words)
    assert '"asked": []' in said and '"events"' in said, said
