"""Text in, ids out, and back: the tokenizer of a folder, or plain ids where it has none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from backend.errors import ModelError


class Tokens:
    """A folder's tokenizer.json, read by the tokenizers library (data only, no code)."""

    def __init__(self, tokenizer: Tokenizer, unknown_id: int | None) -> None:
        self._tokenizer = tokenizer
        self._unknown_id = unknown_id
        self._special = {
            at for at, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self.token = lru_cache(maxsize=65536)(self._token)

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """Return the tokenizer of ``path``; raises ``ModelError`` when it cannot be read."""
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for every bad file
            raise ModelError(f"{path.name} cannot be read as a tokenizer ({error}).",
                             "Copy the file again from the model's source.") from error
        return cls(tokenizer, tokenizer.token_to_id("[UNK]"))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text``; raises ``ModelError`` naming what has no token."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        for token_id, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id == self._unknown_id:
                raise ModelError(
                    f"{text[begin:end]!r} at character {begin + 1} is unknown to this model.",
                    "Use plain English letters, digits and punctuation, or another model.",
                )
        return tuple(encoding.ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids`` without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def find(self, names: Iterable[str]) -> int | None:
        """Return the id of the first of ``names`` that is a token."""
        found = (self._tokenizer.token_to_id(name) for name in names)
        return next((token_id for token_id in found if token_id is not None), None)

    def size(self) -> int:
        """Return the number of tokens, special ones included."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def _token(self, token_id: int) -> str:
        if token_id in self._special:
            return self._tokenizer.id_to_token(token_id)
        name = self._tokenizer.id_to_token(token_id)
        if name is None:
            return f"⟨{token_id}⟩"
        return self._tokenizer.decode([token_id], skip_special_tokens=False) or name


class PlainIds:
    """Stands in for the tokenizer of a folder that has none: prompts are given as ids."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return no ids for empty text; raises ``ModelError`` otherwise."""
        if text:
            raise ModelError("This model folder has no tokenizer.json, so text cannot be read.",
                             "Give the prompt as ids, or add the tokenizer's file to the folder.")
        return ()

    def decode(self, ids: Sequence[int]) -> str:
        """Return the ids themselves, separated by spaces."""
        return " ".join(map(str, ids))

    def token(self, token_id: int) -> str:
        """Return the id in brackets."""
        return f"⟨{token_id}⟩"

    def find(self, names: Iterable[str]) -> int | None:
        """Return None: there are no named tokens."""
        return None
