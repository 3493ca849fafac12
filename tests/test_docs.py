"""The documentation is true: what it names exists, and what exists is named."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import backend
from backend.__main__ import REFERENCE_FILE
from backend.__main__ import main as typed
from backend.decoders.catalogue import DECODERS
from backend.measures.catalogue import MEASURES
from backend.models.catalogue import CARDS, MODELS
from backend.reference import default_text, markdown, range_text
from backend.settings import Settings
from backend.tasks.catalogue import TASKS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.S | re.M)
COMMANDS = [line for language, block in BLOCKS if not language for line in block.splitlines() if " -m " in line or "app.py" in line.split("#")[0]]


def test_the_reference_is_what_the_catalogues_declare() -> None:
    written = REFERENCE_FILE.read_text(encoding="utf-8")
    assert written == markdown(), "Write it anew: python -m backend docs"


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_every_decoder_is_in_the_reference_with_its_mark_source_and_settings(decoder: object) -> None:
    page = markdown()
    assert f"### `{decoder.name}`" in page and decoder.source in page and f"*{decoder.mark.capitalize()}.* {decoder.source}" in page
    for item in fields(decoder.Settings):
        assert f"| `{item.name}` | {default_text(item)} | {range_text(item)} |" in page


def test_every_score_task_model_and_limit_is_in_the_reference() -> None:
    page = markdown()
    for name in (*(item.name for item in MEASURES), *(item.name for item in TASKS), *(item.name for item in MODELS)):
        assert f"`{name}`" in page
    for item in fields(Settings):
        assert f"| `{item.name}` | `{item.default}` |" in page and item.metadata["help"] in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            absent = [card.name for card in CARDS if not card.trained]
            assert (page.parent / target).exists() or any(name in target for name in absent), target


def test_every_path_that_the_readme_names_exists() -> None:
    for path in re.findall(r"`((?:backend|components|assets|benchmarks|docs|tests)/[\w./-]*)`", README):
        assert (ROOT / path).exists(), path
    layout = README.split("## How the code is laid out")[1].split("```")[1]
    for line in layout.splitlines():
        name = line.strip().split(" ")[0]
        if name:
            folder = ROOT / "backend" if line.startswith("  ") else ROOT
            assert (folder / name).exists(), name


def test_the_readmes_two_commands_are_the_ones_that_are_tested() -> None:
    assert "pip install -r requirements.txt && python app.py\n" in README
    second = "pip install -r requirements-dev.txt && python -m pytest -m \"not nightly\"\n"
    assert second in README and second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_module_that_the_readme_runs_has_the_command() -> None:
    named = re.findall(r"python -m ((?:backend|benchmarks|docs)[\w.]*)((?: [\w|]+)*)", README)
    assert named
    for module, words in named:
        path = ROOT / module.replace(".", "/")
        main = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert main.is_file(), module
        source = main.read_text(encoding="utf-8")
        first = [word for word in words.replace("|", " ").split()]
        assert all(f'"{word}"' in source for word in (first if "|" in words else first[:1])), (module, first)


def test_the_readmes_options_are_real(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        typed(["run", "--help"])
    known = capsys.readouterr().out
    for line in COMMANDS:
        words = shlex.split(line.split("#")[0])
        if words[:4] == ["python", "-m", "backend", "run"]:
            assert all(word in known for word in words if word.startswith("--")), line
            settings = [word.partition("=")[0] for before, word in zip(words, words[1:], strict=False) if before == "--set"]
            if "--decoders" in words:  # one from outside, which has a test of its own
                continue
            decoder = next(item for item in DECODERS if item.name == words[words.index("--decoder") + 1])
            assert set(settings) <= {item.name for item in fields(decoder.Settings)}


def test_the_readmes_example_runs() -> None:
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "load_model" in block)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # our own page, run as a reader would
    assert names["confidence"].shape[0] == names["events"][-1].totals.steps
    assert len(names["canvas"]) == len(names["events"][0].canvas)


def readmes_decoder() -> str:
    """Return the decoder that the README shows, as the file that a reader would save."""
    return next(block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "BaseDecoder" in block)


def test_the_readmes_decoder_runs_from_outside_the_package_and_takes_forty_lines(tmp_path: Path) -> None:
    code = readmes_decoder()
    assert README.split("## Add a decoder")[1].split("\n## ")[0].count("\n") <= 40
    (tmp_path / "widest_margin.py").write_text(code, encoding="utf-8")
    command = next(line for line in COMMANDS if "--decoders widest_margin --decoder" in line)
    assert "python app.py --decoders widest_margin" in COMMANDS
    ran = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)},
                         capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    events = [backend.from_json(line) for line in ran.stdout.splitlines()]
    assert (events[0].request.decoder, events[-1].reason, events[-1].totals.steps) == ("widest_margin", "done", 20)
    # The rule, told by what the run recorded: of all masked positions the one with the widest margin is written.
    for step in events[1:-1]:
        margins = dict(zip(step.masked, step.scores["margin"], strict=True))
        assert margins[step.writes[0][0]] == pytest.approx(max(margins.values()), abs=1e-5)


def test_every_public_name_can_be_imported_and_says_what_it_is() -> None:
    for name in backend.__all__:
        assert getattr(backend, name).__doc__, name
    with pytest.raises(AttributeError, match="RunRequest"):
        backend.no_such_name


def test_nothing_is_left_to_do_and_no_workplace_is_named() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX)\b")
    environments = [found.parent for found in ROOT.rglob("pyvenv.cfg")]  # whatever their owner called them
    for path in sorted(ROOT.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        if path.suffix in (".py", ".js", ".css", ".md", ".html", ".toml", ".txt") and not hidden:
            if path != Path(__file__).resolve() and not any(path.is_relative_to(folder) for folder in environments):
                assert not words.search(path.read_text(encoding="utf-8")), path
