"""Markup: everything is escaped once, and nothing that runs code can be built."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.html import Markup, document, join, module, tag, text

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))


class Reader(HTMLParser):
    """Collects what a browser would find."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.data += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(TEXTS)
def test_any_text_reads_back_as_the_same_text_and_opens_no_element(value: str) -> None:
    reader = read(tag("p", value))
    assert reader.data == value
    assert [name for name, _ in reader.tags] == ["p"]


@given(TEXTS)
def test_any_attribute_value_reads_back_as_the_same_value(value: str) -> None:
    reader = read(tag("p", title=value))
    assert reader.tags == [("p", {"title": value})]


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "a<b")) == "<p><b>a&lt;b</b></p>"
    assert text(text("<")) == "&lt;"


def test_none_is_left_out_and_a_true_attribute_has_no_value() -> None:
    assert join("a", None, "b") == "ab"
    assert tag("option", "x", selected=True, disabled=False, label=None) == "<option selected>x</option>"


@pytest.mark.parametrize("name", ["script", "style", "iframe", "p><script", "P", ""])
def test_elements_that_could_run_code_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Element"):
        tag(name)


@pytest.mark.parametrize("name", ["onclick", "style", "srcdoc", "a b", "x>"])
def test_attributes_that_could_run_code_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Attribute"):
        tag("p", **{name: "1"})


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", " javascript:x", "vbscript:x"])
def test_links_that_run_code_are_refused(link: str) -> None:
    with pytest.raises(ValueError, match="Link"):
        tag("a", "x", href=link)


def test_a_document_carries_no_script_and_a_module_comes_from_this_host() -> None:
    page = document("a<b", tag("p", "x"), stylesheets=("/assets/page.css",))
    assert page.startswith("<!doctype html>") and "<script" not in page and "a&lt;b" in page
    assert isinstance(module("/assets/app.js"), Markup)
    with pytest.raises(ValueError, match="Link"):
        module("javascript:x")
