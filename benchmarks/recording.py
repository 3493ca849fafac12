"""What recording costs: a recorded run against the same decoder's bare loop, paired in one process.

    python -m benchmarks.recording

Two settings. The embedded model, whole runs of its example. And a vocabulary of 126,464 with 64
masks, one pass at a time, where the forward pass is a wait of a stated length: there the loop of
the decoder and the recording are real and only the network is not. Then what each score costs
there, and the memory of the kept history.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch

from backend import RunRequest, load_model, run
from backend.measures.catalogue import MEASURES
from backend.measures.base import PAST
from backend.models.base import Model
from backend.observing import HALF_ABOVE, Observer

VOCABULARY, MASKS = 126_464, 64
TOP_K = 8


def main() -> None:
    """Measure and print every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=15, help="paired runs of each measurement")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model("tiny-diffusion")
    _say(f"embedded model, {model.example_prompt!r}, 20 positions, {arguments.threads} thread(s)")
    request = RunRequest("llada", prompt=model.example_prompt, length=20)
    _pair("whole run", lambda: list(run(model, request)), lambda: bare_run(model, request), arguments.pairs)
    _large(arguments.pairs)


def bare_run(model: Model, request: RunRequest) -> list[int]:
    """Decode like ``llada`` at its defaults, recording nothing: the loop of the reference."""
    prompt = model.encode(request.prompt)
    canvas = torch.tensor([[*prompt, *[model.mask_id] * request.length]])
    while bool((canvas == model.mask_id).any()):
        masked = canvas == model.mask_id
        with torch.no_grad():
            logits = model.forward(canvas, project=masked).logits
        position, token = bare_choice(logits, masked[0].nonzero()[:, 0])
        canvas[0, position] = token
    return canvas[0].tolist()


def bare_choice(logits: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the most confident position and its token, as LLaDA's sampler finds them."""
    tokens = logits.argmax(dim=-1)
    confidence = logits.softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
    best = confidence.topk(1).indices
    return positions[best], tokens[best]


def _large(pairs: int) -> None:
    _say(f"\nvocabulary {VOCABULARY:,}, {MASKS} masks, {torch.get_num_threads()} thread(s), one pass")
    logits = torch.randn(MASKS, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3
    positions = torch.arange(MASKS)
    places = tuple(range(MASKS))
    observer = _warm(logits, places, MEASURES)
    bare = _median(lambda: bare_choice(logits.clone(), positions), pairs)
    recorded = _median(lambda: observer.observe(logits.clone(), places), pairs)
    _say(f"  decoder's own work {bare * 1e3:7.1f} ms    recorded {recorded * 1e3:7.1f} ms per pass")
    for wait in (1.0, 0.05):
        ratio = (wait + recorded) / (wait + bare)
        _say(f"  forward pass {wait * 1e3:6.0f} ms: recorded / bare = {ratio:.3f}")
    for name, measures in [("none", ()), *((item.name, (item,)) for item in MEASURES)]:
        alone = _warm(logits, places, measures)
        cost = _median(lambda: alone.observe(logits.clone(), places), pairs)
        _say(f"  with only {name:<12} {cost * 1e3:7.1f} ms")
    width = 2 if VOCABULARY > HALF_ABOVE else 4
    _say(f"  history kept: {PAST} passes x {MASKS} masked rows x {VOCABULARY:,} x {width} bytes = "
         f"{PAST * MASKS * VOCABULARY * width / 1e6:.0f} MB")


def _warm(logits: torch.Tensor, places: tuple[int, ...], measures: tuple) -> Observer:
    """Return an observer whose history is full, as it is from the fourth pass on."""
    observer = Observer(0, TOP_K, measures)
    for _ in range(PAST):
        observer.observe(logits.clone(), places)
    return observer


def _pair(name: str, a: Callable[[], object], b: Callable[[], object], pairs: int) -> None:
    """Time a and b in turn and print the ratio of their times, pair by pair."""
    times = [(_timed(a), _timed(b)) for _ in range(pairs + 1)][1:]
    ratios = sorted(first / second for first, second in times)
    _say(f"  {name}: recorded {statistics.median(t for t, _ in times) * 1e3:.1f} ms, "
         f"bare {statistics.median(t for _, t in times) * 1e3:.1f} ms, ratio median "
         f"{statistics.median(ratios):.3f} (min {ratios[0]:.3f}, max {ratios[-1]:.3f}, {pairs} pairs)")


def _median(work: Callable[[], object], times: int) -> float:
    return statistics.median(_timed(work) for _ in range(times))


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
