"""The program, telling on SIGUSR1 what it has in use: ``python -m tests.load.telling FILE [options of app.py]``.

What a process holds (its resident memory) is more: the allocators keep room between what is in use.
"""

from __future__ import annotations

import ctypes
import gc
import json
import signal
import sys
from pathlib import Path

import app
from backend.leaving import leave


class Mallinfo(ctypes.Structure):
    """The counts of glibc's ``mallinfo2``, bytes."""

    _fields_ = [(name, ctypes.c_size_t) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


def in_use() -> dict[str, float]:
    """Return what is in use once garbage is collected: Python's small blocks (a count) and the C library's memory [MB]."""
    gc.collect()
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = Mallinfo
    counts = library.mallinfo2()
    return {"blocks": sys.getallocatedblocks(), "library_mb": (counts.uordblks + counts.hblkhd) / 2**20, "kept_mb": counts.fordblks / 2**20}


def main() -> int:
    """Serve as ``app.py`` does."""
    file = Path(sys.argv[1])

    def tell(*_: object) -> None:
        whole = file.with_suffix(".part")
        whole.write_text(json.dumps(in_use()), encoding="utf-8")
        whole.replace(file)

    signal.signal(signal.SIGUSR1, tell)
    return app.main(sys.argv[2:])


if __name__ == "__main__":
    leave(main())
