"""The models that ship with the project. A new one is one line here and a folder of weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "models"


@dataclass(frozen=True)
class ModelCard:
    """An embedded model as the menu shows it."""

    name: str
    title: str
    help: str
    example_prompt: str

    @property
    def folder(self) -> Path:
        """The folder with config.json, model.safetensors and tokenizer.json."""
        return ASSETS / self.name

    @property
    def trained(self) -> bool:
        """Whether its weights are in place."""
        return (self.folder / "model.safetensors").is_file()


CARDS: tuple[ModelCard, ...] = (
    ModelCard(
        "tiny-diffusion",
        "Tiny diffusion: puzzles and arithmetic",
        "A masked diffusion model of 2.7 million parameters, trained here on Sudoku and sums.",
        "sudoku: .4.1/...3/1.../....=",
    ),
    ModelCard(
        "tiny-causal",
        "Tiny causal: the same puzzles, left to right",
        "The causal twin of tiny-diffusion: same corpus, tokenizer and size.",
        "sudoku: .4.1/...3/1.../....=",
    ),
    ModelCard(
        "tiny-words",
        "Tiny words: names, records, stories",
        "Its sister for text: who has what, JSON records, short stories. It copies well and mixes up who has what.",
        "who: Ann has a gold bell. Mia has a white ring. Bob has a pink shell. What does Mia have?",
    ),
)


MODELS: tuple[ModelCard, ...] = tuple(card for card in CARDS if card.trained)
"""Those that can be opened: a card without weights yet is not offered."""


def find_model(name: str) -> ModelCard | None:
    """Return the embedded model of that name, trained or not, or None."""
    return next((card for card in CARDS if card.name == name), None)
