"""The pages beside the instrument: the decoders from their declarations, the measured table, many runs by request."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from backend import load_model
from backend.crowd import ManyRequest
from backend.decoders.catalogue import DECODERS, find_decoder
from backend.engine import LocalEngine
from backend.ensemble import Ensemble, Spread
from backend.errors import AppError
from backend.settings import Settings
from components import measured
from components.decoders_view import card, chance_line, needs_line, settings_text, table
from components.html import text
from components.many import _Lines
from components.many_view import sentences
from components.markdown import rendered
from components.measured import Row, by_task, front
from components.server import application
from tests.app.fakes import NASTY, FakeEngine
from tests.conftest import FakeModel

ROW = Row("tiny-diffusion", "sum", "llada", "{}", 10, 80.0, 49.0, 94.3, 10.0, 200.0, 0.9, 0.05, 0.99)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(application(Settings(), FakeEngine())) as opened:
        yield opened


@pytest.fixture(scope="module")
def serving() -> Iterator[TestClient]:
    """The application with a real engine on a fake model."""
    engine = LocalEngine(Settings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.models.loading.load_model", lambda name, **_: FakeModel())
        engine.load("tiny-diffusion")
    with TestClient(application(Settings(), engine)) as client:
        yield client
    engine.close()


@pytest.fixture
def served(serving: TestClient) -> TestClient:
    """That application, met by a visitor who was never here."""
    serving.cookies.clear()
    return serving


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_a_card_says_everything_that_a_decoder_declares(decoder: object) -> None:
    shown = card(decoder)
    for said in (decoder.title, decoder.summary, decoder.source, decoder.mark, decoder.cost, needs_line(decoder), chance_line(decoder)):
        assert text(said) in shown
    for item in fields(decoder.Settings):
        assert f"<code>{item.name}</code>" in shown and text(item.metadata["option"].help) in shown
    assert all(text(score.help) in shown for score in decoder.scores)


def test_needs_and_chance_follow_from_what_the_decoder_answers() -> None:
    assert "can keep keys and values from pass to pass where cache is prefix or dual" in needs_line(find_decoder("fast_dllm"))
    assert chance_line(find_decoder("random_order")).startswith("Draws by lot")
    assert chance_line(find_decoder("greedy")) == "Draws nothing by lot."
    assert "unless set to, by a temperature" in chance_line(find_decoder("ccd"))


def test_without_a_table_the_page_says_how_to_measure_one(client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measured, "TABLE", tmp_path / "none.csv")
    monkeypatch.setattr(measured, "CLAIMS", tmp_path / "none.md")
    page = client.get("/decoders").text
    assert "python -m benchmarks.decoders" in page and "python -m benchmarks.claims" in page
    assert client.get("/decoders.csv").status_code == 404 and "benchmarks.decoders" in client.get("/decoders.csv").text


def test_the_measured_table_is_what_the_benchmark_writes(tmp_path: Path) -> None:
    from benchmarks.decoders import Row as Written
    from benchmarks.decoders import write_table

    kinds = {"str": "x", "int": 7, "float": 1.5, "float | None": None}
    given = {item.name: kinds[item.type] for item in fields(Written)} | {"model": "m", "task": "t", "settings": '{"steps": 4}', "consistency": 0.25}
    write_table(tmp_path / "decoders.csv", [Written(**given), Written(**(given | {"consistency": None, "percent": 99.0}))])
    best, other = measured.measured(tmp_path / "decoders.csv")
    assert (best.percent, best.consistency, other.consistency) == (99.0, None, 0.25)
    assert {item.name: getattr(other, item.name) for item in fields(Row)} == {item.name: given[item.name] for item in fields(Row)}


@pytest.mark.parametrize("content", ["model,task\na,b\n", "not a table", "\x00"])
def test_a_file_that_is_no_such_table_is_refused_with_the_command(tmp_path: Path, content: str) -> None:
    path = tmp_path / "decoders.csv"
    path.write_text(f"{content}\nmore,rows\n", encoding="utf-8")
    with pytest.raises(AppError, match="python -m benchmarks.decoders"):
        measured.measured(path)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_holds_what_no_other_row_beats(pairs: list[tuple[int, int]]) -> None:
    rows = [replace(ROW, decoder=str(at), passes=float(passes), percent=float(percent)) for at, (passes, percent) in enumerate(pairs)]
    beaten = {row for row in rows for other in rows if other.passes <= row.passes and other.percent >= row.percent
              and (other.passes, other.percent) != (row.passes, row.percent)}
    assert {(row.passes, row.percent) for row in front(rows)} == {(row.passes, row.percent) for row in set(rows) - beaten}
    assert list(front(rows)) == sorted(front(rows), key=lambda row: row.passes)


def test_rows_are_grouped_by_model_and_task_and_settings_read_as_words() -> None:
    other = replace(ROW, task="tail")
    assert by_task([ROW, other, ROW]) == {("tiny-diffusion", "sum"): (ROW, ROW), ("tiny-diffusion", "tail"): (other,)}
    assert settings_text('{"cache": "dual", "steps": 4}') == "cache dual, steps 4" and settings_text("{}") == "defaults"
    assert settings_text("not json") == "not json"


def test_names_in_the_table_are_escaped() -> None:
    shown = table([replace(ROW, decoder=NASTY, settings=NASTY)], set())
    assert "<img" not in shown and text(NASTY) in shown


def test_the_chart_library_comes_from_this_host(client: TestClient) -> None:
    answer = client.get("/assets/charts/plotly.js")
    assert answer.status_code == 200 and "javascript" in answer.headers["content-type"] and len(answer.content) > 1_000_000


@pytest.mark.parametrize("path", ["/decoders", "/many"])
def test_the_pages_run_no_script_but_our_own(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200 and page.text.count("<script") == 1 and 'type="module"' in page.text
    assert "http://" not in page.text.replace("http://www.w3", "") and "frame-ancestors" in page.headers["content-security-policy"]


def test_markdown_of_our_own_pages_becomes_escaped_markup() -> None:
    shown = rendered("# Claims\n\nA **bold** `a<b` and [a paper](https://arxiv.org/abs/1) or [file](x.md).\nGoes on.\n\n"
                     "- one\n  more\n- two\n\n| a | b |\n| --- | ---: |\n| 1 | <i>2</i> |\n\n```\nx < y\n```\n", level=3)
    assert "<h3>Claims</h3>" in shown and "<strong>bold</strong>" in shown and "<code>a&lt;b</code>" in shown
    assert 'href="https://arxiv.org/abs/1"' in shown and "or file." in shown and "Goes on.</p>" in shown
    assert "<ul><li>one more</li><li>two</li></ul>" in shown
    assert "<th scope=\"col\">a</th>" in shown and "<td>&lt;i&gt;2&lt;/i&gt;</td>" in shown and "---" not in shown
    assert "<pre><code>x &lt; y</code></pre>" in shown


@given(st.text(alphabet="#|-*`[]() a<b\n1.", max_size=60))
def test_any_text_is_rendered_and_none_of_it_becomes_an_element(source: str) -> None:
    assert set(re.findall(r"<(\w+)", rendered(source))) <= {"h2", "h3", "h4", "h5", "p", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th",
                                                          "td", "div", "pre", "code", "strong", "em"}


def posted(client: TestClient, **data: object) -> list[dict]:
    answer = client.post("/many", json={"model": "tiny-diffusion", "decoder": "llada", "runs": 4, "length": 6, "prompt": "ab", **data})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_many_runs_come_as_lines_and_end_with_the_view_of_them_all(served: TestClient) -> None:
    found = posted(served, decoder="random_order", runs=5, seed=3)
    rows = [line for line in found if line["kind"] == "row"]
    assert sorted(row["number"] for row in rows) == [1, 2, 3, 4, 5] and sorted(row["seed"] for row in rows) == [3, 4, 5, 6, 7]
    last = found[-1]
    assert last["kind"] == "result" and not last["stopped"] and sorted(filter(None, last["taus"])) == sorted(filter(None, (row["tau"] for row in rows)))
    assert [item["name"] for item in last["measures"]] == list(last["histograms"])
    table = list(csv.DictReader(io.StringIO(last["csv"])))
    assert [(int(line["run"]), int(line["seed"]), int(line["steps"])) for line in table] == sorted((row["number"], row["seed"], row["steps"]) for row in rows)
    assert [line["done"] for line in found if line["kind"] == "progress"][-1] == 5


def test_the_place_of_a_reader_who_left_is_given_back() -> None:
    freed: list[bool] = []

    async def gone(message: dict) -> None:
        raise OSError("the reader has left")

    async def silent() -> dict:
        await asyncio.sleep(60)
        return {}

    answer = _Lines(iter([{"kind": "progress"}]), lambda: freed.append(True))
    with contextlib.suppress(Exception):
        asyncio.run(answer({"type": "http", "asgi": {"spec_version": "2.4"}}, silent, gone))
    assert freed == [True]


def test_a_rule_that_draws_nothing_is_called_so(served: TestClient) -> None:
    assert "another seed changes nothing" in posted(served)[-1]["sentences"][0]
    assert "different answer" in posted(served, decoder="random_order")[-1]["sentences"][0]


@pytest.mark.parametrize(("data", "fields"), [
    ([], {"request"}), ({}, {"model", "decoder", "prompt"}), ({"model": "tiny-diffusion", "decoder": "llada", "prompt": 3}, {"prompt"}),
    ({"model": "tiny-diffusion", "decoder": "llada", "prompt": "a", "task": "sum"}, {"prompt"}),
    ({"model": "tiny-diffusion", "decoder": "llada", "prompt": "a", "length": 6, "runs": 3, "wings": 1}, {"wings"}),
    ({"model": "tiny-diffusion", "decoder": "llada", "prompt": "a", "length": "x", "runs": 99, "settings": {"steps": 0}}, {"length", "runs", "settings.steps"}),
])
def test_wrong_fields_are_named_and_nothing_runs(served: TestClient, data: object, fields: set) -> None:
    answer = served.post("/many", json=data)
    assert answer.status_code == 422 and {item["field"] for item in answer.json()["problems"]} == fields


def test_what_is_not_json_or_too_long_is_refused(served: TestClient) -> None:
    typed = {"Content-Type": "application/json"}
    assert "not JSON" in served.post("/many", content=b"{", headers=typed).text
    assert "longer than" in served.post("/many", content=b'"' + b"a" * 70_000, headers=typed).text
    foreign = served.post("/many", content=b'{"model": "tiny-diffusion"}', headers={"Content-Type": "text/plain"})
    assert foreign.status_code == 422 and "application/json" in foreign.text
    assert "no model 'x'" in served.post("/many", json={"model": "x", "decoder": "llada", "prompt": "a", "length": 4, "runs": 2}).json()["message"]


def test_a_visitor_is_known_by_a_cookie_that_scripts_cannot_read(served: TestClient) -> None:
    cookie = served.get("/many").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert "set-cookie" not in served.get("/many").headers
    assert served.post("/many/stop").json() == {"stopped": False}


def view(**given: object) -> Ensemble:
    spread = Spread(4, 0.5, 0.1, 0.4, 0.6)
    return Ensemble(**{"rows": (None,) * 4, "places": (), "tau": spread, "displacement": spread, "by_chance": 2.0, "histograms": {}, "judged": 0,
                       "right": 0, "interval": None, "answers": 2, "orders": 3, "alike": False, **given})


@pytest.mark.parametrize(("given", "draws", "said"), [
    ({"alike": True}, False, "draws nothing by lot"), ({"alike": True}, True, "no draw was strong enough"),
    ({}, False, "rounded differently"), ({}, True, "4 runs gave 2 different answers in 3 different orders"),
    ({"tau": None}, True, "written in one step"), ({"judged": 3, "right": 2, "interval": (20.0, 94.0)}, True, "2 of 3 answers are right: 67 %, 95 % interval 20 to 94 %. 1 could not"),
])
def test_the_sentences_say_what_happened_and_why(given: dict, draws: bool, said: str) -> None:
    asked = ManyRequest("m", "llada", 4, 8, prompt="a")
    assert said in " ".join(sentences(view(**given), asked, draws))


def test_the_embedded_model_answers_many_held_out_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("tiny-diffusion")
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: model)
    engine = LocalEngine(Settings())
    with TestClient(application(Settings(), engine)) as opened:
        last = posted(opened, prompt=None, task="sum", decoder="fast_dllm", length=10, runs=8)[-1]
    engine.close()
    assert last["judged"] == 8 and last["right"] >= 4 and last["interval"][0] < 100 * last["right"] / 8 < last["interval"][1] + 1e-9


def test_the_decoders_that_a_model_cannot_run_are_told_with_the_reason(served: TestClient) -> None:
    unfit = served.get("/many/unfit", params={"model": "tiny-diffusion"}).json()
    assert set(unfit) == {decoder.name for decoder in DECODERS if decoder.needs - FakeModel.capabilities}
    assert unfit["greedy"].startswith("needs a model that reads from left to right")
    assert served.get("/many/unfit", params={"model": "owner/evil"}).status_code == 404
