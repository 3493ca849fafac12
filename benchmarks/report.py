"""Runs the measurements one after the other and writes docs/measured.md.

    python -m benchmarks.report            # all of them, alone on the machine: 40 minutes
    python -m benchmarks.report streaming  # one, keeping what the others wrote

Nothing else should run meanwhile; the page states the load that was found before each one.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "measured.md"
MEASUREMENTS = {
    "start": "From the command to a served page, beside importing the two large libraries alone.",
    "streaming": "From an event's creation to its paint in Chromium, and how fast one can move in time.",
    "page": "What the page costs in the browser, each figure beside its limit: weight, load, scrubbing, playback, memory, long tasks.",
    "drawing": "How long the page draws per frame and seeks, by size, with made-up runs and no server.",
    "recording": "What recording costs: a recorded run against the bare loop of the same decoder.",
    "loading": "How long a checkpoint of a billion parameters takes to load, and how much memory at most.",
    "forward --shape 1b --pairs 7": "What a forward pass costs beside its matrix products, and what is saved by projecting only what is asked for and by a cache.",
    "batching --threads 2": "What sharing forward passes saves: 16 runs together against the same 16 alone.",
    "caches --threads 2": "What the caches of decoders save, and how far their predictions are from uncached ones.",
    "explain --threads 2": "What an attribution matrix and information flow routes cost, and how they scale.",
}
"""What is measured, by module and options, and what for."""
_HEAD = "# Measured\n\nWritten by `python -m benchmarks.report`; every part names its own command.\n"


def main() -> None:
    """Run what was asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *map(module_of, MEASUREMENTS)], help="leave out for all")
    asked = parser.parse_args().names
    names = [name for name in MEASUREMENTS if not asked or module_of(name) in asked]
    parts = _parts()
    for name in names:
        sys.stdout.write(f"{name} ...\n")
        parts[name] = _measured(name)
        PAGE.write_text(_HEAD + "".join(parts[key] for key in MEASUREMENTS if key in parts), encoding="utf-8")


def module_of(name: str) -> str:
    """Return the module of a measurement, its options left out."""
    return name.split()[0]


def _parts() -> dict[str, str]:
    """Return the parts that the page holds already."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    found = re.split(r"^(?=\n## )", text, flags=re.M)[1:]
    return {re.search(r"^\$ python -m benchmarks\.(.*)$", part, flags=re.M)[1]: part for part in found}


def _measured(name: str) -> str:
    load = os.getloadavg()[0]
    output = subprocess.run(
        [sys.executable, "-m", *f"benchmarks.{name}".split()], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE
    ).stdout
    return part_of(name, output, load)


def part_of(name: str, output: str, load: float) -> str:
    """Return the page's part of a measurement that printed ``output``."""
    return (
        f"\n## `benchmarks.{module_of(name)}`\n\n{MEASUREMENTS[name]}\n\n"
        f"{_machine()}; load before it began {load:.2f}.\n\n```\n$ python -m benchmarks.{name}\n{output.rstrip()}\n```\n"
    )


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "gradio"))
    return f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


if __name__ == "__main__":
    main()
