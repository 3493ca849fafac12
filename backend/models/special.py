"""Special token ids: from the arguments, else from config.json, else from the tokenizer's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.errors import ModelError
from backend.models.chat import token_text
from backend.models.family import Raw
from backend.models.tokens import PlainIds, Tokens

MASK_NAMES = ("[MASK]", "<|mdm_mask|>", "<|mask|>", "<mask>")
END_OF_TURN_NAMES = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|role_end|>", "<|end|>")


@dataclass(frozen=True)
class SpecialIds:
    """The ids that decoding needs; None where the model has no such token.

    ``stop``: every id that ends an answer: end of sequence, and end of turn where there is one.
    """

    mask: int | None
    eos: int | None
    pad: int | None
    stop: frozenset[int] = frozenset()


def special_ids(
    given: Mapping[str, int | None], raw: Raw, tokenizer_config: Mapping[str, Any], tokens: Tokens | PlainIds,
    vocab_size: int,
) -> SpecialIds:
    """Return the special ids of a folder; ``given`` holds what the caller wants for mask, eos and pad.

    Raises ``ModelError`` for an id outside the vocabulary.
    """
    text = raw.get("text_config")
    configured = (text if isinstance(text, dict) else {}) | raw

    def of(word: str, names: Sequence[str]) -> int | None:
        if given.get(word) is not None:
            return given[word]
        listed = _listed(configured.get(f"{word}_token_id"))
        if listed:
            return listed[0]
        named = token_text(tokenizer_config.get(f"{word}_token"))
        return tokens.find((*filter(None, (named,)), *names))

    found = SpecialIds(of("mask", MASK_NAMES), of("eos", ("[EOS]",)), of("pad", ("[PAD]",)))
    for word, token_id in (("mask", found.mask), ("eos", found.eos), ("pad", found.pad)):
        if token_id is not None and not 0 <= token_id < vocab_size:
            raise ModelError(f"The {word} id {token_id} is outside the vocabulary of {vocab_size}.",
                             f"Give {word}_id between 0 and {vocab_size - 1}.")
    turn = tokens.find(END_OF_TURN_NAMES)
    ends = (found.eos, turn, *(_listed(configured.get("eos_token_id")) if given.get("eos") is None else ()))
    return SpecialIds(found.mask, found.eos, found.pad, frozenset(end for end in ends if end is not None))


def _listed(value: Any) -> list[int]:
    """Return ids as config.json writes them: none, one or several."""
    values = value if isinstance(value, list) else [value]
    return [int(item) for item in values if isinstance(item, int) and not isinstance(item, bool)]
