"""Among the most probable next tokens, takes the one that is both likely and unlike what was already said.

Each candidate is appended and its hidden state compared with those of the text so far; the score is
(1 - alpha) x probability - alpha x the greatest cosine. Repeating a phrase brings a state that is
close to an old one, so degeneration is punished. The candidates are run as one batch, and the chosen
row's prediction is the next one, so that each token costs one pass.

Source: A Contrastive Framework for Neural Text Generation (SimCTG), github.com/yxuansu/SimCTG at
3a91449c. States are those before the model's final norm; the source takes them after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Choice, Layout, View, option
from backend.decoders.caches import CausalPrefix, prompt_problems
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.shapes import Float
    from backend.world import Decoding, World


@dataclass(frozen=True)
class Settings:
    """How many candidates, and how much likeness costs."""

    k: int = option(5, "int", "Candidates: the most probable next tokens.", low=1, high=32, title="Candidates k")
    alpha: float = option(0.6, "float", "Weight of the penalty. 0 is greedy decoding, 1 ignores the probability.", low=0.0, high=1.0, step=0.05, title="Penalty α")


@dataclass(frozen=True)
class Judged:
    """The candidates' scores, penalties, and which context token is the likest."""

    scores: list[float]
    penalties: list[float]
    likest: list[int]


class ContrastiveSearch(BaseDecoder):
    """Probability minus likeness to the context."""

    name = "contrastive_search"
    title = "Contrastive search: likely, and not what was said"
    source = "arXiv 2202.06417; github.com/yxuansu/SimCTG @ 3a91449c"
    needs = frozenset({"causal", "cache"})
    cost = "One forward pass over the candidates of one place, a sequence for each."
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse an empty prompt."""
        return prompt_problems(layout)

    def decode(self, world: World) -> Decoding:
        """Append the best of k candidates per pass."""
        import torch

        prefix, place = CausalPrefix(), world.masked[0] if world.masked else None
        if place is None:
            return
        output = yield from prefix.predict(world, [world.canvas], place, hidden_states=True)
        context, logits = output.hidden_states[-1][0], output.logits
        while place is not None:
            view = world.look(logits.clone(), (place,))
            tokens, probs = _candidates(view, world.settings.k, world.mask_id)
            canvases = [(*world.canvas[:place], token, *world.canvas[place + 1 :]) for token in tokens]
            following = next((at for at in world.masked if at > place), None)
            prefix.keep([0] * len(tokens))
            output = yield from prefix.predict(world, canvases, following or place + 1, hidden_states=True)
            states = output.hidden_states[-1]
            verdict = judged(probs, states[:, 0], context, world.settings.alpha)
            won = verdict.scores.index(max(verdict.scores))
            yield world.step(_choice(place, tokens, probs, verdict, won))
            if tokens[won] in world.stop_ids:
                return
            context = torch.cat([context, states[won]])
            logits = output.logits[won : won + 1]
            prefix.keep([won])
            place = following


def judged(probs: list[float], states: Float["k D"], context: Float["t D"], alpha: float) -> Judged:
    """Return (1 - alpha) p - alpha max cosine for every candidate state against the context's states."""
    from torch.nn.functional import normalize

    likeness = normalize(states.double(), dim=1) @ normalize(context.double(), dim=1).T
    greatest = likeness.max(dim=1)
    penalties = greatest.values.tolist()
    scores = [(1 - alpha) * prob - alpha * penalty for prob, penalty in zip(probs, penalties, strict=True)]
    return Judged(scores, penalties, greatest.indices.tolist())


def _candidates(view: View, k: int, mask_id: int) -> tuple[list[int], list[float]]:
    from backend import sampling

    log_probs, tokens = sampling.largest(view.log_probs[:1], k)
    return tokens[0].tolist(), log_probs[0].double().exp().tolist()


def _choice(place: int, tokens: list[int], probs: list[float], verdict: Judged, won: int) -> Choice:
    return Choice(
        ((place, tokens[won], probs[won]),),
        why=f"Candidate {won + 1} of {len(tokens)}: probability {probs[won]:.3f}, greatest likeness {verdict.penalties[won]:.3f}.",
        notes={
            "rank": won, "likest_context": verdict.likest[won],
            "candidates": tuple(zip(tokens, probs, verdict.penalties, verdict.scores, strict=True)),
        },
    )
