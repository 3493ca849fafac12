"""Sudoku of 4x4 and 6x6 cells: constraint puzzles, where the order of writing matters most.

A prompt gives the rows from top to bottom, a dot for an empty cell: ``sudoku: .4.1/...3/1.../....=``.
The answer is the full grid in the same form. Training and test puzzles are kept apart by symmetry
class: relabelling digits, permuting rows, columns, bands and stacks, or transposing never turns a
training puzzle into a test puzzle.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import permutations, product

from backend.tasks.base import Example, Verdict, split_of

PREFIX = "sudoku: "

Grid = tuple[int, ...]  # row by row; 0 is an empty cell


class Sudoku:
    """Square puzzles whose boxes are ``box_rows`` x ``box_columns`` cells, with ``clues`` given cells."""

    model = "tiny-diffusion"

    def __init__(self, name: str, title: str, box_rows: int, box_columns: int, clues: Sequence[int], test_share: int):
        self.name, self.title = name, title
        self.box_rows, self.box_columns = box_rows, box_columns
        self.size = box_rows * box_columns
        self.clues, self.test_share = tuple(clues), test_share
        self.length = self.size * self.size + self.size  # digits, slashes between rows, end-of-sequence
        self.help = (
            f"Fill the {self.size}x{self.size} grid so that every row, column and {box_rows}x{box_columns} "
            f"box holds 1 to {self.size} once. A dot is an empty cell, a slash ends a row."
        )
        self._row_orders = tuple(_line_orders(self.size, box_rows))
        self._column_orders = tuple(_line_orders(self.size, box_columns))
        self._peers = tuple(self._peers_of(cell) for cell in range(self.size * self.size))

    def generate(self, rng: random.Random, split: str) -> Example:
        """Return a puzzle of ``split`` with exactly one solution; clue counts are drawn alike in both splits."""
        count = rng.choice(self.clues)
        while True:
            solution = self._fill((0,) * self.size**2, rng)
            puzzle = self._dig(solution, count, rng)
            if puzzle is not None and self.split(puzzle) == split:
                return self._example(puzzle, solution)

    def matches(self, prompt: str) -> bool:
        """Tell whether ``prompt`` is a Sudoku whose first row is about this size."""
        first = prompt[len(PREFIX) :].split("/")[0].rstrip("=")
        return prompt.startswith(PREFIX) and (len(first) < 5) == (self.size < 5)

    def check(self, prompt: str, answer: str) -> Verdict:
        """Judge ``answer``: any full grid that keeps the clues and breaks no rule is right."""
        clues = self._parse(prompt[len(PREFIX) :].removesuffix("="))
        if clues is None:
            return Verdict(False, f"the puzzle is not {self.size} rows of {self.size} digits or dots")
        grid = self._parse(answer.strip())
        if grid is None or 0 in grid:
            return Verdict(False, f"the answer is not {self.size} rows of {self.size} digits")
        for cell, (clue, digit) in enumerate(zip(clues, grid, strict=True)):
            if clue not in (0, digit):
                row, column = divmod(cell, self.size)
                return Verdict(False, f"row {row + 1} column {column + 1} should keep the clue {clue}, not {digit}")
        for place, cells in self._units():
            digits = [grid[cell] for cell in cells]
            for digit in digits:
                if digits.count(digit) > 1:
                    return Verdict(False, f"{place} has {_COUNTS.get(digits.count(digit), 'several')} {digit}s")
        return Verdict(True, "every row, column and box holds each digit once")

    def split(self, puzzle: Grid) -> str:
        """Return the split of the whole symmetry class of ``puzzle``."""
        return split_of(f"{self.name} {self.canonical(puzzle)}", self.test_share)

    def canonical(self, puzzle: Grid) -> Grid:
        """Return the same grid for all puzzles of one symmetry class.

        The smallest pattern of empty cells comes first, then the smallest digits relabelled in
        order of appearance; comparing patterns first leaves few grids to relabel.
        """
        candidates = [puzzle, self._transposed(puzzle)] if self.box_rows == self.box_columns else [puzzle]
        patterns = [
            (self._smallest_pattern(grid, columns), grid, columns)
            for grid in candidates
            for columns in self._column_orders
        ]
        smallest = min(pattern for pattern, _, _ in patterns)
        return min(
            _relabelled(moved)
            for pattern, grid, columns in patterns
            if pattern == smallest
            for moved in self._with_pattern(grid, columns, smallest)
        )

    def solutions(self, puzzle: Grid, limit: int = 2) -> tuple[Grid, ...]:
        """Return up to ``limit`` solutions of ``puzzle``."""
        found: list[Grid] = []
        self._search(list(puzzle), None, found, limit)
        return tuple(found)

    def _smallest_pattern(self, grid: Grid, columns: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        size = self.size
        masks = [sum((grid[row * size + c] > 0) << i for i, c in enumerate(columns)) for row in range(size)]
        step = self.box_rows
        return tuple(sorted(tuple(sorted(masks[band : band + step])) for band in range(0, size, step)))

    def _with_pattern(self, grid: Grid, columns: Sequence[int], pattern: tuple) -> Iterator[Grid]:
        size = self.size
        wanted = [mask for band in pattern for mask in band]
        masks = [sum((grid[row * size + c] > 0) << i for i, c in enumerate(columns)) for row in range(size)]
        for rows in self._row_orders:
            if [masks[row] for row in rows] == wanted:
                yield tuple(grid[row * size + column] for row in rows for column in columns)

    def _transposed(self, grid: Grid) -> Grid:
        return tuple(grid[row * self.size + column] for column in range(self.size) for row in range(self.size))

    def _fill(self, puzzle: Grid, rng: random.Random) -> Grid:
        found: list[Grid] = []
        self._search(list(puzzle), rng, found, 1)
        return found[0]

    def _dig(self, solution: Grid, count: int, rng: random.Random) -> Grid | None:
        """Empty cells in random order while the solution stays unique; None if ``count`` is not reached."""
        puzzle, left = list(solution), self.size**2
        for cell in rng.sample(range(self.size**2), self.size**2):
            if left == count:
                break
            puzzle[cell] = 0
            if self._other_solution(puzzle, cell, solution[cell]):
                puzzle[cell] = solution[cell]
            else:
                left -= 1
        return tuple(puzzle) if left == count else None

    def _other_solution(self, puzzle: list[int], cell: int, digit: int) -> bool:
        """Tell whether a puzzle that was unique with ``digit`` in ``cell`` has a solution with another one."""
        taken = {puzzle[peer] for peer in self._peers[cell]}
        for other in range(1, self.size + 1):
            if other != digit and other not in taken:
                trial, found = list(puzzle), []
                trial[cell] = other
                self._search(trial, None, found, 1)
                if found:
                    return True
        return False

    def _search(self, grid: list[int], rng: random.Random | None, found: list[Grid], limit: int) -> None:
        """Append solutions of ``grid`` to ``found``, trying the most constrained cell first."""
        best, choices = -1, None
        for cell, digit in enumerate(grid):
            if digit == 0:
                taken = {grid[peer] for peer in self._peers[cell]}
                free = [d for d in range(1, self.size + 1) if d not in taken]
                if choices is None or len(free) < len(choices):
                    best, choices = cell, free
                if len(free) < 2:
                    break
        if choices is None:
            found.append(tuple(grid))
            return
        if rng is not None:
            rng.shuffle(choices)
        for digit in choices:
            grid[best] = digit
            self._search(grid, rng, found, limit)
            if len(found) >= limit:
                break
        grid[best] = 0

    def _peers_of(self, cell: int) -> tuple[int, ...]:
        return tuple(sorted({other for _, cells in self._units() if cell in cells for other in cells} - {cell}))

    def _units(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        size, lines = self.size, range(self.size)
        for row in lines:
            yield f"row {row + 1}", tuple(row * size + column for column in lines)
        for column in lines:
            yield f"column {column + 1}", tuple(row * size + column for row in lines)
        corners = product(range(0, size, self.box_rows), range(0, size, self.box_columns))
        inside = tuple(product(range(self.box_rows), range(self.box_columns)))
        for number, (top, left) in enumerate(corners, 1):
            yield f"box {number}", tuple((top + r) * size + left + c for r, c in inside)

    def _example(self, puzzle: Grid, solution: Grid) -> Example:
        return Example(self.name, f"{PREFIX}{self._text(puzzle)}=", self._text(solution))

    def _text(self, grid: Grid) -> str:
        digits = "".join(str(digit or ".") for digit in grid)
        return "/".join(digits[start : start + self.size] for start in range(0, len(digits), self.size))

    def _parse(self, text: str) -> Grid | None:
        rows = text.split("/")
        allowed = ".123456789"[: self.size + 1]
        if len(rows) != self.size or any(len(row) != self.size or set(row) - set(allowed) for row in rows):
            return None
        return tuple(allowed.index(character) for row in rows for character in row)


_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def _line_orders(size: int, band: int) -> Iterator[tuple[int, ...]]:
    """Yield the orders of rows (or columns) that keep bands of ``band`` lines together."""
    for bands in permutations(range(size // band)):
        for inner in product(permutations(range(band)), repeat=size // band):
            yield tuple(start * band + line for start, lines in zip(bands, inner, strict=True) for line in lines)


def _relabelled(grid: Grid) -> Grid:
    names = {0: 0}
    return tuple(names.setdefault(digit, len(names)) for digit in grid)
