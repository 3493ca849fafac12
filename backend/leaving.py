"""How the program ends: whenever it is told to, with the status that says so."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import NoReturn


def end_when_told() -> None:
    """Leave at once on SIGTERM; the server, while it is there, hears the signal instead and ends its runs first.

    An exception could be raised inside a finalizer, which swallows it, and the program would go on.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def leave(status: int) -> NoReturn:
    """End the program with ``status``, also while a thread loads a model or is inside a pass.

    Such a thread would come back to an interpreter that is being taken down, and abort it.
    """
    if threading.active_count() > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
