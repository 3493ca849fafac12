"""The list of tasks, in the order of the menu."""

from __future__ import annotations

from backend.tasks.base import Task
from backend.tasks.json_record import JsonRecord
from backend.tasks.shuffle import Shuffle
from backend.tasks.story import Story
from backend.tasks.sudoku import Sudoku
from backend.tasks.sum import Sum
from backend.tasks.tail import Tail
from backend.tasks.who import Who

# One in TEST_SHARE symmetry classes is a test class; 4x4 puzzles with 4 clues have 13 classes only.
TASKS: tuple[Task, ...] = (
    Sudoku("sudoku4", "Sudoku 4x4", 2, 2, (4, 5, 5, 5, 6, 6, 6, 7, 7, 7), test_share=5),
    Sudoku("sudoku6", "Sudoku 6x6", 2, 3, range(14, 19), test_share=10),
    Tail(),
    Sum(),
    Shuffle(),
    Who(),
    JsonRecord(),
    Story(),
)


def find_task(prompt: str) -> Task | None:
    """Return the task that ``prompt`` belongs to, or None when no program can judge its answer."""
    return next((task for task in TASKS if task.matches(prompt)), None)
