"""Writes what the reader chooses: at each step one place and one token, with the model's own view beside it.

Moves are given as place=token pairs, places counted from the start of the answer. When they are used
up, the run waits on a last prediction (nothing is written), or goes on by itself, surest place first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backend.decoders.base import BaseDecoder, Choice, Layout, View, most_probable, option, writes_of
from backend.errors import Problem

if TYPE_CHECKING:
    from backend.world import Decoding, World

_MOVE = re.compile(r"(\d{1,7})=(\d{1,9})")


@dataclass(frozen=True)
class Settings:
    """The reader's moves, and what follows them."""

    moves: str = option("", "text", "Pairs such as 3=65, 0=17: the place in the answer, and the token's id. One pass each.", high=4096, title="Moves")
    then: str = option("continue", "choice", "After the moves: go on by confidence, or wait with a last prediction.", choices=("continue", "wait"), title="Then")


class Manual(BaseDecoder):
    """The reader decides."""

    name = "manual"
    title = "Manual: you choose place and token"
    source = "Ours"
    mark = "own"
    Settings = Settings

    def check(self, settings: Settings, layout: Layout) -> list[Problem]:
        """Refuse moves that cannot be read, repeat a place, or name one that is not free."""
        parts = [part.strip() for part in settings.moves.split(",") if part.strip()]
        problems, used = [], set()
        for part in parts:
            match = _MOVE.fullmatch(part)
            if not match:
                problems.append(Problem("settings.moves", f"{part!r} is not a move; give pairs such as 3=65, separated by commas."))
            elif layout.prompt_length + int(match[1]) not in layout.free or int(match[1]) in used:
                problems.append(Problem("settings.moves", f"Place {match[1]} is not free; give each open place from 0 to {layout.length - 1} once."))
            else:
                used.add(int(match[1]))
        return problems

    def tokens(self, settings: Settings) -> dict[str, tuple[int, ...]]:
        """Return the tokens of the moves."""
        return {"moves": tuple(int(token) for _, token in _MOVE.findall(settings.moves))}

    def decode(self, world: World) -> Decoding:
        """Write the moves, one a pass, then go on or wait."""
        moves = [(int(place) + world.layout.prompt_length, int(token)) for place, token in _MOVE.findall(world.settings.moves)]
        for place, token in moves:
            view, _ = yield from world.predict()
            yield world.step(_moved(view, place, token))
        if world.settings.then == "continue":
            while world.masked:
                view, _ = yield from world.predict()
                chosen = most_probable(view, range(len(view.positions)), view.probs)[:1]
                yield world.step(Choice(writes_of(view, chosen, view.tokens, view.probs), why="No move was left: the surest place is written."))
        elif world.masked:
            yield from world.predict()
            yield world.step(Choice(why="Waiting for the next move."))


def _moved(view: View, place: int, token: int) -> Choice:
    at = view.positions.index(place)
    prob = float(view.log_probs[at, token].exp())
    best = most_probable(view, range(len(view.positions)), view.probs)[0]
    return Choice(
        ((place, token, prob),), why=f"Your move; the model gave it {prob:.3f}.",
        notes={"model_place": view.positions[best], "model_token": view.tokens[best], "model_probability": view.probs[best],
               "favourite_here": view.tokens[at], "favourite_probability": view.probs[at]},
    )
