"""The recipe of every embedded model: what it is trained on, how large it is and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tokenizers import Tokenizer

from backend.tasks import json_record, people, story, who
from backend.training.tokenizer import build_piece_tokenizer, build_tokenizer


@dataclass(frozen=True)
class Dimensions:
    """The size of a model, under the names of its ``config.json``."""

    hidden_size: int = 192
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    intermediate_size: int = 512
    max_position_embeddings: int = 160


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, apart from the machine."""

    name: str
    summary: str  # one paragraph for the model card
    weights: dict[str, float]  # task name -> share of the tokens of a step, up to a factor
    causal: bool = False  # trained left to right on the next token, not on hidden ones
    tokenizer: Callable[[], Tokenizer] = build_tokenizer
    dimensions: Dimensions = field(default_factory=Dimensions)
    tokens_per_step: int = 4096
    extra_eos: int = 4  # the answer region grows by 0 to this many end-of-sequence tokens
    offered: float = 0.0  # share of the draws whose answer region has the length that the page offers
    mask_prompt: float = 0.0  # share of the examples whose prompt is masked and learned as well
    copying: bool = False  # half of the heads begin as heads that copy (``network.build_model``)
    muon_rate: float = 0.008
    adam_rate: float = 0.002
    warmup: float = 0.01  # share of the run in which the rates rise
    decay: float = 0.5  # share of the run in which the rates fall linearly to zero
    minutes: float = 90.0  # of processor time, so that a paused or crowded run is not cut short
    seed: int = 0
    notes: tuple[str, ...] = ()  # sentences for the model card: what was tried, what falls short


def _word_tokenizer() -> Tokenizer:
    words = (*people.NAMES, *people.COLORS, *people.THINGS)
    return build_piece_tokenizer((*words, *who.PIECES, *json_record.PIECES, *story.PIECES))


_PUZZLES = Recipe(
    name="tiny-diffusion",
    summary=(
        "It fills in Sudoku grids, running sums, additions and rearrangements of digits. In these tasks "
        "the order in which tokens are written, and how many are written at once, decide whether the "
        "answer comes out right, so that decoders can be told apart by accuracy."
    ),
    weights={"sudoku6": 7, "sudoku4": 3, "tail": 6, "sum": 4, "shuffle": 2},
    minutes=50.0,
    notes=(
        "These weights come from an earlier run of this recipe whose log was lost with its machine: less than an hour "
        "of one core, with the shares sudoku6 9, sudoku4 3, tail 5, sum 3, shuffle 1. The command above trains a model "
        "of the same kind, not these very weights.",
        "Most confident first is not the best order for an addition: left to right does better on it, although "
        "carries run the other way. The gap between orders is largest on the running sum.",
    ),
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _PUZZLES,
        replace(
            _PUZZLES,
            name="tiny-causal",
            summary=(
                "It is the causal twin of tiny-diffusion: the same puzzles, tokenizer and size, but it writes from left "
                "to right, so that both ways of writing can be compared on the same prompts."
            ),
            causal=True,
            notes=(),
        ),
        Recipe(
            name="tiny-words",
            summary=(
                "It answers who has what, turns sentences into JSON records and tells short stories. Every answer has "
                "to copy names, colors and things from the prompt and to keep together what belongs together, so that "
                "one can ask where a word came from."
            ),
            weights={"who": 8, "json": 2, "story": 1},
            tokenizer=_word_tokenizer,
            dimensions=Dimensions(num_hidden_layers=4),
            tokens_per_step=3072,
            offered=0.4,
            mask_prompt=0.25,
            copying=True,
            muon_rate=0.006,
            decay=0.3,
            minutes=45.0,
            notes=(
                "Wanted were 70 % on who and json, and stories that keep their names and things; the table above says "
                "how far it came. It copies names, colors and things of the prompt, and mixes up whose they are: it "
                "takes one of the colors told, not the one of the person asked for. What it gets right it gets right "
                "by place, such as a JSON array of all people in their order.",
                "Tried before: six layers from small random matrices, 40 names, 12 colors and 40 things, 11 minutes. "
                "Things were copied, colors stayed at one in twelve.",
                "Heads that begin by copying and half the vocabulary brought copying of all three within 700 steps. On "
                "who alone, a smaller model (4 layers, width 128, 2,048 tokens a step) then began to bind after 1,500 "
                "steps: given its color, it named the right one of three things in 61 of 100 cases.",
                "To try next: who alone until names are bound to their things, json and story only after that. The run "
                "can be resumed.",
            ),
        ),
    )
}
