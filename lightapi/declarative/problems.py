"""What is wrong in a file: where it stands, what it is, and how it is shown without its secrets."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Path", "Position", "Problem", "Source", "written_path"]

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""


class Position(NamedTuple):
    """Where something stands in a file; both count from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong."""

    position: Position
    path: Path
    message: str


def written_path(path: Path) -> str:
    """Return a path as people write it: ``endpoints[0].fields.name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


_BREAKS = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line (YAML 1.1 section 4.1.4)."""
_WIDEST = 160
_IN_URL = re.compile(r"(?P<before>://[^/\s:@'\"]*:).*(?=@)")
_UNDER_KEY = re.compile(
    r"(?P<before>\b\w*(?:password|secret|token|private_key)\w*['\"]?\s*[:=]\s*)(?!\s|[\[{'\"]?\$\{).+",
    re.IGNORECASE,
)


class Source:
    """The text of a file and the values that must not be shown."""

    def __init__(self, name: str, text: str = "") -> None:
        self.name = name
        self.lines = _BREAKS.split(text)
        self.secrets: dict[str, str] = {}
        """What came from the environment, and how it is written in the file."""

    def shown(self, problem: Problem) -> str:
        """Return a problem with its line and a caret."""
        (line, column), path, message = problem
        where = f"{self.name}:{line}:{column}: {written_path(path)}{': ' if path else ''}{self._hidden(message)}"
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if not text.strip():
            return where
        line_shown = _masked(text)
        place = _place_in(line_shown, text, column - 1)
        start = max(0, place - _WIDEST // 2)
        cut = line_shown[start : start + _WIDEST].expandtabs(1).rstrip()
        return f"{where}\n  {cut}\n  {' ' * (place - start)}^"

    def _hidden(self, message: str) -> str:
        for value, written in sorted(self.secrets.items(), key=lambda each: -len(each[0])):
            message = message.replace(repr(value), repr(written))
            if len(value) >= _TELLING and value.lower() not in ("true", "false", "null"):
                message = message.replace(value, written)
                for word in value.split() if " " in value.strip() else ():
                    message = message.replace(word, "***") if len(word) >= _TELLING else message
        return _without_passwords(message)


_TELLING = 4
"""A shorter value of the environment may be part of any word."""


def _place_in(shown: str, line: str, column: int) -> int:
    """Return where a column of a line is once the line is masked; inside of what is hidden: where that begins."""
    tail = line[column:]
    if shown == line or shown.startswith(line[:column]):
        return column
    if tail and shown.endswith(tail):
        return len(shown) - len(tail)
    return next((at for at, (one, other) in enumerate(zip(shown, line, strict=False)) if one != other), len(shown))


def _masked(line: str) -> str:
    """Return a line of the file without what may be a secret."""
    return _UNDER_KEY.sub(r"\g<before>***", _without_passwords(line))


def _without_passwords(text: str) -> str:
    return _IN_URL.sub(r"\g<before>***", text)
