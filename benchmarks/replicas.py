"""What the engine on Ray costs and brings: 1, 2 and 3 replicas against the local engine, paired in one process.

    python -m benchmarks.replicas

The embedded model, 24 runs that write 36 positions each, handed in at once (``llada`` with noise): here all of them
share passes, a replica takes 8 at a time. One run by itself tells the overhead of a step. Every run is compared with the
local one. Needs ``deploy/requirements-ray.txt``. Replicas of one machine share its cores: what they bring shows only
where there are more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence

from backend import RunRequest, same_run
from backend.engine import LocalEngine
from backend.events import Event
from backend.rays.engine import RayEngine
from backend.settings import Settings

NAME, RUNS, LENGTH, REPLICA_RUNS = "tiny-diffusion", 24, 36, 8


def main() -> None:
    """Measure each number of replicas and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, help="paired measurements of each number of replicas")
    parser.add_argument("--replicas", type=int, nargs="*", default=[1, 2, 3], help="numbers of replicas")
    arguments = parser.parse_args()
    sys.stdout.write(f"{os.cpu_count()} cores; {RUNS} runs of {LENGTH} written positions; {arguments.pairs} pairs each\n")
    local = LocalEngine(settings(1))
    try:
        for count in arguments.replicas:
            engine = RayEngine(settings(count))
            try:
                measure(local, engine, count, arguments.pairs)
            finally:
                engine.close()
    finally:
        local.close()


def settings(replicas: int) -> Settings:
    """Return the settings of both engines."""
    return Settings(replicas_min=replicas, replicas_max=replicas, replica_runs=REPLICA_RUNS, replica_cpus=0, max_running=RUNS,
                    max_queued=RUNS, visitor_runs=RUNS, unread_s=3600)  # they are read at their ends only


def measure(local: LocalEngine, engine: RayEngine, count: int, pairs: int) -> None:
    """Print the ratio of throughputs, and the overhead of a step, for one number of replicas."""
    requests = [RunRequest("llada", prompt="sum: 12+34=", length=LENGTH, settings={"temperature": 0.5}, seed=seed) for seed in range(RUNS)]
    for _ in range(2):  # the replicas load their models, all of them
        together(engine, requests)
        together(local, requests)
    ratios, nears_ms, steps_ms, firsts_ms = [], [], [], []
    for _ in range(pairs):
        near_s, near = together(local, requests)
        far_s, far = together(engine, requests)
        for one, other in zip(near, far, strict=True):
            if not same_run(one, other):
                raise ValueError(f"A run differs between the engines; it ended here with {one[-1]}, there with {other[-1]}.")
        ratios.append(near_s / far_s)
        alone_near, alone_far = alone(local, requests[0]), alone(engine, requests[0])
        nears_ms.append(1000 * alone_near[1] / LENGTH)
        steps_ms.append(1000 * (alone_far[1] - alone_near[1]) / LENGTH)
        firsts_ms.append(1000 * (alone_far[0] - alone_near[0]))
    sys.stdout.write(
        f"{count} replica(s): throughput / local engine = {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}); "
        f"one run alone: {statistics.median(steps_ms):+.2f} ms a step to the {statistics.median(nears_ms):.2f} here "
        f"(min {min(steps_ms):+.2f}, max {max(steps_ms):+.2f}), {statistics.median(firsts_ms):+.0f} ms to its first event\n")
    sys.stdout.flush()


def together(engine: LocalEngine, requests: Sequence[RunRequest]) -> tuple[float, list[tuple[Event, ...]]]:
    """Return how long these runs took, handed in at once, and their events."""
    begun = time.perf_counter()
    handles = [engine.submit(NAME, request) for request in requests]
    while not all([handle.wait(10.0) for handle in handles]):
        pass
    return time.perf_counter() - begun, [handle.recorded for handle in handles]


def alone(engine: LocalEngine, request: RunRequest) -> tuple[float, float]:
    """Return the seconds until the first event of one run, and until its last."""
    begun, first = time.perf_counter(), None
    for batch in engine.submit(NAME, request).batches(0.0):
        if batch and first is None:
            first = time.perf_counter() - begun
    return first or 0.0, time.perf_counter() - begun


if __name__ == "__main__":
    main()
