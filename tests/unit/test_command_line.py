"""The command line: runs as JSON lines, lists, and a sentence for every bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from backend import load_run, replay, same_run
from backend.__main__ import main
from backend.decoders.catalogue import DECODERS
from backend.events import from_json
from backend.measures.catalogue import MEASURES
from backend.models.catalogue import MODELS
from tests.conftest import GOLDEN

FOLDER = str(GOLDEN / "llada_mha")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    """Return a function that runs a command and returns exit status, output and complaints."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_a_run_is_written_as_json_lines_and_saved(call, tmp_path: Path) -> None:
    out = tmp_path / "a.unmask"
    status, lines, complaints = call("run", "--model", FOLDER, "--prompt-ids", "1,2,3", "--length", "6", "--decoder",
                                     "random_order", "--set", "tokens_per_step=2", "--seed", "5", "--out", str(out))
    events = tuple(map(from_json, lines.splitlines()))
    assert (status, complaints) == (0, "")
    assert same_run(events, load_run(out)) and len(events) == 5
    assert events[0].request.seed == 5 and 124 not in replay(events, 3) and events[0].canvas[:3] == (1, 2, 3)


def test_without_a_prompt_the_models_example_is_run(call) -> None:
    status, lines, _ = call("run", "--length", "20")
    start, *_, end = map(from_json, lines.splitlines())
    assert status == 0 and start.request.prompt == MODELS[0].example_prompt and end.reason == "done"


def test_the_lists_name_everything_there_is(call) -> None:
    models, decoders, measures = (call(name)[1] for name in ("models", "decoders", "measures"))
    assert all(card.name in models and card.help in models for card in MODELS)
    assert all(measure.name in measures and measure.help in measures for measure in MEASURES)
    for decoder in DECODERS:
        assert decoder.name in decoders and decoder.mark in decoders and decoder.source in decoders
        assert all(f"{item.name} [" in decoders for item in fields(decoder.Settings))


LONG = "1" * 300


@pytest.mark.parametrize(("arguments", "words"), [
    (("--length", "0"), ("length: 0", "1 to")),
    (("--length", "5000"), ("length: 5000", "1 to", "window")),
    (("--prompt", LONG), ("prompt", "300 tokens", "window", "shorten")),
    (("--prompt", "sum: é"), ("prompt", "é")),
    (("--prompt", "sum: \udce9"), ("prompt: Character 5", "half of one")),
    (("--prompt-ids", "1,x"), ("prompt-ids", "'1,x'", "1,2,3")),
    (("--prompt-ids", "99999"), ("99999", "vocabulary")),
    (("--seed", "-1"), ("seed: -1", "0 to")),
    (("--decoder", "magic"), ("'magic'", "llada", "random_order")),
    (("--set", "steps=0"), ("settings.steps: 0", "1 to 64")),
    (("--set", "steps=many"), ("settings.steps: 'many'", "not a number")),
    (("--set", "steps=1.5"), ("settings.steps: 1.5", "whole number")),
    (("--set", "stpes=3"), ("stpes", "steps")),
    (("--set", "steps"), ("'steps'", "KEY=VALUE")),
    (("--set", "remasking=none"), ("'none'", "low_confidence", "random")),
    (("--set", "block_length=7"), ("block_length", "7")),
    (("--set", "temperature=-1", "--set", "cfg_scale=999"), ("settings.temperature: -1", "settings.cfg_scale: 999")),
    (("--model", "no-such-model"), ("no-such-model",)),
    (("--model", "/nowhere/at/all"), ("/nowhere/at/all",)),
])
def test_a_bad_request_is_named_with_its_limit_and_remedy(call, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    status, output, complaint = call("run", *arguments)
    assert (status, output) == (2, "") and "Traceback" not in complaint
    assert all(word in complaint for word in words), complaint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a small checkpoint that a test may spoil."""
    copy = tmp_path / "model"
    shutil.copytree(FOLDER, copy)
    return copy


def refused(call, folder: Path) -> str:
    status, output, complaint = call("run", "--model", str(folder), "--prompt-ids", "1,2", "--length", "4")
    assert (status, output) == (2, "") and "Traceback" not in complaint
    return complaint


def test_a_model_without_a_mask_id_is_refused_with_the_option_that_names_it(call, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["mask_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "mask" in refused(call, folder)
    status, _, complaint = call("run", "--model", str(folder), "--prompt-ids", "1", "--length", "2", "--mask-id", "124")
    assert (status, complaint) == (0, "")


def spoil(folder: Path, change) -> None:
    path = next(folder.glob("*.safetensors"))
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_a_missing_tensor_is_named(call, folder: Path) -> None:
    spoil(folder, lambda tensors: tensors.pop("model.transformer.ln_f.weight"))
    complaint = refused(call, folder)
    assert "1 missing" in complaint and "norm" in complaint and "config.json" in complaint


def test_an_extra_tensor_is_named(call, folder: Path) -> None:
    spoil(folder, lambda tensors: tensors.update(stranger=next(iter(tensors.values())).clone()))
    assert "stranger" in refused(call, folder)


def test_weights_that_are_cut_are_named(call, folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-64])
    assert path.name in refused(call, folder)


def test_a_place_that_cannot_be_written_is_named(call, tmp_path: Path) -> None:
    out = tmp_path / "no" / "folder" / "a.unmask"
    status, _, complaint = call("run", "--model", FOLDER, "--prompt-ids", "1", "--length", "2", "--out", str(out))
    assert status == 2 and str(out) in complaint and "Traceback" not in complaint
