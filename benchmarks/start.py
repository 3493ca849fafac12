"""From the command to a served page, beside importing gradio and torch alone.

    python -m benchmarks.start

Each figure is the median of three fresh processes; packages are installed and nothing else runs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.browser import served

TIMES = 3


def main() -> None:
    """Measure and print every row."""
    pages = []
    for _ in range(TIMES):
        with served() as (_, seconds):
            pages.append(seconds)
    _say("python app.py -> served page", pages)
    for names in ("gradio", "torch", "gradio, torch"):
        _say(f"import {names}", [_import(names) for _ in range(TIMES)])


def _import(names: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {names}"], check=True)
    return time.perf_counter() - begin


def _say(name: str, seconds: list[float]) -> None:
    sys.stdout.write(
        f"{name:<32} median {statistics.median(seconds):5.1f} s  (min {min(seconds):.1f}, max {max(seconds):.1f})\n"
    )


if __name__ == "__main__":
    main()
