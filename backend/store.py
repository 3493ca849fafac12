"""Saved runs: one safe text file each, with a version and a checksum, written all or not at all.

Layout: a header line (JSON: format, version, number of events, SHA-256 of the rest), then one line
of JSON per event. Nothing in the file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from backend.checking import check_run
from backend.errors import RunFileError
from backend.events import End, Event, from_json, to_lines

FORMAT = "unmask-run"
VERSION = 1
BYTES_MAX = 256 * 1024 * 1024
WORDS_MAX = 160
"""Characters of a reader's own complaint that a message repeats: it may quote the file."""


def save_run(events: Iterable[Event], path: str | Path) -> Path:
    """Write the run to ``path`` atomically and return the path; its mode is that of any new file.

    Raises ``RunFileError`` when the place cannot be written.
    """
    return write_whole(dump_run(events), path)


def write_whole(data: bytes, path: str | Path) -> Path:
    """Write a file all or not at all and return its path; errors as in ``save_run``."""
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise RunFileError(f"{path} cannot be written ({_reason(error)}).", "Choose a folder that exists and has room.") from error
    return path


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def dump_run(events: Iterable[Event]) -> bytes:
    """Return the file's bytes for these events."""
    lines = list(to_lines(events))
    body = "".join(line + "\n" for line in lines).encode()
    header = {"format": FORMAT, "version": VERSION, "events": len(lines), "sha256": hashlib.sha256(body).hexdigest()}
    return json.dumps(header).encode() + b"\n" + body


def load_run(path: str | Path) -> tuple[Event, ...]:
    """Return the events of a saved run.

    Raises ``RunFileError`` for a file that is missing, truncated, altered, of another version, or
    no run file.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > BYTES_MAX:
            raise RunFileError(f"{path.name} has {size} bytes; the limit is {BYTES_MAX}.", "Record a shorter run.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise RunFileError(f"{path} cannot be read ({_reason(error)}).", "Check the path.") from error
    return parse_run(data, path.name)


def parse_run(data: bytes, name: str = "This text") -> tuple[Event, ...]:
    """Return the events in the bytes of a run file, checked; errors as in ``load_run``."""
    first, _, body = data.partition(b"\n")
    header = _header(first, name)
    if header.get("version") != VERSION:
        raise RunFileError(f"{name} is a run file of version {header.get('version')!r}; this program reads version {VERSION}.",
                           "Open it with the release that wrote it, or record the run again.")
    lines = body.decode("utf-8", errors="replace").split("\n")[:-1]
    if len(lines) != header.get("events"):
        raise RunFileError(f"{name} is truncated: {len(lines)} of {header.get('events')} events are there.", "Copy the file again.")
    if hashlib.sha256(body).hexdigest() != header.get("sha256"):
        raise RunFileError(f"{name} was altered: its checksum does not match its content.", "Copy the file again.")
    try:
        events = tuple(from_json(line) for line in lines)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise RunFileError(f"{name} holds an event that cannot be read ({_short(error)}).", "Record the run again.") from error
    try:
        check_run(events)
    except ValueError as error:
        raise RunFileError(f"{name} holds no run: {error}", "Record the run again.") from error
    return events


def parse_text(data: bytes, name: str = "This text") -> tuple[Event, ...]:
    """Return the finished run in the bytes of a run file, or in bare JSON lines as the command line prints them.

    Raises ``RunFileError`` as ``load_run`` does, and for a run without an end.
    """
    data = data.strip() + b"\n"
    if data == b"\n":
        raise RunFileError(f"{name} is empty.", "Give a run file, or its events as JSON lines.")
    if b'"format"' not in data.partition(b"\n")[0]:
        lines = list(filter(None, data.split(b"\n")))
        header = {"format": FORMAT, "version": VERSION, "events": len(lines), "sha256": hashlib.sha256(data).hexdigest()}
        data = json.dumps(header).encode() + b"\n" + data
    events = parse_run(data, name)
    if not isinstance(events[-1], End):
        raise RunFileError(f"{name} is a run without an end.", "Export it once it has ended.")
    return events


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= WORDS_MAX else text[: WORDS_MAX - 1] + "…"


def _header(line: bytes, name: str) -> dict[str, object]:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RunFileError(f"{name} is not a run file.", "Give a file that was written by save_run or by the page's export.")
    return header
