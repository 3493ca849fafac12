"""The few signs of Markdown that our own pages of the documentation use, as escaped markup.

Headings, paragraphs, lists, tables, fenced code, ``code``, **bold**, *italic* and links to http(s).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from components.html import Markup, join, tag, text

_INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\*(?P<italic>[^*\s][^*]*)\*|\[(?P<label>[^\]]+)\]\((?P<link>[^)\s]+)\)")
_HEADING = re.compile(r"(#{1,4}) (.+)")
_ITEM = re.compile(r"(?:[-*]|\d+\.) (.+)")
_RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*")


def rendered(source: str, level: int = 2) -> Markup:
    """Return ``source`` as markup whose highest heading is ``h{level}``."""
    lines = source.splitlines()
    return join(*_blocks(lines, level))


def _blocks(lines: Sequence[str], level: int) -> Iterator[Markup]:
    at = 0
    while at < len(lines):
        begin, line = at, lines[at]
        at += 1
        heading = _HEADING.fullmatch(line)
        if heading:
            yield tag(f"h{min(6, level - 1 + len(heading[1]))}", inline(heading[2]))
        elif line.startswith("```"):
            at = _while(lines, at, lambda other: not other.startswith("```")) + 1
            yield tag("pre", tag("code", "\n".join(lines[begin + 1 : at - 1])))
        elif line.startswith("|"):
            at = _while(lines, at, lambda other: other.startswith("|"))
            yield _table(lines[begin:at])
        elif _ITEM.match(line):
            at = _while(lines, at, lambda other: bool(other.strip()) and not _HEADING.fullmatch(other))
            yield _list(lines[begin:at])
        elif line.strip():
            at = _while(lines, at, lambda other: bool(other.strip()) and not re.match(r"[#|`]{1,3}", other))
            yield tag("p", inline(" ".join(lines[begin:at])))


def _while(lines: Sequence[str], at: int, holds) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def inline(line: str) -> Markup:
    """Return one line of text with its emphasis, code and links."""
    parts: list[object] = []
    end = 0
    for match in _INLINE.finditer(line):
        parts += [line[end : match.start()], _marked(match)]
        end = match.end()
    return join(*parts, line[end:])


def _marked(match: re.Match[str]) -> Markup:
    if match["code"]:
        return tag("code", match["code"])
    if match["bold"]:
        return tag("strong", inline(match["bold"]))
    if match["italic"]:
        return tag("em", inline(match["italic"]))
    # A link to a file of the repository leads nowhere in the page; its words stay.
    safe = match["link"].startswith(("http://", "https://"))
    return tag("a", match["label"], href=match["link"], rel="noopener") if safe else text(match["label"])


def _table(lines: Sequence[str]) -> Markup:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if not _RULE.fullmatch(line)]
    head = tag("thead", tag("tr", *(tag("th", inline(cell), scope="col") for cell in rows[0])))
    body = tag("tbody", *(tag("tr", *(tag("td", inline(cell)) for cell in row)) for row in rows[1:]))
    return tag("div", tag("table", head, body), class_="scrolled", tabindex="0", role="region", aria_label="Table")


def _list(lines: Sequence[str]) -> Markup:
    items: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        if item:
            items.append(item[1])
        else:
            items[-1] += f" {line.strip()}"
    return tag("ol" if lines[0][0].isdigit() else "ul", *(tag("li", inline(item)) for item in items))
