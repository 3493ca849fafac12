"""Command line of training: ``python -m backend.training train --model tiny-diffusion``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from backend import load_model
from backend.tasks.catalogue import TASKS
from backend.training.card import write_card
from backend.training.evaluate import evaluate, read_cells, write_cells
from backend.training.export import export
from backend.training.recipes import RECIPES, Recipe
from backend.training.train import CHECKPOINT, Pace, Training

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
    evaluating = commands.add_parser("evaluate", help="measure an exported model and write its card")
    evaluating.add_argument("--model", default="tiny-diffusion", choices=sorted(RECIPES))
    evaluating.add_argument("--out", type=Path, help="folder of the exported model (default: assets/models/MODEL)")
    evaluating.add_argument("--tasks", help="only these, comma separated; what is known of others stays in the card")
    evaluating.add_argument("--count", type=int, default=200, help="held-out prompts per task")
    evaluating.add_argument("--threads", type=int, default=1)
    evaluating.set_defaults(command=_evaluate)
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
    progress = export(RECIPES[arguments.model], _folder(arguments), out)
    print(f"{out}: step {progress.step}, {progress.minutes:.1f} minutes of training")


def _evaluate(arguments: argparse.Namespace) -> None:
    recipe, out = RECIPES[arguments.model], arguments.out or ASSETS / arguments.model
    chosen = arguments.tasks.split(",") if arguments.tasks else list(recipe.weights)
    model = load_model(str(out), device="cpu")
    cells = read_cells(out, model.weights_hash)
    for cell in evaluate(model, [task for task in TASKS if task.name in chosen], arguments.count):
        cells[cell.task, cell.decoder] = cell
        low, high = cell.interval
        print(f"{cell.task:10} {cell.decoder:26} {cell.percent:5.1f} % ({low:.0f} to {high:.0f}), "
              f"{cell.passes:.1f} passes", flush=True)
        write_cells(out, model.weights_hash, cells.values())
    write_card(recipe, out, tuple(cells.values()))


if __name__ == "__main__":
    main()
