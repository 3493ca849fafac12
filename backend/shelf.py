"""The models of a server: which are offered, which are loaded, and how far a loading one has come."""

from __future__ import annotations

import threading
from pathlib import Path

from backend.errors import BusyError, ModelError
from backend.models.catalogue import MODELS, ModelCard, find_model
from backend.settings import Settings


class Shelf:
    """Loads models on demand, one at a time, and keeps them until they are put away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, object] = {}
        self._opened: dict[str, ModelCard] = {}
        self._shares: dict[str, float] = {}
        self._loading = threading.Lock()
        if find_model(settings.model) is None:
            self._offer(settings.model)

    def cards(self) -> tuple[ModelCard, ...]:
        """Return what a visitor may choose: embedded models that are trained, and those opened here."""
        return (*self._opened.values(), *MODELS)

    def get(self, name: str) -> object | None:
        """Return the loaded model of this name, or None."""
        return self._loaded.get(name)

    def share(self, name: str) -> float:
        """Return the share of a loading model's weights that is in place, 0 to 1."""
        return self._shares.get(name, 0.0)

    def load(self, name: str) -> object:
        """Return the model of this name, loading it when needed.

        Raises ``ModelError``, or ``BusyError`` when as many models are loaded as may be.
        """
        with self._loading:
            if name not in self._loaded:
                self._check_room()
                from backend.models.loading import load_model  # pulls in torch: not at page start

                try:
                    self._loaded[name] = load_model(name, progress=lambda share: self._shares.update({name: share}))
                finally:
                    self._shares.pop(name, None)
            return self._loaded[name]

    def open(self, source: str) -> ModelCard:
        """Load a model of the visitor's own, a folder or a hub id, and offer it from now on.

        Raises ``ModelError`` for what this server does not open, and whatever ``load`` raises.
        """
        named = find_model(source)
        if named is not None:
            self.load(named.name)
            return named
        source = self._permitted(source)
        self.load(source)
        return self._offer(source)

    def put_away(self, name: str) -> None:
        """Forget a loaded model; its memory is free once nothing runs on it."""
        self._loaded.pop(name, None)

    def _offer(self, source: str) -> ModelCard:
        title = Path(source).name if Path(source).is_dir() else source
        return self._opened.setdefault(source, ModelCard(source, title, "Opened on this server.", ""))

    def _permitted(self, source: str) -> str:
        allowed, folder = self._settings.opening, Path(source).expanduser()
        if not source.strip():
            raise ModelError("No model is named.", "Give a folder with config.json and *.safetensors.")
        if allowed == "none":
            raise ModelError("This server opens its own models only.", "Start one with --open-models folders.")
        if folder.is_dir():
            return str(folder)
        if allowed != "hub":
            raise ModelError(f"{source!r} is not a folder on this machine, and hub ids are switched off here.",
                             "Give a folder that exists, or start the server with --open-models hub.")
        return source

    def _check_room(self) -> None:
        limit = self._settings.loaded_max
        if len(self._loaded) >= limit:
            raise BusyError(f"{len(self._loaded)} models are loaded; the limit is {limit}.",
                            "Unload one that is not needed, or start the server with a higher --loaded-max.")
