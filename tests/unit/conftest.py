"""What several tests of loading share: a good folder that a test may spoil."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import GOLDEN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a small LLaDA checkpoint, of its own."""
    return Path(shutil.copytree(GOLDEN / "llada_mha", tmp_path / "model"))


def rewrite(folder: Path, **changes: object) -> None:
    """Change keys of config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
