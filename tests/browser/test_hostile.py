"""Text of models and visitors is shown as text, whatever it looks like.

The last tests take every payload of ``tests/payloads.py`` through every path by which a text comes in, and
look for it in every view: many of them on one page, so that the whole costs a few seconds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from backend import load_model, show
from backend.events import End, Event, Start
from backend.store import dump_run
from tests.app.fakes import recorded
from tests.browser.conftest import NASTY, Site, Visit, fill, painted, run, seek, site
from tests.payloads import PAYLOADS

pytestmark = pytest.mark.browser

# A cell shows a leading space as a dot of its own and line ends as signs; half a character cannot travel.
SHOWN = [text.encode("utf-8", "replace").decode() for text in NASTY]


FOREIGN = """(() => {
  const made = "img, script, iframe, object, embed, base, meta, link, style, marquee, math, video, audio, template, form[action], a[href^='javascript' i], b b";
  const root = document.querySelector("#unmask") ?? document.body;
  return [...root.querySelectorAll(made), ...[...root.querySelectorAll("*")].filter(node => [...node.attributes].some(({ name }) => name.startsWith("on")))].map(node => node.outerHTML.slice(0, 200));
})()"""
"""What no view of the page builds, and what could run code."""

TEXTS = "root => [root, ...root.querySelectorAll('*')].flatMap(node => [...node.childNodes].filter(part => part.nodeType === 3).map(part => part.data).concat(typeof node.value === 'string' ? node.value : []))"
"""The texts of a part of the page, one by one, and what its fields hold."""


def unharmed(page: object) -> None:
    assert page.evaluate("window.ran === undefined")
    assert page.evaluate(FOREIGN) == []


def test_tokens_that_look_like_code_are_shown_literally(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    fill(page, "prompt", "<b>${window.ran=1}{{x}}</b>")
    fill(page, "length", "40")
    steps = run(page)
    for step in (steps // 2, steps):
        seek(page, step)
        page.locator(".tokens .cell").nth(step % 7).hover()
        unharmed(page)
    seen = page.evaluate("[...document.querySelectorAll('.tokens .cell')].map(cell => cell.textContent)")
    assert set(seen) <= {*SHOWN, ""} and len(set(seen)) >= 5
    listed = page.evaluate("[...document.querySelectorAll('.bars .name')].map(name => name.textContent)")
    assert {name for name in listed if name} <= {*SHOWN, "mask", "∎ end"}
    assert page.locator(".answer-text").inner_text() == page.evaluate("window.unmask.trace.end.text")
    chips = page.evaluate("[...document.querySelectorAll('.prompt-tokens .chip')].map(chip => chip.textContent)")
    assert set(chips) <= set(SHOWN)
    unharmed(page)


def test_labels_for_screen_readers_hold_the_same_text(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    fill(page, "prompt", "x")
    fill(page, "length", "20")
    run(page)
    labels = page.evaluate("[...document.querySelectorAll('.tokens .cell')].map(cell => cell.getAttribute('aria-label'))")
    assert all(any(f"“{text}”" in label for text in SHOWN) or "end of sequence" in label for label in labels)
    unharmed(page)


def test_the_table_of_the_canvas_shows_them_literally(hostile: Site, visit: Visit) -> None:
    page = visit(hostile)
    fill(page, "prompt", "x")
    fill(page, "length", "20")
    run(page)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Canvas as a table").click()
    table = opened.value
    table.wait_for_load_state()
    assert {text for text in table.locator("td code").all_inner_texts() if text} <= {*SHOWN, *[chr(k) for k in range(256)], "[EOS]"}
    assert table.evaluate("document.querySelectorAll('img, script').length") == 0


def test_a_prompt_that_is_refused_is_quoted_literally(real: Site, visit: Visit) -> None:
    page = visit(real)
    for prompt in ("<img src=x onerror=window.ran=1>é", "${window.ran=1}é", "{{window.ran=1}}é", "`+(window.ran=1)+`é"):
        fill(page, "prompt", prompt)
        page.locator("#run").click()
        page.locator(".problem").first.wait_for()
        page.wait_for_function("document.querySelector('#run').textContent.trim() === 'Run'")
        assert page.evaluate("window.ran === undefined") and page.locator(".problem img").count() == 0


def test_markup_that_slips_in_could_not_run(real: Site, visit: Visit) -> None:
    page = visit(real, bears="inline event handler")
    page.evaluate("document.querySelector('#unmask').insertAdjacentHTML('beforeend', '<p id=slipped onclick=\"window.ran = 1\">x</p>')")
    page.evaluate("document.getElementById('slipped').click()")
    assert page.evaluate("window.ran === undefined")
    painted(page, page.evaluate("window.unmask.clock.t"))


@pytest.fixture(scope="module")
def wild() -> Iterator[Site]:
    """The embedded model whose name, vocabulary and tokenizer speak in payloads; a prompt is the payloads that it holds."""
    model = copy.copy(load_model("tiny-diffusion"))
    model.token = lambda token: PAYLOADS[token % len(PAYLOADS)]
    model.decode = lambda ids: " ".join(model.token(token) for token in ids)
    model.encode = lambda text: tuple(at for at, payload in enumerate(PAYLOADS) if payload in text)
    with site(model) as served:
        yield served


def missing(page: Page, root: str, wanted: Iterable[str] = PAYLOADS) -> list[str]:
    """Return the payloads that no text under ``root`` holds as they are."""
    texts = page.locator(root).first.evaluate(TEXTS)
    return [payload for payload in wanted if not any(payload in text for text in texts)]


def followed(page: Page, fragment: str) -> None:
    page.evaluate("fragment => { location.hash = fragment; }", fragment)


def test_every_payload_in_a_shared_link_prompt_and_vocabulary_stays_text_in_every_view(wild: Site, visit: Visit, tmp_path: Path) -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) >= 60
    page = visit(wild)
    prompt = "\n".join(PAYLOADS)
    followed(page, f"v=1&model=tiny-diffusion&decoder=llada&length=24&set.steps=3&prompt={quote(prompt)}&t=3")
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end !== null && window.unmask.clock.t === 3")
    painted(page, 3)
    assert page.locator("#field-prompt :is(textarea, input)").first.input_value() == prompt
    assert missing(page, ".prompt-tokens") == []
    written = page.evaluate("window.unmask.trace.written.flat().map(cell => window.unmask.trace.text(window.unmask.trace.id(cell, 3)))")
    assert set(written) <= set(PAYLOADS) and missing(page, ".tokens", set(written) - {PAYLOADS[wild.model.eos_id % len(PAYLOADS)]}) == []
    unharmed(page)
    page.locator(".tokens .cell").nth(2).click()  # pinned: candidates, attribution and routes all speak of it
    page.wait_for_function("document.querySelector('#why-attribution')?.dataset.shown")
    # The model's own sign for the end, and its mask, have marks of their own.
    marked = {PAYLOADS[token % len(PAYLOADS)] for token in (wild.model.eos_id, wild.model.mask_id)}
    assert set(missing(page, "#why-attribution")) <= marked
    page.get_by_role("tab", name="Routes").click()
    page.wait_for_function("document.querySelector('#why-routes')?.dataset.shown")
    page.locator(".settled-toggle, .settled button").first.click()
    unharmed(page)
    run_id = page.evaluate("window.unmask.trace.start.run")
    table = page.context.new_page()
    table.goto(f"{wild.address}/runs/{run_id}/table")
    assert missing(table, "body", set(written) - marked) == []
    unharmed(table)
    exported = tmp_path / "run.html"
    exported.write_text(show(wild.engine.find(run_id).events_so_far).html, encoding="utf-8")
    alone = visit(exported.as_uri(), offline=True)
    assert missing(alone, ".prompt-tokens") == []
    unharmed(alone)


def spoilt(payloads: Iterable[str], reason: str) -> tuple[Event, ...]:
    """Return a recorded run with the payloads in every text that a run file holds; where it is ``done`` its text is shown."""
    said = " ".join(payloads)
    start, *steps, end = recorded()
    model = replace(start.model, name=said, family=said)
    start = replace(start, request=replace(start.request, prompt=said), model=model, texts=dict(enumerate(PAYLOADS[:10])))
    steps = [replace(step, notes={"why": said, said: said}, texts={token: PAYLOADS[-token - 1] for token in range(10)}) for step in steps]
    return start, *steps, replace(end, reason=reason, text=said, message=said)


def test_every_payload_in_an_imported_run_and_its_error_stays_text(wild: Site, visit: Visit, tmp_path: Path) -> None:
    events = spoilt(PAYLOADS, "error")
    assert isinstance(events[0], Start) and isinstance(events[-1], End)
    page = visit(wild)
    page.locator(".deeds").get_by_role("button", name="Runs", exact=True).click()
    (tmp_path / "spoilt.unmask").write_bytes(dump_run(events))
    page.get_by_label("A run file").set_input_files(tmp_path / "spoilt.unmask")
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end !== null")
    seek(page, 2)
    page.locator(".tokens .cell").first.hover()
    assert missing(page, ".banners") == []
    unharmed(page)
    for reason, shown in (("error", ()), ("done", PAYLOADS)):  # a file that plays says nothing of how it came to its end
        exported = tmp_path / f"{reason}.html"
        exported.write_text(show(spoilt(PAYLOADS, reason)).html, encoding="utf-8")
        alone = visit(exported.as_uri(), offline=True)
        seek(alone, 2)
        if shown:
            expect(alone.locator(".answer-text")).to_contain_text(shown[-1])
        assert missing(alone, ".answer-text", shown) == []
        unharmed(alone)


def test_every_payload_as_the_title_of_a_kept_run_stays_text(wild: Site, visit: Visit) -> None:
    page = visit(wild)
    page.evaluate("""async payloads => {
      const shelf = await import('/assets/shelf.js');
      for (const [at, name] of payloads.entries())
        await shelf.put({ key: String(at), name, at, decoder: name, model: name, steps: 1, verdict: name, text: name });
    }""", list(PAYLOADS))
    page.locator(".deeds").get_by_role("button", name="Runs", exact=True).click()
    expect(page.locator(".kept li")).to_have_count(len(PAYLOADS))
    assert sorted(page.locator(".kept li b").all_inner_texts()) == sorted(PAYLOADS)
    page.locator(".kept li").first.get_by_role("button", name="Rename").click()
    assert page.get_by_role("textbox", name="Name", exact=True).input_value() == PAYLOADS[-1]
    unharmed(page)


def short(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most]


def test_every_payload_as_the_name_of_a_lesson_is_quoted(wild: Site, visit: Visit) -> None:
    page = visit(wild)
    for payload in PAYLOADS:
        followed(page, f"lesson={quote(payload)}")
        page.wait_for_function("text => document.querySelector('.note p').textContent.includes(text)", arg=short(payload, 39))
        if page.get_by_role("button", name="Close this message").is_visible():
            page.get_by_role("button", name="Close this message").click()
    unharmed(page)


def test_every_payload_in_an_error_about_a_request_is_quoted(wild: Site, visit: Visit) -> None:
    page = visit(wild)
    kinds = ("model", "decoder", "score", "unit", "run", "length")
    for first in range(0, len(PAYLOADS), len(kinds)):
        chosen = PAYLOADS[first : first + len(kinds)]
        followed(page, "v=1&prompt=x&" + "&".join(f"{kind}={quote(payload)}" for kind, payload in zip(kinds, chosen, strict=False)))
        for payload in chosen:
            page.wait_for_function("text => document.querySelector('.note p').textContent.includes(text)", arg=short(payload, 39))
        page.get_by_role("button", name="Close this message").click()
    unharmed(page)
