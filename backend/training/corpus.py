"""Batches of examples: dense blocks of equal shape, so that no padding and no attention mask is needed.

Step ``n`` of seed ``s`` always holds the same examples, whatever happened before, so that a resumed
run sees the stream that an uninterrupted one would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer

from backend.tasks.base import Example, Task
from backend.training.tokenizer import EOS


@dataclass(frozen=True)
class Block:
    """Examples of one task and shape. Every row is a prompt of ``prompt_length`` tokens and its answer region."""

    task: str
    prompt_length: int
    rows: tuple[tuple[int, ...], ...]

    @property
    def row_length(self) -> int:
        """Tokens of a row: prompt and answer region."""
        return len(self.rows[0])


class Corpus:
    """The examples of every training step, drawn from ``tasks`` in proportion to ``weights``."""

    def __init__(
        self,
        tasks: Iterable[Task],
        weights: Mapping[str, float],
        tokenizer: Tokenizer,
        tokens_per_step: int,
        extra_eos: int,
        seed: int,
        offered: float = 0.0,
    ):
        self._tokenizer, self._extra_eos, self._seed, self._offered = tokenizer, extra_eos, seed, offered
        chosen = [task for task in tasks if weights.get(task.name, 0) > 0]
        missing = set(weights) - {task.name for task in chosen}
        if missing:
            raise ValueError(f"No such tasks with a weight above 0: {', '.join(sorted(missing))}.")
        total = sum(weights[task.name] for task in chosen)
        self._shares = [(task, int(tokens_per_step * weights[task.name] / total)) for task in chosen]

    def blocks(self, step: int) -> tuple[Block, ...]:
        """Return the blocks of training step ``step``; together at most ``tokens_per_step`` tokens."""
        rng = random.Random(f"{self._seed} {step}")
        return tuple(block for task, budget in self._shares for block in self._draw(task, budget, rng))

    def _draw(self, task: Task, budget: int, rng: random.Random) -> list[Block]:
        """Draw examples of ``task`` until the next one would exceed ``budget`` tokens."""
        extra = rng.randint(0, self._extra_eos)
        least = task.length if self._offered and rng.random() < self._offered else 0
        practise = getattr(task, "practise", None)
        buckets: dict[int, list[tuple[list[int], list[int]]]] = {}
        while True:
            example = practise(rng) if practise else task.generate(rng, "train")
            prompt, answer = encode(self._tokenizer, example)
            bucket = buckets.setdefault(len(prompt), [])
            bucket.append((prompt, [*answer, EOS, *[EOS] * max(extra, least - len(answer) - 1)]))
            if sum(length * len(rows) for length, rows in map(_size, buckets.items())) > budget:
                bucket.pop()
                break
        return [_block(task.name, length, rows) for length, rows in sorted(buckets.items()) if rows]


def encode(tokenizer: Tokenizer, example: Example) -> tuple[list[int], list[int]]:
    """Return the token ids of the prompt and of the answer, without end-of-sequence."""
    return (
        tokenizer.encode(example.prompt, add_special_tokens=False).ids,
        tokenizer.encode(example.answer, add_special_tokens=False).ids,
    )


def _size(bucket: tuple[int, list]) -> tuple[int, list]:
    prompt_length, rows = bucket
    return prompt_length + max((len(region) for _, region in rows), default=0), rows


def _block(task: str, prompt_length: int, rows: list[tuple[list[int], list[int]]]) -> Block:
    longest = max(len(region) for _, region in rows)
    padded = tuple((*prompt, *region, *[EOS] * (longest - len(region))) for prompt, region in rows)
    return Block(task, prompt_length, padded)
