"""What a model's source names: a folder of this machine, or nothing here."""

from __future__ import annotations

from pathlib import Path

SHOWN = 120
"""Characters of a source that a message repeats."""


def folder_of(source: str | Path) -> Path | None:
    """Return the folder that ``source`` names, ``~`` read as a home, or None where it names none.

    Whatever cannot be a path at all (a NUL, a user that does not exist, a name too long) names none.
    """
    try:
        folder = Path(source).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


def quoted(source: str | Path) -> str:
    """Return ``source`` as a message quotes it: printable, and no longer than a line."""
    text = str(source)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")
