"""Command line of training: ``python -m backend.training train --model tiny-diffusion``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from ..tasks.catalogue import TASKS
from .export import export
from .recipes import RECIPES, Recipe
from .train import CHECKPOINT, Pace, Training

ASSETS = Path("assets/models")


def main() -> None:
    """Run the command of the command line."""
    arguments = _parser().parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a model, or go on with a run that was interrupted")
    _add_common(train)
    train.add_argument("--minutes", type=float, help="length of the schedule in minutes of training")
    train.add_argument("--steps", type=int, help="length of the schedule in steps, in place of minutes")
    train.add_argument("--tasks", help="weights in place of the recipe's: sudoku4=3,tail=5")
    train.add_argument("--init", type=Path, help="checkpoint whose weights a new run starts from")
    train.add_argument("--check-minutes", type=float, default=Pace.check_minutes, help="minutes between checks")
    train.add_argument("--check-prompts", type=int, default=Pace.check_prompts, help="prompts of a check")
    train.set_defaults(command=_train)
    exporting = commands.add_parser("export", help="write the weights of a run as a folder that transformers loads")
    _add_common(exporting)
    exporting.add_argument("--out", type=Path, help="target folder (default: assets/models/MODEL)")
    exporting.set_defaults(command=_export)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny-diffusion", choices=sorted(RECIPES))
    parser.add_argument("--folder", type=Path, help="where the run is kept (default: checkpoints/MODEL)")
    parser.add_argument("--threads", type=int, default=1)


def _folder(arguments: argparse.Namespace) -> Path:
    return arguments.folder or Path("checkpoints") / arguments.model


def _recipe(arguments: argparse.Namespace) -> Recipe:
    recipe = RECIPES[arguments.model]
    if arguments.minutes:
        recipe = replace(recipe, minutes=arguments.minutes)
    if arguments.tasks:
        pairs = (pair.split("=") for pair in arguments.tasks.split(","))
        recipe = replace(recipe, weights={name: float(weight) for name, weight in pairs})
    return recipe


def _train(arguments: argparse.Namespace) -> None:
    pace = Pace(
        steps=arguments.steps, check_minutes=arguments.check_minutes, check_prompts=arguments.check_prompts
    )
    folder = _folder(arguments)
    training = Training(_recipe(arguments), TASKS, folder, pace)
    if (folder / CHECKPOINT).exists():
        training.resume(folder / CHECKPOINT)
    elif arguments.init:
        training.initialise(arguments.init)
    training.run()


def _export(arguments: argparse.Namespace) -> None:
    out = arguments.out or ASSETS / arguments.model
    progress = export(RECIPES[arguments.model], _folder(arguments) / CHECKPOINT, out)
    print(f"{out}: step {progress.step}, {progress.minutes:.1f} minutes of training")


if __name__ == "__main__":
    main()
