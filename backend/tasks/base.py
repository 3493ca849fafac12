"""What a task is: a generator of prompts with known answers and a checker that judges any answer.

Tasks use the standard library only, so that the page can judge an answer without loading anything,
and so that the corpus of a training run is reproduced by its seed alone.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Example:
    """One prompt, one right answer (there may be others), and the answer positions to offer."""

    task: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Verdict:
    """The judgement of one answer: right or wrong, and why, as a sentence for the visitor."""

    right: bool
    why: str


class Task(Protocol):
    """A family of prompts whose answers a program can judge."""

    name: str
    title: str
    help: str
    model: str  # catalogue name of the embedded model that was trained on it
    length: int  # response positions to offer in the page, end-of-sequence included

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return an example of ``split`` ("train" or "test"); the two never share a prompt."""

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` is one of this task's, well formed or not."""

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer`` (cut at the first end-of-sequence) to ``prompt``."""


TEST_SHARE = 20


def split_of(key: str, test_share: int = TEST_SHARE) -> str:
    """Return "test" for one in ``test_share`` keys and "train" for the others, by a stable hash."""
    digest = hashlib.sha256(key.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") % test_share == 0 else "train"


def held_out(task: Task, count: int, seed: int) -> tuple[Example, ...]:
    """Return ``count`` test examples of ``task``, the same for the same seed."""
    rng = random.Random(f"held out {task.name} {seed}")
    return tuple(task.generate(rng, "test") for _ in range(count))
