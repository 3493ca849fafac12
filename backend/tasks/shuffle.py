"""Any rearrangement of given digits: many answers are right, so writing several at once collides.

``shuffle: 4719=`` may be answered ``9174`` or in any other order that uses every digit once. Each
position alone could be any of the digits; only after one is written do the others know what is left.
"""

from __future__ import annotations

import random

from backend.tasks.base import Example, Verdict, split_of

PREFIX = "shuffle: "


class Shuffle:
    """Rearrangement of 6 to 9 different digits."""

    name = "shuffle"
    title = "Rearrange the digits"
    model = "tiny-diffusion"
    help = "Write the given digits in any order, each exactly once. Many answers are right."
    sizes = range(6, 10)
    length = 10

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return 6 to 9 different digits and one random rearrangement."""
        while True:
            digits = rng.sample("0123456789", rng.choice(self.sizes))
            prompt = f"{PREFIX}{''.join(digits)}="
            if split_of(prompt) == split:
                rng.shuffle(digits)
                return Example(self.name, prompt, "".join(digits))

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` asks for a rearrangement."""
        return prompt.startswith(PREFIX)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer``: the given digits in any order."""
        digits, answer = prompt[len(PREFIX) :].removesuffix("="), answer.strip()
        for digit in sorted(set(digits + answer)):
            wanted, given = digits.count(digit), answer.count(digit)
            if wanted == 0:
                return Verdict(False, f"{digit} is not among the given digits")
            if given == 0:
                return Verdict(False, f"{digit} is missing")
            if wanted != given:
                return Verdict(False, f"{digit} is used {given} times, not {wanted}")
        return Verdict(True, f"all {len(digits)} digits are used")
