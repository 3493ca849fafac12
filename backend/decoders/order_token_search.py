"""Searches over which positions to write and with which tokens: several canvases go on side by side and the likeliest stay.

On entering a block every kept canvas draws several proposals; noise changes the tokens and through
their confidence the order too. A proposal is scored by masking the block again in the model's whole
predicted text and asking how probable the proposed tokens are there, so the predicted future takes
part in the judgement. The best few stay. The canvas shows the best one, which may change.

Source: Order-Token Search (arXiv 2601.20339). No code was published and the full text was not at
hand: this is our reconstruction from the abstract and two secondary sources, with the uncertain
points as settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.decoders.base import (
    BaseDecoder, Block, Choice, Layout, View, cut, default_block, most_probable, option,
)
from backend.decoders.schedules import block_problems, even_schedule
from backend.errors import Problem
from backend.noise import ORDER, branch_stream

if TYPE_CHECKING:
    from backend.shapes import Bool, Int
    from backend.world import Asking, Decoding, World


@dataclass(frozen=True)
class Settings:
    """The width of the search, and the readings of its score."""

    beams: int = option(4, "int", "Canvases that are kept, and proposals drawn from each.", low=1, high=8, title="Beams")
    block_length: int | None = option(None, "int", "Positions per block; the search happens on entering one. Must divide the length.",
                                      low=1, high="length", auto="32, or the length where 32 does not divide it", title="Block length")
    steps: int | None = option(None, "int", "Proposal passes in all; fewer passes write more tokens each.",
                               low=1, high="length", auto="half the length", title="Steps")
    temperature: float = option(0.4, "float", "How freely proposals are drawn; at 0 they are all the same and there is no search.",
                                low=0.0, high=5.0, step=0.1, title="Temperature")
    scored_set: str = option("block", "choice", "Positions whose likelihood counts: the whole block, or those just written.",
                             choices=("block", "revealed"), title="Scored positions")
    accumulate: str = option("sum", "choice", "A canvas is ranked by the sum of its blocks' scores, or by the last one.",
                             choices=("sum", "last"), title="Ranking")
    search: str = option("joint", "choice", "What proposals differ in: order and tokens, tokens alone (left to right), or order alone.",
                         choices=("joint", "token_only", "order_only"), title="Search space")
    length_norm: bool = option(False, "bool", "Divide a block's score by the number of scored positions.", title="Normalise by length")
    skip_eos: bool = option(False, "bool", "Leave out end-of-sequence tokens that follow another one.", title="Skip repeated ends")


@dataclass(frozen=True)
class Beam:
    """One canvas of the search: its score, its node in the tree, and the stream its draws come from."""

    canvas: tuple[int, ...]
    score: float = 0.0
    node: int | None = None
    stream: int = 0
    probs: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """What one draw would write, and the complete text it predicts."""

    parent: Beam
    beam: Beam
    complete: tuple[int, ...]
    writes: tuple[tuple[int, int, float], ...]


@dataclass
class Counts:
    """Sequences run so far, by purpose, and the next node of the tree."""

    proposals: int = 0
    scores: int = 0
    nodes: int = 0


class OrderTokenSearch(BaseDecoder):
    """Beam search over order and tokens."""

    name = "order_token_search"
    title = "Order-Token Search: beams over order and tokens"
    source = "arXiv 2601.20339, reconstructed from its abstract and secondary sources"
    mark = "reconstructed"
    remasks = True
    cost = ("One forward pass with a sequence per beam, and on entering a block one more that scores beams x "
            "beams proposals.")
    Settings = Settings

    def blocks(self, settings: Settings, layout: Layout) -> tuple[Block, ...]:
        """Return blocks of 32 unless set, or one block where 32 does not divide the length."""
        return cut(layout, settings.block_length or default_block(layout.length))

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse blocks that do not divide the length and step counts below one per block."""
        return block_problems(layout, settings.block_length or default_block(layout.length), settings.steps)

    def decode(self, world: World) -> Decoding:
        """Search on entering each block, write plainly within it, and show the best canvas."""
        settings, blocks, counts = world.settings, world.blocks, Counts()
        passes = max(1, (settings.steps or max(1, world.layout.length // 2)) // len(blocks))
        beams = (Beam(world.canvas),)
        for number, block in enumerate(blocks):
            entering = True
            for quota in even_schedule(len(world.masked_in(block)), passes):
                if not quota:
                    break
                views = yield from _views(world, beams, counts)
                if entering:
                    scored = yield from _searched(world, settings, beams, views, block, quota, counts)
                    beams = yield from _kept(world, settings, scored, counts)
                else:
                    beams = tuple(_proposed(world, settings, beam, view, block, quota, beam.stream).beam
                                  for beam, view in zip(beams, views, strict=True))
                yield world.step(_shown(world, beams, number, len(blocks), entering, counts))
                entering = False


def _views(world: World, beams: tuple[Beam, ...], counts: Counts) -> Asking:
    """Ask for one pass over all beams; return their views, the first one recorded with the step."""
    canvases, wanted = _batch(world, [beam.canvas for beam in beams])
    output = yield from world.forward(canvases, wanted)
    counts.proposals += len(beams)
    parts = output.logits.split(wanted.sum(dim=1).tolist())
    places = [tuple(row.nonzero()[:, 0].tolist()) for row in wanted]
    first = world.look(parts[0].clone(), places[0])
    return [first, *(world.peek(part.clone(), at) for part, at in zip(parts[1:], places[1:], strict=True))]


def _batch(world: World, canvases: list[tuple[int, ...]]) -> tuple[Int["B L"], Bool["B L"]]:
    import torch  # here, so that a catalogue does not wait for it

    ids = torch.tensor(canvases)
    masked = ids == world.mask_id
    masked[:, : world.layout.prompt_length] = False
    return ids, masked


def _proposed(
    world: World, settings: Settings, beam: Beam, view: View, block: Block, quota: int, stream: int
) -> Proposal:
    """Return one draw of tokens for all masks and the ``quota`` surest writes inside the block."""
    temperature = 0.0 if settings.search == "order_only" else settings.temperature
    tokens, probs = view.drawn(temperature, stream)
    chosen = _order(settings, view, view.within(block), probs, stream)[:quota]
    writes = tuple((view.positions[at], tokens[at], probs[at]) for at in sorted(chosen))
    canvas, complete = list(beam.canvas), list(beam.canvas)
    for position, token in zip(view.positions, tokens, strict=True):
        complete[position] = token
    for position, token, _ in writes:
        canvas[position] = token
    known = beam.probs | {position: prob for position, _, prob in writes}
    return Proposal(beam, Beam(tuple(canvas), beam.score, beam.node, stream, known), tuple(complete), writes)


def _order(settings: Settings, view: View, inside: list[int], probs: tuple[float, ...], stream: int) -> list[int]:
    if settings.search == "token_only":
        return inside
    if settings.search == "order_only" and settings.temperature:
        import math

        noise = [view.noise.uniform(ORDER + stream * 2, view.step, position, 1)[0] for position in view.positions]
        probs = tuple(math.log(max(prob, 1e-30)) - settings.temperature * math.log(-math.log(float(draw)))
                      for prob, draw in zip(probs, noise, strict=True))
    return most_probable(view, inside, probs)


def _searched(
    world: World, settings: Settings, beams: tuple[Beam, ...], views: list[View], block: Block, quota: int, counts: Counts
) -> Asking:
    """Draw proposals from every beam, score them in one batch, and return (score, proposal) pairs."""
    proposals: dict[Any, Proposal] = {}
    for rank, (beam, view) in enumerate(zip(beams, views, strict=True)):
        for child in range(settings.beams):
            stream = branch_stream(rank * settings.beams + child)  # proposals are independent, those of other beams too
            proposal = _proposed(world, settings, beam, view, block, quota, stream)
            proposals.setdefault((proposal.beam.canvas, proposal.complete), proposal)
    return (yield from scored(world, settings, list(proposals.values()), block, counts))


def scored(world: World, settings: Settings, proposals: list[Proposal], block: Block, counts: Counts) -> Asking:
    """Return (block score, proposal) pairs: the log-likelihood of the scored positions, masked again.

    score = sum over i in R of log p(x0_i | x0 with R masked); later blocks stay as predicted.
    """
    places = [_scored_places(world, settings, proposal, block) for proposal in proposals]
    canvases = []
    for proposal, positions in zip(proposals, places, strict=True):
        masked = list(proposal.complete)
        for position in positions:
            masked[position] = world.mask_id
        canvases.append(tuple(masked))
    import torch

    wanted = torch.zeros(len(canvases), len(world.canvas), dtype=torch.bool)
    for row, positions in enumerate(places):
        wanted[row, list(positions)] = True
    output = yield from world.forward(torch.tensor(canvases), wanted)
    counts.scores += len(canvases)
    found = []
    for proposal, positions, logits in zip(proposals, places, output.logits.split([len(at) for at in places]), strict=True):
        tokens = torch.tensor([proposal.complete[position] for position in positions], device=logits.device)
        gained = logits.double().log_softmax(dim=1).gather(1, tokens[:, None]).sum()
        found.append((float(gained) / (len(positions) if settings.length_norm else 1), proposal))
    return found


def _scored_places(world: World, settings: Settings, proposal: Proposal, block: Block) -> tuple[int, ...]:
    written = {position for position, _, _ in proposal.writes}
    places = [at for at in range(*block) if proposal.parent.canvas[at] == world.mask_id]
    if settings.scored_set == "revealed":
        places = [at for at in places if at in written]
    if settings.skip_eos:
        ends = [token in world.stop_ids for token in proposal.complete]
        places = [at for at in places if not (at > 0 and ends[at] and ends[at - 1])] or places[:1]
    return tuple(places)


def _kept(world: World, settings: Settings, found: list[tuple[float, Proposal]], counts: Counts) -> Decoding:
    """Rank the candidates, yield a ``Branch`` for each, and return the best as the beams."""
    ranked = []
    for at, (gained, proposal) in enumerate(found):
        total = gained + (proposal.parent.score if settings.accumulate == "sum" else 0.0)
        ranked.append((-total, at, proposal))
    ranked.sort(key=lambda item: item[:2])
    beams: list[Beam] = []
    for minus, _, proposal in ranked:
        twin = any(beam.canvas == proposal.beam.canvas for beam in beams)
        kept = len(beams) < settings.beams and not twin
        counts.nodes += 1
        yield world.branch(counts.nodes, proposal.parent.node, -minus, kept, proposal.writes)
        if kept:
            beam = proposal.beam
            beams.append(Beam(beam.canvas, -minus, counts.nodes, beam.stream, beam.probs))
    return tuple(beams)


def _shown(world: World, beams: tuple[Beam, ...], number: int, count: int, searched: bool, counts: Counts) -> Choice:
    """Return the change of the visible canvas into that of the best beam."""
    best, before = beams[0], world.canvas
    changed = [at for at in range(len(before)) if before[at] != best.canvas[at]]
    erases = tuple(at for at in changed if before[at] != world.mask_id)
    writes = tuple((at, best.canvas[at], best.probs[at]) for at in changed if best.canvas[at] != world.mask_id)
    how = (f"the best of {len(beams)} kept by likelihood" if searched else f"{len(beams)} canvases went on, the best is shown")
    return Choice(
        writes, erases, f"{len(writes)} positions written in block {number + 1} of {count}: {how}.",
        notes={
            "block": number, "searched": searched, "scores": tuple(beam.score for beam in beams),
            "nodes": tuple(beam.node for beam in beams), "distinct": len({beam.canvas for beam in beams}),
            "proposal_sequences": counts.proposals, "scoring_sequences": counts.scores,
        },
    )
