"""Writes one position per pass from the left, and takes its time over each: for tests that act in the middle of a run."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from backend import register_decoder
from backend.decoders.base import BaseDecoder, Choice, option, writes_of


@dataclass(frozen=True)
class Settings:
    """How long a decision takes, and how it is made."""

    seconds: float = option(0.05, "float", "Seconds that a step takes.", low=0.0, high=10.0, step=0.01, title="Seconds")
    temperature: float = option(1.0, "float", "0 takes the most probable token.", low=0.0, high=5.0, step=0.1, title="Temperature")


class Slow(BaseDecoder):
    """A decoder that sleeps."""

    name, title, source, Settings = "slow", "Slow", "Ours", Settings
    cost = "One pass per position."

    def choose(self, view, settings, state):
        """Write the first masked position after a while."""
        if os.environ.get("UNMASK_TEST_PASSES"):
            with Path(os.environ["UNMASK_TEST_PASSES"]).open("a", encoding="utf-8") as file:
                file.write(f"{view.step}\n")
        time.sleep(settings.seconds)
        tokens, probs = view.drawn(settings.temperature)
        return Choice(writes_of(view, [0], tokens, probs), why="The first one.")


register_decoder(Slow())
