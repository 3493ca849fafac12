"""Addition of two numbers: carries run from the right, so a long carry chain is the hard case.

``sum: 417923+193112=`` is answered ``0611035``: one digit more than the numbers have.
"""

from __future__ import annotations

import random

from backend.tasks.base import Example, Verdict, split_of
from backend.tasks.digits import compare_digits, thinned

PREFIX = "sum: "


class Sum:
    """Addition of two numbers of 6 to 8 digits each, three in ten with a forced chain of carries."""

    name = "sum"
    title = "Addition"
    model = "tiny-diffusion"
    help = "Add the two numbers; the answer has one digit more than they have, with zeros in front."
    sizes = range(6, 9)
    length = 10

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return two numbers of equal length and their sum."""
        return self._draw(rng, split, curriculum=False)

    def practise(self, rng: random.Random) -> Example:
        """Return a training example in which, in four of ten, some digits are set to zero."""
        return self._draw(rng, "train", curriculum=True)

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` asks for a sum."""
        return prompt.startswith(PREFIX)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer`` digit by digit."""
        numbers = prompt[len(PREFIX) :].removesuffix("=").split("+")
        if len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
            return Verdict(False, "the prompt should be two numbers joined by a plus sign, then an equals sign")
        width = max(map(len, numbers)) + 1
        return compare_digits(str(sum(map(int, numbers))).zfill(width), answer.strip())

    def _draw(self, rng: random.Random, split: str, curriculum: bool) -> Example:
        while True:
            size = rng.choice(self.sizes)
            left = [rng.randrange(10) for _ in range(size)]
            right = [rng.randrange(10) for _ in range(size)]
            if rng.random() < 0.3:
                _force_carries(left, right, rng)
            if curriculum:
                left, right = thinned(left, rng), thinned(right, rng)
            first, second = ("".join(map(str, digits)) for digits in (left, right))
            prompt = f"{PREFIX}{first}+{second}="
            if split_of(prompt) == split:
                return Example(self.name, prompt, str(int(first) + int(second)).zfill(size + 1))


def _force_carries(left: list[int], right: list[int], rng: random.Random) -> None:
    """Make a run of columns add to nine, so that one carry travels through all of them."""
    start, stop = sorted(rng.sample(range(len(left) + 1), 2))
    for column in range(start, stop):
        right[column] = 9 - left[column]
