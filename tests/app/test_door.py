"""The door: logins, rates, other sites; and what stays shut unless somebody asks for it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.errors import RequestError
from backend.settings import Settings
from components.door import WRONG_PER_MINUTE
from components.logins import logins_of
from components.rates import ADDRESSES_MAX, Allowance
from components.server import application
from tests.app.fakes import RUN_ID, FakeEngine

SECRET = "correct-horse-battery"
ROUTES = ("/", "/config", "/help", "/many", "/decoders", "/choices", "/lessons", f"/runs/{RUN_ID}", f"/runs/{RUN_ID}/export.html",
          f"/runs/{RUN_ID}/attribution", "/assets/app.js", "/gradio_api/queue/data?session_hash=x", "/theme.css", "/metrics", "/no-such-page")


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    logins = tmp_path_factory.mktemp("door") / "logins"
    logins.write_text(f"# who may come in\nada:{SECRET}\n\ngrace:hopper:with:colons\n")
    with TestClient(application(Settings(auth=str(logins)), FakeEngine())) as opened:
        yield opened


@pytest.mark.parametrize("path", ROUTES)
def test_nothing_is_told_without_a_login(locked: TestClient, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic ")
    assert "content-security-policy" in answer.headers and "fake" not in answer.text


def test_whoever_has_a_login_comes_in_and_nobody_else(locked: TestClient) -> None:
    assert locked.get("/", headers=basic("ada", SECRET)).status_code == 200
    assert locked.get("/help", headers=basic("grace", "hopper:with:colons")).status_code == 200
    for headers in (basic("ada", "wrong"), basic("grace", SECRET), basic("", ""), {"authorization": "Basic !"}, {"authorization": f"Bearer {SECRET}"}):
        assert locked.get("/", headers=headers).status_code == 401
    assert locked.post("/runs", headers=basic("ada", "wrong")).status_code == 401


def test_whoever_guesses_is_not_even_looked_at_after_a_while() -> None:
    with TestClient(application(Settings(auth=f"ada:{SECRET}"), FakeEngine())) as opened:
        for number in range(WRONG_PER_MINUTE):
            assert opened.get("/health", headers=basic("ada", str(number))).status_code == 200
            assert opened.get("/", headers=basic("ada", str(number))).status_code == 401
        answer = opened.get("/", headers=basic("ada", SECRET))
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1


def test_a_password_is_in_no_page(locked: TestClient) -> None:
    said = "".join(locked.get(path, headers=basic("ada", SECRET)).text for path in ROUTES if "queue" not in path and "attribution" not in path)
    assert SECRET not in said and len(said) > 10_000


def test_whoever_watches_over_the_server_needs_no_login(locked: TestClient) -> None:
    assert locked.get("/health").status_code == 200 and locked.get("/ready").status_code == 503


@pytest.mark.parametrize("auth", ["nobody", "ada:", ":secret-word", "ada:secret-word,broken", "/no/such/file"])
def test_a_login_that_is_none_is_refused_at_start_and_not_repeated(auth: str) -> None:
    with pytest.raises(RequestError, match="name:password") as refused:
        logins_of(auth)
    assert "secret-word" not in str(refused.value)


def test_an_address_starts_so_many_and_no_more_and_reading_stays_free() -> None:
    with TestClient(application(Settings(starts_per_minute=3), FakeEngine())) as opened:
        answers = [opened.post("/many/stop").status_code, *(opened.post("/many", json={}).status_code for _ in range(4))]
        assert answers == [200, 422, 422, 422, 429]
        refused = opened.post("/many", json={})
        assert refused.json()["message"] == refused.json()["detail"] and "Try again in" in refused.json()["message"]  # the page reads `message`
        assert int(refused.headers["retry-after"]) <= 21
        assert opened.get("/").status_code == opened.get(f"/runs/{RUN_ID}").status_code == 200


def test_only_what_begins_a_run_or_an_explanation_counts() -> None:
    with TestClient(application(Settings(starts_per_minute=2), FakeEngine())) as opened:
        listeners = {item["api_name"]: item for item in opened.get("/config").json()["dependencies"]}

        def call(name: str, way: str = "queue/join") -> int:
            body = {"data": [None] * len(listeners[name]["inputs"]), "fn_index": listeners[name]["id"], "session_hash": "one"}
            return opened.post(f"/gradio_api/{way}", json=body).status_code

        for _ in range(4):  # Pause, resume, a step by hand; Stop; the messages of a run; the menu
            assert call("hold", "run/predict") == call("stop", "run/predict") == call("stream") == call("choose_decoder") == 200
        assert [call("submit"), call("submit_branch"), call("decode")] == [200, 200, 429]
        assert call("compare") == call("branch") == call("explain") == 429 and call("stop", "run/predict") == 200
        for way in ("call", "call/v2"):  # other ways to the same, which the shield keeps shut
            assert opened.post(f"/gradio_api/{way}/decode", json={"data": ["llada", "x", 4, 0, {}, ""]}).status_code == 404


def test_an_allowance_comes_back_evenly_and_forgets_the_address_unheard_for_longest() -> None:
    now = [0.0]
    allowance = Allowance(6, clock=lambda: now[0])
    for _ in range(6):
        assert allowance.wait_s("a") == 0
        allowance.use("a")
    assert allowance.wait_s("a") == pytest.approx(10) and allowance.wait_s("b") == 0
    now[0] = 9.0
    assert allowance.wait_s("a") == pytest.approx(1)
    now[0] = 1000.0
    for _ in range(6):
        assert allowance.wait_s("a") == 0
        allowance.use("a")
    assert allowance.wait_s("a") > 0
    for number in range(ADDRESSES_MAX + 10):
        allowance.use(str(number))
    assert len(allowance._left) == ADDRESSES_MAX and allowance.wait_s("a") == 0


@pytest.fixture(scope="module")
def plain() -> Iterator[TestClient]:
    with TestClient(application(Settings(), FakeEngine())) as opened:
        yield opened


def test_what_another_site_sends_in_a_visitors_name_is_refused(plain: TestClient) -> None:
    for path in ("/gradio_api/queue/join", "/many", "/runs", "/many/stop"):
        assert plain.post(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert plain.post(path, headers={"sec-fetch-site": "same-origin"}).status_code != 403


def test_no_other_site_may_read_an_answer(plain: TestClient) -> None:
    for path in ("/", "/choices", f"/runs/{RUN_ID}", "/config", "/health"):
        for origin in ("https://evil.example", "null"):
            assert "access-control-allow-origin" not in plain.get(path, headers={"origin": origin}).headers
            asked = plain.options(path, headers={"origin": origin, "access-control-request-method": "POST"})
            assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/redoc", "/openapi.json", "/monitoring", "/gradio_api/openapi.json"])
def test_what_nobody_asked_for_is_not_there(plain: TestClient, path: str) -> None:
    assert plain.get(path).status_code in (404, 405) or "Unmask" in plain.get(path).text


def test_the_page_shares_reports_and_monitors_nothing(plain: TestClient) -> None:
    config = plain.get("/config").json()
    assert config.get("analytics_enabled") is False and not config.get("share") and not config.get("enable_monitoring")
