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
    minutes=75.0,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _PUZZLES,
        replace(
            _PUZZLES,
            name="tiny-causal",
            summary=(
                "It is the causal twin of tiny-diffusion: the same puzzles, tokenizer, size and training time, but it "
                "writes from left to right, so that both ways of writing can be compared on the same prompts."
            ),
            causal=True,
        ),
        Recipe(
            name="tiny-words",
            summary=(
                "It answers who has what, turns sentences into JSON records and tells short stories. Every answer has "
                "to copy names, colors and things from the prompt and to keep together what belongs together, so that "
                "one can ask where a word came from."
            ),
            weights={"who": 5, "json": 4, "story": 3},
            tokenizer=_word_tokenizer,
            dimensions=Dimensions(num_hidden_layers=4),
            tokens_per_step=3072,
            offered=0.4,
            mask_prompt=0.1,
            copying=True,
            muon_rate=0.006,
            minutes=40.0,
        ),
    )
}
