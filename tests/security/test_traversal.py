"""No address leads out of the tables: two hundred that try, at every route, and no byte of a file that is not served."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.routing import Route

from tests.load.conftest import Served, SlowModel, serve

__all__ = ["serve"]

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-4d8e1f0b7a-of-a-file-that-nobody-serves"
TARGETS = ("app.py", "requirements.txt", "assets/models/tiny-diffusion/config.json", "etc/passwd")
INSIDE = (CANARY, "def main(argv", "torch==", "max_position_embeddings", "root:x:0:0")
"""What stands in the files that the addresses lead to."""

UP = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..\\", "..%5c", "..%255c", "%252e%252e%252f", "..;/", "....//", "..%c0%af", "%00../", "..%00/", "/../", "./../")


@pytest.fixture
def site(serve: Callable[..., Served]) -> Served:
    return serve(SlowModel())


@pytest.fixture
def routes(site: Served) -> tuple[str, ...]:
    """The path of every route of the application, the UI library's included."""
    return tuple(sorted({getattr(route, "path", "") for route in walked(site.app)}))


def walked(app: object) -> Iterator[object]:
    for route in getattr(app, "routes", ()):
        inner = getattr(route, "original_router", None) or (None if isinstance(route, Route) else getattr(route, "app", None))
        if inner is None:
            yield route
        else:
            yield from walked(inner)


def addresses(routes: tuple[str, ...], canary: Path) -> list[str]:
    """Return addresses that lead to the canary, or to files of this repository, through every route."""
    added = ["/assets/", "/file/", "/file=", "/gradio_api/file=", "/gradio_api/file/", "/runs/"]
    found = []
    for number, path in enumerate([*(path.rstrip("/") if "{" in path else f"{path.rstrip('/')}/" for path in routes), *added]):
        before = path.partition("{")[0]
        for at, up in enumerate(UP if "{" in path or path in added else UP[number % 3 :: 5]):
            target = TARGETS[(at + number) % len(TARGETS)]
            leading = up * 8 + (str(canary)[1:] if at % 3 == 0 else target)
            found.append(re.sub(r"{[^}]*}", lambda _: leading, path) if "{" in path else before + leading)
        found += [before + str(canary), before + "/" + str(canary), before + str(canary).replace("/", "%2f"), before + f"file://{canary}"]
    return found


def asked(host: str, address: str) -> tuple[int, bytes]:
    """Send an address as it is written: no client tidies it first."""
    line = http.client.HTTPConnection(host, timeout=30)
    line.putrequest("GET", address, skip_accept_encoding=True)
    line.endheaders()
    answer = line.getresponse()
    try:
        content = answer.status, answer.read(1 << 20)
    except http.client.IncompleteRead as error:
        raise AssertionError(address) from error
    line.close()
    return content


def test_no_address_leads_to_a_file_that_is_not_served(site: Served, routes: tuple[str, ...], tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY)
    tried = [address for address in dict.fromkeys(addresses(routes, canary)) if "queue/data" not in address and "heartbeat" not in address]
    assert len(tried) >= 200 and all(address.isascii() for address in tried)
    host = urlsplit(site.address).netloc
    for address in tried:
        status, content = asked(host, address)
        assert status < 500, address
        text = content.decode("utf-8", "replace")
        assert not [words for words in INSIDE if words in text], (address, status)
    print(f"{len(tried)} addresses over {len(routes)} routes")


def test_the_canaries_would_be_seen() -> None:
    for target, words in zip(TARGETS[:3], INSIDE[1:4], strict=True):
        assert words in (ROOT / target).read_text(encoding="utf-8")
