"""Run files: what was saved comes back exactly; whatever else is refused with its remedy."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import RunFileError
from backend.events import Event
from backend.store import BYTES_MAX, dump_run, load_run, parse_run, save_run
from tests.app.fakes import recorded
from tests.strategies import runs

RUN = recorded()
DATA = dump_run(RUN)


def changed(**header: object) -> bytes:
    """Return the file with other values in its header."""
    first, _, body = DATA.partition(b"\n")
    return json.dumps(json.loads(first) | header).encode() + b"\n" + body


def refusal(data: bytes) -> str:
    with pytest.raises(RunFileError) as refused:
        parse_run(data, "x.unmask")
    return str(refused.value)


@given(runs())
def test_any_run_comes_back_exactly(events: tuple[Event, ...]) -> None:
    assert parse_run(dump_run(events)) == events


def test_a_file_comes_back_exactly_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.unmask"
    path.write_text("old")
    assert save_run(RUN, path) == path and load_run(path) == RUN
    assert os.listdir(tmp_path) == ["a.unmask"]


@given(st.integers(0, len(DATA) - 1))
def test_a_file_that_is_cut_anywhere_is_refused(cut: int) -> None:
    assert "x.unmask" in refusal(DATA[:cut])


@given(st.integers(DATA.index(b"\n") + 1, len(DATA) - 1), st.integers(1, 255))
def test_a_body_with_any_changed_byte_is_refused(at: int, flip: int) -> None:
    altered = bytearray(DATA)
    altered[at] ^= flip
    assert "x.unmask" in refusal(bytes(altered))


@pytest.mark.parametrize(("data", "words"), [
    (b"", "not a run file"),
    (b"PK\x03\x04 a zip archive", "not a run file"),
    (b"[]\n", "not a run file"),
    (b'{"format": "other"}\n', "not a run file"),
    (b"\xff\xfe\n\n", "not a run file"),
    (changed(version=2), "version 2; this program reads version 1"),
    (changed(version=None), "version None"),
    (changed(events=3), "truncated: 4 of 3"),
    (changed(sha256="0" * 64), "altered"),
    (DATA + b"{}\n", "truncated: 5 of 4"),
    (DATA[: DATA.rindex(b"{")], "truncated: 3 of 4"),
    (dump_run(RUN[1:]), "does not begin with the start"),
    (dump_run(()), "does not begin with the start"),
])
def test_what_is_no_whole_run_file_of_this_version_is_named(data: bytes, words: str) -> None:
    said = refusal(data)
    assert words in said and len(said) < 300


def test_a_line_that_is_no_event_is_named_even_when_the_checksum_fits() -> None:
    import hashlib

    body = b'{"kind":"surprise"}\n'
    header = {"format": "unmask-run", "version": 1, "events": 1, "sha256": hashlib.sha256(body).hexdigest()}
    assert "'surprise' is unknown" in refusal(json.dumps(header).encode() + b"\n" + body)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="cannot be written"):
        save_run(RUN, tmp_path / "no" / "folder" / "a.unmask")


@pytest.mark.parametrize("name", ["missing.unmask", "."])
def test_a_place_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunFileError, match="cannot be read"):
        load_run(tmp_path / name)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.unmask"
    with path.open("wb") as file:
        file.truncate(BYTES_MAX + 1)  # a sparse file: no room is taken
    with pytest.raises(RunFileError, match=f"the limit is {BYTES_MAX}"):
        load_run(path)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_run(RUN, tmp_path / "a.unmask")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFileError, match="No space left"):
        save_run(RUN[:1], path)
    assert load_run(path) == RUN and os.listdir(tmp_path) == ["a.unmask"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_saved_run_has_the_mode_of_any_new_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        assert save_run(RUN, tmp_path / "a.unmask").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_half_a_character_comes_back_exactly(tmp_path: Path) -> None:
    start, *rest = RUN
    events = (replace(start, texts={**start.texts, 4: "half \ud800 sign 𝄞"}), *rest)
    assert load_run(save_run(events, tmp_path / "a.unmask")) == events


@pytest.mark.parametrize("name", ["a\0b.unmask", "x" * 5000])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    for use in (lambda: save_run(RUN, tmp_path / name), lambda: load_run(tmp_path / name)):
        with pytest.raises(RunFileError, match="cannot be"):
            use()
