"""A process killed at a random moment while it saves: every save that it acknowledged loads, and nothing is half there.

All five hundred: ``python -m pytest -m nightly tests/load/test_kill.py -s``
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.store import load_run, parse_run

ROOT = Path(__file__).resolve().parents[2]
SAVER = """
import sys
from pathlib import Path
from backend.store import parse_run, save_run
events = parse_run(Path('assets/examples/first.unmask').read_bytes())
folder = Path(sys.argv[1])
for number in range(10**9):
    save_run(events, folder / f"{number % 3}.unmask")
    sys.stdout.write(f"{number % 3}\\n")
    sys.stdout.flush()
"""


def killed(folder: Path, after_s: float) -> tuple[set[str], int]:
    """Save without end until the process is killed; return the names it acknowledged, and how many saves."""
    saver = subprocess.Popen([sys.executable, "-c", SAVER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    first = saver.stdout.readline()
    time.sleep(after_s)  # the moment at random: there is no condition to wait for
    os.kill(saver.pid, signal.SIGKILL)
    said = (first + saver.stdout.read()).splitlines()
    saver.wait()
    return set(said), len(said)


def kill(folder: Path, times: int) -> None:
    rng, saves = random.Random(times), 0
    wanted = parse_run((ROOT / "assets" / "examples" / "first.unmask").read_bytes())
    for _ in range(times):
        acknowledged, count = killed(folder, rng.uniform(0.0, 0.03))
        saves += count
        assert acknowledged
        for path in folder.glob("*.unmask"):
            assert load_run(path) == wanted  # none is half there, acknowledged or not
        assert {path.stem for path in folder.glob("*.unmask")} >= acknowledged
        for path in folder.iterdir():
            if path.suffix == ".partial":
                path.unlink()  # what the kill left; its name begins with a dot and nobody reads it
            else:
                assert path.suffix == ".unmask"
    print(f"{times} kills during {saves} saves: every acknowledged one loads")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill")
def test_what_was_acknowledged_loads_after_a_kill(tmp_path: Path) -> None:
    kill(tmp_path, 3)


@pytest.mark.nightly
def test_five_hundred_kills(tmp_path: Path) -> None:
    kill(tmp_path, 500)
