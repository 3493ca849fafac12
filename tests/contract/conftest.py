"""What the contract tests share."""

from __future__ import annotations

import pytest

from tests.conftest import FakeModel, fake_for
from tests.contract.cases import NAMES


@pytest.fixture
def fake(request) -> FakeModel:
    """Return a fresh fake model of the kind that the test's decoder needs."""
    parameters = getattr(request.node, "callspec", None)
    name = parameters.params.get("name") if parameters else None
    return fake_for(name if name in NAMES else "llada")
