"""What a visitor sees: the example, a run, playback, candidates, the verdict, messages."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from backend import replay
from backend.canvas import steps_of
from backend.decoders.catalogue import DECODERS
from backend.events import End, Step
from benchmarks.browser import served
from components import wire
from tests.browser.conftest import Site, Visit, cells, fill, painted, press_run, run, seek
from tests.conftest import WAIT_S

pytestmark = pytest.mark.browser


def test_the_command_serves_a_page_whose_recorded_example_plays_at_once(visit: Visit) -> None:
    with served() as (address, _):
        page = visit(address)
        page.wait_for_function("window.unmask.clock.playing || window.unmask.clock.t > 0")
        page.evaluate("window.unmask.clock.setSpeed(16)")
        painted(page, page.evaluate("window.unmask.trace.steps"))
        assert page.locator(".verdict").inner_text().startswith("✓ Right")
        assert page.locator("#field-prompt :is(textarea, input)").first.input_value() == page.evaluate("window.unmask.trace.start.request.prompt")
        page.close()  # before its server is gone


def test_a_run_streams_finishes_and_is_judged(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = run(page)
    events = real.run_of(page).events_so_far
    assert steps == len(steps_of(events)) == 20
    verdict = wire.verdict(events[-1], events[0])
    shown = page.locator(".verdict").inner_text()
    assert shown.startswith("✓ Right" if verdict["right"] else "✗ Wrong") and verdict["why"] in shown
    expect(page.locator("#run")).to_have_text("Run")
    expect(page.locator("#stop")).to_be_disabled()


def test_a_wrong_answer_is_called_wrong_with_the_reason(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "sum: 999999+999999=")
    fill(page, "length", "2")  # too short for any right answer
    run(page)
    end = real.run_of(page).events_so_far[-1]
    shown = page.locator(".verdict").inner_text()
    assert shown.startswith("✗ Wrong") and wire.verdict(end, real.run_of(page).events_so_far[0])["why"] in shown


def test_a_prompt_that_nothing_can_judge_says_so(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "abc")
    page.wait_for_function("document.querySelector('#task-help').textContent.includes('No program')")
    run(page)
    assert page.locator(".verdict").inner_text().strip() == "No program can judge this answer."


def test_the_readouts_are_those_of_the_run(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.locator("#settings > button").click()
    page.locator("#field-settings-llada-steps input").fill("10")
    steps = run(page)
    events = real.run_of(page).events_so_far
    assert steps == 10 and events[0].settings["steps"] == 10
    for step in (3, 10):
        seek(page, step)
        at = steps_of(events)[step - 1]
        written = sum(len(item.writes) for item in steps_of(events)[:step])
        assert page.locator(".readout.written dd").inner_text() == f"{written} of 20"
        assert page.locator(".readout.passes dd").inner_text() == str(at.passes)
        assert page.locator(".readout.rate dd").inner_text() == f"{written / at.passes:.2f}"
        assert page.locator(".readout.time dd").inner_text() == f"{at.elapsed_s:.2f} s"


def test_live_equals_playback_equals_replay_in_python_at_every_step(gated: Site, visit: Visit) -> None:
    page = visit(gated)
    fill(page, "prompt", "2+2=")
    fill(page, "length", "7")
    page.evaluate("window.unmask.clock.autoReplay = false; window.unmask.select.setGuesses(false)")
    press_run(page)
    painted(page, 0)
    live = [cells(page)]
    for step in range(1, 8):
        gated.model.permits.release()
        painted(page, step)
        live.append(cells(page))
    page.wait_for_function("window.unmask.trace.end !== null")
    events = gated.run_of(page).events_so_far
    for step in reversed(range(8)):
        seek(page, step)
        expected = replay(events, step)
        assert page.evaluate("step => window.unmask.trace.canvas(step)", step) == list(expected)
        shown = [None if token == 256 else "" if token == 257 else page.evaluate("id => window.unmask.trace.text(id)", token) for token in expected[4:]]
        assert cells(page) == live[step]
        assert [text is None for text in live[step]] == [text is None for text in shown]
    assert page.locator("[data-lost]").first.get_attribute("data-lost") == "0"


def test_stop_frees_the_model_before_the_next_step(gated: Site, visit: Visit) -> None:
    page = visit(gated)
    fill(page, "prompt", "2+2=")
    fill(page, "length", "40")
    passes = gated.model.passes
    press_run(page)
    gated.model.permits.release(2)
    painted(page, 2)
    page.get_by_role("button", name="Stop", exact=True).click()
    run_ = gated.run_of(page)
    until = time.monotonic() + WAIT_S
    while not run_.cancelled and time.monotonic() < until:
        page.evaluate("1")
    assert run_.cancelled
    gated.model.permits.release(1)  # the pass that was under way
    page.wait_for_function("window.unmask.trace.end !== null")
    assert run_.events_so_far[-1].reason == "cancelled" and gated.model.passes - passes <= 3
    page.locator(".banner").get_by_text("Stopped by you after").wait_for()
    page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Run' && !document.querySelector('#run').disabled")
    assert page.locator(".at").inner_text().endswith("stopped by you")


def test_enter_during_a_run_starts_no_second_one_and_stop_reaches_the_first(gated: Site, visit: Visit) -> None:
    page = visit(gated)
    fill(page, "prompt", "2+2=")
    fill(page, "length", "40")
    press_run(page)
    gated.model.permits.release(1)
    painted(page, 1)
    shown = gated.run_of(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    entry = page.locator("#field-prompt :is(textarea, input)").first
    entry.press("Enter")
    page.get_by_role("button", name="Stop", exact=True).click()
    until = time.monotonic() + WAIT_S
    while not shown.cancelled and time.monotonic() < until:
        page.evaluate("1")
    gated.model.permits.release(1)
    page.wait_for_function("window.unmask.trace.end !== null")
    assert shown.cancelled and gated.run_of(page) is shown
    assert gated.engine.find(shown.id).events_so_far[-1].reason == "cancelled"
    assert len(asked) <= 1  # Stop alone


def test_leaving_the_page_ends_the_run(gated: Site, visit: Visit) -> None:
    page = visit(gated)
    fill(page, "prompt", "2+2=")
    fill(page, "length", "40")
    press_run(page)
    run_ = gated.run_of(page)
    gated.model.permits.release(1)
    painted(page, 1)
    page.close()
    other = visit(gated)
    until = time.monotonic() + WAIT_S
    while not run_.ended and time.monotonic() < until:
        gated.model.permits.release(1)
        other.evaluate("1")
    assert run_.events_so_far[-1].reason == "cancelled" and len(steps_of(run_.events_so_far)) < 40


def test_playback_plays_scrubs_and_keeps_its_speed(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = run(page)
    head = page.get_by_role("slider", name="Playhead")
    head.evaluate("(node) => { node.value = 500; node.dispatchEvent(new Event('input', { bubbles: true })); }")
    painted(page, steps // 2)
    page.get_by_role("button", name="One step forward").click()
    painted(page, steps // 2 + 1)
    page.get_by_role("button", name="First step").click()
    painted(page, 0)
    assert set(cells(page)) == {None}
    page.get_by_role("combobox", name="Speed").select_option("16")
    page.get_by_role("button", name="Play", exact=True).click()
    painted(page, steps)
    page.wait_for_function("!window.unmask.clock.playing")
    assert page.get_by_role("combobox", name="Speed").input_value() == "16"
    assert page.locator(".at").inner_text().startswith(f"step {steps} of {steps}")


def test_moving_in_time_asks_the_server_for_nothing_but_candidates(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = run(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for step in (3, 15, 0, steps):
        seek(page, step)
    assert not [url for url in asked if "/candidates" not in url]


def test_hovering_a_token_shows_the_recorded_candidates(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = run(page)
    events = real.run_of(page).events_so_far
    first = events[0].prompt_length
    for step, rank in ((steps, 0), (5, 7), (12, 18)):
        seek(page, step)
        page.locator(".tokens .cell").nth(rank).hover()
        page.get_by_role("heading", name=f"Position {first + rank}", exact=True).wait_for()
        written = next((item for item in steps_of(events)[:step] if first + rank in {at for at, *_ in item.writes}), None)
        seen = written or steps_of(events)[step - 1]
        at = seen.candidates.positions.index(first + rank)
        page.wait_for_function("id => document.querySelector('.bars li').dataset.id === String(id)", arg=seen.candidates.ids[at][0])
        rows = page.evaluate("[...document.querySelectorAll('.bars li')].map(row => [row.dataset.id, row.querySelector('.prob').textContent])")
        assert [int(token) for token, _ in rows] == list(seen.candidates.ids[at])
        for (_, shown), probability in zip(rows, seen.candidates.probabilities[at], strict=True):
            assert says(shown, probability), (shown, probability)
        if written is not None:
            _, token, probability = next(write for write in written.writes if write[0] == first + rank)
            said = page.locator(".token-line").inner_text().rsplit(" ", 1)[1]
            assert says(said, probability) and said == dict(rows)[str(token)]


def says(shown: str, probability: float) -> bool:
    """Tell whether a text stands for a probability: three digits, and 0 or 1 for nothing but these."""
    bounds = {"<.001": (0.0, 0.001), ">.999": (0.9995, 1.0)}
    if shown in bounds:
        low, high = bounds[shown]
        return low <= probability < high
    return 0.001 <= probability and abs(float(shown) - probability) <= (0.0005 if probability < 1 else 0.0)


def test_a_pinned_token_stays_and_says_why_it_was_written(real: Site, visit: Visit) -> None:
    page = visit(real)
    run(page)
    events = real.run_of(page).events_so_far
    step = steps_of(events)[8]
    rank = step.writes[0][0] - events[0].prompt_length
    page.locator(".tokens .cell").nth(rank).click()
    page.mouse.move(2, 2)
    page.get_by_role("heading", name=f"Position {step.writes[0][0]}", exact=True).wait_for()
    assert step.notes["why"] in page.locator(".why").inner_text()
    page.get_by_role("button", name="Unpin").click()
    expect(page.locator(".cell.pin")).to_have_count(0)


def test_the_canvas_is_coloured_as_the_legend_says(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = run(page)
    events = real.run_of(page).events_so_far
    measures = {item["title"]: item for item in wire.measures(events[0])}
    seek(page, steps)
    for layer, words in (("Order", "bright = written later"), ("Confidence", "probability · bright = surer"), ("Entropy", "nats · bright = less sure")):
        page.get_by_role("radio", name=layer, exact=True).click()
        page.wait_for_function("words => document.querySelector('.ramp .unit').textContent.includes(words)", arg=words)
        page.wait_for_function("layer => document.querySelector(`[data-layer=${layer}]`).getAttribute('aria-checked') === 'true'", arg=layer.lower())
        for step in steps_of(events):
            share = (step.index - 1) / (steps - 1) if layer == "Order" else _share(step, measures[layer])
            near = page.evaluate(NEAR, share)
            cell = page.locator(".tokens .cell").nth(step.writes[0][0] - events[0].prompt_length)
            assert cell.evaluate("node => node.style.getPropertyValue('--c')") in near


NEAR = """async share => { const { CSS, index } = await import('/assets/palette.js');
  return [index(share - 1e-4), index(share + 1e-4)].map(k => CSS[Math.max(0, k)]); }"""


def _share(step: Step, measure: dict[str, object]) -> float:
    """Return the score of the step's first write as a share of its range, from the recorded event."""
    value = step.scores[measure["name"]][step.masked.index(step.writes[0][0])]
    return (value - measure["low"]) / (measure["high"] - measure["low"])


def test_the_tail_is_greyed_left_out_of_the_copy_and_counted_apart(real: Site, visit: Visit) -> None:
    page = visit(real, permissions=["clipboard-read", "clipboard-write"])
    fill(page, "prompt", "sum: 12+34=")
    fill(page, "length", "12")
    run(page)
    end = real.run_of(page).events_so_far[-1]
    assert isinstance(end, End) and end.totals.tail_tokens > 1
    expect(page.locator(".tokens .cell.tail")).to_have_count(end.totals.tail_tokens)
    assert page.locator(".answer-text").inner_text() == end.text
    assert page.locator(".answer .count").inner_text() == f"{end.totals.answer_tokens} answer tokens, {end.totals.tail_tokens} after end of sequence"
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == end.text


def test_an_example_of_every_task_opens_and_runs(real: Site, visit: Visit) -> None:
    page = visit(real)
    offered = page.evaluate("[...document.querySelectorAll('#examples optgroup')].map(group => [group.label, group.children[0].value])")
    assert len(offered) >= 4
    for title, value in offered:
        before = page.locator("#field-prompt :is(textarea, input)").first.input_value()
        page.locator("#examples select").select_option(value)
        page.wait_for_function("before => document.querySelector('#field-prompt :is(textarea, input)').value !== before", arg=before)
        page.wait_for_function("title => document.querySelector('#task-help').textContent.trim().startsWith(title)", arg=title)
        run(page)
        assert page.evaluate("window.unmask.trace.start.task.title") == title
        assert page.locator(".verdict b").inner_text() in ("✓ Right", "✗ Wrong")


def test_every_decoder_runs_with_its_own_settings_shown(real: Site, visit: Visit) -> None:
    page = visit(real)
    page.locator("#settings > button").click()
    # The embedded model has no left-to-right decoders; manual waits for the reader and has tests of its own.
    offered = [decoder for decoder in DECODERS if decoder.needs <= {"bidirectional", "attention", "cache"} and decoder.name != "manual"]
    assert len(offered) > 12
    for decoder in offered:
        page.locator("#field-decoder input").click()
        page.get_by_role("option", name=f"{decoder.title} · {decoder.mark}", exact=True).click()
        page.wait_for_function("text => document.querySelector('#about-decoder').textContent.includes(text)", arg=decoder.summary)
        page.locator(f"#settings .settings-group.shown [id^=field-settings-{decoder.name}-]").first.wait_for()
        expect(page.locator("#settings .settings-group.shown")).to_have_count(1)
        run(page)
        assert page.evaluate("window.unmask.trace.start.decoder") == decoder.name
        assert page.evaluate("window.unmask.trace.end.reason") == "done"


BAD_INPUT = (
    ("length", "0", ("0 is out of range", "1 to")),
    ("length", "5000", ("5000 is out of range", "window")),
    ("length", "many", ("'many' is out of range",)),
    ("length", "", ("None is out of range",)),
    ("seed", "-1", ("-1 is out of range", "0 to")),
    ("prompt", "sum: é", ("'é'", "unknown")),
    ("prompt", "1" * 400, ("400 tokens", "window", "shorten")),
    ("settings-llada-steps", "99", ("99 is out of range", "1 to 20")),
    ("settings-llada-steps", "x", ("'x' is not a number",)),
    ("settings-llada-block_length", "7", ("7",)),
    ("settings-llada-steps", "1.5", ("1.5 is not a whole number",)),
)


def test_bad_input_gets_a_message_at_its_field(real: Site, visit: Visit) -> None:
    page = visit(real)
    shown = page.evaluate("window.unmask.trace.start.run")
    page.locator("#settings > button").click()
    page.locator("#field-settings-llada-steps input").wait_for()
    for field, text, words in BAD_INPUT:
        entry = page.locator(f"#field-{field} :is(textarea, input:not([type=range]))").first
        before = entry.input_value()
        fill(page, field, text)
        page.locator("#run").click()
        page.wait_for_function("words => [...document.querySelectorAll('.problem')].some(node => words.every(word => node.textContent.includes(word)))", arg=list(words))
        problem = page.locator(".problem")
        expect(problem).to_have_count(1)
        wrong = page.locator(f"#field-{field} [aria-invalid=true]")
        assert wrong.get_attribute("aria-errormessage") == problem.get_attribute("id")
        assert page.evaluate("field => document.querySelector(`#field-${field}`).contains(document.activeElement)", field)
        page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Run' && !document.querySelector('#run').disabled")
        fill(page, field, before)
    assert page.evaluate("window.unmask.trace.start.run") == shown


def test_all_wrong_fields_are_named_at_once_and_the_next_run_clears_them(real: Site, visit: Visit) -> None:
    page = visit(real)
    fill(page, "prompt", "é")
    fill(page, "seed", "-3")
    fill(page, "length", "0")
    page.locator("#run").click()
    page.locator(".problem").nth(2).wait_for()
    expect(page.locator("[aria-invalid=true]")).to_have_count(3)
    fill(page, "prompt", "sum: 1+1=")
    fill(page, "seed", "3")
    fill(page, "length", "4")
    run(page)
    expect(page.locator(".problem")).to_have_count(0)
    assert real.run_of(page).events_so_far[0].request.seed == 3


def test_two_visitors_do_not_see_each_others_runs(gated: Site, visit: Visit) -> None:
    pages = [visit(gated), visit(gated)]
    for page, prompt in zip(pages, ("1+1=", "2+2="), strict=True):
        fill(page, "prompt", prompt)
        fill(page, "length", "6")
        page.evaluate("window.unmask.clock.autoReplay = false")
        page.locator("#run").click()
        page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Running …'")
    gated.model.permits.release(100)  # now both are there
    for page, prompt in zip(pages, ("1+1=", "2+2="), strict=True):
        page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end !== null")
        assert page.evaluate("[window.unmask.trace.start.request.prompt, window.unmask.trace.end.reason]") == [prompt, "done"]
        assert gated.run_of(page).request.prompt == prompt and page.evaluate("window.unmask.trace.lost") == 0
    ids = {page.evaluate("window.unmask.trace.start.run") for page in pages}
    assert len(ids) == 2


def test_steps_that_got_lost_are_fetched_again(real: Site, visit: Visit) -> None:
    page = visit(real)
    steps = run(page)
    run_id = page.evaluate("window.unmask.trace.start.run")
    page.evaluate("""id => { const end = window.unmask.trace.end; window.unmask.trace.reset(null);
        window.unmask.push({ v: 1, n: 10000, run: id, lanes: 1, events: [end] }); }""", run_id)
    page.wait_for_function("steps => window.unmask.trace.steps === steps && window.unmask.trace.end !== null", arg=steps)
    assert page.evaluate("window.unmask.trace.lost") == 0
    assert page.evaluate("n => window.unmask.trace.canvas(n)", steps) == list(replay(real.run_of(page).events_so_far, steps))
