"""What the decoders' sources claim, tried on the embedded model and said as it came out.

    python -m benchmarks.claims                  # what the decoder table lacks is measured; writes docs/claims.md
    python -m benchmarks.claims --prompts 20     # smaller, wider intervals
    python -m benchmarks.claims --with-table     # the decoder table first: both from one command

A comparison claim sets two decoders side by side on the same held-out prompts of every task; rows that
``docs/decoders.csv`` holds already are taken from there, the others are kept in ``docs/claims.csv``, so
that the command can be stopped and started. Accuracy is compared by Newcombe's interval of a
difference, passes by the ratio of their means. Bounds are counted run by run, and exactness is a
chi-square of two samples. A claim that does not hold here is a result too; a small puzzle model is no
judge of a large one.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from backend import End, Model, RunRequest, Step, load_model, run_many
from backend.tasks.base import Task
from backend.tasks.catalogue import TASKS
from backend.training.evaluate import wilson
from backend.training.quick_check import held_out
from benchmarks import decoders
from benchmarks.decoders import OUT, SEED, SETTINGS, Cell, Given, Row, measured, read_table, write_table
from benchmarks.intervals import Estimate, difference, ratio, same_distribution

MODEL = "tiny-diffusion"
RUNS_OF_A_BOUND = 24
"""Held-out prompts per task on which a bound is counted."""
SAMPLES = 1000
"""Runs of each sampler whose distributions are compared."""

HOLDS, FAILS, OPEN = "holds", "fails", "undecided"
BETTER, AS_GOOD, FASTER = "better", "as good", "faster"
"""What a comparison claims: more right answers; not fewer; not fewer, in fewer passes."""

MARGIN = 10.0
"""Points of accuracy: "equal" means that the interval of the difference excludes a loss above this."""


@dataclass(frozen=True)
class Arm:
    """One side of a comparison; without settings, those that the decoder table begins with."""

    decoder: str
    settings: Given | None = None

    def cell(self, model: Model, task: Task, prompts: int) -> Cell:
        """Return the cell of the decoder table that this side is on ``task``."""
        given = SETTINGS[self.decoder][0] if self.settings is None else self.settings
        return Cell(model, task, self.decoder, given(task.length), prompts)


@dataclass(frozen=True)
class Comparison:
    """A claim about ``ours`` beside ``base``; ``kind`` says which (``BETTER``, ``AS_GOOD``, ``FASTER``)."""

    name: str
    said: str
    source: str
    ours: Arm
    base: Arm
    kind: str


@dataclass(frozen=True)
class Finding:
    """What one task says about a claim."""

    task: str
    ours: Row
    base: Row
    points: Estimate
    passes: Estimate
    verdict: str
    words: str


def _set(**given: object) -> Given:
    return lambda length: given


OTS = "arXiv 2601.20339"
COMPARISONS: tuple[Comparison, ...] = (
    Comparison("threshold", "Writing all that is sure enough needs far fewer passes than one token a pass, at equal accuracy.",
               "Fast-dLLM, arXiv 2505.22618", Arm("fast_dllm"), Arm("llada"), FASTER),
    Comparison("klass", "Confident and stable tokens written together save passes and keep or raise accuracy.",
               "KLASS, arXiv 2511.05664", Arm("klass"), Arm("llada"), FASTER),
    Comparison("ccd_ds", "CCD-DS needs fewer steps at equal or better accuracy.",
               "CCD, arXiv 2512.02044", Arm("ccd"), Arm("llada"), FASTER),
    Comparison("ccd", "CCD with the same number of steps is at least as accurate as its base.",
               "CCD, arXiv 2512.02044", Arm("ccd", _set(adaptive=False)), Arm("llada"), AS_GOOD),
    Comparison("ete", "Exploring needs fewer rounds than threshold decoding at equal accuracy.",
               "Explore-Then-Exploit, arXiv 2511.21103 (our reconstruction)", Arm("explore_then_exploit"), Arm("fast_dllm"), FASTER),
    Comparison("order", "Writing the most confident place first beats a random order where order matters.",
               "LLaDA, arXiv 2502.09992", Arm("llada"), Arm("random_order"), BETTER),
    Comparison("left_to_right", "Writing the most confident place first beats left to right where order matters.",
               "LLaDA, arXiv 2502.09992", Arm("llada"), Arm("left_to_right"), BETTER),
    Comparison("search", "Order-Token Search gains accuracy over its backbone at equal settings (4 beams against 1).",
               f"{OTS} (our reconstruction)", Arm("order_token_search"), Arm("order_token_search", _set(beams=1)), BETTER),
    Comparison("beams", "Its accuracy grows with the number of beams (4 against 2).",
               f"{OTS} (our reconstruction)", Arm("order_token_search"), Arm("order_token_search", _set(beams=2)), BETTER),
)


@dataclass(frozen=True)
class Check:
    """A claim of another kind: a function of the model that returns a verdict and a sentence."""

    name: str
    said: str
    source: str
    tried: Callable[[Model], tuple[str, str]]


def main() -> None:
    """Measure what is missing and write the page."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.with_table:
        decoders.main(["--prompts", str(arguments.prompts), "--threads", str(arguments.threads), "--out", str(arguments.table.parent)])
    try_claims(arguments.out, arguments.table, arguments.prompts, tasks=arguments.tasks, only=arguments.only)


def try_claims(out: Path, table: Path, prompts: int, *, tasks: str = "", only: str = "") -> None:
    """Write ``claims.md`` into ``out``, and into ``claims.csv`` the rows that neither it nor ``table`` has yet.

    ``tasks``, ``only``: comma separated names of tasks and of claims; all when empty.
    """
    model = load_model(MODEL)
    rows = {row.key: row for row in (*read_table(out / "claims.csv"), *read_table(table))}
    own = {row.key for row in read_table(out / "claims.csv")}
    tried = [task for task in TASKS if task.model == model.name and (not tasks or task.name in tasks.split(","))]
    asked = [item for item in (*COMPARISONS, *CHECKS) if not only or item.name in only.split(",")]
    needed = {cell.key: cell for item in asked if isinstance(item, Comparison)
              for task in tried for arm in (item.ours, item.base) for cell in [arm.cell(model, task, prompts)]}
    missing = [cell for key, cell in needed.items() if key not in rows or rows[key].passes_sd is None]
    for cell in tqdm(missing, desc="claims", unit="cell"):
        rows[cell.key] = measured(cell)
        own.add(cell.key)
        write_table(out / "claims.csv", [rows[key] for key in own])
    parts = [part for item in asked for part in _part(item, model, tried, rows, prompts)]
    (out / "claims.md").write_text("\n".join([*_head(prompts, tried), *parts]) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompts", type=int, default=100, help="held-out prompts per task; those of the table are reused")
    parser.add_argument("--tasks", default="", help="comma separated names; all of the model when not given")
    parser.add_argument("--only", default="", help="comma separated names of claims; all when not given")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--table", type=Path, default=OUT / "decoders.csv", help="the decoder table")
    parser.add_argument("--with-table", action="store_true", help="measure what the decoder table lacks first")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the page and of the rows measured for it")
    return parser.parse_args()


def finding(item: Comparison, ours: Row, base: Row) -> Finding:
    """Return what two rows of one task say about a claim."""
    points = difference(ours.right, ours.prompts, base.right, base.prompts)
    passes = ratio(ours.passes, ours.passes_sd or 0.0, ours.prompts, base.passes, base.passes_sd or 0.0, base.prompts)
    verdict, words = judged(item.kind, points, passes)
    return Finding(ours.task, ours, base, points, passes, verdict, words)


def judged(kind: str, points: Estimate, passes: Estimate) -> tuple[str, str]:
    """Return the verdict of one task and its reason: what the two intervals allow to be said, no more."""
    if kind == FASTER and passes.low >= 1:
        return FAILS, "not fewer passes"
    if kind == FASTER and passes.high >= 1:
        return OPEN, "no clear saving of passes"
    saved = "fewer passes, " if kind == FASTER else ""
    if points.high < 0:
        return FAILS, f"{saved}fewer right answers"
    if points.low > 0:
        return HOLDS, f"{saved}more right answers"
    if kind != BETTER and points.low >= -MARGIN:
        return HOLDS, f"{saved}no loss above {max(0.0, -points.low):.0f} points"
    return OPEN, f"{saved}accuracy not settled: {points.low:+.0f} to {points.high:+.0f} points"


def summary(verdicts: Sequence[str]) -> str:
    """Return a claim's verdict over all tasks in a sentence."""
    counts, total = Counter(verdicts), len(verdicts)
    if len(counts) == 1:
        return {HOLDS: f"Holds on all {total} tasks.", FAILS: f"Fails on all {total} tasks.",
                OPEN: f"Undecided on all {total} tasks."}[verdicts[0]]
    lead = "Holds in part" if counts[HOLDS] else "Not seen to hold"
    said = [f"{words} on {counts[verdict]}" for verdict, words in ((HOLDS, "holds"), (FAILS, "fails"), (OPEN, "is undecided"))
            if counts[verdict]]
    return f"{lead}: of {total} tasks it {', '.join(said)}."


def _part(
    item: Comparison | Check, model: Model, tasks: Sequence[Task], rows: Mapping[tuple[str, ...], Row], prompts: int
) -> Iterator[str]:
    yield f"\n## {item.said}\n"
    yield f"Source: {item.source}. Command: `python -m benchmarks.claims --only {item.name}`.\n"
    if isinstance(item, Check):
        verdict, sentence = item.tried(model)
        yield f"**{verdict.capitalize()}.** {sentence}"
        return
    found = [finding(item, *(rows[arm.cell(model, task, prompts).key] for arm in (item.ours, item.base))) for task in tasks]
    yield f"**{summary([one.verdict for one in found])}**\n"
    first = found[0]
    yield f"`{first.ours.decoder}` {_shown(item.ours)} against `{first.base.decoder}` {_shown(item.base)}.\n"
    yield "| task | right, % | base, % | difference, points | passes | base | ratio of passes | verdict |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for one in found:
        yield (f"| {one.task} | {_share(one.ours)} | {_share(one.base)} | {one.points.value:+.1f} ({one.points.low:+.1f} to "
               f"{one.points.high:+.1f}) | {one.ours.passes:.1f} | {one.base.passes:.1f} | {one.passes.value:.3f} "
               f"({one.passes.low:.3f} to {one.passes.high:.3f}) | {one.verdict}: {one.words} |")


def _shown(arm: Arm) -> str:
    given = (SETTINGS[arm.decoder][0] if arm.settings is None else arm.settings)(32)
    named = ", ".join(f"`{name}` {value}" for name, value in given.items())
    return f"with {named}" if named else "at its defaults"


def _share(row: Row) -> str:
    return f"{row.percent:.1f} ({row.low:.1f} to {row.high:.1f})"


def _head(prompts: int, tasks: Sequence[Task]) -> list[str]:
    return ["# The sources' claims, tried here", "",
            f"Written by `python -m benchmarks.claims --prompts {prompts}` on `{MODEL}`: {prompts} held-out prompts of each task "
            f"({', '.join(task.name for task in tasks)}), the same for both sides. All intervals are at 95 %. A claim holds on a task when the "
            "interval says so, fails when the interval says the opposite, and is undecided otherwise; accuracy counts as equal when the "
            f"interval excludes a loss above {MARGIN:.0f} points. One small model is no judge of the large ones that the sources speak of."]


def _ends_and_notes(model: Model, decoder: str, settings: Mapping[str, object], tasks: Sequence[Task]) -> Iterator[tuple[End, Mapping]]:
    """Yield the end and the last step's notes of runs on held-out prompts of each task."""
    for task in tasks:
        requests = [RunRequest(decoder, example.prompt, length=task.length, settings=settings, seed=seed, top_k=1)
                    for seed, example in enumerate(held_out(task, RUNS_OF_A_BOUND, SEED))]
        notes: dict[int, Mapping] = {}
        for number, event in run_many(model, requests):
            if isinstance(event, Step):
                notes[number] = event.notes
            elif isinstance(event, End):
                yield event, notes.get(number, {})


def bounded(kept: int, total: int, smallest: float) -> tuple[str, str]:
    """Return the verdict on a bound that ``kept`` of ``total`` runs kept, the nearest one at ``smallest`` times it."""
    low, _ = wilson(kept, total)
    verdict = HOLDS if kept == total else FAILS
    return verdict, (f"{kept} of {total} runs keep the bound (at least {low:.1f} % of all such runs, at 95 %); "
                     f"the nearest one is at {smallest:.2f} of it.")


def _rounds_above_bound(model: Model) -> tuple[str, str]:
    tasks = [task for task in TASKS if task.model == model.name]
    slack = [notes["rounds"] / max(notes["bound"], 1) for _, notes in _ends_and_notes(model, "explore_then_exploit", {}, tasks)]
    return bounded(sum(share >= 1 for share in slack), len(slack), min(slack))


def _calls_below_bound(model: Model) -> tuple[str, str]:
    tasks = [task for task in TASKS if task.model == model.name]
    used = [end.totals.passes / end.totals.written for end, _ in _ends_and_notes(model, "assd", {}, tasks)]
    verdict, words = bounded(sum(share <= 1 for share in used), len(used), max(used))
    return verdict, f"{words} On average {sum(used) / len(used):.2f} calls per token."


def _exact(model: Model) -> tuple[str, str]:
    seen = [_answers(model, name, first) for name, first in (("assd", 0), ("left_to_right", SAMPLES))]
    statistic, freedom, p = same_distribution(*seen)
    verdict = HOLDS if p >= 0.01 else FAILS
    return verdict, (f"{SAMPLES} answers of 3 tokens to an empty prompt at temperature 1 from each sampler, "
                     f"{len(set(seen[0]) | set(seen[1]))} different ones: chi-square {statistic:.1f} with {freedom} degrees of "
                     f"freedom, p = {p:.3f} (a difference would be declared below 0.01).")


def _answers(model: Model, decoder: str, first_seed: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for begin in range(first_seed, first_seed + SAMPLES, 100):
        requests = [RunRequest(decoder, prompt_ids=(), length=3, settings={"temperature": 1.0}, seed=seed, top_k=1) for seed in range(begin, begin + 100)]
        writes: dict[int, dict[int, int]] = {}
        for number, event in run_many(model, requests):
            if isinstance(event, Step):
                writes.setdefault(number, {}).update((place, token) for place, token, _ in event.writes)
        counts.update(str(sorted(placed.items())) for placed in writes.values())
    return counts


CHECKS: tuple[Check, ...] = (
    Check("ete_bound", "Explore-Then-Exploit never needs fewer rounds than its bound.", "arXiv 2511.21103", _rounds_above_bound),
    Check("assd_calls", "ASSD never needs more calls than tokens.", "ASSD, arXiv 2504.20456 (batched variant ours)", _calls_below_bound),
    Check("assd_exact", "ASSD's answers are distributed as those of one-by-one sampling in the same order.",
          "ASSD, arXiv 2504.20456 (batched variant ours)", _exact),
)


if __name__ == "__main__":
    main()
