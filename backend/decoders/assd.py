"""Drafts several tokens at once, then checks each against the distribution it would have had one by one.

One pass proposes independent drafts for the next few places of an order. A second, batched pass has
one row per draft, with the earlier drafts filled in, and gives the true conditionals; a draft is
accepted with the ratio of its two probabilities, and the first refused one is replaced by a draw from
what the draft lacked. The text is distributed exactly as if written one token per pass in the same
order. On the canvas: ghost tokens first, then what became of them.

Source: Any-Subset Speculative Decoding (arXiv 2504.20456), github.com/gabeguo/any-order-speculative-decoding
at 83a444d7. The source's model gives all conditionals in one row; the batched rows for a masked
diffusion model are our variant, exact for this model's own one-by-one sampler. Greedy drafts
(temperature 0) are accepted when they are the favourite of the true distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.decoders.base import BaseDecoder, Choice, View, option
from backend.noise import ORDER, RESIDUAL

if TYPE_CHECKING:
    from backend.shapes import Float
    from backend.world import Asking, Decoding, World


@dataclass(frozen=True)
class Settings:
    """How far to draft, in which order, and how freely."""

    drafts: int = option(5, "int", "Tokens drafted per round.", low=1, high=32, title="Drafts")
    order: str = option("left_to_right", "choice", "Which places a round takes: the leftmost, or those of lowest entropy at its start.",
                        choices=("left_to_right", "entropy"), title="Order")
    temperature: float = option(1.0, "float", "0 takes the most probable token; higher draws more freely.", low=0.0, high=5.0, step=0.1, title="Temperature")
    leniency: float = option(0.0, "float", "Added to every acceptance probability. Above 0 the result is no longer exact.",
                             low=0.0, high=1.0, step=0.05, title="Leniency")


@dataclass(frozen=True)
class Verdict:
    """What became of one draft: the token that is written (None: not reached), and the numbers of the decision."""

    token: int | None
    accepted: bool
    draft_prob: float = 0.0
    true_prob: float = 0.0
    apart: float = 0.0
    """Total variation of the two distributions, 0..1."""


class Assd(BaseDecoder):
    """Speculative decoding of any subset, verified in a batch."""

    name = "assd"
    title = "ASSD: draft, then verify"
    source = "arXiv 2504.20456; github.com/gabeguo/any-order-speculative-decoding @ 83a444d7, batched variant ours"
    mark = "reconstructed"
    cost = ("One forward pass over the canvas for a round of drafts, then one with a sequence per draft that "
            "verifies them.")
    Settings = Settings

    def decode(self, world: World) -> Decoding:
        """Draft and verify until nothing is masked."""
        settings, rounds = world.settings, 0
        while world.masked:
            rounds += 1
            view, _ = yield from world.predict()
            chosen = _order(view, settings)[: settings.drafts]
            tempered = _tempered(view.log_probs, settings.temperature, world.mask_id)
            drafts = _drafts(view, tempered, settings, chosen)
            if len(chosen) == 1:
                yield world.step(_single(view, chosen[0], drafts[0], rounds))
                continue
            yield world.step(_drafted(view, chosen, drafts, rounds))
            yield (yield from _verified(world, view, tempered, chosen, drafts, rounds))


def _order(view: View, settings: Settings) -> list[int]:
    if settings.order == "left_to_right":
        return list(range(len(view.positions)))
    return sorted(range(len(view.positions)), key=lambda at: (view.entropies[at], view.positions[at]))


def _tempered(log_probs: Float["M V"], temperature: float, mask_id: int) -> Float["M V"]:
    """Return the probabilities at ``temperature`` (1 where it is 0), the mask's set to 0."""
    import torch

    logits = log_probs.double() / (temperature or 1.0)
    if 0 <= mask_id < logits.shape[1]:
        logits = logits.index_fill(1, torch.tensor([mask_id], device=logits.device), -torch.inf)
    return logits.softmax(dim=1).cpu()


def _drafts(view: View, tempered: Float["M V"], settings: Settings, chosen: list[int]) -> list[int]:
    if settings.temperature == 0:
        return [view.tokens[at] for at in chosen]
    from backend import sampling

    drawn = sampling.drawn_from(view, tempered.log())
    return [drawn[at] for at in chosen]


def _single(view: View, at: int, token: int, rounds: int) -> Choice:
    prob = float(view.log_probs[at, token].exp())
    return Choice(((view.positions[at], token, prob),), why="One place was left to draft; a lone draft needs no check.",
                  notes={"round": rounds, "accepted": 1})


def _drafted(view: View, chosen: list[int], drafts: list[int], rounds: int) -> Choice:
    proposed = tuple((view.positions[at], token, float(view.log_probs[at, token].exp())) for at, token in zip(chosen, drafts, strict=True))
    return Choice(drafts=tuple(sorted(proposed)), why=f"{len(drafts)} tokens drafted independently; the next pass checks them.",
                  notes={"round": rounds, "order": tuple(view.positions[at] for at in chosen)})


def _verified(world: World, view: View, tempered: Float["M V"], chosen: list[int], drafts: list[int], rounds: int) -> Asking:
    """Ask for the true distributions in one batch and return the step of what is accepted."""
    import torch

    places = [view.positions[at] for at in chosen]
    canvases = torch.tensor(world.canvas).repeat(len(chosen) - 1, 1)
    wanted = torch.zeros_like(canvases, dtype=torch.bool)
    for row in range(len(chosen) - 1):
        canvases[row, places[: row + 1]] = torch.tensor(drafts[: row + 1])
        wanted[row, places[row + 1]] = True
    output = yield from world.forward(canvases, wanted)
    first = view.log_probs[chosen[0]][None].to(output.logits.device)
    logits = torch.cat([first, output.logits.float()])
    rising = sorted(range(len(places)), key=places.__getitem__)
    seen = world.look(logits[rising], tuple(places[at] for at in rising))
    back = [rising.index(at) for at in range(len(places))]
    true = _tempered(seen.log_probs[back], world.settings.temperature, world.mask_id)
    verdicts = judged(tempered[chosen], true, drafts, places, world)
    return world.step(_outcome(world, seen, places, drafts, verdicts, rounds))


def judged(drafted: Float["k V"], true: Float["k V"], drafts: list[int], places: list[int], world: Any) -> list[Verdict]:
    """Return a verdict per draft in order; those after the first refusal are not reached.

    Accept y with probability min(1, Q(y) / D(y) + leniency); else draw from max(Q - D, 0).
    """
    settings, verdicts = world.settings, []
    for at, (token, place) in enumerate(zip(drafts, places, strict=True)):
        d, q = float(drafted[at, token]), float(true[at, token])
        apart = float((true[at] - drafted[at]).clamp_min(0).sum())
        if settings.temperature == 0:
            accepted = at == 0 or int(true[at].argmax()) == token
        else:
            draw = float(world.noise.uniform(ORDER, world.next_step, place, 1)[0])
            accepted = draw < min(1.0, q / d + settings.leniency)
        written = token if accepted else _replacement(drafted[at], true[at], place, world)
        verdicts.append(Verdict(written, accepted, d, q, apart))
        if not accepted:
            break
    return verdicts + [Verdict(None, False)] * (len(drafts) - len(verdicts))


def _replacement(drafted: Float["V"], true: Float["V"], place: int, world: Any) -> int:
    import numpy as np
    import torch

    if world.settings.temperature == 0:
        return int(true.argmax())
    rest = (true - drafted).clamp_min(0)
    noise = world.noise.uniform(RESIDUAL, world.next_step, place, len(rest))
    return int((rest.log() + torch.from_numpy(-np.log(-np.log(noise)))).argmax())


def _outcome(world: World, seen: View, places: list[int], drafts: list[int], verdicts: list[Verdict], rounds: int) -> Choice:
    row = {position: at for at, position in enumerate(seen.positions)}
    writes = tuple(sorted(
        (place, verdict.token, float(seen.log_probs[row[place], verdict.token].exp()))
        for place, verdict in zip(places, verdicts, strict=True) if verdict.token is not None
    ))
    accepted = sum(verdict.accepted for verdict in verdicts)
    rejects = tuple(sorted(place for place, verdict in zip(places, verdicts, strict=True) if not verdict.accepted))
    refused = "" if accepted == len(drafts) else "; the next one was replaced by a draw from the difference"
    written = sum(world.canvas[at] != world.mask_id for at in world.layout.free) + len(writes)
    return Choice(
        writes, rejects=rejects, why=f"{accepted} of {len(drafts)} drafts accepted{refused}.",
        notes={
            "round": rounds, "accepted": accepted, "passes_one_by_one": written,
            "verdicts": tuple((place, token, verdict.draft_prob, verdict.true_prob, verdict.apart)
                              for place, token, verdict in zip(places, drafts, verdicts, strict=True) if verdict.token is not None),
        },
    )
