"""Half an hour of five visitors who run, stop, reload, save and import: what the server holds does not grow.

The whole: ``python -m pytest -m nightly tests/load/test_soak.py -s``; ``SOAK_MINUTES=3`` before it makes it shorter.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.browser import free_port, wait_for
from tests.conftest import WAIT_S
from tests.load.client import Visitor

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 5
MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
WARM_UP = 1 / 6
"""Share of the time in which the caches of the libraries fill; nothing is measured in it."""

EVERY_S = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
SLOPE_MB_PER_HOUR, MORE = 1.0, 2
HELD_SHARE = 0.02
BLOCKS_A_DEED, BYTES_A_DEED = 0.1, 49
"""Below these nothing is kept for each thing done: a tenth of one of Python's blocks, the bytes of an empty text elsewhere."""

KEEPS = ("--sessions-max", "8", "--kept-runs", "8", "--unread-s", "5")
"""So that what the server keeps on purpose is full after the first minute."""


class Client:
    """One visitor, who does one thing after the other, drawn by a seed."""

    def __init__(self, address: str, seed: int) -> None:
        self._address, self._rng = address, random.Random(seed)
        self._visitor: Visitor | None = None
        self._saved, self._run_id = b"", ""
        self.done: Counter[str] = Counter()

    def live(self, until: float) -> None:
        """Do things until a moment; whatever fails ends the test by its thread's exception."""
        while time.monotonic() < until:
            deed = self._rng.choice(("run", "run", "stop", "reload", "save", "import"))
            if self._visitor is None or deed == "reload":
                self.reload()
            elif deed in ("run", "stop"):
                self.run(stops=deed == "stop")
            elif deed == "save" and self._run_id:
                self.save()
            elif deed == "import" and b'"done"' in self._saved:
                self.hand_in()
            self.done[deed] += 1
        if self._visitor is not None:
            self._visitor.close()
            self._visitor = None

    def reload(self) -> None:
        if self._visitor is not None:
            self._visitor.close()
        self._visitor = Visitor(self._address)
        assert self._visitor.get("/")[0] == 200
        self._visitor.arrive()

    def run(self, stops: bool) -> None:
        """Run a sum to its end, or stop it after its first message."""
        visitor = self._visitor
        visitor.call("submit", prompt=f"sum: {self._rng.randrange(100)}+{self._rng.randrange(100)}=", length="8", seed=str(self._rng.randrange(1000))).finish()
        messages = visitor.call("stream")
        runs: list[str] = []
        for text in messages.texts():
            told = json.loads(text)
            runs = told["runs"]
            if stops:
                visitor.press("stop")
                stops = False
        messages.leave()
        if runs:
            self._run_id = runs[0]

    def save(self) -> None:
        """Save the last run, unless the runs of others have pushed it out."""
        status, content = self._visitor.get(f"/runs/{self._run_id}/run.unmask")
        assert status in (200, 404)
        self._saved = content if status == 200 else self._saved

    def hand_in(self) -> None:
        asked = urllib.request.Request(f"{self._address}/runs", self._saved, {"content-type": "application/x-unmask-run"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert len(json.load(answer)["run"]) == 32


def megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20


def held(pid: int) -> tuple[int, int]:
    """Return the open descriptors and the threads of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(list(Path(f"/proc/{pid}/task").iterdir()))


def in_use(pid: int, told: Path) -> dict[str, float]:
    """Return what a server that nobody visits has in use, as ``telling`` counts it."""
    told.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    until = time.monotonic() + WAIT_S
    while not told.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    return json.loads(told.read_text(encoding="utf-8"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int, Path]]:
    port, told = free_port(), tmp_path / "told"
    command = [sys.executable, "-m", "tests.load.telling", str(told), "--port", str(port), *KEEPS]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{port}", time.perf_counter() + 120)
    yield f"http://127.0.0.1:{port}", process.pid, told
    process.terminate()
    assert process.wait(30) == 0


def lived(address: str, pid: int, seconds: float, seed: int) -> tuple[list[tuple[float, float]], Counter[str]]:
    """Let the clients live so long; return the memory as (seconds, megabytes), and what they did."""
    begun = time.monotonic()
    clients = [Client(address, seed + number) for number in range(CLIENTS)]
    failures: list[BaseException] = []

    def live(client: Client) -> None:
        try:
            client.live(begun + seconds)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    samples = []
    while any(thread.is_alive() for thread in threads):
        samples.append((time.monotonic() - begun, megabytes(pid)))
        threads[0].join(EVERY_S)
        if not threads[0].is_alive():
            threads[-1].join(EVERY_S)
    assert not failures, failures
    return samples, sum((client.done for client in clients), Counter())


def slope(samples: list[tuple[float, float]]) -> float:
    """Return the growth in megabytes an hour: the median of all slopes between samples far apart (Theil and Sen)."""
    half = len(samples) // 2
    pairs = zip(samples[:half], samples[half:], strict=False)
    return statistics.median((later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in pairs) * 3600


@pytest.mark.nightly
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists() or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this system does not tell what a process holds")
def test_what_a_server_holds_does_not_grow(server: tuple[str, int, Path]) -> None:
    address, pid, told = server
    lived(address, pid, MINUTES * 60 * WARM_UP, 1000)
    time.sleep(6)  # the connections of the visitors who left are closed by then: there is no event to wait for
    (descriptors, threads), first = held(pid), in_use(pid, told)
    samples, done = lived(address, pid, MINUTES * 60 * (1 - WARM_UP), 0)
    time.sleep(6)
    after, last = held(pid), in_use(pid, told)
    growth = slope(samples)
    deeds = sum(done.values())
    blocks = (last["blocks"] - first["blocks"]) / deeds
    library = (last["library_mb"] - first["library_mb"]) * 2**20 / deeds
    print(f"{MINUTES:g} minutes, {dict(done)}: memory {samples[0][1]:.1f} to {samples[-1][1]:.1f} MB, slope {growth:+.2f} MB an hour, "
          f"descriptors {descriptors} to {after[0]}, threads {threads} to {after[1]}; in use {first} to {last}: "
          f"{blocks:+.3f} blocks and {library:+.1f} bytes for each of {deeds}")
    assert after[0] - descriptors <= MORE and after[1] - threads <= MORE
    # Where more is held, it must be little, and room that the allocators keep between what is in use.
    kept = samples[-1][1] / samples[0][1] - 1 <= HELD_SHARE and blocks <= BLOCKS_A_DEED and library <= BYTES_A_DEED
    assert MINUTES < 30 or growth <= SLOPE_MB_PER_HOUR or kept
