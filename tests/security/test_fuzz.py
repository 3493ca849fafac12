"""Whatever arrives, the answer is a sentence: every listener, every route, run files.

The fast set takes a sample; all of it: ``python -m pytest -m nightly tests/security/test_fuzz.py``
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend import replay
from backend.canvas import steps_of
from backend.engine import LocalEngine
from backend.errors import RunFileError
from backend.settings import Settings
from backend.store import dump_run, parse_run
from components import wire
from components.export_view import export_page
from components.gate import BODY_BYTES_MAX, DEPTH_MAX
from components.server import application
from tests.app.fakes import recorded
from tests.conftest import FakeModel

PAYLOADS, FILES = 10_000, 2_000
SAMPLE = 40
"""One in so many is in the fast set."""

FILE_S, FILE_BYTES = 2.0, 256 << 20

RUN = "the listener of Run"
NESTED: Any = 0
for _ in range(DEPTH_MAX + 2):
    NESTED = [NESTED]

ODD = (
    None, True, -1, 0, 1, 2**31, 2**63, -(10**30), 1.5, -0.0, 1e-320, 1e308, "", " ", "0", "nan", "1e999", "-inf", "٣", "\x00", "a\x00b",
    "\ud800", "\u202eabc\u202c", "\u200f", "😀" * 50, "<script>alert(1)</script>", "${x}{{x}}", "'; --", "../../etc/passwd", "ids: 1, 2",
    "ids:" + "1" * 60 + "x", "a" * 5000, [], {}, [[]], {"a": {"b": [1]}}, [None] * 50, {"path": "/etc/passwd"}, {"__type__": "update"}, NESTED,
)
RAW = (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"data": NaN}', b'{"data": [1e999]}', b'{"data":' + b"[" * 20000, b"{}" * 50,
       b'{"data": ["' + b"a" * (10 << 20) + b'"], "fn_index": 0}', b'{"data": "\\ud800"}', b'{"a":1,"a":2}', b"1" * 5000)
PATHS = ("queue/join", "run/predict", "run/submit", "api/predict", "call/submit", "call/stop", "call/v2/decode", "call/v2/nobody", "cancel", "reset", "nothing", "upload", "component_server")


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[tuple[TestClient, dict[int, int]]]:
    """The whole application on a fake model, and how many inputs each of its listeners takes."""
    patch = pytest.MonkeyPatch()
    patch.setattr("backend.models.loading.load_model", lambda name, **_: FakeModel())
    settings = Settings(passes_max=2, unread_s=1, open_models="none")
    engine = LocalEngine(settings)
    with TestClient(application(settings, engine), raise_server_exceptions=False) as client:
        listeners = client.get("/config").json()["dependencies"]
        # The one of Run first: most of the fields are its own.
        counts = {item["id"]: len(item["inputs"]) for item in listeners}
        yield client, dict(sorted(counts.items(), key=lambda item: -item[1]))
    engine.close()
    patch.undo()


def body_of(rng: random.Random, inputs: dict[int, int]) -> bytes:
    """Return one body: raw bytes, or an object near a real one with odd values in odd places."""
    if rng.random() < 0.1:
        return rng.choice(RAW)
    listener = rng.choice(list(inputs))
    count = inputs[listener] if rng.random() < 0.8 else rng.randrange(4)
    record: dict[str, Any] = {"data": [rng.choice(ODD) for _ in range(count)], "fn_index": listener, "session_hash": "fuzz"}
    if rng.random() < 0.5:  # mostly right: a request that gets far
        record["data"] = (["2+2=", "tiny-diffusion", "llada", "4", "0"] + [None] * count)[:count]
        if count:
            record["data"][rng.randrange(count)] = rng.choice(ODD)
    for name in ("data", "fn_index", "session_hash", "event_data", "trigger_id", "event_id", "batched"):
        if rng.random() < 0.1:
            record[name] = rng.choice(ODD)
        elif rng.random() < 0.05:
            record.pop(name, None)
    return json.dumps(record).encode()


def answered(client: TestClient, method: str, path: str, **given: Any) -> None:
    """Ask once; the answer may be anything but a failure, and says nothing of the program's inside."""
    answer = client.request(method, path, **given)
    text = answer.text
    assert answer.status_code < 500, (method, path, str(given)[:300], text[:300])
    assert "Traceback" not in text and 'File "' not in text and "site-packages" not in text
    if answer.status_code in (400, 413, 422):
        assert answer.json()["detail"], (path, text[:200])


def fuzz_listeners(served: tuple[TestClient, dict[int, int]], seeds: range) -> None:
    client, inputs = served
    for seed in seeds:
        rng = random.Random(seed)
        path = rng.choice(PATHS)
        answered(client, "POST", f"/gradio_api/{path}", content=body_of(rng, inputs), headers={"content-type": "application/json"})


def fuzz_routes(served: tuple[TestClient, dict[int, int]], seeds: range) -> None:
    client, _ = served
    values = ("0", "1", "-1", "1.5", "nan", "", "9" * 30, "9" * 5000, "%00", "a", "1&from=x", "٣")
    names = ("example", "nobodys", "%00", "..%2f..", "%ff", "x" * 4000, "%3Cscript%3E", "example%2f..")
    tails = ("", "/table", "/candidates", "/export.html", "/run.unmask", "/nothing")
    for seed in seeds:
        rng = random.Random(seed)
        query = "&".join(f"{rng.choice(('from', 'to', 'step', 'x'))}={rng.choice(values)}" for _ in range(rng.randrange(3)))
        answered(client, rng.choice(("GET", "GET", "HEAD", "POST", "PUT")), f"/runs/{rng.choice(names)}{rng.choice(tails)}?{query}")


def mutated(rng: random.Random) -> bytes:
    """Return a run file with something changed: bytes as they are, or values under a checksum that fits."""
    data = dump_run(recorded())
    if rng.random() < 0.3:
        spoilt = bytearray(data)
        for _ in range(rng.randrange(1, 8)):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        return bytes(spoilt[: rng.randrange(len(spoilt))] if rng.random() < 0.3 else spoilt)
    records = [json.loads(line) for line in data.decode().split("\n")[1:-1]]
    for _ in range(rng.randrange(1, 4)):
        spoil(rng, rng.choice(records))
    if rng.random() < 0.2:
        rng.shuffle(records)
    body = "".join(json.dumps(record) + "\n" for record in records).encode()
    header = {"format": "unmask-run", "version": 1, "events": len(records), "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(header).encode() + b"\n" + body


def spoil(rng: random.Random, value: Any) -> None:
    """Change one place somewhere inside a value."""
    while isinstance(value, dict | list) and value:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.3:
            odd = rng.choice((*ODD, 9, 10, 255, float("inf"), float("nan"), [0, 10**9], [[0, 60000]], -2))
            if rng.random() < 0.2:
                del value[key]
            else:
                value[key] = odd
            return
        value = value[key]


def fuzz_files(seeds: range) -> tuple[int, float, int]:
    """Read mutated files; return how many were runs all the same, the longest time and the most memory."""
    valid, longest, most = 0, 0.0, 0
    tracemalloc.start()
    for seed in seeds:
        data = mutated(random.Random(seed))
        tracemalloc.reset_peak()
        begun = time.perf_counter()
        try:
            events = parse_run(data, "x.unmask")
        except RunFileError as error:
            assert str(error).startswith("x.unmask") and len(str(error)) < 600
        else:
            valid += 1
            assert parse_run(dump_run(events)) == events
            replay(events, len(steps_of(events)))
            wire.dumps(wire.Encoder("x").encode(events))
            export_page(events).encode()
        longest, most = max(longest, time.perf_counter() - begun), max(most, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    return valid, longest, most


def test_a_listener_answers_whatever_it_is_sent(served: tuple[TestClient, dict[int, int]]) -> None:
    fuzz_listeners(served, range(PAYLOADS // SAMPLE))


@pytest.mark.parametrize("way", ["api/predict", "run/predict", "run/{name}", "api/{name}"])
def test_a_listener_that_waits_in_the_queue_is_refused_outside_it_by_name(served: tuple[TestClient, dict[int, int]], way: str) -> None:
    client, inputs = served
    listeners = {item["id"]: item for item in client.get("/config").json()["dependencies"] if item["backend_fn"]}
    assert {"decode", "compare", "branch", "explain", "submit", "stream"} <= {item["api_name"] for item in listeners.values() if item["queue"]}
    for number, item in listeners.items():
        for value in (None, "x", {}):
            body = {"data": [value] * inputs[number], "session_hash": "direct"} | ({} if "{name}" in way else {"fn_index": number})
            path = f"/gradio_api/{way.format(name=item['api_name'])}"
            answered(client, "POST", path, json=body)
            if item["queue"]:
                answer = client.post(path, json=body)
                assert answer.status_code == 422 and "is called through queue/join" in answer.json()["detail"]


def test_a_route_answers_whatever_it_is_asked(served: tuple[TestClient, dict[int, int]]) -> None:
    fuzz_routes(served, range(PAYLOADS // SAMPLE))


def test_a_mutated_run_file_is_refused_or_a_run_like_any_other() -> None:
    valid, _, most = fuzz_files(range(FILES // SAMPLE * 2))
    assert valid and most < FILE_BYTES


def test_a_message_beyond_the_limit_is_refused_with_the_limit(served: tuple[TestClient, dict[int, int]]) -> None:
    answer = served[0].post("/gradio_api/queue/join", content=b" " * (BODY_BYTES_MAX + 1))
    assert answer.status_code == 413 and f"body: It is longer than {BODY_BYTES_MAX} bytes" in answer.json()["detail"]


@pytest.mark.parametrize(("body", "words"), [
    ({"data": [], "fn_index": 10**6}, "fn_index: 1000000 is no listener of this page; they are 0 to"),
    ({"data": [1], "fn_index": RUN}, "data: It has 1 values; this listener takes"),
    ({"data": "x", "fn_index": RUN}, "data: 'x' is not a list"),
    ({"data": [], "fn_index": True}, "fn_index: True is no listener"),
    ({"data": [], "fn_index": [0]}, "fn_index: [0] is no listener"),
    ({"data": [], "session_hash": "a b"}, "session_hash: It is not a name"),
    ({"data": ["x\ud800"]}, "data: A text in it holds half a character"),
    ({"data": [], "x\udfff": 1}, "body: A text in it holds half a character"),
    ({"data": [], "event_data": ["x"]}, "event_data: It is a list"),
    ({"data": [NESTED]}, f"data: It is nested deeper than {DEPTH_MAX}"),
    ({"data": [{"path": "/etc/passwd"}]}, "data: It names a file"),
    ({"data": [2**70]}, "data: A number in it is beyond"),
])
def test_a_body_that_the_page_could_not_send_is_refused_by_field(
    served: tuple[TestClient, dict[int, int]], body: dict[str, Any], words: str
) -> None:
    body = body | ({"fn_index": next(iter(served[1]))} if body.get("fn_index") == RUN else {})
    answer = served[0].post("/gradio_api/queue/join", content=json.dumps(body))
    assert answer.status_code == 422 and words in answer.json()["detail"]


@pytest.mark.nightly
def test_ten_thousand_payloads(served: tuple[TestClient, dict[int, int]]) -> None:
    fuzz_listeners(served, range(PAYLOADS * 3 // 4))
    fuzz_routes(served, range(PAYLOADS // 4))


@pytest.mark.nightly
def test_two_thousand_run_files() -> None:
    valid, longest, most = fuzz_files(range(FILES))
    print(f"{valid} of {FILES} were runs; at most {longest:.3f} s and {most / 2**20:.1f} MB each")
    assert valid and longest < FILE_S and most < FILE_BYTES
