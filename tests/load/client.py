"""A browser reduced to its requests: joins listeners, reads their messages, and goes away when told to."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 120


class Visitor:
    """One session of the page: its listeners by name, its fields by element id."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self.session = secrets.token_hex(8)
        config = json.loads(self.get("/config")[1])
        self._parts = {item["id"]: item["props"] for item in config["components"]}
        self._listeners = {item["api_name"]: item for item in config["dependencies"]}

    def arrive(self) -> None:
        """Open the line by which the server knows that the page is open."""
        self._here = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        self._here.request("GET", f"/gradio_api/heartbeat/{self.session}", headers={"accept": "text/event-stream"})
        self._here.getresponse().readline()

    def close(self) -> None:
        """Close that line, as a closed tab does."""
        if self._here.sock is not None:
            self._here.sock.shutdown(socket.SHUT_RDWR)  # the answer holds it open beyond a mere close
            self._here.sock.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and content of a page."""
        line = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        line.request("GET", path)
        answer = line.getresponse()
        content = answer.status, answer.read()
        line.close()
        return content

    def call(self, listener: str, **fields: Any) -> Messages:
        """Start a listener and return its messages; ``fields`` replace what the page holds."""
        record = {"data": self._values(listener, fields), "fn_index": self._listeners[listener]["id"], "session_hash": self.session}
        self._post("/gradio_api/queue/join", record)
        return Messages(self._host, self.session)

    def press(self, listener: str) -> None:
        """Start a listener that answers at once."""
        self._post("/gradio_api/run/predict", {"data": self._values(listener, {}), "fn_index": self._listeners[listener]["id"], "session_hash": self.session})

    def _values(self, listener: str, fields: dict[str, Any]) -> list[Any]:
        parts = [self._parts[number] for number in self._listeners[listener]["inputs"]]
        return [fields.get((part.get("elem_id") or "").removeprefix("field-").replace("-", "_"), part.get("value")) for part in parts]

    def _post(self, path: str, record: dict[str, Any]) -> None:
        line = http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)
        line.request("POST", path, json.dumps(record), {"content-type": "application/json"})
        answer = line.getresponse()
        content = answer.read()
        line.close()
        assert answer.status == 200, content[:300]


class Messages:
    """The server's messages about one session, as they come; ``leave`` cuts the line."""

    def __init__(self, host: str, session: str) -> None:
        self._line = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
        self._line.request("GET", f"/gradio_api/queue/data?session_hash={session}", headers={"accept": "text/event-stream"})
        self._answer = self._line.getresponse()
        self._value: Any = None

    def texts(self, output: int = 0) -> Iterator[str]:
        """Yield every value of one output until the listener is done."""
        for message in self._messages():
            data = message.get("output", {}).get("data") or []
            if message["msg"] == "process_generating" and len(data) > output:
                self._value = _changed(self._value, data[output])
                if isinstance(self._value, str) and self._value:
                    yield self._value
            if message["msg"] == "process_completed":
                assert message["success"], message
                return

    def finish(self) -> None:
        """Read until the listener is done."""
        for _ in self.texts():
            pass
        self.leave()

    def leave(self) -> None:
        """Cut the line, as a closed tab does."""
        if self._line.sock is not None:
            self._line.sock.close()
        self._answer.close()
        self._line.close()

    def _messages(self) -> Iterator[dict[str, Any]]:
        while line := self._answer.readline():
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


def _changed(value: Any, part: Any) -> Any:
    """Return a value after what the library sent: the whole, or a list of differences to the last one."""
    if not (isinstance(part, list) and all(isinstance(item, list) and len(item) == 3 for item in part)):
        return part
    for action, path, new in part:
        if path == [] and action == "replace":
            value = new
        elif path == [] and action == "append":
            value += new
    return value
