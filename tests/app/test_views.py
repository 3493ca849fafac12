"""Static views: the canvas as a table, sentences about runs, the help page."""

from __future__ import annotations

from dataclasses import fields

import pytest

from backend.decoders.catalogue import DECODERS
from backend.events import Event, Step
from backend.measures.catalogue import MEASURES
from backend.tasks.catalogue import TASKS
from components.canvas_view import cells, table
from components.help_view import help_page
from components.html import text
from components.summary_view import decoder_line, run_line
from tests.app.fakes import MASK, NASTY, recorded


def test_the_canvas_at_a_step_holds_what_was_written_until_then(events: tuple[Event, ...]) -> None:
    assert [cell.state for cell in cells(events, 0)] == ["prompt", "prompt", "masked", "masked", "masked"]
    assert [cell.state for cell in cells(events, 1)] == ["prompt", "prompt", "masked", "written", "masked"]
    written = cells(events, 2)[2]
    assert (written.text, written.step, written.probability) == ("b", 2, 0.9)
    assert written.label == "position 2, 'b', written at step 2, probability 0.90"


def test_a_step_that_is_not_in_the_run_is_refused(events: tuple[Event, ...]) -> None:
    with pytest.raises(ValueError, match="0 to 2"):
        cells(events, 3)


def test_written_positions_keep_their_step_when_the_canvas_grows_before_them() -> None:
    start, first, second, end = recorded()
    grown = Step(2, 2, 10, 0.3, grows=((2, 1),), masked=(2, 4))
    states = [(cell.state, cell.step) for cell in cells((start, first, grown), 2)]
    assert states == [("prompt", None)] * 2 + [("masked", None)] * 2 + [("written", 1), ("masked", None)]


def test_an_erased_position_is_masked_again() -> None:
    start, first, *_ = recorded()
    erased = Step(2, 2, 10, 0.3, erases=(3,), masked=(2, 4))
    assert cells((start, first, erased), 2)[3].state == "masked"


def test_a_token_that_looks_like_markup_is_shown_as_text(events: tuple[Event, ...]) -> None:
    markup = table(events, 2)
    assert NASTY not in markup and text(NASTY) in markup
    assert str(MASK) not in markup.replace("0.9", "")


def test_a_run_is_summed_up_in_a_sentence(events: tuple[Event, ...]) -> None:
    assert "3 tokens in 2 forward passes (1.50 per pass)" in run_line(events)
    assert "goes on" in run_line(events[:-1])


def test_the_help_explains_every_decoder_score_and_task() -> None:
    page = help_page(("/assets/page.css",))
    for decoder in DECODERS:
        assert text(decoder.title) in page and decoder_line(decoder) in page and f'href="./decoders#{decoder.name}"' in page
    assert all(text(measure.help) in page for measure in MEASURES)
    assert all(text(task.help) in page for task in TASKS)
    assert "<script" not in page
