"""Faults: a model that gives nonsense, raises or hangs; a clock that jumps; a disk that takes nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from backend import RunRequest, run, same_run
from backend.__main__ import main
from backend.engine import STUCK_MAX, LocalEngine, RunHandle
from backend.errors import BusyError, RunFileError
from backend.events import End
from backend.explanations.base import Progress
from backend.explanations.jobs import Bureau
from backend.settings import Settings
from backend.store import load_run, save_run
from tests.conftest import WAIT_S, FakeModel
from tests.load.client import Visitor
from tests.load.conftest import Served, SlowModel, until

ROOT = Path(__file__).resolve().parents[2]
NAME, OTHER = "tiny-diffusion", "tiny-words"
REQUEST = RunRequest("llada", prompt="2+2=", length=8)
AT = 3
"""The pass at which a model goes wrong."""


class Faulty(FakeModel):
    """A fake model whose third pass goes wrong as a test says, once; ``release`` lets a pass that hangs go on."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        self.release = threading.Event()

    def forward(self, *inputs, **details):
        output = super().forward(*inputs, **details)
        if self.passes != AT or not self.fault:
            return output
        fault, self.fault = self.fault, ""
        if fault == "hang":
            assert self.release.wait(WAIT_S)
        if fault in ("raise", "exit"):
            raise (RuntimeError if fault == "raise" else SystemExit)("the card is on fire")
        logits = {
            "nan": output.logits * float("nan"), "one nan": output.logits.index_fill(1, torch.tensor([7]), float("nan")),
            "infinite": output.logits * float("inf"), "fewer rows": output.logits[1:], "more rows": output.logits.repeat(2, 1),
            "other vocabulary": output.logits[:, :-3], "another axis": output.logits[None], "no numbers": output.logits[:, :0],
        }.get(fault, output.logits)
        return type(output)(logits, output.cache, output.hidden_states, output.attentions)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LocalEngine]]:
    """Return a function that starts an engine on models by name; the model that is loaded again is sound."""
    opened, given = [], []

    def begin(model: Faulty, **settings: object) -> LocalEngine:
        left = {NAME: model}
        monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: left.pop(name, None) or Faulty())
        given.append(model)
        opened.append(LocalEngine(Settings(**settings)))
        return opened[-1]

    yield begin
    for model in given:
        model.release.set()
    for engine in opened:
        engine.close()


def finished(handle: RunHandle) -> tuple:
    return tuple(event for batch in handle.batches(0.0) for event in batch)


@pytest.mark.parametrize(("fault", "words"), [
    ("nan", "not finite numbers"), ("one nan", "not finite numbers"), ("infinite", "not finite numbers"),
    ("fewer rows", "of the shape"), ("more rows", "of the shape"), ("other vocabulary", "of the shape"),
    ("another axis", "of the shape"), ("no numbers", "of the shape"), ("raise", "failed inside the program"),
    ("exit", "failed inside the program"),
])
def test_a_model_that_gives_nonsense_ends_the_run_with_a_sentence_and_the_next_one_is_right(
    start: Callable[..., LocalEngine], fault: str, words: str
) -> None:
    model = Faulty(fault)
    engine = start(model)
    *steps, end = finished(engine.submit(NAME, REQUEST))
    assert (end.reason, len(steps)) == ("error", AT)  # the start, and a step for every pass before
    assert words in end.message and "fire" not in end.message and "Traceback" not in end.message
    model.passes = 0
    assert same_run(finished(engine.submit(NAME, REQUEST)), tuple(run(FakeModel(), REQUEST)))


def test_a_run_beside_one_that_fails_is_told_or_goes_on(start: Callable[..., LocalEngine]) -> None:
    engine = start(Faulty("fewer rows"))
    engine.load(OTHER)
    handles = [engine.submit(NAME, REQUEST), engine.submit(OTHER, REQUEST)]
    assert [finished(handle)[-1].reason for handle in handles] == ["error", "done"]


def test_a_pass_that_hangs_is_given_up_its_runs_are_told_and_the_others_go_on(start: Callable[..., LocalEngine]) -> None:
    model = Faulty("hang")
    engine = start(model, pass_time_s=1, max_running=2)
    engine.load(OTHER)
    begun = time.monotonic()
    hung, queued = engine.submit(NAME, REQUEST), None
    until(lambda: model.passes == AT)
    beside = engine.submit(OTHER, RunRequest("llada", prompt="2+2=", length=8, seed=4))
    queued = engine.submit(NAME, REQUEST)
    end = finished(hung)[-1]
    took = time.monotonic() - begun
    assert isinstance(end, End) and end.reason == "error" and "did not answer within 1 seconds" in end.message and "--pass-time-s" in end.message
    assert finished(queued)[-1].reason == "error"
    assert finished(beside)[-1].reason == "done"
    assert took < 5.0 and engine.counts().stuck == 1
    # The model is loaded anew: the next run of it is as ever, while the old pass still hangs.
    assert same_run(finished(engine.submit(NAME, REQUEST)), tuple(run(FakeModel(), REQUEST)))
    before = hung.recorded
    model.release.set()
    until(lambda: engine.counts().stuck == 0)
    assert hung.recorded == before
    print(f"the run that hung was ended after {took:.2f} s of 1 s allowed")


def test_an_engine_whose_models_keep_too_many_threads_takes_no_more_runs_and_says_so(
    start: Callable[..., LocalEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [Faulty("hang") for _ in range(STUCK_MAX)]
    engine, waiting = start(models[0], pass_time_s=1), list(models)
    monkeypatch.setattr("backend.models.loading.load_model", lambda name, **_: waiting.pop(0) if waiting else Faulty())
    for _ in range(STUCK_MAX):
        assert finished(engine.submit(NAME, REQUEST))[-1].reason == "error"
    with pytest.raises(BusyError, match="must start it again"):
        engine.submit(NAME, REQUEST)
    assert engine.counts().stuck == STUCK_MAX and engine.counts().full
    for model in models:
        model.release.set()
    until(lambda: engine.counts().stuck == 0)
    assert finished(engine.submit(NAME, REQUEST))[-1].reason == "done"


def test_a_piece_of_an_explanation_that_hangs_is_given_up_and_others_go_on() -> None:
    bureau, release, inside = Bureau(piece_s=0.2), threading.Event(), threading.Event()

    def work(name: str, hangs: bool):
        yield Progress(0, 1)
        if hangs:
            inside.set()
            assert release.wait(WAIT_S)
        yield Progress(1, 1)
        return name

    stuck = bureau.begin("a", work("stuck", True))
    assert inside.wait(WAIT_S)
    other = bureau.begin("b", work("other", False))
    until(lambda: (bureau.look(), stuck.over.is_set())[1])
    assert "did not answer within 0.2 seconds" in str(stuck.error)
    assert other.over.wait(WAIT_S) and other.result == "other"
    release.set()
    until(lambda: bureau._under_way == 0)
    assert stuck.result is None
    assert bureau.begin("a", work("next", False)).over.wait(WAIT_S)


@pytest.mark.parametrize("jump_s", [-86400.0, 86400.0])
def test_a_clock_that_jumps_changes_no_run_and_ends_none(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    served, real = serve(SlowModel(), unread_s=5, run_time_s=60), time.time
    served.model.pass_s = 0.02
    visitor = Visitor(served.address)
    visitor.call("submit", prompt="2+2=", length="12").finish()
    stream = visitor.call("stream").texts()
    next(stream)
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    for _ in stream:
        pass
    events = next(iter(served.engine._kept._runs.values())).recorded
    assert same_run(events, tuple(run(FakeModel(), RunRequest("llada", prompt="2+2=", length=12))))


def test_no_length_of_time_is_measured_by_the_clock_on_the_wall() -> None:
    """``time.time`` says when, for people to read; how long is asked of clocks that only go forward."""
    reading = [path.name for folder in ("backend", "components") for path in (ROOT / folder).rglob("*.py")
               if "training" not in path.parts and ("time.time()" in path.read_text(encoding="utf-8") or "datetime.now" in path.read_text(encoding="utf-8"))]
    assert reading == ["handle.py"]


EXAMPLE = ROOT / "assets" / "examples" / "first.unmask"


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse every write of this process beyond ``size`` bytes of a file; Python ignores the signal of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ") or not hasattr(resource, "RLIMIT_FSIZE"), reason="this system limits no file")
def test_a_disk_that_takes_no_more_is_a_sentence_and_what_was_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The kernel refuses the write itself: a file may have 4 kB here."""
    path = tmp_path / "run.unmask"
    path.write_bytes(EXAMPLE.read_bytes())
    with files_of_at_most(4096):
        status = main(["run", "--decoder", "llada", "--length", "20", "--out", str(path)])
    said = capsys.readouterr().err
    assert status == 2, said
    assert "cannot be written" in said and "has room" in said and "Traceback" not in said
    assert load_run(path) == load_run(EXAMPLE)
    assert [item.name for item in tmp_path.iterdir()] == ["run.unmask"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    events = load_run(EXAMPLE)
    (tmp_path / "file").write_text("x")
    for place in (Path("/proc/self/run.unmask"), tmp_path / "file" / "run.unmask", tmp_path / "nowhere" / "run.unmask", tmp_path):
        with pytest.raises(RunFileError, match="cannot be written"):
            save_run(events, place)


@pytest.mark.nightly
def test_the_server_starts_where_it_may_write_nothing_but_a_temporary_folder(tmp_path: Path) -> None:
    """A home and a working folder that are not there: nothing but ``TMPDIR`` is left to write to."""
    code = ("import sys, app\nfrom backend.settings import Settings\nfrom backend.engine import LocalEngine\n"
            "from components.server import application\napplication(Settings(), LocalEngine(Settings()))")
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd="/proc", capture_output=True, text=True, check=False, timeout=120,
                          env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/proc/nothing", "TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr[-1500:]
