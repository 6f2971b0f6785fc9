"""Names of tables as routes and as classes: any text becomes a path that needs no escape, and an identifier."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Names", "class_name_of", "route_of"]

_UNSAFE = re.compile(r"[^\w.~-]+")
"""All but letters, digits and RFC 3986's unreserved characters; letters of any script stay."""


def route_of(words: Iterable[str]) -> str:
    """Return the path of a table, or of a schema and a table; every run of unsafe characters is a hyphen."""
    return "".join(f"/{_segment(word)}" for word in words)


def _segment(word: str) -> str:
    safe = _UNSAFE.sub("-", word).strip("-")
    return safe if safe.strip(".") else "table"


def class_name_of(words: Iterable[str]) -> str:
    """Return a class name in ASCII: what OpenAPI takes as the name of a schema."""
    parts = re.findall(r"[A-Za-z0-9]+", " ".join(words))
    name = "".join(part[0].upper() + part[1:] for part in parts)
    return name if name[:1].isalpha() else f"Table{name}"


class Names:
    """Names that are given once: the second one that would be the same gets a number."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str, joint: str = "") -> str:
        """Return the name, with the first number that makes it a new one where it is taken."""
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name}{joint}{number}"
        self._taken.add(free)
        return free
