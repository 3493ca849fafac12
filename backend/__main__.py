"""The command line: run a decoder, list models, decoders and measures, record the page's example."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from backend.decoders.catalogue import DECODERS, register_modules
from backend.errors import AppError, Problem, RequestError
from backend.events import RunRequest, to_lines
from backend.measures.catalogue import MEASURES
from backend.models.catalogue import CARDS, MODELS
from backend.reference import default_text, markdown, needs_text, range_text

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_FILE = ROOT / "assets" / "examples" / "first.unmask"
REFERENCE_FILE = ROOT / "docs" / "reference.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 the run failed, 2 a bad request."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(arguments)
    except AppError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description="Unmask without the page.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="decode one prompt and write its events as JSON lines")
    run.add_argument("--model", default="tiny-diffusion", help="catalogue name, folder or hub id")
    run.add_argument("--decoder", default="llada", help="see: python -m backend decoders")
    run.add_argument("--decoders", default="", metavar="MODULE", help="module with decoders of your own, imported first")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the decoder; repeatable")
    run.add_argument("--prompt", help="text; the model's example when no prompt is given")
    run.add_argument("--prompt-ids", metavar="1,2,3", help="the prompt as token ids")
    run.add_argument("--length", type=int, default=64, help="response positions")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--mask-id", type=int, help="for a folder whose mask token is not known")
    run.add_argument("--out", type=Path, metavar="FILE", help="also save the run to this file")
    run.set_defaults(command=_run)
    checking = commands.add_parser("check", help="load a model, run one pass and say what works on it")
    checking.add_argument("source", help="catalogue name, folder or hub id")
    checking.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or balanced")
    checking.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    checking.add_argument("--revision", help="branch, tag or commit of a hub repository")
    checking.add_argument("--mask-id", type=int, help="for a folder whose mask token is not known")
    checking.set_defaults(command=_check)
    exporting = commands.add_parser("export", help="turn a saved run into a page that plays it without a server")
    exporting.add_argument("run", type=Path, metavar="RUN.unmask", help="a run saved by --out, save_run or the page")
    exporting.add_argument("--html", type=Path, required=True, metavar="FILE", help="the page to write")
    exporting.set_defaults(command=_export)
    for name, command, text in (
        ("models", _models, "the models that ship with the project"),
        ("decoders", _decoders, "the decoders, their settings and ranges"),
        ("measures", _measures, "the scores recorded at every step"),
        ("record-example", _record_example, "record the run that the page opens with"),
        ("docs", _docs, "write docs/reference.md from the catalogues"),
    ):
        commands.add_parser(name, help=text).set_defaults(command=command)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from backend.models.loading import load_model
    from backend.runner import run
    from backend.store import save_run

    register_modules(arguments.decoders)
    request = RunRequest(
        arguments.decoder, prompt=arguments.prompt, prompt_ids=_ids(arguments.prompt_ids),
        length=arguments.length, settings=dict(map(_setting, arguments.set)), seed=arguments.seed,
    )
    model = load_model(arguments.model, mask_id=arguments.mask_id)
    events = []
    try:
        for event in run(model, request):
            events.append(event)
            for line in to_lines([event]):
                _say(line)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what was decoded is kept.\n")
    if arguments.out and events:
        save_run(events, arguments.out)
    return 0 if events and getattr(events[-1], "reason", "error") != "error" else 1


def _ids(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(item) for item in text.split(",") if item.strip())
    except ValueError:
        raise RequestError([Problem("prompt-ids", f"{text!r} is not a list of whole numbers; give such as 1,2,3.")]) from None


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RequestError([Problem("set", f"{text!r} is not KEY=VALUE; give such as steps=16.")])
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _models(arguments: argparse.Namespace) -> int:
    for card in CARDS:
        there = "" if card.trained else "  (not trained yet)"
        _say(f"{card.name}{there}\n    {card.title}. {card.help}\n    example: {card.example_prompt}")
    from backend.models.families import FAMILIES

    _say("Folders and hub ids of these families open too; python -m backend check SOURCE says what works on one:")
    for family in FAMILIES:
        _say(f"    {family.title}  (model type {', '.join(family.model_types)})")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from backend.describe import check
    from backend.models.loading import load_model

    model = load_model(arguments.source, device=arguments.device, dtype=arguments.dtype, revision=arguments.revision,
                       mask_id=arguments.mask_id)
    for line in check(model):
        _say(line)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from backend import show
    from backend.store import load_run, write_whole

    write_whole(show(load_run(arguments.run)).html.encode(), arguments.html)
    _say(f"Wrote {arguments.html}.")
    return 0


def _decoders(arguments: argparse.Namespace) -> int:
    for decoder in DECODERS:
        _say(f"{decoder.name}  [{decoder.mark}]\n    {decoder.title}. {decoder.summary}\n    source: {decoder.source}\n"
             f"    cost of a step: {decoder.cost} Needs a model that {needs_text(decoder)}.")
        for item in fields(decoder.Settings):
            _say(f"    {item.name} [{default_text(item)}]  {range_text(item)}  {item.metadata['option'].help}")
    return 0


def _measures(arguments: argparse.Namespace) -> int:
    for measure in MEASURES:
        _say(f"{measure.name}  {measure.unit}, higher = {measure.higher}\n    {measure.help}")
    return 0


def _record_example(arguments: argparse.Namespace) -> int:
    from backend.models.loading import load_model
    from backend.runner import run
    from backend.store import save_run

    model = load_model(MODELS[0].name)
    length = 20
    EXAMPLE_FILE.parent.mkdir(parents=True, exist_ok=True)
    save_run(run(model, RunRequest("llada", prompt=model.example_prompt, length=length)), EXAMPLE_FILE)
    _say(f"Recorded {EXAMPLE_FILE}.")
    return 0


def _docs(arguments: argparse.Namespace) -> int:
    REFERENCE_FILE.write_text(markdown(), encoding="utf-8")
    _say(f"Wrote {REFERENCE_FILE}.")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
