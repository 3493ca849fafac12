"""The files of ``deploy/``: what they name exists, what they set is a setting, and what they promise is kept."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from backend.settings import Settings
from backend.worker import LOOK_S
from components.server import ANSWER_S, DRAIN_S

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = (DEPLOY / "unmask.service").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
NAMES = {f"UNMASK_{item.name.upper()}": item for item in fields(Settings)}
STOP_S = DRAIN_S + ANSWER_S + LOOK_S


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the container file, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def copied() -> list[tuple[str, str]]:
    return [(source, words[-1]) for name, rest in instructions() if name == "COPY" for words in [shlex.split(rest)] for source in words[:-1]]


def test_the_container_is_built_from_what_the_repository_has_and_lets_in() -> None:
    allowed = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for source, _ in copied():
        assert (ROOT / source).exists() and source in allowed, source
    assert sorted(allowed) == sorted({source for source, _ in copied()})


def test_the_container_runs_as_nobody_in_particular_with_a_check_and_a_pinned_base() -> None:
    named = dict(instructions())
    assert re.fullmatch(r"python:3\.1[1-9]\.\d+-slim-\w+", named["FROM"]) and named["USER"] == "10001"
    assert "/health" in named["HEALTHCHECK"] and named["STOPSIGNAL"] == "SIGTERM" and named["CMD"] == '["python", "app.py"]'
    versions = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert ">=3.11" in versions


@pytest.mark.parametrize("text", [DOCKERFILE, UNIT, (DEPLOY / "compose.yaml").read_text()], ids=["Dockerfile", "unit", "compose"])
def test_every_setting_that_is_set_is_one(text: str) -> None:
    for name, value in re.findall(r"\b(UNMASK_[A-Z_]+)[=:] ?\"?([\w./%]+)", text):
        assert name in NAMES, name
        Settings.from_args([], {name: value})


def test_whoever_stops_it_waits_longer_than_it_needs() -> None:
    assert STOP_S < 10
    for service in COMPOSE["services"].values():
        assert int(service["stop_grace_period"].removesuffix("s")) > STOP_S
    assert int(re.search(r"TimeoutStopSec=(\d+)", UNIT)[1]) > STOP_S


def test_the_services_have_no_more_than_they_need() -> None:
    for service in COMPOSE["services"].values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]) and service["tmpfs"]
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert COMPOSE["services"]["unmask-gpu"]["build"]["args"]["TORCH_INDEX"].startswith("https://")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "unmask.service"
    unit.write_text(UNIT.replace("/opt/unmask/.venv/bin/python", sys.executable).replace("/opt/unmask", str(ROOT)))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"})
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "unmask.service" in line]
    assert complaints == []


@pytest.mark.nightly
def test_what_the_container_copies_is_enough_to_start(tmp_path: Path) -> None:
    """The commands of the container file, step by step in an empty folder: what it copies, its own compile step, its start."""
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    for source, target in copied():
        path, to = ROOT / source, tmp_path / target
        if path.is_dir():
            shutil.copytree(path, to, ignore=skipped)
        else:
            shutil.copy(path, to / path.name if target.endswith("/") else to)
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "none"), "OMP_NUM_THREADS": "1",
                   "UNMASK_HOST": "127.0.0.1", "UNMASK_LOG": "json"}
    compiled = next(rest for name, rest in instructions() if name == "RUN" and "compileall" in rest).partition("&& ")[2]
    assert subprocess.run(shlex.split(compiled), cwd=tmp_path, env=environment, check=False).returncode == 0
    code = ("import threading, time, sys, json, urllib.request, os, signal, app\n"
            "from benchmarks_port import port\n"
            "def look():\n"
            "    until = time.monotonic() + 100\n"
            "    while time.monotonic() < until:\n"
            "        try:\n"
            "            if urllib.request.urlopen(f'http://127.0.0.1:{port}/ready', timeout=5).status == 200: break\n"
            "        except OSError: time.sleep(0.1)\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n"
            "threading.Thread(target=look, daemon=True).start()\n"
            "sys.exit(app.main(['--port', str(port)]))")
    from benchmarks.browser import free_port

    (tmp_path / "benchmarks_port.py").write_text(f"port = {free_port()}\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    assert '"message": "Unmask is at http://127.0.0.1:' in done.stderr and "Traceback" not in done.stderr


def test_the_ignored_files_are_ignored() -> None:
    ignored = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("**")]
    assert any(fnmatch("backend/__pycache__", pattern.replace("**/", "*/")) for pattern in ignored)
