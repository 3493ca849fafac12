"""Running sum from the right: every digit of the answer needs the one to its right.

``tail: 608377=`` is answered ``155747``: each position holds the sum of the digits from there to
the right end, modulo 10. Writing from the right is easy, writing from the left means summing
everything ahead at once.
"""

from __future__ import annotations

import random

from backend.tasks.base import Example, Verdict, split_of
from backend.tasks.digits import compare_digits, thinned

PREFIX = "tail: "


class Tail:
    """Suffix sums modulo 10 of 8 to 12 digits."""

    name = "tail"
    title = "Running sum from the right"
    model = "tiny-diffusion"
    help = "Below each digit, write the last digit of the sum of all digits from there to the right end."
    sizes = range(8, 13)
    length = 13

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return 8 to 12 uniform digits and their running sums."""
        return self._draw(rng, split, curriculum=False)

    def practise(self, rng: random.Random) -> Example:
        """Return a training example in which, in four of ten, some digits are set to zero."""
        return self._draw(rng, "train", curriculum=True)

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` asks for a running sum."""
        return prompt.startswith(PREFIX)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer`` digit by digit."""
        digits = prompt[len(PREFIX) :].removesuffix("=")
        if not (digits.isascii() and digits.isdigit()):
            return Verdict(False, "the prompt should hold digits only, then an equals sign")
        return compare_digits(_running_sum(digits), answer.strip())

    def _draw(self, rng: random.Random, split: str, curriculum: bool) -> Example:
        while True:
            digits = [rng.randrange(10) for _ in range(rng.choice(self.sizes))]
            text = "".join(map(str, thinned(digits, rng) if curriculum else digits))
            prompt = f"{PREFIX}{text}="
            if split_of(prompt) == split:
                return Example(self.name, prompt, _running_sum(text))


def _running_sum(digits: str) -> str:
    total, sums = 0, []
    for digit in reversed(digits):
        total = (total + int(digit)) % 10
        sums.append(str(total))
    return "".join(reversed(sums))
