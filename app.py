"""Unmask: watch a masked diffusion language model decide. ``python app.py --help`` lists the options."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

# Read by the UI library when it is imported: no telemetry, no question to another host.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from backend.decoders.catalogue import register_modules
from backend.engine import LocalEngine
from backend.errors import AppError
from backend.garbage import keep_for_good
from backend.leaving import end_when_told, leave
from backend.logs import configure
from backend.models.catalogue import MODELS
from backend.rays.engine import RayEngine
from backend.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page and return the exit status: 0 told to end, 2 it could not start."""
    end_when_told()
    try:
        _serve(Settings.from_args(sys.argv[1:] if argv is None else argv))
    except AppError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _serve(settings: Settings) -> None:
    configure(settings.log)
    logging.info("%s", settings.describe())
    register_modules(settings.decoders)
    from components.server import listen, serve  # after the settings: a wrong one fails at once

    listener = listen(settings)
    engine = RayEngine(settings) if settings.engine == "ray" else LocalEngine(settings)
    if settings.model not in {card.name for card in MODELS}:
        engine.load(settings.model)  # a folder or hub id of your own: better refused now than in the page
    serve(settings, engine, listener, loaded=keep_for_good)


if __name__ == "__main__":
    leave(main())
