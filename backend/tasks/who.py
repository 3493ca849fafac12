"""Questions about who has what: every answer has to bind a thing to its owner.

``who: Ann has a gold bell. Mia has a white ring. What does Mia have?`` is answered
``Mia has a white ring.`` A question may name several people (``What do Mia and Ann have?``) or ask
the other way round (``Who has the ring?``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from backend.tasks.base import Example, Verdict
from backend.tasks.people import Fact, conflict, draw_facts, parse_facts

PREFIX = "who: "
WHAT_ONE, WHAT_MANY, WHO = "What does ", "What do ", "Who has the "

# Everything between two content words is one token of the embedded model.
PIECES = (PREFIX, WHAT_ONE, WHAT_MANY, WHO, " have?", " has a ", " and ", " ", ". ", ".", "?")


class Who:
    """Two to four people with one thing each, and a question about one or more of them."""

    name = "who"
    title = "Who has what"
    model = "tiny-words"
    help = "Answer a question about the people of the prompt with full sentences, in the order of the question."
    people = (2, 3, 3, 4)
    practised = (2, 3, 3, 4, 5, 6)
    length = 16

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return facts of ``split`` and a question: half of the questions are about one person."""
        facts = draw_facts(rng.choice(self.people), rng, split)
        asked = rng.sample(facts, 1 if rng.random() < 0.5 else 2)
        by_thing = len(asked) == 1 and rng.random() < 0.4
        return _example(facts, asked, by_thing)

    def practise(self, rng: random.Random) -> Example:
        """Return a training example with up to six people that asks about up to all, so that each binds more facts."""
        facts = draw_facts(rng.choice(self.practised), rng, "train")
        asked = rng.sample(facts, rng.randint(1, len(facts)))
        by_thing = len(asked) == 1 and rng.random() < 0.6
        return _example(facts, asked, by_thing)

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` asks who has what."""
        return prompt.startswith(PREFIX)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer``: one sentence for each person that the question is about, in its order."""
        expected = _expected(prompt)
        if isinstance(expected, str):
            return Verdict(False, expected)
        sentences = answer.strip().removesuffix(".").split(". ")
        given = parse_facts(sentences)
        if given is None or not answer.strip().endswith("."):
            return Verdict(False, 'the answer is not made of sentences like "Mia has a white ring."')
        for fact, said in zip(expected, given, strict=False):
            if problem := conflict(fact, said.name, said.color, said.thing):
                return Verdict(False, problem)
        if len(given) != len(expected):
            return Verdict(False, f"the answer has {len(given)} sentences, not {len(expected)}")
        return Verdict(True, "every name, color and thing is as the prompt says")


def _example(facts: Sequence[Fact], asked: Sequence[Fact], by_thing: bool) -> Example:
    told = " ".join(fact.sentence for fact in facts)
    if by_thing:
        question = f"{WHO}{asked[0].thing}?"
    else:
        verb = WHAT_ONE if len(asked) == 1 else WHAT_MANY
        question = f"{verb}{' and '.join(fact.name for fact in asked)} have?"
    return Example("who", f"{PREFIX}{told} {question}", " ".join(fact.sentence for fact in asked))


def _expected(prompt: str) -> tuple[Fact, ...] | str:
    """Return the facts that ``prompt`` asks for, or what is wrong with it."""
    *told, question = prompt[len(PREFIX) :].split(". ")
    facts = parse_facts(told)
    if not facts:
        return 'the prompt should tell facts like "Mia has a white ring." and end with a question'
    owners = {fact.name: fact for fact in facts}
    if question.startswith(WHO):
        thing = question[len(WHO) :].removesuffix("?")
        return next(((fact,) for fact in facts if fact.thing == thing), f"nobody in the prompt has a {thing}")
    verb = WHAT_ONE if question.startswith(WHAT_ONE) else WHAT_MANY
    if not question.startswith(verb) or not question.endswith(" have?"):
        return 'the question should be like "What does Mia have?" or "Who has the ring?"'
    names = question[len(verb) :].removesuffix(" have?").split(" and ")
    missing = [name for name in names if name not in owners]
    return f"the prompt does not say what {missing[0]} has" if missing else tuple(owners[name] for name in names)
