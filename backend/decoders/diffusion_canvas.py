"""Refines a whole canvas of random tokens: accepts the tokens it is sure of, makes the rest noise again.

DiffusionGemma has no mask. An open place holds a random token; each pass says what should stand at
every place of the canvas. A token is drawn everywhere, and those with the lowest entropy are accepted
as long as the sum of the others' entropies stays below a bound; all other places become new noise, even
if they were accepted before. Temperature falls from pass to pass, and a pass is conditioned on the
logits of the one before. A canvas is done when the most probable tokens stay the same and the mean
entropy is small; then they are written, the encoder reads them, and the next canvas begins.

Source: transformers 5.23, ``generation_diffusion_gemma.py`` (``EntropyBoundSampler``, after arXiv
2505.24857; ``StableAndConfidentStoppingCriteria``). Its draws come from PyTorch's global generator, ours
are keyed by place. Fixed places, which it does not know, keep their token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Block, Choice, Layout, option
from backend.decoders.caches import ends_in
from backend.errors import Problem
from backend.noise import ORDER, TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.models.base import Cache
    from backend.shapes import Bool, Float, Int
    from backend.world import Asking, Decoding, World


@dataclass(frozen=True)
class Settings:
    """The reference's settings under its names; ``block_length`` is its canvas length."""

    block_length: int = option(256, "int", "Positions of a canvas; the model was trained on one length, 256 as published.",
                               low=1, high=1024, title="Canvas length")
    max_denoising_steps: int = option(48, "int", "Passes over a canvas, at most.",
                                      low=1, high=1024, title="Passes per canvas")
    entropy_bound: float = option(0.1, "float", "How much entropy, in nats, is accepted at once: higher accepts more tokens.",
                                  low=0.0001, high=100.0, step=0.01, title="Entropy bound")
    t_max: float = option(0.8, "float", "Temperature of the first pass.", low=0.01, high=5.0, step=0.05,
                          title="First temperature")
    t_min: float = option(0.4, "float", "Temperature towards which it falls.", low=0.01, high=5.0, step=0.05,
                          title="Last temperature")
    stability_threshold: int = option(1, "int", "Passes for which the most probable tokens must have stayed the same.",
                                      low=0, high=16, title="Stable for")
    confidence_threshold: float = option(0.005, "float", "Mean entropy, in nats, below which a stable canvas is done.",
                                         low=0.0, high=20.0, step=0.005, title="Sure below")


@dataclass
class _Canvas:
    """One canvas in progress: its place, the tokens the model sees, and what is accepted."""

    block: Block
    tokens: Int["C"]
    free: Bool["C"]
    accepted: Bool["C"]
    shown: dict[int, int] = field(default_factory=dict)
    """Position -> token that stands on the visitor's canvas."""
    history: list[Int["C"]] = field(default_factory=list)
    conditioning: Float["1 C V"] | None = None


class DiffusionCanvas(BaseDecoder):
    """DiffusionGemma's own sampler."""

    name = "diffusion_canvas"
    title = "Diffusion canvas: accept, and noise again"
    source = "transformers 5.23, models/diffusion_gemma/generation_diffusion_gemma.py; arXiv 2505.24857"
    needs = frozenset({"uniform_diffusion", "cache"})
    cost = "Up to the set number of forward passes over a canvas before it is written; everything before it is kept."
    Settings = Settings

    def draws(self, settings: Settings) -> bool:
        """Return True: what is not accepted becomes noise."""
        return True

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Return what is wrong: temperatures that rise, or nothing for the encoder to read."""
        problems = []
        if settings.t_min >= settings.t_max:
            problems.append(Problem("settings.t_min", f"{settings.t_min} is not below t_max = {settings.t_max}; "
                                                      "the temperature has to fall."))
        if layout.prompt_length == 0:
            problems.append(Problem("prompt", "The prompt is empty and the encoder needs something to read; "
                                              "give one token or more."))
        return problems

    def extent(self, settings: Settings, layout: Layout) -> int:
        """Return the length in whole canvases."""
        return -(-layout.length // settings.block_length) * settings.block_length

    def decode(self, world: World) -> Decoding:
        """Refine one canvas after the other, stopping after one that holds an end-of-sequence."""
        cache: Cache | None = None
        for number, block in enumerate(world.blocks):
            cache = yield from _read(world, cache, block[0])
            canvas = _fresh(world, block)
            for remaining in range(world.settings.max_denoising_steps, 0, -1):
                logits = yield from _refine(world, canvas, cache)
                choice, done = _decide(world, canvas, logits, remaining, number)
                yield world.step(choice)
                if done:
                    break
            if ends_in(world, block):
                return


def _read(world: World, cache: Cache | None, end: int) -> Asking:
    """Let the encoder read what is settled up to ``end``, and return the cache with it."""
    import torch  # here, so that a catalogue does not wait for it

    ids = torch.tensor([world.canvas[:end]])
    new = tuple(range(0 if cache is None else cache.length, end))
    nothing = torch.zeros_like(ids, dtype=torch.bool)
    output = yield from world.forward(ids, nothing, compute=new, cache=cache, keep_cache=True)
    return output.cache


def _fresh(world: World, block: Block) -> _Canvas:
    """Return a canvas of noise, with fixed tokens in their places."""
    import torch

    standing = torch.tensor(world.canvas[block[0] : block[1]])
    free = standing == world.mask_id
    noise = _random_tokens(world, block, world.next_step - 1)
    return _Canvas(block, torch.where(free, noise, standing), free, torch.zeros_like(free))


def _refine(world: World, canvas: _Canvas, cache: Cache) -> Asking:
    """Ask for the pass over a canvas and return its logits, float32 on the model's device. [C, V]"""
    import torch

    begin, end = canvas.block
    ids = torch.cat([torch.tensor(world.canvas[:begin]), canvas.tokens])[None]
    rows = tuple(range(begin, end))
    output = yield from world.forward(
        ids, torch.arange(end)[None] >= begin, compute=rows, cache=cache, conditioning=canvas.conditioning)
    return world.barred(output.logits.float(), rows)


def _decide(world: World, canvas: _Canvas, logits: Float["C V"], remaining: int, number: int) -> tuple[Choice, bool]:
    """Return what a pass changes on the visitor's canvas, and whether the canvas is done."""
    import torch

    settings = world.settings
    temperature = settings.t_min + (settings.t_max - settings.t_min) * remaining / settings.max_denoising_steps
    processed = logits / temperature
    log_probs = processed.log_softmax(-1)
    entropies = -(log_probs.exp() * log_probs).nan_to_num(0.0).sum(-1).cpu()
    best = torch.where(canvas.free, processed.argmax(-1).cpu(), canvas.tokens)
    drawn = _drawn(world, canvas, log_probs)
    accepted = accept(entropies, canvas.free, settings.entropy_bound)
    done = _done(canvas, best, entropies, settings) or remaining == 1
    _look(world, canvas, logits)
    noise = _random_tokens(world, canvas.block, world.next_step)
    canvas.tokens = torch.where(accepted, drawn, torch.where(canvas.free, noise, canvas.tokens))
    canvas.conditioning = processed[None]
    keep = canvas.free if done else accepted
    choice = _changes(canvas, keep, best if done else drawn, logits.log_softmax(-1))
    mean = float(entropies[canvas.free].mean()) if bool(canvas.free.any()) else 0.0
    why = (f"Canvas {number + 1} is done: the most probable tokens are written." if done else
           f"{int(accepted.sum())} of {len(accepted)} tokens accepted, the surest first; the others are noise again.")
    notes = {"canvas": number, "temperature": temperature, "mean_entropy": mean, "accepted": int(accepted.sum())}
    return Choice(choice.writes, choice.erases, why, notes), done


def accept(entropies: Float["C"], free: Bool["C"], bound: float) -> Bool["C"]:
    """Return the places of lowest entropy whose sum, without the largest of them, is within ``bound``."""
    import torch

    order = entropies.masked_fill(~free, torch.inf).argsort(stable=True)
    rising = entropies[order]
    within = (rising.cumsum(0) - rising <= bound) & free[order]
    return torch.zeros_like(free).scatter(0, order, within)


def _done(canvas: _Canvas, best: Int["C"], entropies: Float["C"], settings: Settings) -> bool:
    """Tell whether a canvas is stable and sure, and remember its most probable tokens."""
    wanted = settings.stability_threshold
    past = canvas.history[-wanted:] if wanted else []
    stable = len(past) == wanted and all(before.equal(best) for before in past)
    canvas.history.append(best)
    sure = not bool(canvas.free.any()) or float(entropies[canvas.free].mean()) < settings.confidence_threshold
    return stable and sure


def _look(world: World, canvas: _Canvas, logits: Float["C V"]) -> None:
    """Record what the pass says at the places that are open on the visitor's canvas."""
    begin, end = canvas.block
    opened = world.masked_in((begin, end))
    if opened:
        world.look(logits[[at - begin for at in opened]], opened)


def _changes(canvas: _Canvas, keep: Bool["C"], tokens: Int["C"], log_probs: Float["C V"]) -> Choice:
    """Return writes and erases that make the visitor's canvas show the kept tokens and no others."""
    begin = canvas.block[0]
    wanted = {begin + at: int(tokens[at]) for at in keep.nonzero()[:, 0].tolist()}
    erases = tuple(at for at in sorted(canvas.shown) if canvas.shown[at] != wanted.get(at))
    writes = tuple((at, token, float(log_probs[at - begin, token].double().exp()))
                   for at, token in wanted.items() if canvas.shown.get(at) != token)
    canvas.shown = wanted
    return Choice(writes, erases)


def _drawn(world: World, canvas: _Canvas, log_probs: Float["C V"]) -> Int["C"]:
    """Return one draw per place: where the running sum of probabilities passes a uniform number."""
    import torch

    tokens = []
    for at, row in enumerate(log_probs):
        running = row.double().exp().cumsum(0)
        share = float(world.noise.uniform(TOKENS, world.next_step, canvas.block[0] + at, 1)[0])
        place = torch.searchsorted(running, share * running[-1], right=True)
        tokens.append(int(place.clamp_max(len(row) - 1)))
    return torch.where(canvas.free, torch.tensor(tokens), canvas.tokens)


def _random_tokens(world: World, block: Block, step: int) -> Int["C"]:
    """Return one uniformly random token per place of a block."""
    import torch

    draws: Sequence[float] = [world.noise.uniform(ORDER, step, at, 1)[0] for at in range(*block)]
    return (torch.tensor(draws, dtype=torch.float64) * world.vocab_size).long().clamp_max(world.vocab_size - 1)
