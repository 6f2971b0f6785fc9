"""What is wrong in a file: where it stands, what it is, and how it is shown without its secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
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
_IN_URL = re.compile(r"(?P<before>://[^/\s:@'\"]*:)\S*(?=@)")
_UNDER_KEY = re.compile(
    r"(?P<before>\b\w*(?:password|secret|token|private_key)\w*['\"]?\s*[:=]\s*)(?!\s|[\[{'\"]?\$\{)[^\s,}\]]+",
    re.IGNORECASE,
)


class Source:
    """The text of a file and the values that must not be shown."""

    def __init__(self, name: str, text: str = "") -> None:
        self.name = name
        self.lines = _BREAKS.split(text)
        self.secrets: dict[str, str] = {}
        """What came from the environment, and how it is written in the file."""

    def shown(self, problems: Iterable[Problem]) -> str:
        """Return all problems in the order of the file, each with its line and a caret."""
        different = dict.fromkeys(problems)
        return "\n".join(self._one(problem) for problem in sorted(different, key=lambda each: each.position))

    def _one(self, problem: Problem) -> str:
        (line, column), path, message = problem
        where = f"{self.name}:{line}:{column}: {written_path(path)}{': ' if path else ''}{self._hidden(message)}"
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if not text.strip():
            return where
        before, rest = _masked(text[: column - 1]), _masked(text)[len(_masked(text[: column - 1])) :]
        start = max(0, len(before) - _WIDEST // 2)
        cut = (before[start:] + rest)[:_WIDEST].expandtabs(1).rstrip()
        return f"{where}\n  {cut}\n  {' ' * (len(before) - start)}^"

    def _hidden(self, message: str) -> str:
        for value, written in sorted(self.secrets.items(), key=lambda each: -len(each[0])):
            message = message.replace(repr(value), repr(written))
            if len(value) >= _TELLING and value.lower() not in ("true", "false", "null"):
                message = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", lambda _, shown=written: shown, message)  # type: ignore[misc]
        return _without_passwords(message)


_TELLING = 4
"""A shorter value of the environment may be part of any word."""


def _masked(line: str) -> str:
    """Return a line of the file without what may be a secret."""
    return _UNDER_KEY.sub(r"\g<before>***", _without_passwords(line))


def _without_passwords(text: str) -> str:
    return _IN_URL.sub(r"\g<before>***", text)
