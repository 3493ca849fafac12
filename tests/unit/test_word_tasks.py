"""The word tasks: right answers, splits that never share a fact, checkers that say what is wrong.

Run: ``python -m pytest tests/unit/test_word_tasks.py``
"""

from __future__ import annotations

import json
import random
import re

import pytest

from backend.tasks.catalogue import TASKS, find_task
from backend.tasks.json_record import JsonRecord
from backend.tasks.people import COLORS, NAMES, THINGS
from backend.tasks.story import Story
from backend.tasks.who import Who
from backend.training.recipes import RECIPES

WORDS = (Who(), JsonRecord(), Story())
FACT = re.compile(rf"({'|'.join(NAMES)})(?: has (?:a|the) |, )({'|'.join(COLORS)}) ({'|'.join(THINGS)})\b")
each_task = pytest.mark.parametrize("task", WORDS, ids=lambda task: task.name)


def examples(task, split, count=60, seed=0):
    """Return ``count`` examples of one seed."""
    rng = random.Random(seed)
    return [task.generate(rng, split) for _ in range(count)]


def changed(text, words, rng):
    """Replace one of ``words`` in ``text`` by another of its kind; None where none occurs."""
    found = [match for match in re.finditer("|".join(words), text)]
    if not found:
        return None
    match = rng.choice(found)
    other = rng.choice([word for word in words if word not in text])
    return text[: match.start()] + other + text[match.end() :]


@each_task
@pytest.mark.parametrize("split", ["train", "test"])
def test_generated_answers_are_right_belong_to_their_task_and_fit_the_offered_length(task, split):
    tokenizer = RECIPES["tiny-words"].tokenizer()
    for example in examples(task, split):
        verdict = task.check(example.prompt, example.answer)
        assert verdict.right, verdict.why
        assert [other.name for other in TASKS if other.matches(example.prompt)] == [task.name]
        assert len(tokenizer.encode(example.answer).ids) < task.length


@each_task
def test_no_fact_of_a_test_prompt_is_ever_told_in_training(task):
    tested = {fact for example in examples(task, "test", 1500) for fact in FACT.findall(example.prompt)}
    told = {fact for other in WORDS for example in examples(other, "train", 1500)
            for fact in FACT.findall(f"{example.prompt} {example.answer}")}
    assert len(tested) > 100
    assert tested.isdisjoint(told)


@each_task
@pytest.mark.parametrize("words", [NAMES, COLORS, THINGS], ids=["name", "color", "thing"])
def test_an_answer_with_one_word_changed_is_wrong_with_a_reason(task, words):
    rng = random.Random(3)
    for example in examples(task, "test", 40):
        answer = changed(example.answer, words, rng)
        verdict = task.check(example.prompt, answer)
        assert not verdict.right
        assert verdict.why


@pytest.mark.parametrize("answer", ["", ".", "{}", "[]", "null", "Mia has a white ring", "Mia has a white ring. " * 9, "1"])
@each_task
def test_a_malformed_answer_is_wrong_with_a_reason(task, answer):
    example = task.generate(random.Random(0), "test")
    verdict = task.check(example.prompt, answer)
    assert not verdict.right
    assert verdict.why


@pytest.mark.parametrize("body", ["", ".", "Ann?", "Ann has a gold bell.", "Ann, gold", "Ann has a gold bell. Bob?"])
@each_task
def test_a_malformed_prompt_is_judged_without_an_error(task, body):
    prompt = f"{task.name}: {body}"
    assert find_task(prompt).name == task.name
    assert not task.check(prompt, "Ann has a gold ball.").right


@pytest.mark.parametrize("asked", ["What does Mia have?", "Who has the ring?"])
def test_who_wants_the_sentence_of_the_one_asked_for(asked):
    prompt = f"who: Ann has a gold bell. Mia has a white ring. {asked}"
    assert Who().check(prompt, "Mia has a white ring.").right
    assert Who().check(prompt, "Ann has a gold bell.").why == "the name should be Mia, not Ann"
    assert Who().check(prompt, "Mia has a gold ring.").why == "the ring of Mia is white, not gold"
    assert Who().check(prompt, "Mia has a white bell.").why == "Mia has a ring, not a bell"


def test_json_takes_any_white_space_and_names_the_wrong_key():
    prompt = "json: Ann has a gold bell. Mia has a white ring. Mia?"
    record = {"name": "Mia", "color": "white", "toy": "ring"}
    assert JsonRecord().check(prompt, json.dumps(record, indent=1)).right
    assert "keys should be name, color, toy" in JsonRecord().check(prompt, '{"name":"Mia"}').why
    assert JsonRecord().check(prompt, '{"name":"Mia",').why == "the answer is not valid JSON"
    everyone = prompt.replace("Mia?", "All?")
    assert JsonRecord().check(everyone, json.dumps([record])).why == "the name should be Ann, not Mia"


TOLD = ("Hugo had a black kite. He took the kite to the park. There he met Mia. Mia liked the black kite. "
        "Hugo gave the kite to Mia. Mia was happy and she said thank you. Now Mia has the black kite.")


@pytest.mark.parametrize(("was", "becomes", "why"), [
    ("the kite to the park", "the ring to the park", "should have kite as the thing, not ring"),
    ("He took", "She took", "should have He as the pronoun, not She"),
    ("met Mia", "met Hugo", "calls the friend Hugo, like the hero"),
    ("and she said", "and he said", "should have she as the pronoun, not he"),
    ("liked the black", "liked the white", "should have black as the color, not white"),
    ("Hugo gave the kite to Mia. ", "", "does not continue the story"),
    (" Now Mia has the black kite.", "", "the story stops before its end"),
])
def test_a_story_that_contradicts_itself_is_wrong_and_the_sentence_is_named(was, becomes, why):
    assert Story().check("story: Hugo, black kite.", TOLD).right
    verdict = Story().check("story: Hugo, black kite.", TOLD.replace(was, becomes))
    assert not verdict.right
    assert verdict.why.endswith(why)


def test_a_name_a_color_or_a_thing_is_one_token_in_every_context():
    tokenizer = RECIPES["tiny-words"].tokenizer()
    for texts in (("Ann has a gold bell.", "What does Ann have?", '{"name":"Ann","color":"gold","toy":"bell"}'),
                  ("story: Ann, gold bell.", "Now Ann has the gold bell again.")):
        for text in texts:
            tokens = tokenizer.encode(text).tokens
            assert tokenizer.decode(tokenizer.encode(text).ids) == text
            assert {word for word in ("Ann", "gold", "bell") if word in text} <= set(tokens)
