"""The tokenizer of the embedded models: characters, and whole words where a corpus has them.

Digits and capitals are always single tokens, so that a digit task sees one digit per position.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ("[PAD]", "[EOS]", "[MASK]", "[UNK]")
PAD, EOS, MASK, UNK = range(len(SPECIAL))
CHARACTERS = (*map(chr, range(32, 127)), "\n")

# Any split into words costs less than one into characters, so a known word is always one token.
_WORD_SCORE, _CHARACTER_SCORE = -1.0, -10.0
_PIECES = r" ?[A-Za-z]+|\d| ?[^A-Za-z\d\s]|\s"


def build_tokenizer(words: Iterable[str] = ()) -> Tokenizer:
    """Return a lossless tokenizer of printable ASCII in which each of ``words`` is one token.

    A word may begin with a space (`` Ann``); it is then another token than without.
    """
    tokenizer = build_piece_tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    return tokenizer


def build_piece_tokenizer(pieces: Iterable[str]) -> Tokenizer:
    """Return a lossless tokenizer of printable ASCII that cuts a text into as few of ``pieces`` as it can.

    Spaces belong to the pieces around a name (`` has a ``), so that a name is the same token in
    every context: at the start of a sentence, inside it, and between the quotes of JSON.
    """
    whole = [piece for piece in dict.fromkeys(pieces) if len(piece) > 1]
    vocabulary = [(token, 0.0) for token in SPECIAL]
    vocabulary += [(character, _CHARACTER_SCORE) for character in CHARACTERS]
    vocabulary += [(word, _WORD_SCORE) for word in whole]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=UNK))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer
