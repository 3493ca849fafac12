"""Sentences to JSON: the answer has a strict form, and every value must come from the right sentence.

``json: Ann has a gold bell. Mia has a white ring. Mia?`` is answered
``{"name":"Mia","color":"white","toy":"ring"}``; with ``All?`` the answer is an array of all people.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from backend.tasks.base import Example, Verdict
from backend.tasks.people import Fact, conflict, draw_facts, parse_facts

PREFIX = "json: "
ALL = "All?"
KEYS = ("name", "color", "toy")

# Everything between two content words is one token of the embedded model.
PIECES = (PREFIX, ALL, '{"name":"', '","color":"', '","toy":"', '"}', "[", ",", "]")


class JsonRecord:
    """Two or three people with one thing each, and a request for one of them or for all as JSON."""

    name = "json"
    title = "Text to JSON"
    model = "tiny-words"
    help = "Write what the prompt says about the person (or about all people, in their order) as JSON."
    people = (2, 3, 3)
    length = 28

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return facts of ``split``; two in three prompts ask for one person."""
        facts = draw_facts(rng.choice(self.people), rng, split)
        return _example(facts, rng.choice(facts) if rng.random() < 2 / 3 else None)

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` asks for JSON."""
        return prompt.startswith(PREFIX)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer``: valid JSON with exactly the asked values; spaces do not matter."""
        expected = _expected(prompt)
        if isinstance(expected, str):
            return Verdict(False, expected)
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            return Verdict(False, "the answer is not valid JSON")
        records = value if prompt.endswith(ALL) else [value]
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            return Verdict(False, f"the answer should be {'an array of objects' if prompt.endswith(ALL) else 'one object'}")
        return _compare(expected, records)


def _compare(expected: Sequence[Fact], records: Sequence[dict]) -> Verdict:
    for fact, record in zip(expected, records, strict=False):
        if sorted(record) != sorted(KEYS):
            return Verdict(False, f"the keys should be {', '.join(KEYS)}, not {', '.join(record) or 'none'}")
        if problem := conflict(fact, *(str(record[key]) for key in KEYS)):
            return Verdict(False, problem)
    if len(records) != len(expected):
        return Verdict(False, f"the answer has {len(records)} records, not {len(expected)}")
    return Verdict(True, "the JSON is valid and every value is as the prompt says")


def _example(facts: Sequence[Fact], asked: Fact | None) -> Example:
    told = " ".join(fact.sentence for fact in facts)
    request = ALL if asked is None else f"{asked.name}?"
    records = [_record(fact) for fact in (facts if asked is None else (asked,))]
    answer = f"[{','.join(records)}]" if asked is None else records[0]
    return Example("json", f"{PREFIX}{told} {request}", answer)


def _record(fact: Fact) -> str:
    values = dict(zip(KEYS, (fact.name, fact.color, fact.thing), strict=True))
    return json.dumps(values, separators=(",", ":"))


def _expected(prompt: str) -> tuple[Fact, ...] | str:
    """Return the facts that ``prompt`` asks for, or what is wrong with it."""
    *told, request = prompt[len(PREFIX) :].split(". ")
    facts = parse_facts(told)
    if not facts:
        return 'the prompt should tell facts like "Mia has a white ring." and end with a name or "All?"'
    if request == ALL:
        return facts
    name = request.removesuffix("?")
    return next(((fact,) for fact in facts if fact.name == name), f"the prompt does not say what {name} has")
