"""Runs that are kept, opened again, handed in and taken away: equal event for event, or refused with a sentence."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backend.kept import KeptRuns
from backend.store import dump_run, parse_text
from components import exports
from tests.browser.conftest import Site, Visit, cells, fill, run, seek

pytestmark = pytest.mark.browser


def made(page: Page) -> int:
    fill(page, "prompt", "sum: 417923+193112=")
    fill(page, "length", "10")
    return run(page)


def press(page: Page, name: str) -> None:
    page.locator(".deeds").get_by_role("button", name=name, exact=True).click()


def saved(page: Page) -> None:
    press(page, "Save")
    expect(page.locator(".note p[role=status]")).to_contain_text("Saved in this browser")


def test_a_saved_run_is_opened_renamed_and_deleted_and_is_equal_after_the_server_forgot_it(real: Site, visit: Visit) -> None:
    page = visit(real)
    made(page)
    before = dump_run(real.run_of(page).events_so_far)
    saved(page)
    saved(page)  # twice is once
    real.engine._kept = KeptRuns(64, 2**28)
    page.reload()
    page.wait_for_function("document.documentElement.dataset.unmask === 'ready' && window.unmask.trace.steps > 0")
    press(page, "Runs")
    item = page.locator(".kept-sheet[open] .kept li")
    expect(item).to_have_count(1)
    item.get_by_role("button", name="Rename").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("<b>mine</b>")
    page.keyboard.press("Enter")
    expect(item.locator("b")).to_have_text("<b>mine</b>")
    item.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_function("window.unmask.trace.start.run !== 'example' && window.unmask.trace.end !== null")
    assert dump_run(real.run_of(page).events_so_far) == before
    press(page, "Runs")
    item.get_by_role("button", name="Delete").click()
    item.get_by_role("button", name="Really delete?").click()
    expect(page.locator(".kept-sheet[open] .none")).to_contain_text("None yet")


def test_a_run_is_handed_in_as_text_and_as_a_file(real: Site, visit: Visit, tmp_path: Path) -> None:
    page = visit(real)
    made(page)
    events = real.run_of(page).events_so_far
    first = page.evaluate("window.unmask.trace.start.run")
    press(page, "Runs")
    page.get_by_role("textbox", name="A run as text").fill(exports.lines(events))
    page.get_by_role("button", name="Open the text").click()
    page.wait_for_function("first => window.unmask.trace.start.run !== first && window.unmask.trace.end !== null", arg=first)
    assert real.run_of(page).events_so_far == events
    second = page.evaluate("window.unmask.trace.start.run")
    (tmp_path / "mine.unmask").write_bytes(dump_run(events))
    press(page, "Runs")
    page.get_by_label("A run file").set_input_files(tmp_path / "mine.unmask")
    page.wait_for_function("second => window.unmask.trace.start.run !== second && window.unmask.trace.end !== null", arg=second)
    assert real.run_of(page).events_so_far == events


@pytest.mark.parametrize(("text", "words"), [
    ("", "is empty"),
    ("<img src=x onerror=window.ran=1>", "cannot be read"),
    ('{"kind":"<img src=x onerror=window.ran=1>"}', "cannot be read"),
    ('{"format":"unmask-run","version":99,"events":0,"sha256":""}', "version 99"),
])
def test_a_broken_or_hostile_text_is_refused_and_the_run_that_is_shown_stays(real: Site, visit: Visit, text: str, words: str) -> None:
    page = visit(real, bears="422")
    steps = made(page)
    shown, before = page.evaluate("window.unmask.trace.start.run"), cells(page)
    press(page, "Runs")
    page.get_by_role("textbox", name="A run as text").fill(text)
    page.get_by_role("button", name="Open the text").click()
    expect(page.locator(".kept-said.bad")).to_contain_text(words)
    assert page.evaluate("[window.unmask.trace.start.run, window.unmask.trace.steps, window.ran === undefined]") == [shown, steps, True]
    assert cells(page) == before and page.locator(".kept-sheet img").count() == 0


@pytest.mark.parametrize(("sabotage", "words"), [
    ("() => { IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); }; }", "does not let the page store anything"),
    ("() => { IDBObjectStore.prototype.put = function () { this.transaction.abort(); throw new DOMException('full', 'QuotaExceededError'); }; }", "storage for this page is full"),
], ids=["forbidden", "full"])
def test_storage_that_is_forbidden_or_full_is_said_and_nothing_is_lost(real: Site, visit: Visit, sabotage: str, words: str) -> None:
    page = visit(real)
    made(page)
    before = cells(page)
    page.evaluate(sabotage)
    press(page, "Save")
    expect(page.locator(".note.bad")).to_contain_text(words)
    assert cells(page) == before


def test_a_run_that_the_server_has_forgotten_cannot_be_saved_and_says_so(real: Site, visit: Visit) -> None:
    page = visit(real, bears="404")
    made(page)
    real.engine._kept = KeptRuns(64, 2**28)
    press(page, "Save")
    expect(page.locator(".note.bad")).to_contain_text("does not keep this run any more")


def downloaded(page: Page, name: str, tmp_path: Path) -> Path:
    with page.expect_download() as given:
        page.locator(".kept-sheet[open]").get_by_label(f"Download: {name}").click()
    path = tmp_path / given.value.suggested_filename
    given.value.save_as(path)
    return path


def test_what_is_exported_is_the_run_that_is_shown(real: Site, visit: Visit, tmp_path: Path) -> None:
    page = visit(real)
    steps = made(page)
    events = real.run_of(page).events_so_far
    seek(page, 4)
    page.evaluate("window.unmask.select.setLayer('confidence')")
    press(page, "Export")
    assert parse_text(downloaded(page, "Run file", tmp_path).read_bytes()) == events
    assert parse_text(downloaded(page, "Events", tmp_path).read_bytes()) == events
    assert downloaded(page, "Scores", tmp_path).read_text() == exports.scores_table(events)
    assert downloaded(page, "Code", tmp_path).read_text() == exports.snippet(events)
    assert "<html" in downloaded(page, "Page that plays", tmp_path).read_text()[:2000]
    still = ElementTree.parse(downloaded(page, "SVG of step 4", tmp_path)).getroot()
    texts = [node.text for node in still.iter("{http://www.w3.org/2000/svg}text")]
    shown = [text or "∎" for text in cells(page) if text is not None]
    assert [text for text in texts if text][2:-2] == shown and texts[-1] == f"step 4 of {steps}" and any("confidence" in (text or "") for text in texts)
    moving = ElementTree.parse(downloaded(page, "SVG that plays", tmp_path)).getroot()
    assert len(list(moving.iter("{http://www.w3.org/2000/svg}animate"))) > 10
    assert downloaded(page, "PNG of step 4", tmp_path).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_pictures_of_hostile_tokens_are_text(hostile: Site, visit: Visit, tmp_path: Path) -> None:
    page = visit(hostile)
    fill(page, "prompt", "x")
    fill(page, "length", "20")
    run(page)
    press(page, "Export")
    for name in ("SVG of step 20", "SVG that plays"):
        root = ElementTree.parse(downloaded(page, name, tmp_path)).getroot()
        names = {node.tag.partition("}")[2] for node in root.iter()}
        assert names <= {"svg", "title", "rect", "text", "g", "animate"}


def test_two_tabs_that_write_the_same_run_keep_it_once_and_whole(real: Site, visit: Visit) -> None:
    page = visit(real)
    made(page)
    run_id = page.evaluate("window.unmask.trace.start.run")
    other = page.context.new_page()
    other.goto(f"{real.address}/#run={run_id}")
    other.wait_for_function("run => window.unmask?.trace?.start?.run === run && window.unmask.trace.end", arg=run_id)
    for tab in (page, other):  # both are under way before either is awaited
        tab.get_by_role("button", name="Save", exact=True).dispatch_event("click")
    for tab in (page, other):
        expect(tab.locator(".note p[role=status]")).to_contain_text("Saved in this browser")
    kept = page.evaluate("async () => { const shelf = await import('/assets/shelf.js'); return [(await shelf.listed()).length, await shelf.get(window.unmask.trace.start.run)]; }")
    assert kept[0] == 1 and parse_text(kept[1]["text"].encode()) == real.run_of(page).events_so_far
    rename, delete = "async run => (await import('/assets/shelf.js')).rename(run, 'mine')", "async run => (await import('/assets/shelf.js')).remove(run)"
    other.evaluate(delete, run_id)
    page.evaluate(rename, run_id)
    assert page.evaluate("async () => (await (await import('/assets/shelf.js')).listed()).length") == 0
    assert page.evaluate("window.unmask.trace.end.reason") == "done"  # the run that is shown is untouched
