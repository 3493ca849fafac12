"""Infilling: an answer written with blanks, as a length and the tokens that are fixed in it.

A blank is ``▢`` or ``_``: one masked place. ``_{12}`` is twelve of them; ``\\_`` is the sign itself. What
stands between blanks is cut into tokens by itself, exactly as typed, spaces included.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backend.errors import ModelError, Problem, RequestError

if TYPE_CHECKING:
    from backend.models.base import Model

BLANKS = "▢_"
_PART = re.compile(r"\\(?P<sign>[▢_\\])|(?P<blank>[▢_])(?:\{(?P<count>\d{1,5})\})?|(?P<text>[^▢_\\]+|\\)")


def parsed(model: Model, text: str) -> tuple[int, dict[int, int]]:
    """Return the answer's length and its fixed tokens (place -> id); places count from the start of the answer.

    Raises ``RequestError`` for field ``template`` when the text has no blank, or words that the model has no tokens for.
    """
    length, fixed = 0, {}
    for piece in _pieces(text):
        if isinstance(piece, int):
            length += piece
            continue
        for token in _ids(model, piece):
            fixed[length] = token
            length += 1
    if length == len(fixed):
        raise RequestError([Problem("template", "There is no blank in it, so nothing is left to decode; put ▢ or _ where a token is wanted.")])
    return length, fixed


def _pieces(text: str) -> list[str | int]:
    """Return texts and counts of blanks, in order, neighbours of one kind put together."""
    pieces: list[str | int] = []
    for part in _PART.finditer(text):
        piece: str | int = int(part["count"] or 1) if part["blank"] else part["sign"] or part["text"]
        if pieces and isinstance(pieces[-1], type(piece)):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


def _ids(model: Model, text: str) -> tuple[int, ...]:
    """Return the tokens of a piece, without what the tokenizer puts before every text."""
    try:
        ids, beginning = model.encode(text), model.encode("")
    except ModelError as error:
        raise RequestError([Problem("template", str(error))]) from error
    return ids[len(beginning) :] if ids[: len(beginning)] == beginning else ids
