"""Models of a server: what may be opened, by whom, how many, and how far a loading one is."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from backend import load_model
from backend.errors import BusyError, ModelError
from backend.settings import Settings
from backend.shelf import Shelf
from tests.conftest import GOLDEN, WAIT_S

FOLDER = str(GOLDEN / "llada_mha")


def refusal(source: str, **settings: object) -> str:
    with pytest.raises(ModelError) as refused:
        Shelf(Settings(**settings)).open(source)
    return str(refused.value)


def test_a_folder_is_opened_offered_and_put_away() -> None:
    shelf = Shelf(Settings())
    card = shelf.open(FOLDER)
    assert (card.name, card.title) == ("llada_mha", "llada_mha") and shelf.cards()[0] == card
    assert shelf.get(card.name).family == "llada" and shelf.open(FOLDER) == card
    shelf.put_away(card.name)
    assert shelf.get(card.name) is None and card in shelf.cards()


def test_no_card_says_where_a_folder_lies(tmp_path: Path) -> None:
    folder = tmp_path / "somewhere" / "llada_mha"
    shutil.copytree(FOLDER, folder)
    shelf = Shelf(Settings(model=str(folder)))
    shelf.open(FOLDER)
    assert [card.name for card in shelf.cards()[:2]] == ["llada_mha", "llada_mha (2)"]
    assert str(tmp_path) not in str(shelf.cards()) and shelf.name_of(str(folder)) == "llada_mha"
    loaded = [shelf.load(card.name) for card in shelf.cards()[:2]]
    assert loaded[0] is not loaded[1] and shelf.load(str(folder)) is loaded[0]


@pytest.mark.parametrize("name", [FOLDER, "owner/name", "", "x" * 10_000_000])
def test_what_was_not_opened_is_not_loaded_by_its_name(name: str) -> None:
    with pytest.raises(ModelError, match="There is no model .* here. Choose one of") as refused:
        Shelf(Settings(open_models="hub")).load(name)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("source", ["~nobody-of-that-name/x", "a\0b", "x" * 5000, "\ud800", "~\0"])
def test_what_cannot_be_a_path_is_refused_like_any_other(source: str) -> None:
    assert "is not a folder on this machine" in refusal(source)
    with pytest.raises(ModelError, match="There is no model"):
        load_model(source)


def test_an_embedded_model_is_opened_by_its_name_whatever_is_allowed() -> None:
    shelf = Shelf(Settings(open_models="none"))
    assert shelf.open("tiny-diffusion") in shelf.cards() and shelf.get("tiny-diffusion") is not None


@pytest.mark.parametrize("settings", [{"open_models": "none"}, {"host": "0.0.0.0"}])
def test_where_nothing_may_be_opened_the_answer_does_not_depend_on_the_folder(settings: dict[str, str]) -> None:
    said = refusal(FOLDER, **settings)
    assert said == refusal("/no/such/folder", **settings) and "--open-models" in said


def test_hub_ids_are_off_unless_the_operator_allows_them() -> None:
    said = refusal("owner/name")
    assert "'owner/name' is not a folder" in said and "--open-models hub" in said


@pytest.mark.parametrize("source", ["", "   "])
def test_an_empty_field_is_named(source: str) -> None:
    assert "No model is named" in refusal(source)


def test_a_folder_that_holds_no_model_is_not_offered(tmp_path: Path) -> None:
    shelf = Shelf(Settings())
    before = shelf.cards()
    with pytest.raises(ModelError, match="no config.json"):
        shelf.open(str(tmp_path))
    assert shelf.cards() == before


def test_only_so_many_models_are_in_memory() -> None:
    shelf = Shelf(Settings(loaded_max=1))
    shelf.load("tiny-diffusion")
    with pytest.raises(BusyError, match="1 models are loaded; the limit is 1"):
        shelf.open(FOLDER)
    shelf.put_away("tiny-diffusion")
    assert shelf.open(FOLDER).name == "llada_mha"


def test_who_has_a_model_does_not_wait_for_another_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, begun, go_on = Shelf(Settings(model="x")), threading.Event(), threading.Event()

    def load(name: str, progress) -> str:
        if name == "tiny-causal":
            begun.set()
            assert go_on.wait(WAIT_S)
        return name

    monkeypatch.setattr("backend.models.loading.load_model", load)
    assert shelf.load("x") == "x"
    slow = threading.Thread(target=shelf.load, args=("tiny-causal",))
    slow.start()
    assert begun.wait(WAIT_S)
    try:
        assert shelf.load("x") == "x"
    finally:
        go_on.set()
        slow.join()


def test_the_share_of_a_loading_model_rises_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, seen = Shelf(Settings(model="x")), []

    def load(name: str, progress) -> str:
        for share in (0.25, 1.0):
            progress(share)
            seen.append(shelf.share(name))
        return "model"

    monkeypatch.setattr("backend.models.loading.load_model", load)
    assert shelf.load("x") == "model" and seen == [0.25, 1.0] and shelf.share("x") == 0.0


def test_a_model_named_at_start_is_offered_from_the_start() -> None:
    assert Shelf(Settings(model=FOLDER)).cards()[0].name == "llada_mha"
