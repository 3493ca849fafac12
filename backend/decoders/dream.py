"""Writes a share of the masked positions that grows as time runs out, chosen by entropy, margin, confidence or by lot.

Time goes from 1 to ``eps`` in even steps; each pass writes the floor of its share of the masked
positions, so that early passes may write nothing and the last one writes all that is left. The
tokens are drawn first (temperature, nucleus, top-k); how sure each draw is decides which ones stay.
``origin`` is the plain reverse process: every position is written or not by its own coin.

Source: Dream 7B (arXiv 2508.15487), the model's published ``generation_utils.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.decoders.base import (
    BaseDecoder, Choice, Score, View, most_probable, option, writes_of,
)
from backend.noise import ORDER, ranks


@dataclass(frozen=True)
class Settings:
    """Dream's sampler settings, with its names."""

    alg: str = option("entropy", "choice", "What decides which draws are kept: their own coins, confidence, margin of the two best, or entropy.",
                      choices=("origin", "maskgit_plus", "topk_margin", "entropy"), title="Algorithm")
    steps: int | None = option(None, "int", "Forward passes; fewer passes write more tokens each.",
                               low=1, high=4096, auto="length", title="Steps")
    temperature: float = option(0.0, "float", "0 takes the most probable token; higher draws more freely.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    alg_temp: float | None = option(None, "float", "When above 0, the positions are drawn by their scores at this temperature instead of the best being taken.",
                                    low=0.0, high=10.0, step=0.1, nullable=True, title="Order temperature")
    eps: float = option(0.001, "float", "Where time ends.", low=0.00001, high=0.5, step=0.001, title="End of time")
    top_p: float | None = option(None, "float", "Keep the most probable tokens up to this mass.",
                                 low=0.01, high=1.0, step=0.01, nullable=True, title="Top-p")
    top_k: int | None = option(None, "int", "Keep this many of the most probable tokens.",
                               low=1, high=1000, nullable=True, title="Top-k")


class Dream(BaseDecoder):
    """Dream's sampler."""

    name = "dream"
    title = "Dream: a share per step, surest draws first"
    source = "arXiv 2508.15487; Dream generation_utils.py as in github.com/ZHZisZZ/dllm @ ca176752"
    scores = (
        Score("dream_entropy", "Negative entropy", "What Dream ranks by: minus the entropy of the filtered distribution. The scale "
              "ends at -4 nats.", "nats", "surer", -4.0, 0.0, when={"alg": ("entropy",)}),
        Score("dream_topk_margin", "Filtered margin", "What Dream ranks by: the difference of the two best probabilities after "
              "temperature and filters.", "probability", "surer", when={"alg": ("topk_margin",)}),
        Score("dream_maskgit_plus", "Drawn probability", "What Dream ranks by: the probability of the token that was drawn, after "
              "temperature and filters.", "probability", "surer", when={"alg": ("maskgit_plus",)}),
    )
    Settings = Settings

    def draws(self, settings: Settings) -> bool:
        """Tell whether tokens are drawn, or positions are."""
        return settings.temperature > 0 or settings.alg == "origin" or bool(settings.alg_temp)

    def choose(self, view: View, settings: Settings, state: int | None) -> Choice:
        """Write this step's share of the masked positions; ``state`` counts the steps of this schedule."""
        steps, step = settings.steps or view.layout.length, (state or 0) + 1
        share = revealed(step, steps, settings.eps)
        tokens, scores = _proposals(view, settings)
        masked = len(view.positions)
        if settings.alg == "origin":
            coins = ranks(view.noise, view.step, view.positions)
            chosen = [at for at, coin in enumerate(coins) if step >= steps or np.float32(coin) < share]
            why = f"{len(chosen)} of {masked} masked positions written: each had the chance {share:.3f}."
        else:
            count = masked if step >= steps else int(np.float32(masked) * share)
            chosen = _order(view, settings, scores)[:count]
            how = {"maskgit_plus": "confidence", "topk_margin": "margin", "entropy": "entropy"}[settings.alg]
            why = f"{count} of {masked} masked positions written: this step's share of {share:.3f}, best {how} first."
        from backend import sampling  # needs torch, which a catalogue must not wait for

        return Choice(
            writes_of(view, chosen, tokens, sampling.probs_of(view, tokens)), why=why,
            notes={"quota": len(chosen), "share": float(share)},
            scores={} if settings.alg == "origin" else {f"dream_{settings.alg}": scores}, state=step,
        )


def revealed(step: int, steps: int, eps: float) -> np.float32:
    """Return the share of masked positions that pass ``step`` (from 1) writes: 1 - s / t, in float32."""
    if step >= steps:
        return np.float32(1)
    times = _times(steps, eps)
    return np.float32(1) - times[step] / times[step - 1]


def _times(steps: int, eps: float) -> np.ndarray:
    """Return steps + 1 even times from 1 to ``eps``, float32."""
    return np.linspace(1, eps, steps + 1).astype(np.float32)


def _proposals(view: View, settings: Settings) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return one token per masked position and its score by the algorithm, higher = kept first."""
    from backend import sampling

    log_probs = sampling.filtered(view.log_probs, settings.temperature, settings.top_p, settings.top_k)
    tokens = view.tokens if settings.temperature == 0 else sampling.drawn_from(view, log_probs)
    probs = log_probs.exp()
    if settings.alg == "topk_margin":
        best = probs.topk(2, dim=1).values
        scores = best[:, 0] - best[:, 1]
    elif settings.alg == "entropy":
        scores = (probs * (probs + 1e-10).log()).sum(dim=1)
    else:
        scores = probs[range(len(tokens)), list(tokens)]
    return tokens, tuple(scores.tolist())


def _order(view: View, settings: Settings, scores: tuple[float, ...]) -> list[int]:
    """Return the masked positions' indices, first to be written first."""
    if settings.alg_temp:
        # Gumbel noise turns sorting into drawing without replacement from softmax(score / temperature).
        noise = [-float(np.log(-np.log(view.noise.uniform(ORDER, view.step, at, 1)[0]))) for at in view.positions]
        scores = tuple(score / settings.alg_temp + extra for score, extra in zip(scores, noise, strict=True))
    return most_probable(view, range(len(scores)), scores)
