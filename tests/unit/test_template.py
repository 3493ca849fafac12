"""Infilling: what a template with blanks means."""

from __future__ import annotations

import pytest

from backend import RequestError, RunRequest, replay, run
from backend.canvas import steps_of
from backend.template import parsed
from tests.conftest import FakeModel


def fixed(text: str) -> dict[int, int]:
    return {place: ord(sign) for place, sign in enumerate(text) if sign != " "}


@pytest.mark.parametrize(("text", "length", "fixed_"), [
    ("ab_", 3, fixed("ab")), ("▢", 1, {}), ("_{3}x", 4, fixed("   x")), ("a▢_b", 4, fixed("a  b")), ("_{0}a_", 2, fixed("a")),
    (r"\__", 2, fixed("_")), (r"a\\_", 3, fixed("a\\")), ("a{2}_", 5, fixed("a{2}")), ("a\\b_", 4, fixed("a\\b")),
])
def test_blanks_are_places_and_the_rest_is_fixed(text: str, length: int, fixed_: dict) -> None:
    assert parsed(FakeModel(), text) == (length, fixed_)


@pytest.mark.parametrize("text", ["ab", "", r"\_", "_{0}"])
def test_a_template_without_a_blank_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="no blank"):
        parsed(FakeModel(), text)


def test_a_begin_token_is_no_word_of_the_answer() -> None:
    class Beginning(FakeModel):
        def encode(self, text):
            return (7, *super().encode(text))

    assert parsed(Beginning(), "a_") == (2, {0: 97})


def test_words_that_the_model_has_no_tokens_for_are_named(tiny) -> None:
    with pytest.raises(RequestError, match="unknown to this model"):
        parsed(tiny, "é_")


def test_a_run_of_a_template_keeps_its_words() -> None:
    model = FakeModel()
    length, words = parsed(model, "The ▢▢▢ sea")
    events = tuple(run(model, RunRequest("llada", prompt="2+2=", length=length, fixed=words)))
    answer = replay(events, len(steps_of(events)))[4:]
    assert bytes(token % 256 for token in answer).decode("latin-1").startswith("The ")
    assert all(answer[place] == token for place, token in words.items()) and len(steps_of(events)) == 3
