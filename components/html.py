"""The only module that builds markup; everything that is not already ``Markup`` is escaped.

``tag("p", "a < b", class_="note")`` is ``<p class="note">a &lt; b</p>``.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
_REFUSED = frozenset({"script", "style", "iframe", "object", "embed"})
_LINKS = frozenset({"href", "src", "action"})
_ENDS = re.compile(r"</script|<!--", re.IGNORECASE)
_SAFE_LINK = re.compile(r"(https?://|/|#|\./|[a-z0-9_-]+/)", re.IGNORECASE)


class Markup(str):
    """Text that is already safe to print into a page."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return ``value`` escaped, unless it is markup already."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def join(*children: object) -> Markup:
    """Return the children one after the other, each escaped unless it is markup; None is left out."""
    return Markup("".join(text(child) for child in children if child is not None))


def tag(name: str, /, *children: object, **attributes: Any) -> Markup:
    """Return an element; ``class_`` and ``aria_label`` read ``class`` and ``aria-label``.

    An attribute that is None or False is left out, True is printed without a value. Raises
    ``ValueError`` for elements and attributes that could run code, and for links elsewhere than
    to http(s) or this host.
    """
    if not _NAME.fullmatch(name) or name in _REFUSED:
        raise ValueError(f"Element {name!r} is not one that this page builds.")
    opened = Markup(f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>")
    if name in _VOID:
        return opened
    return Markup(f"{opened}{join(*children)}</{name}>")


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if not _NAME.fullmatch(name) or name.startswith("on") or name in ("style", "srcdoc"):
        raise ValueError(f"Attribute {name!r} is not one that this page builds.")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    if name in _LINKS and not _SAFE_LINK.match(str(value)):
        raise ValueError(f"Link {value!r} leads elsewhere than to http(s) or this host.")
    return f' {name}="{escape(str(value))}"'


def module(source: str) -> Markup:
    """Return the element that loads a module of our own; ``source`` is a path on this host."""
    return Markup(f'<script type="module"{_attribute("src", source)}></script>')


def script(source: str, kind: str, **attributes: Any) -> Markup:
    """Return an element that holds a script, or data (JSON), of a page that has no host.

    Data is written without ``<``, so that nothing in it can end the element. Raises ``ValueError`` for
    a script that would end it.
    """
    if kind.endswith("json"):
        source = source.replace("<", "\\u003c")
    elif _ENDS.search(source):
        raise ValueError("The script would end its own element.")
    return Markup(f"<script{_attribute('type', kind)}{''.join(_attribute(*item) for item in attributes.items())}>{source}</script>")


def style(source: str) -> Markup:
    """Return an element that holds a sheet of our own; raises ``ValueError`` for one that would end it."""
    if "</" in source:
        raise ValueError("The sheet would end its own element.")
    return Markup(f"<style>{source}</style>")


def frame(page: str, title: str, height: int) -> Markup:
    """Return a frame that shows a whole page, which may run its scripts and reach nothing around it."""
    return Markup(f'<iframe sandbox="allow-scripts" width="100%"{_attribute("height", height)}{_attribute("title", title)}'
                  f' frameborder="0" srcdoc="{escape(page)}"></iframe>')


def whole_page(title: str, *body: object, policy: str, styles: tuple[Markup, ...] = ()) -> Markup:
    """Return a page that needs no host: its sheets and scripts inside, its content policy in its head."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        *styles,
    )
    return _sendable(tag("html", head, tag("body", *body), lang="en"))


def document(
    title: str, *body: object, stylesheets: tuple[str, ...] = (), dark: str | None = None, modules: tuple[str, ...] = (),
    home: str | None = None,
) -> Markup:
    """Return a whole page.

    ``dark`` is a sheet for systems in dark mode, ``modules`` are scripts of our own, ``home`` is the
    address that a link at the top leads back to.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        *(tag("link", rel="stylesheet", href=sheet) for sheet in stylesheets),
        tag("link", rel="stylesheet", href=dark, media="(prefers-color-scheme: dark)") if dark else None,
        *(module(source) for source in modules),
    )
    back = tag("nav", tag("a", "← Unmask", href=home), class_="back", aria_label="Back") if home else None
    page = tag("html", head, tag("body", back, *body, class_="leaf"), lang="en")
    return _sendable(page)


def _sendable(page: Markup) -> Markup:
    # Half a character (a lone surrogate) cannot be sent; it becomes "?".
    return Markup(f"<!doctype html>{page}".encode("utf-8", "replace").decode("utf-8"))
