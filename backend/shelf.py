"""The models of a server: which are offered, which are loaded, and how far a loading one has come."""

from __future__ import annotations

import threading
from typing import Any

from backend.errors import BusyError, ModelError
from backend.models.catalogue import MODELS, ModelCard, find_model
from backend.models.sources import folder_of, quoted
from backend.settings import Settings


class Shelf:
    """Loads models on demand, one at a time, and keeps them until they are put away.

    A model that is no embedded one has a source (a folder, a hub id) and a name. Visitors see and give
    the name; where a folder lies on this machine is told to nobody.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, object] = {}
        self._opened: dict[str, ModelCard] = {}
        """Source -> card."""
        self._shares: dict[str, float] = {}
        self._loading = threading.Lock()
        if find_model(settings.model) is None:
            self._offer(settings.model)

    def cards(self) -> tuple[ModelCard, ...]:
        """Return what a visitor may choose: embedded models that are trained, and those opened here."""
        return (*self._opened.values(), *MODELS)

    def get(self, name: str) -> object | None:
        """Return the loaded model of this name, or None."""
        return self._loaded.get(self.source_of(name))

    def loaded(self) -> tuple[str, ...]:
        """Return the names of the models in memory."""
        return tuple(self.name_of(source) for source in list(self._loaded))

    def share(self, name: str) -> float:
        """Return the share of a loading model's weights that is in place, 0 to 1."""
        return self._shares.get(self.source_of(name), 0.0)

    def name_of(self, source: str) -> str:
        """Return the name under which a source is offered; of an embedded model, its own."""
        return self._opened[source].name if source in self._opened else source

    def load(self, name: str) -> object:
        """Return the model of this name, one of those offered, loading it when needed.

        Raises ``ModelError``, or ``BusyError`` when as many models are loaded as may be.
        """
        source = self.source_of(name)
        if find_model(source) is None and source not in self._opened:
            names = ", ".join(card.name for card in self.cards())
            raise ModelError(f"There is no model {quoted(name)} here.", f"Choose one of {names}.")
        return self._load(source)

    def open(self, source: str) -> ModelCard:
        """Load a model of the visitor's own, a folder or a hub id, and offer it from now on.

        Raises ``ModelError`` for what this server does not open, and whatever ``load`` raises.
        """
        named = find_model(source)
        if named is not None:
            self._load(named.name)
            return named
        source = self._permitted(source)
        self._load(source)
        return self._offer(source)

    def put_away(self, name: str) -> None:
        """Forget a loaded model; its memory is free once nothing runs on it."""
        self._loaded.pop(self.source_of(name), None)

    def _load(self, source: str) -> object:
        model = self._loaded.get(source)
        if model is not None:  # whoever has a model does not wait for one that is being loaded
            return model
        with self._loading:
            model = self._loaded.get(source)
            if model is None:
                self._check_room()
                try:
                    model = self._read(source)
                finally:
                    self._shares.pop(source, None)
                self._loaded[source] = model
            return model

    def _read(self, source: str, **options: Any) -> object:
        from backend.models.loading import load_model  # pulls in torch: not at page start

        return load_model(source, progress=lambda share: self._shares.update({source: share}), **options)

    def source_of(self, name: str) -> str:
        """Return the source of a name that is offered; of any other, the name itself."""
        return next((source for source, card in list(self._opened.items()) if card.name == name), name)

    def _offer(self, source: str) -> ModelCard:
        if source not in self._opened:
            folder = folder_of(source)
            name = self._free(source if folder is None else folder.resolve().name or "folder")
            self._opened[source] = ModelCard(name, name, "Opened on this server.", "")
        return self._opened[source]

    def _free(self, name: str) -> str:
        """Return ``name``, numbered where another model has it."""
        taken = {card.name for card in self.cards()}
        names = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 3)))
        return next(item for item in names if item not in taken)

    def _permitted(self, source: str) -> str:
        allowed, folder = self._settings.opening, folder_of(source)
        if not source.strip():
            raise ModelError("No model is named.", "Give a folder with config.json and *.safetensors.")
        if allowed == "none":
            raise ModelError("This server opens its own models only.", "Start one with --open-models folders.")
        if folder is not None:
            return str(folder)
        if allowed != "hub":
            raise ModelError(f"{quoted(source)} is not a folder on this machine, and hub ids are switched off here.",
                             "Give a folder that exists, or start the server with --open-models hub.")
        return source

    def _check_room(self) -> None:
        limit = self._settings.loaded_max
        if len(self._loaded) >= limit:
            raise BusyError(f"{len(self._loaded)} models are loaded; the limit is {limit}.",
                            "Unload one that is not needed, or start the server with a higher --loaded-max.")
