"""Hub ids: what cannot be had and why, two parts of one commit, and no connection for a local folder.

Run: ``python -m pytest tests/unit/test_models_hub.py``
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import errors

from backend import ModelError, load_model
from tests.conftest import GOLDEN
from tests.unit.conftest import rewrite

SOURCE = GOLDEN / "llada_mha"


class Reply:
    """The response that the hub client's errors carry."""

    status_code, headers, request, text, url = 404, {}, None, "", "https://example.invalid"


HUB_FAILURES = {
    "a typo": (errors.RepositoryNotFoundError, "was not found, or is private", "Check the spelling"),
    "no consent": (errors.GatedRepoError, "is gated", "HF_TOKEN"),
    "an unknown revision": (errors.RevisionNotFoundError, "no such revision", "a branch, a tag or a commit"),
    "no network": (errors.LocalEntryNotFoundError, "could not be reached", "local folder"),
    "a full disk": (OSError, "could not be fetched", "goes on where it stopped"),
    "a line cut off": (httpx2.RemoteProtocolError, "could not be fetched", "goes on where it stopped"),
    "no hub id": (errors.HFValidationError, "is not a hub id", "owner/name"),
}


@pytest.mark.parametrize("failure", HUB_FAILURES)
def test_a_hub_model_that_cannot_be_had_says_why_and_what_to_do(monkeypatch, failure):
    kind, says, remedy = HUB_FAILURES[failure]

    def fails(*_, **__):
        raise kind("no", response=Reply()) if issubclass(kind, errors.HfHubHTTPError) else kind("no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(ModelError) as caught:
        load_model("owner/nmae", revision="v1")
    assert says in caught.value.message and remedy in caught.value.remedy


def test_a_hub_model_is_downloaded_in_two_parts_of_one_commit(folder, monkeypatch, tmp_path):
    commit = "c" * 40
    snapshot = tmp_path / commit
    asked = []

    def download(repository, *, revision, allow_patterns):
        asked.append((repository, revision, tuple(allow_patterns)))
        snapshot.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if any(path.match(pattern) for pattern in allow_patterns):
                shutil.copy(path, snapshot)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = load_model("owner/name")
    assert model.name == "owner/name" and model.family == "llada"
    assert [revision for _, revision, _ in asked] == [None, commit]
    assert all("*.py" not in patterns and not any("bin" in item for item in patterns) for _, _, patterns in asked)


def test_weights_of_a_hub_model_that_cannot_be_opened_are_not_downloaded(folder, monkeypatch):
    rewrite(folder, model_type="t5", architectures=None)
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download",
                        lambda *_, allow_patterns, **__: asked.append(allow_patterns) or str(folder))
    with pytest.raises(ModelError, match="t5"):
        load_model("owner/name")
    assert len(asked) == 1


def test_a_damaged_file_of_the_hub_cache_is_found_by_its_name(folder):
    weights_file = folder / "model.safetensors"
    blob = folder / ("0" * 64)
    weights_file.rename(blob)
    weights_file.symlink_to(blob)
    with pytest.raises(ModelError, match="is damaged"):
        load_model(folder)


OFFLINE = """
import socket, sys
def refuse(*_): raise SystemExit("a connection was opened")
socket.socket.connect = refuse
socket.create_connection = refuse
from backend import load_model
load_model(sys.argv[1])
"""


def test_a_local_folder_opens_no_connection():
    done = subprocess.run([sys.executable, "-c", OFFLINE, str(SOURCE)], capture_output=True, text=True, timeout=240,
                          cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0, done.stderr
