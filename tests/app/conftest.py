"""What the tests of the page share."""

from __future__ import annotations

import pytest

from backend.events import Event
from tests.app.fakes import recorded


@pytest.fixture
def events() -> tuple[Event, ...]:
    """The recorded run."""
    return recorded()
