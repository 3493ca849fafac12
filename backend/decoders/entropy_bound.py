"""Writes as many of the most certain positions at once as keep the information that parallel writing can lose under a bound.

Entropies are sorted rising; the longest prefix whose sum minus its largest entropy stays within
``gamma`` nats is written. That sum bounds the total correlation that is ignored when positions are
written apart from one another. ``gamma`` 0 writes one position a pass, plus those without entropy.

Source: EB-sampler (arXiv 2505.24857, abstract), rule as in PC-Sampler ``src/generate.py`` at
8b106b09; reading ``gamma`` as a bound on total correlation is ours. Blocks are an addition of ours
(one block, the default, is the source's rule).
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.decoders.base import BaseDecoder, Choice, Layout, View, option, writes_of
from backend.decoders.schedules import block_problems
from backend.errors import Problem


@dataclass(frozen=True)
class Settings:
    """The bound, and optional blocks."""

    gamma: float = option(0.1, "float", "Nats that writing together may lose per pass. 0 is one position a pass.",
                          low=0.0, high=100.0, step=0.01, title="Bound γ")
    block_length: int | None = option(None, "int", "Positions per block; must divide the length.",
                                      low=1, high="length", auto="length", title="Block length")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")


class EntropyBound(BaseDecoder):
    """Entropy-bounded unmasking."""

    name = "entropy_bound"
    title = "Entropy bound: as many as the bound allows"
    source = "arXiv 2505.24857; rule from github.com/NEUIR/PC-Sampler src/generate.py @ 8b106b09"
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse blocks that do not divide the length."""
        return block_problems(layout, settings.block_length, None)

    def choose(self, view: View, settings: Settings, state: None) -> Choice:
        """Write the longest prefix of rising entropies within the bound."""
        blocks = self.blocks(settings, view.layout)
        active = next(at for at, block in enumerate(blocks) if view.within(block))
        inside = view.within(blocks[active])
        ordered = sorted(inside, key=lambda at: (view.entropies[at], view.positions[at]))
        lost = losses([view.entropies[at] for at in ordered])
        count = max(1, sum(loss <= settings.gamma for loss in lost))
        tokens, probs = view.drawn(settings.temperature)
        return Choice(
            writes_of(view, ordered[:count], tokens, probs),
            why=f"{count} of {len(inside)} masked positions written: together they can lose "
                f"{lost[count - 1]:.3f} nats, and the bound is {settings.gamma:g}.",
            notes={"block": active, "lost_nats": lost[count - 1]},
        )


def losses(rising: list[float]) -> list[float]:
    """Return, per prefix of the rising entropies, their sum minus the largest, in nats.

    That is the sum of all before the last, so it never falls and the accepted ranks are a prefix.
    """
    lost, total = [], 0.0
    for entropy in rising:
        lost.append(total)
        total += entropy
    return lost
