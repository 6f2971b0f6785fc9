"""HTML that escapes itself: plain text becomes content, and only what ``element`` made is markup."""

from __future__ import annotations

from html import escape
from typing import Any, Final

__all__ = ["Markup", "element", "joined", "whole_page"]


class Markup(str):
    """HTML that may be sent as it is."""

    __slots__ = ()


ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%230b6e6e'/%3E"
    "%3Cpath d='M5 4v8h6' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)
"""The page's icon, so that no browser asks for ``/favicon.ico``."""

_VOID: Final = frozenset({"link", "meta"})


def element(name: str, /, *content: str | None, **attributes: str | bool) -> Markup:
    """Return an element; content is escaped unless it is Markup, and None leaves a part out.

    ``class_`` is written for ``class`` and ``data_url`` for ``data-url``.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items() if value)
    start = f"<{name}{given}>"
    return Markup(start if name in _VOID else f"{start}{joined(content)}</{name}>")


def joined(content: tuple[str | None, ...] | list[Markup], between: str = "") -> Markup:
    """Return the parts one after the other."""
    return Markup(escape(between).join(_escaped(part) for part in content if part is not None))


def whole_page(title: str, *, head: list[Markup], body: list[Markup]) -> bytes:
    """Return a page for screens of any width."""
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("title", title),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("link", rel="icon", href=ICON),
            *head,
        ),
        element("body", *body),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n".encode("utf-8", "xmlcharrefreplace")


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def _escaped(part: str) -> str:
    return part if isinstance(part, Markup) else escape(part)
