"""The training loop: resumable, with a schedule in steps or in minutes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from backend.tasks.base import Task
from backend.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from backend.training.corpus import Corpus
from backend.training.network import FlatForward, build_model
from backend.training.objective import Batch, masked_batch, next_token_batch, row_losses
from backend.training.optimiser import Optimiser
from backend.training.quick_check import quick_check
from backend.training.recipes import Recipe

CHECKPOINT = "latest.safetensors"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Pace:
    """When a run ends, and how often it looks up from its work."""

    steps: int | None = None  # set: the schedule counts steps, not minutes
    save_minutes: float = 3.0
    check_minutes: float = 15.0
    check_prompts: int = 50  # 0: no check
    log_steps: int = 50
    fast: bool = True  # compiled, matrix products in bf16
    stop_after: int | None = None  # leave after this step, the schedule unchanged, as a kill would


class Training:
    """One run of ``recipe`` on ``tasks``, kept in ``folder``."""

    def __init__(self, recipe: Recipe, tasks: Sequence[Task], folder: Path, pace: Pace):
        self._recipe, self._pace, self._folder = recipe, pace, folder
        self._tokenizer = recipe.tokenizer()
        self._tasks = [task for task in tasks if recipe.weights.get(task.name, 0) > 0]
        self._corpus = Corpus(
            tasks, recipe.weights, self._tokenizer, recipe.tokens_per_step, recipe.extra_eos, recipe.seed, recipe.offered
        )
        self.model = build_model(
            recipe.dimensions, self._tokenizer.get_vocab_size(), recipe.seed,
            causal=recipe.causal, copying=recipe.copying,
        )
        self._optimiser = Optimiser(dict(self.model.named_parameters()), recipe.muon_rate, recipe.adam_rate)
        self._forward = FlatForward(self.model, recipe.tokens_per_step, pace.fast, mixed=pace.fast)
        self.progress = Progress(examples={})

    def resume(self, checkpoint: Path) -> None:
        """Go on where ``checkpoint`` was written."""
        tensors, self.progress = load_checkpoint(checkpoint, self.model)
        self._optimiser.load(tensors)

    def initialise(self, checkpoint: Path) -> None:
        """Take the weights of ``checkpoint`` and start a new schedule."""
        load_checkpoint(checkpoint, self.model)

    def run(self) -> None:
        """Train until the schedule ends; log, save and check on the way and at the end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log("start", recipe=_printable(self._recipe), steps=self._pace.steps)
        saved = checked = self.progress.minutes
        losses: dict[str, list[float]] = {}
        with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}<{remaining}{postfix}") as bar:
            while self._share() < 1:
                loss = self._step(losses)
                bar.n = round(100 * min(1, self._share()), 1)
                bar.set_postfix(step=self.progress.step, loss=f"{loss:.3f}")
                if self.progress.step % self._pace.log_steps == 0:
                    self._log_losses(losses)
                if self.progress.minutes - saved >= self._pace.save_minutes:
                    self._save()
                    saved = self.progress.minutes
                if self._pace.check_prompts and self.progress.minutes - checked >= self._pace.check_minutes:
                    self._check()
                    checked = self.progress.minutes
                if self.progress.step == self._pace.stop_after:
                    self._save()
                    return
        self._save()
        if self._pace.check_prompts:
            self._check()

    def _step(self, losses: dict[str, list[float]]) -> float:
        """Make one step, add its losses per task to ``losses`` and return their mean."""
        started, step = time.process_time(), self.progress.step
        batch = self._batch(step)
        rows = row_losses(self._forward, batch)
        loss = rows.mean()
        loss.backward()
        self._optimiser.step(_rate(self._share(), self._recipe))
        for task, value in zip(batch.tasks, rows.tolist(), strict=True):
            losses.setdefault(task, []).append(value)
        self.progress = Progress(
            step=step + 1,
            minutes=self.progress.minutes + (time.process_time() - started) / 60,
            examples=dict(Counter(self.progress.examples) + Counter(batch.tasks)),
            tokens=self.progress.tokens + len(batch.ids),
        )
        return loss.item()

    def _batch(self, step: int) -> Batch:
        blocks = self._corpus.blocks(step)
        if self._recipe.causal:
            return next_token_batch(blocks)
        generator = torch.Generator().manual_seed(self._recipe.seed * 1_000_003 + step)
        return masked_batch(blocks, self._recipe.mask_prompt, generator)

    def _share(self) -> float:
        """Return how much of the schedule is behind, from 0 to 1."""
        if self._pace.steps is not None:
            return self.progress.step / self._pace.steps
        return self.progress.minutes / self._recipe.minutes

    def _save(self) -> None:
        save_checkpoint(self._folder / CHECKPOINT, self.model, self._optimiser.state(), self.progress)

    def _check(self) -> None:
        started = time.process_time()
        accuracy = quick_check(self.model, self._tokenizer, self._tasks, self._pace.check_prompts)
        minutes = self.progress.minutes + (time.process_time() - started) / 60
        self.progress = replace(self.progress, minutes=minutes)
        self._log("check", accuracy=accuracy)

    def _log_losses(self, losses: dict[str, list[float]]) -> None:
        means = {task: round(sum(values) / len(values), 4) for task, values in sorted(losses.items())}
        losses.clear()
        self._log("loss", loss=means, rate=_rate(self._share(), self._recipe))

    def _log(self, kind: str, **values: object) -> None:
        where = {"step": self.progress.step, "minutes": round(self.progress.minutes, 2), "tokens": self.progress.tokens}
        with (self._folder / LOG).open("a") as log:
            log.write(json.dumps({"kind": kind, "time": time.strftime("%H:%M:%S"), **where, **values}) + "\n")


def _printable(recipe: Recipe) -> dict:
    values = {key: value for key, value in vars(recipe).items() if key not in ("summary", "tokenizer")}
    return values | {"dimensions": asdict(recipe.dimensions)}


def starts(folder: Path) -> list[dict]:
    """Return when the run in ``folder`` was started or resumed, and with which recipe each time."""
    records = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    kept = ("step", "minutes", "tokens", "recipe")
    return [{key: record[key] for key in kept} for record in records if record["kind"] == "start"]


def _rate(share: float, recipe: Recipe) -> float:
    """Return the factor of the learning rates after ``share`` of the run: rise, constant, linear to zero."""
    rise = min(1.0, (share + 1e-4) / recipe.warmup) if recipe.warmup else 1.0
    return rise * min(1.0, max(0.0, 1 - share) / recipe.decay)
