"""Writes docs/faithfulness.md: which attributions of the embedded models can be trusted, task by task.

    python -m benchmarks.faithfulness            # about half an hour on two cores
    python -m benchmarks.faithfulness --examples 4 --out /tmp/faithfulness.md

For every task, test prompts are decoded one token per step; one written token of each run is explained
by every method, on the canvas it was written on. All rankings of a canvas, the methods' and the random
ones, go through the same curves.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from backend import RunRequest, load_model, replay, run
from backend.canvas import steps_of
from backend.explanations.base import finished
from backend.explanations.catalogue import METHODS
from backend.explanations.faithfulness import curves, random_orders, ranked
from backend.explanations.objectives import Canvas, Target
from backend.models.base import Model
from backend.models.catalogue import MODELS
from backend.tasks.base import Task
from backend.tasks.catalogue import TASKS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "faithfulness.md"
N_STEPS = 256
"""At 64 nodes the embedded model misses nats of the difference on arithmetic: its path has narrow features."""
RANDOM = 17
"""Random rankings per canvas: the first is the control, the mean of the others is chance."""
INFORMED = 0.3
"""A choice counts when the canvas raises its probability by this much over the empty canvas."""
TRIES = 12
CONTROL = "random control"
WAYS = tuple(method for method in METHODS if method.name != "captum_integrated_gradients")
MEASURES = ("comprehensiveness", "sufficiency")
DELTA = "delta"


@dataclass(frozen=True)
class Gain:
    """Mean advantage over chance in probability, and its 95 % interval over canvases."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Gain:
        """Return the mean with the normal interval of its standard error."""
        mean = statistics.fmean(values)
        half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("inf")
        return cls(mean, mean - half, mean + half)

    @classmethod
    def median(cls, values: list[float]) -> Gain:
        """Return the median with the quartiles, for what has long tails."""
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        return cls(middle, low, high)

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


Table = dict[tuple[str, str, str], Gain]
"""(measure, task, method) -> gain."""


def main() -> None:
    """Measure every task whose model is in place and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, default=24, help="canvases per task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    table: Table = {}
    models = {card.name: load_model(card.name) for card in MODELS if (card.folder / "model.safetensors").is_file()}
    tasks = [task for task in TASKS if task.model in models]
    for task in tasks:
        table |= _measured(models[task.model], task, given.examples, given.seed)
    given.out.write_text(_page(table, tasks, models, given.examples, given.seed), encoding="utf-8")
    sys.stdout.write(f"Wrote {given.out}.\n")


def _measured(model: Model, task: Task, examples: int, seed: int) -> Table:
    gains: dict[tuple[str, str], list[float]] = {}
    for number, canvas in enumerate(_canvases(model, task, examples, seed)):
        scores = {way.name: finished(way.shares(canvas)).scores[0] for way in WAYS}
        here, nothing = canvas.values(torch.stack((canvas.embeds, canvas.absent)))[0].tolist()
        missed = abs(float(scores["integrated_gradients"].double().sum()) - (here - nothing))
        gains.setdefault((DELTA, "integrated_gradients"), []).append(missed)
        orders = [ranked(canvas, found) for found in scores.values()]
        found = finished(curves(canvas, np.stack([*orders, *random_orders(canvas, RANDOM, seed + number)])))
        for measure, sign in zip(MEASURES, (1, -1), strict=True):
            values = sign * getattr(found, measure).double()
            chance = float(values[len(WAYS) + 1 :].mean())
            for way, value in zip((*(way.name for way in WAYS), CONTROL), values.tolist(), strict=False):
                gains.setdefault((measure, way), []).append(value - chance)
        sys.stdout.write(f"{task.name} {number + 1}/{examples}\n")
        sys.stdout.flush()
    return {(measure, task.name, way): Gain.median(values) if measure == DELTA else Gain.of(values)
            for (measure, way), values in gains.items()}


def _canvases(model: Model, task: Task, examples: int, seed: int) -> Iterator[Canvas]:
    """Yield one informed choice per run of a test prompt."""
    rng = random.Random(f"{seed} {task.name}")
    found = 0
    for _ in range(examples * TRIES):
        prompt = task.generate(rng, "test").prompt
        events = tuple(run(model, RunRequest("llada", prompt=prompt, length=task.length)))
        steps = steps_of(events)
        number = rng.randrange(len(steps))
        position, token, _ = steps[number].writes[0]
        canvas = Canvas(model, replay(events, number), (Target(position, token),), n_steps=N_STEPS)
        here, nothing = (float(canvas.values(embeds[None])[0, 0].exp()) for embeds in (canvas.embeds, canvas.absent))
        if here - nothing >= INFORMED:
            yield canvas
            found += 1
        if found == examples:
            return


def _page(table: Table, tasks: list[Task], models: dict[str, Model], examples: int, seed: int) -> str:
    used = ", ".join(f"`{name}` (weights {model.weights_hash})" for name, model in models.items())
    parts = [
        "# Which attributions can be trusted\n",
        f"Written by `python -m benchmarks.faithfulness --examples {examples} --seed {seed}` with {used}.\n",
        "A written token is explained on the canvas it was written on; the visible positions are ranked by each "
        "method's scores. *Comprehensiveness* is how much probability the token loses on average while the top "
        "of the ranking is masked, *sufficiency* how much it still lacks while only the top is shown (DeYoung "
        f"et al. 2020; eight points per curve). Both are given as the gain over the mean of {RANDOM - 1} random "
        "rankings of the same canvas, in probability, so that 0 is chance and more is better; with the 95 % "
        "interval over canvases. The control is one more random ranking, treated like a method. Only choices "
        f"count whose probability the canvas raises by {INFORMED} or more over the empty canvas. Integrated "
        f"gradients use {N_STEPS} nodes and the mask baseline.\n",
    ]
    for measure in MEASURES:
        parts.append(f"## Gain in {measure}\n")
        parts += _rows(table, tasks, measure)
        parts.append("")
    parts.append("## Reading\n")
    parts += _reading(table, tasks)
    parts += _limits(table, tasks)
    return "\n".join(parts) + "\n"


def _rows(table: Table, tasks: list[Task], measure: str) -> Iterator[str]:
    yield "| method | " + " | ".join(task.title for task in tasks) + " |"
    yield "| --- |" + " --- |" * len(tasks)
    for name, title in (*((way.name, way.title) for way in WAYS), (CONTROL, "Random ranking (control)")):
        yield f"| {title} | " + " | ".join(str(table[measure, task.name, name]) for task in tasks) + " |"


def _reading(table: Table, tasks: list[Task]) -> Iterator[str]:
    """Yield what the intervals say, a sentence per method and one about the control."""
    off = [task.title for task in tasks for measure in MEASURES
           if not table[measure, task.name, CONTROL].low <= 0 <= table[measure, task.name, CONTROL].high]
    cells = len(tasks) * len(MEASURES)
    yield (f"- The control is at chance in {cells - len(off)} of {cells} cells"
           f"{' (off in ' + ', '.join(off) + '; one in twenty is expected)' if off else ''}.")
    for way in WAYS:
        wins = {measure: [task.title for task in tasks if table[measure, task.name, way.name].low
                          > table[measure, task.name, CONTROL].high] for measure in MEASURES}
        both = [title for title in wins[MEASURES[0]] if title in wins[MEASURES[1]]]
        said = [f"{measure}: {len(titles)} of {len(tasks)} tasks" for measure, titles in wins.items()]
        yield (f"- **{way.title}** beats the control, intervals apart, in {' and '.join(said)}; in both on "
               f"{', '.join(both) if both else 'none'}.")


def _limits(table: Table, tasks: list[Task]) -> Iterator[str]:
    """Yield how far the path integral converged, and what that means."""
    missed = ", ".join(f"{task.title} {table[DELTA, task.name, 'integrated_gradients'].mean:.2g}" for task in tasks)
    yield f"- Integrated gradients, {N_STEPS} nodes: median |delta| in nats is {missed}."
    yield (
        "- Why integrated gradients are weaker where the answer needs arithmetic: halfway along the straight "
        "line from masks to tokens the embeddings stand for no text the model was trained on, and the "
        "probability of the explained token there goes up and down, from near 1 to near 0 and back, on short "
        "stretches of the way. Scores then mix what the tokens do with what half-tokens do, and few nodes miss "
        "the stretches (delta shows it; doubling n_steps mends delta, not the path). Occlusion stays on "
        "canvases that the model knows. Where delta is large, or the verdict on the spot is chance, prefer it."
    )


if __name__ == "__main__":
    main()
