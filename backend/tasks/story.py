"""Short stories about one person and one thing: every sentence has to keep the names and the thing.

``story: Hugo, black kite.`` is answered by five to seven sentences that a small grammar allows: Hugo
gets the black kite, meets somebody, and the kite is given away, shared, or lost and found again.
The grammar is a list of lines by stage of the story; the checker reads an answer with the same
lines and refuses a sentence that contradicts what was said before.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from backend.tasks.base import Example, Verdict
from backend.tasks.people import COLORS, NAMES, THINGS, WOMEN, Fact, draw_facts, fact_split

PREFIX = "story: "
PLACES = tuple("garden park forest kitchen school barn market yard library field".split())
END = "end"

# stage -> the lines that may come next, each with the stage that it leads to. Slots: the hero {n} with
# {He}/{he}, the friend {m} with {her}, the color {c}, the thing {t} and the place {p}.
LINES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "begin": (
        ("{n} had a {c} {t}.", "outing"),
        ("One day {n} got a {c} {t}.", "outing"),
        ("{n} found a {c} {t} in the {p}.", "joy"),
    ),
    "joy": (
        ("{He} liked the {t} very much.", "meeting"),
        ("{He} was happy with the {t}.", "meeting"),
    ),
    "outing": (
        ("{He} took the {t} to the {p}.", "meeting"),
        ("{He} played with the {t} in the {p}.", "meeting"),
    ),
    "meeting": (
        ("There {he} met {m}.", "wish"),
        ("{m} came to the {p} too.", "wish"),
    ),
    "wish": (
        ("{m} liked the {c} {t}.", "turn"),
        ("{m} wanted to see the {c} {t}.", "turn"),
    ),
    "turn": (
        ("{n} gave the {t} to {m}.", "thanks"),
        ("{n} and {m} played with the {t}.", "evening"),
        ("Then {n} lost the {t}.", "loss"),
    ),
    "thanks": (("{m} was happy and {her} said thank you.", "theirs"),),
    "theirs": (("Now {m} has the {c} {t}.", END),),
    "evening": (("Then {n} took the {t} home.", "ours"),),
    "ours": (("{n} has the {c} {t} to this day.", END),),
    "loss": (("{He} was sad.", "search"),),
    "search": (
        ("But {m} found the {t} in the {p}.", "again"),
        ("But {m} helped and found the {t}.", "again"),
    ),
    "again": (("Now {n} has the {c} {t} again.", END),),
}

_SLOT = re.compile(r"\{(\w+)\}")
_KINDS = {
    "n": NAMES, "m": NAMES, "c": COLORS, "t": THINGS, "p": PLACES,
    "He": ("He", "She"), "he": ("he", "she"), "her": ("he", "she"),
}
_CALLED = {"n": "the hero", "m": "the friend", "c": "the color", "t": "the thing", "p": "the place"}


def _pieces() -> Iterator[str]:
    """Yield the words between slots, each with the space behind it, and before it after a slot."""
    for lines in LINES.values():
        for line, _ in lines:
            for literal in _SLOT.split(line)[::2]:
                words = literal.rstrip(".").split()
                for at, word in enumerate(words):
                    before = " " if at == 0 and literal.startswith(" ") else ""
                    last = at == len(words) - 1
                    yield before + word + ("" if last and not literal.rstrip(".").endswith(" ") else " ")


# Every word is one token of the embedded model, with the spaces around it.
PIECES = (PREFIX, ", ", ". ", ".", " ", *PLACES, "He", "She", "he", "she", *dict.fromkeys(_pieces()))


class Story:
    """A hero, a color and a thing; the answer is a story in which they stay what they are."""

    name = "story"
    title = "Short story"
    model = "tiny-words"
    help = "Tell a short story about the person and the thing; names, color, thing and place must stay the same."
    length = 64

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return a hero with a thing of ``split`` and one of the stories about them."""
        (fact,) = draw_facts(1, rng, split)
        # The friend may end up with the thing: no training story may tell a fact of the test split that way.
        others = [
            name for name in NAMES
            if name != fact.name and (split == "test" or fact_split(replace(fact, name=name)) == "train")
        ]
        friend = rng.choice(others)
        values = _bound(fact) | {"m": friend, "her": _pronoun(friend), "p": rng.choice(PLACES)}
        stage, told = "begin", []
        while stage != END:
            line, stage = rng.choice(LINES[stage])
            told.append(line.format(**values))
        return Example(self.name, f"{PREFIX}{fact.name}, {fact.color} {fact.thing}.", " ".join(told))

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` asks for a story."""
        return prompt.startswith(PREFIX)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer``: each sentence continues the story and agrees with all that was said."""
        hero = re.fullmatch(r"(\w+), (\w+) (\w+)\.?", prompt[len(PREFIX) :])
        if not hero or hero[1] not in NAMES or hero[2] not in COLORS or hero[3] not in THINGS:
            return Verdict(False, 'the prompt should name a person, a color and a thing, like "Hugo, black kite."')
        sentences = re.findall(r"[^.]+\.?", answer.strip())
        told = [("begin", _bound(Fact(hero[1], hero[2], hero[3])))]
        for number, sentence in enumerate(sentences, 1):
            further, problems = _continued(told, sentence.strip())
            if not further:
                return Verdict(False, f"sentence {number} {problems[0] if problems else 'does not continue the story'}")
            told = further
        if not any(stage == END for stage, _ in told):
            return Verdict(False, "the story stops before its end")
        return Verdict(True, f"{len(sentences)} sentences, and the names, the color, the thing and the place stay the same")


def _continued(told: list, sentence: str) -> tuple[list, list[str]]:
    """Return where the story can be after ``sentence``, or what is wrong with it in every reading."""
    further, problems = [], []
    for stage, bound in told:
        for line, after in LINES.get(stage, ()):
            found = _reader(line).fullmatch(sentence)
            if not found:
                continue
            problem, values = _agreed(bound, found.groupdict())
            if problem:
                problems.append(problem)
            else:
                further.append((after, values))
    return further, problems


def _agreed(bound: Mapping[str, str], said: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the first contradiction between what is known and what is said, and both together."""
    values = dict(bound)
    for slot, word in said.items():
        if slot == "m" and word == bound["n"]:
            return f"calls the friend {word}, like the hero", values
        if values.setdefault(slot, word) != word:
            whom = _CALLED.get(slot, "the pronoun")
            return f"should have {values[slot]} as {whom}, not {word}", values
        if slot == "m":
            values["her"] = _pronoun(word)
    return "", values


@cache
def _reader(line: str) -> re.Pattern[str]:
    parts = _SLOT.split(line)
    literals = map(re.escape, parts[::2])
    slots = (f"(?P<{slot}>{'|'.join(_KINDS[slot])})" for slot in parts[1::2])
    return re.compile("".join(literal + slot for literal, slot in zip(literals, [*slots, ""], strict=True)))


def _bound(fact: Fact) -> dict[str, str]:
    pronoun = _pronoun(fact.name)
    return {"n": fact.name, "c": fact.color, "t": fact.thing, "he": pronoun, "He": pronoun.capitalize()}


def _pronoun(name: str) -> str:
    return "she" if name in WOMEN else "he"
