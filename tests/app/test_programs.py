"""The endpoints for other programs: the page of their documentation runs, and what is wrong is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError as Refused

from backend import compare, from_json, load_model, load_run, replay, run, same_run
from backend.canvas import end_of, start_of
from backend.events import RunRequest
from backend.explanations.jobs import Bureau
from backend.settings import Settings
from tests.browser.conftest import FixedEngine, Site, opened_site, site

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ASKED = RunRequest("llada", "sum: 24+19=", length=4, settings={"steps": 4})


@pytest.fixture(scope="module")
def served() -> Iterator[Site]:
    with site(load_model("tiny-diffusion")) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(served: Site) -> Client:
    return Client(served.address, verbose=False, httpx_kwargs={"timeout": 60})


def ran(block: str, **names: object) -> dict[str, object]:
    """Run one block of the page as its reader would."""
    exec(compile_(block), names)
    return names


def compile_(block: str) -> object:
    return compile(block, "docs/api.md", "exec")


def block(word: str) -> str:
    return next(item for item in re.findall(r"```python\n(.*?)```", PAGE, re.S) if word in item)


def test_the_documented_program_runs_and_gets_what_python_decodes(served: Site, capsys: pytest.CaptureFixture[str]) -> None:
    names = ran(block("gradio_client"), ADDRESS=served.address)
    alone = tuple(run(served.model, ASKED))
    assert same_run(names["events"], alone)
    branched = names["branched"]
    assert start_of(branched).request.forks[0].edits[0].action == "forbid" and end_of(branched).reason == "done"
    assert replay(branched, len(branched) - 2)[names["position"]] != names["token"]
    assert len(names["why"]["scores"]) == len(alone[0].canvas)
    other = tuple(run(served.model, RunRequest("left_to_right", "sum: 24+19=", length=4)))
    assert [mark["kind"] for mark in names["comparison"]["marks"]] == [mark.kind for mark in compare(alone, other).marks]
    assert served.model.weights_hash in capsys.readouterr().out


def test_three_lines_record_a_loop_and_the_file_holds_an_ordinary_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ran(block("Recorder"))
    assert load_run(tmp_path / "mine.unmask") == names["events"]
    assert replay(names["events"], 4) == tuple(names["canvas"][0].tolist())
    assert start_of(names["events"]).model.weights_hash == names["model"].weights_hash


def test_every_endpoint_is_documented_with_its_inputs(client: Client) -> None:
    told = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(told) == {"/decode", "/compare", "/branch", "/explain"}
    for name, endpoint in told.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
        assert all(f"`{item['parameter_name']}`" in row for item in endpoint["parameters"])


@pytest.mark.parametrize(("endpoint", "given", "said"), [
    ("/decode", ("nobody", "x"), "nobody"), ("/decode", ("llada", "x", 0), "length"), ("/decode", ("llada", "x", 4, 0, {"step": 1}), "step"),
    ("/decode", ("llada", "x", 4, 0, [1]), "object of names"), ("/decode", ("llada", "x", 4, "x"), "seed"),
    ("/branch", ("f" * 32, 1), "not kept"), ("/branch", ("f" * 32, 1, [1]), r"\[action, position, token\]"),
    ("/compare", ({}, {}, "x"), "decoder"), ("/explain", ("f" * 32, 1, 1, "guess"), "guess"), ("/explain", ("f" * 32, 1, 1), "kept"),
])
def test_what_is_wrong_is_said_in_the_error_and_without_a_traceback_in_the_log(
    client: Client, endpoint: str, given: tuple[object, ...], said: str, capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Refused, match=said):
        client.predict(*given, api_name=endpoint)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_branch_at_a_step_that_the_run_has_not_is_refused_with_its_steps(served: Site, client: Client) -> None:
    run_id = client.predict("llada", "sum: 24+19=", 4, 0, {"steps": 4}, api_name="/decode")["run"]
    with pytest.raises(Refused, match="9 is not a step of this run; give 1 to 4"):
        client.predict(run_id, 9, [["forbid", 20, 1]], api_name="/branch")
    assert same_run(served.engine.find(run_id).recorded, tuple(run(served.model, ASKED)))


def test_the_explanations_of_programs_and_of_the_page_are_one_bureaus_with_the_servers_settings(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[float, int]] = []

    class Noted(Bureau):
        def __init__(self, *given: object, piece_s: float, threads: int, **more: object) -> None:
            opened.append((piece_s, threads))
            super().__init__(*given, piece_s=piece_s, threads=threads, **more)

    monkeypatch.setattr("backend.explanations.jobs.Bureau", Noted)
    with opened_site(lambda port: Settings(port=port, threads=1, pass_time_s=77), lambda settings: FixedEngine(settings, served.model)) as own:
        asking = Client(own.address, verbose=False, httpx_kwargs={"timeout": 60})
        told = asking.predict("llada", "sum: 24+19=", 4, 0, {"steps": 4}, api_name="/decode")
        kept = own.engine.find(told["run"]).recorded[1]
        position = kept.writes[0][0]
        why = asking.predict(told["run"], 1, position, "attribution", {"method": "occlusion"}, api_name="/explain")
        route = f"{own.address}/runs/{told['run']}"
        assert httpx.get(f"{route}/attribution?step=1&position={position}&method=occlusion").json() == why  # kept, and given again
        assert httpx.get(f"{route}/flow?step=1&position={position}").status_code == 200
    assert opened == [(77, 1)]


def test_a_program_that_leaves_ends_its_run(served: Site, client: Client) -> None:
    job = client.submit("left_to_right", "ids: 1", 100, 0, api_name="/decode")
    first = next(iter(job))
    job.cancel()
    handle = served.engine.find(first["run"])
    with handle._changed:
        assert handle._changed.wait_for(handle._over, 60)
    assert from_json(first["events"][0]) == handle.recorded[0]
