"""The application as a browser meets it: routes, headers, refusals, and how it starts."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import app
from backend.engine import LocalEngine
from backend.errors import ModelError
from backend.settings import Settings
from backend.store import dump_run
from components.explain_routes import Desk
from components.export_view import export_page
from components.page import build
from components.server import application
from tests.app.fakes import RUN_ID, FakeEngine, recorded
from tests.conftest import GOLDEN, WAIT_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(application(Settings(), FakeEngine())) as opened:
        yield opened


@pytest.mark.parametrize("refusal", [None, ModelError("No such model.", "Choose another one.")])
def test_whoever_started_it_is_told_when_the_first_model_was_loaded_or_refused(refusal: ModelError | None) -> None:
    told, engine = threading.Event(), FakeEngine()
    engine.refusal = refusal
    with TestClient(application(Settings(), engine, told.set)):
        assert told.wait(WAIT_S)


def test_a_kept_run_comes_whole_or_from_a_step_on(client: TestClient) -> None:
    whole = client.get(f"/runs/{RUN_ID}").json()
    assert whole["run"] == RUN_ID
    assert [event["kind"] for event in whole["events"]] == ["start", "step", "step", "end"]
    part = client.get(f"/runs/{RUN_ID}?from=2").json()["events"]
    assert [event.get("index") for event in part] == [None, 2, None]


def test_candidates_of_all_masked_positions_come_by_request(client: TestClient) -> None:
    answer = client.get(f"/runs/{RUN_ID}/candidates?from=1&to=1").json()
    assert [item[0] for item in answer["steps"]["1"]] == [2, 3, 4]
    assert answer["texts"]["7"] == "b" and list(answer["steps"]) == ["1"]


def test_the_canvas_comes_as_a_page_without_scripts(client: TestClient) -> None:
    answer = client.get(f"/runs/{RUN_ID}/table?step=1")
    assert answer.status_code == 200 and "Canvas after step 1 of 2" in answer.text
    assert "<script" not in answer.text and "<img" not in answer.text


@pytest.mark.parametrize("path", ["/runs/nobodys", "/runs/..%2f..%2fetc%2fpasswd", "/runs/nobodys/candidates", "/runs/nobodys/table"])
def test_a_run_that_is_not_kept_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(("name", "expected"), [("run.unmask", dump_run(recorded())), ("export.html", export_page(recorded()).encode())])
def test_a_kept_run_can_be_downloaded_and_nothing_of_it_runs_here(client: TestClient, name: str, expected: bytes) -> None:
    answer = client.get(f"/runs/{RUN_ID}/{name}")
    assert answer.content == expected
    assert answer.headers["content-disposition"].startswith("attachment; filename=\"run.")
    assert answer.headers["content-type"] == "application/octet-stream"
    gone = client.get(f"/runs/nobodys/{name}")
    assert gone.status_code == 404 and "This run is not kept any more." in gone.text and "<!doctype html>" in gone.text


def test_a_table_of_a_run_that_is_not_kept_is_a_page_that_says_so(client: TestClient) -> None:
    answer = client.get("/runs/<b>nobodys/table")
    assert answer.headers["content-type"].startswith("text/html") and "<!doctype html>" in answer.text
    assert "This run is not kept any more. Run it again." in answer.text and "page.css" in answer.text
    assert "detail" not in answer.text and "<b>" not in answer.text


def test_the_page_of_a_folder_says_its_name_and_not_where_it_lies() -> None:
    settings = Settings(model=str(GOLDEN / "llada_mha"))
    with TestClient(application(settings, LocalEngine(settings))) as opened:
        page = opened.get("/").text + opened.get("/config").text
    assert "llada_mha" in page and str(GOLDEN) not in page


@pytest.mark.parametrize("query", ["from=-1", "from=x", "from=1.5"])
def test_a_wrong_step_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/runs/{RUN_ID}?{query}").status_code == 422


def test_our_modules_and_the_librarys_files_share_a_folder(client: TestClient) -> None:
    assert "text/css" in client.get("/assets/page.css").headers["content-type"]
    assert "javascript" in client.get("/assets/page.js").headers["content-type"]
    librarys = re.search(r'src="\./(assets/index-[^"]+\.js)"', client.get("/").text).group(1)
    assert client.get(f"/{librarys}").status_code == 200


@pytest.mark.parametrize("path", [
    "/assets/models/tiny-diffusion/config.json", "/assets/..%2fapp.py", "/assets/../app.py",
    "/assets/examples/first.unmask",
])
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (403, 404)


@pytest.mark.parametrize("path", [
    "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://x", "/gradio_api/vibe-code",
    "/gradio_api/openapi.json", "/monitoring",
])
def test_routes_of_the_library_that_nobody_uses_are_closed(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(path).status_code in (404, 405)


def test_every_answer_forbids_foreign_content(client: TestClient) -> None:
    for path in ("/", "/help", f"/runs/{RUN_ID}", "/assets/page.css", "/gradio_api/upload"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "'unsafe-inline'" not in headers["content-security-policy"].split("style-src")[0]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_the_pages_own_scripts_carry_the_answers_nonce(client: TestClient) -> None:
    first, second = client.get("/"), client.get("/")
    nonce = re.search(r"'nonce-([^']+)'", first.headers["content-security-policy"]).group(1)
    scripts = re.findall(r"<script[^>]*>", first.text)
    assert scripts and all(f'nonce="{nonce}"' in script for script in scripts)
    assert nonce not in second.text


def test_the_page_names_no_foreign_host_but_metadata(client: TestClient) -> None:
    loaded = re.findall(r'(?:src|href)="(https?:[^"]+)"', client.get("/").text)
    assert loaded == []


def test_only_the_endpoints_for_programs_are_public() -> None:
    config = build(Settings(), FakeEngine(), Desk(FakeEngine())).get_config_file()
    public = {item["api_name"] for item in config["dependencies"] if item["api_visibility"] != "private"}
    assert public == {"decode", "compare", "branch", "explain"}
    assert len(config["dependencies"]) <= 64


def test_a_sub_path_is_part_of_every_link() -> None:
    with TestClient(application(Settings(root_path="/unmask"), FakeEngine()), root_path="/unmask") as opened:
        page = opened.get("/unmask/").text
    assert "/unmask/assets/app.js" in page and "/unmask/help" in page


def test_building_the_page_does_not_wait_for_torch() -> None:
    code = ("import sys, app; from backend.settings import Settings; from backend.engine import LocalEngine\n"
            "from components.server import application\n"
            "application(Settings(), LocalEngine(Settings())); sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0


def test_a_port_in_use_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"Port {port} on 127.0.0.1" in said and "--port" in said and "Traceback" not in said


@pytest.mark.parametrize(("arguments", "words"), [
    (["--engine", "rays"], ("'rays'", "local, ray")),
    (["--port", "99999"], ("99999", "1 to 65535")),
    (["--max-running", "many"], ("'many'", "1 to 64")),
    (["--port", "0"], ("0 is outside", "1 to 65535")),
])
def test_a_wrong_option_is_one_sentence_and_exit_code_2(
    arguments: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(arguments) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words) and "Traceback" not in said


def test_a_model_that_is_not_there_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert app.main(["--port", str(port), "--model", str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr().err
    assert "nothing" in said and "Traceback" not in said
