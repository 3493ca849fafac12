"""The words that the word tasks share, and the facts they are about: who has which thing.

A fact belongs to the training split or to the test split as a whole, so that a test prompt names
only combinations of person, colour and thing that no training text of any word task contains.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from backend.tasks.base import split_of

WOMEN = tuple("Ann Mia Eva Ida Lucy Nora Rosa Zoe Ella Lily".split())
MEN = tuple("Bob Hugo Max Leo Tom Ben Sam Dan Jack Paul".split())
NAMES = WOMEN + MEN
COLORS = tuple("red blue green white black pink gold brown purple yellow".split())
THINGS = tuple("ring bell shell kite lamp ball drum book boat cup hat key box coin bag robot train doll flute clock".split())


@dataclass(frozen=True)
class Fact:
    """One person has one thing of one color."""

    name: str
    color: str
    thing: str

    @property
    def sentence(self) -> str:
        """The fact in plain English, with its full stop."""
        return f"{self.name} has a {self.color} {self.thing}."


def draw_facts(count: int, rng: random.Random, split: str) -> tuple[Fact, ...]:
    """Return ``count`` facts of ``split`` that share no name, no color and no thing."""
    facts: list[Fact] = []
    while len(facts) < count:
        fact = Fact(rng.choice(NAMES), rng.choice(COLORS), rng.choice(THINGS))
        if fact_split(fact) == split and all(_apart(fact, other) for other in facts):
            facts.append(fact)
    return tuple(facts)


@lru_cache(maxsize=len(NAMES) * len(COLORS) * len(THINGS))
def fact_split(fact: Fact) -> str:
    """Return the split that ``fact`` belongs to, in every word task."""
    return split_of(f"{fact.name} {fact.color} {fact.thing}")


def _apart(one: Fact, other: Fact) -> bool:
    return one.name != other.name and one.color != other.color and one.thing != other.thing


def parse_facts(sentences: list[str]) -> tuple[Fact, ...] | None:
    """Return the facts that ``sentences`` (without full stops) tell, or None if one of them is no fact."""
    facts = []
    for sentence in sentences:
        name, found, rest = sentence.partition(" has a ")
        color, space, thing = rest.partition(" ")
        if not found or not space or name not in NAMES or color not in COLORS or thing not in THINGS:
            return None
        facts.append(Fact(name, color, thing))
    return tuple(facts)


def conflict(expected: Fact, name: str, color: str, thing: str) -> str | None:
    """Return the first difference between ``expected`` and what an answer says, as a sentence part."""
    if name != expected.name:
        return f"the name should be {expected.name}, not {name or 'missing'}"
    if color != expected.color:
        return f"the {expected.thing} of {expected.name} is {expected.color}, not {color or 'missing'}"
    if thing != expected.thing:
        return f"{expected.name} has a {expected.thing}, not a {thing or 'missing'}"
    return None
