"""A run as text for other programs, and runs that are handed back in."""

from __future__ import annotations

import ast
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from backend import branch, load_model, run, same_run
from backend.canvas import scores, steps_of
from backend.engine import LocalEngine
from backend.events import Event, RunRequest, from_json
from backend.settings import Settings
from backend.store import dump_run
from components import exports
from components.server import application
from components.studio_routes import RUN_TYPE

SEND = {"Content-Type": RUN_TYPE}


@pytest.fixture(scope="module")
def made() -> tuple[Event, ...]:
    request = RunRequest("llada", prompt="sum: 417923+193112=", length=10, settings={"steps": 5}, seed=3)
    return tuple(run(load_model("tiny-diffusion"), request))


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    engine = LocalEngine(Settings())
    with TestClient(application(Settings(), engine)) as opened:
        yield opened
    engine.close()


def test_json_lines_are_the_events(made: tuple[Event, ...]) -> None:
    assert tuple(from_json(line) for line in exports.lines(made).splitlines()) == made


def test_the_table_holds_every_score_of_every_masked_position_exactly(made: tuple[Event, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(exports.scores_table(made))))
    assert len(rows) == sum(len(step.masked) for step in steps_of(made))
    for name in ("confidence", "entropy", "drift"):
        exact = scores(made, name)
        for row in rows:
            value = exact[int(row["step"]) - 1, int(row["position"])]
            assert (row[name] == "") == (value != value)
            assert row[name] == "" or abs(float(row[name]) - float(value)) < 1e-6
    assert sum(row["written"] != "" for row in rows) == 10


def test_the_code_repeats_the_run(made: tuple[Event, ...], capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(compile(exports.snippet(made), "repeat.py", "exec"), names)  # our own text, run as a reader would
    assert same_run(tuple(names["events"]), made) and capsys.readouterr().out == made[-1].text + "\n"


def test_the_code_of_a_branch_repeats_the_branch(made: tuple[Event, ...], capsys: pytest.CaptureFixture[str]) -> None:
    position, token, _ = steps_of(made)[2].writes[0]
    changed = tuple(branch(load_model("tiny-diffusion"), made, 3, [("write", position, token + 1)], decoder="left_to_right", settings={}))
    names: dict[str, object] = {}
    exec(compile(exports.snippet(changed), "repeat.py", "exec"), names)
    assert same_run(tuple(names["events"]), changed) and capsys.readouterr().out == changed[-1].text + "\n"


def test_code_for_a_hostile_prompt_is_code_all_the_same(made: tuple[Event, ...]) -> None:
    nasty = "'\"\"\"\n${x}{{}}\\"
    hostile = (replace(made[0], request=replace(made[0].request, prompt=nasty)), *made[1:])
    call = next(node for node in ast.walk(ast.parse(exports.snippet(hostile))) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RunRequest")
    assert ast.literal_eval(next(item.value for item in call.keywords if item.arg == "prompt")) == nasty


@pytest.mark.parametrize("form", ["file", "lines"])
def test_a_run_handed_in_is_kept_and_equal_event_for_event(client: TestClient, made: tuple[Event, ...], form: str) -> None:
    data = dump_run(made) if form == "file" else exports.lines(made).encode()
    run_id = client.post("/runs", content=data, headers=SEND).json()["run"]
    assert client.get(f"/runs/{run_id}/run.unmask").content == dump_run(made)
    assert client.get(f"/runs/{run_id}/events.jsonl").text == exports.lines(made)
    assert client.get(f"/runs/{run_id}").json()["events"][-1]["text"] == made[-1].text


def broken(data: bytes) -> Iterator[tuple[str, bytes, str]]:
    header, _, body = data.partition(b"\n")
    yield "nothing", b" \n ", "is empty"
    yield "prose", b"hello", "cannot be read"
    yield "altered", header + b"\n" + body.replace(b'"seed":3', b'"seed":4'), "was altered"
    yield "truncated", data[: len(data) // 2], "truncated"
    yield "version", data.replace(b'"version": 1', b'"version": 99', 1), "version 99"
    yield "endless", b"\n".join(body.splitlines()[:-1]), "without an end"
    yield "backwards", b"\n".join(reversed(body.splitlines())), "does not begin"
    yield "deep", b"[" * 100_000, "cannot be read"
    yield "markup", b'{"kind":"<img src=x onerror=alert(1)>"}', "cannot be read"


@pytest.mark.parametrize("case", ["nothing", "prose", "altered", "truncated", "version", "endless", "backwards", "deep", "markup"])
def test_what_is_no_run_is_refused_with_a_sentence(client: TestClient, made: tuple[Event, ...], case: str) -> None:
    data, words = next((data, words) for name, data, words in broken(dump_run(made)) if name == case)
    answer = client.post("/runs", content=data, headers=SEND)
    assert answer.status_code == 422 and words in answer.json()["message"], answer.text


def test_a_form_of_another_site_cannot_hand_in_a_run(client: TestClient, made: tuple[Event, ...]) -> None:
    assert client.post("/runs", content=dump_run(made), headers={"Content-Type": "text/plain"}).status_code == 415


def test_a_run_beyond_the_limit_is_not_read() -> None:
    engine = LocalEngine(Settings())
    with TestClient(application(Settings(import_mb=1), engine)) as client:
        assert client.post("/runs", content=b"x" * (1 << 20), headers=SEND).status_code == 422
        assert client.post("/runs", content=b"x" * ((1 << 20) + 1), headers=SEND).status_code == 413
    engine.close()


def test_the_lessons_come_as_json(client: TestClient) -> None:
    answer = client.get("/lessons").json()
    assert {"masked", "order", "speed"} <= {item["name"] for item in answer["lessons"]} and json.dumps(answer)
