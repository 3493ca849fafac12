"""Text in, ids out, and back: the tokenizer of a folder, or plain ids where it has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from backend.errors import ModelError
from backend.models.chat import token_text


STOCK_CLASSES = {
    "Qwen2Tokenizer": "Qwen2Tokenizer", "Qwen2TokenizerFast": "Qwen2Tokenizer", "DreamTokenizer": "Qwen2Tokenizer",
    "GPT2Tokenizer": "GPT2Tokenizer", "GPT2TokenizerFast": "GPT2Tokenizer",
    "RobertaTokenizer": "RobertaTokenizer", "RobertaTokenizerFast": "RobertaTokenizer",
    "BertTokenizer": "BertTokenizer", "BertTokenizerFast": "BertTokenizer",
}
"""Tokenizers that are read from vocab.json and merges.txt, or vocab.txt: what a folder names -> the class of
transformers that knows the rules. Dream's folders name a class of their own, which is Qwen2's."""


def read_tokens(folder: Path, tokenizer_config: Mapping[str, Any]) -> Tokens | PlainIds:
    """Return the tokenizer of a folder, or plain ids where it has none.

    Raises ``ModelError`` when a tokenizer's file is there and cannot be read.
    """
    path = folder / "tokenizer.json"
    named = STOCK_CLASSES.get(str(tokenizer_config.get("tokenizer_class")))
    parts = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file() or (folder / "vocab.txt").is_file()
    try:
        if path.is_file():
            return Tokens(Tokenizer.from_file(str(path)), tokenizer_config)
        if named and parts:
            import transformers  # knows how these files were split before there was tokenizer.json

            stock = getattr(transformers, named).from_pretrained(str(folder), local_files_only=True)
            return Tokens(stock.backend_tokenizer, tokenizer_config)
    except Exception as error:  # both libraries raise bare kinds for every bad file
        raise ModelError(f"The tokenizer of {folder} cannot be read ({error}).",
                         "Copy its files again from the model's source.") from error
    return PlainIds()


class Tokens:
    """A folder's tokenizer, run by the tokenizers library (data only, no code)."""

    def __init__(self, tokenizer: Tokenizer, tokenizer_config: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._unknown_id = tokenizer.token_to_id("[UNK]")
        self._beginning = _beginning(tokenizer, tokenizer_config)
        self._special = {
            at for at, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self.token = lru_cache(maxsize=65536)(self._token)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of ``text`` as a prompt; raises ``ModelError`` naming what has no token.

        Where the tokenizer begins every text with a begin-of-sequence token, so does this, once.
        """
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        for token_id, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id == self._unknown_id:
                raise ModelError(
                    f"{text[begin:end]!r} at character {begin + 1} is unknown to this model.",
                    "Use plain English letters, digits and punctuation, or another model.",
                )
        begins = tuple(encoding.ids[:1]) == self._beginning
        return (*(() if begins else self._beginning), *encoding.ids)

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


def _beginning(tokenizer: Tokenizer, tokenizer_config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the begin-of-sequence token that this tokenizer puts before a text, or nothing.

    Other tokens that it adds ([CLS], [SEP]) mark whole texts, which an unfinished canvas is not.
    """
    bos = token_text(tokenizer_config.get("bos_token"))
    added = tokenizer.encode("", add_special_tokens=True).ids
    return tuple(added[:1]) if bos is not None and added[:1] == [tokenizer.token_to_id(bos)] else ()


class PlainIds:
    """Stands in for the tokenizer of a folder that has none: prompts are given as ids."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return no ids for empty text; raises ``ModelError`` otherwise."""
        if text:
            raise ModelError("This model folder has no tokenizer that can be read, so text cannot be read.",
                             "Give the prompt as ids, or add tokenizer.json to the folder.")
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
