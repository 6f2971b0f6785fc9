"""From YAML's events to nodes that know where they stand; only what a configuration needs is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lightapi.declarative.problems import Position, Problem

__all__ = ["Broken", "Node", "compose"]

DEEPEST = 40
"""How deeply lists and mappings may nest."""

_TAGS = {"tag:yaml.org,2002:str": "text", "tag:yaml.org,2002:map": "mapping", "tag:yaml.org,2002:seq": "list"}


class Broken(Exception):
    """The file can't be read any further."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Node(NamedTuple):
    """One value as it is written; ``plain`` is text without quotes, which may mean a number."""

    kind: str
    """``plain``, ``text``, ``list`` or ``mapping``."""
    position: Position
    text: str
    items: list[Any]
    """Nodes of a list; pairs of nodes of a mapping."""


def compose(text: str) -> Node | None:
    """Return the only document of a YAML text, None where there is none; raise Broken."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad is not None:
        before = text[: bad.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Broken(Problem(Position(line, column), (), f"the character {bad[0]!r} is not allowed in YAML"))
    try:
        return _Composer(iter(yaml.parse(text, Loader=loader))).document()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise Broken(Problem(_position(mark), (), f"no valid YAML: {reason}{_hint(reason, text, mark)}")) from None
    except yaml.YAMLError as error:
        raise Broken(Problem(Position(1, 1), (), f"no valid YAML: {error}")) from None


def _hint(reason: str, text: str, mark: Any) -> str:
    lines = text.splitlines()
    if mark and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        return "; indent with spaces, not with tabs"
    if "flow mapping" in reason:
        return "; inside {...} put quotes around ${...} and other text with braces"
    return ""


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


class _Composer:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node] = {}
        self._open: set[str] = set()

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            kind = type(event).__name__
            if kind in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                continue
            if kind == "DocumentStartEvent":
                if root is not None:
                    raise _broken(event, "a second document begins here; allowed: one")
                continue
            root = self._node(event, 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._aliased(event)
        if depth > DEEPEST:
            raise _broken(event, f"nested more than {DEEPEST} levels deep")
        if event.anchor:
            self._open.add(event.anchor)
        node: Node = _READ[kind](self, event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
            self._open.discard(event.anchor)
        return node

    def _aliased(self, event: Any) -> Node:
        if event.anchor in self._open:
            raise _broken(event, f"the alias '*{event.anchor}' stands inside what it names")
        if event.anchor not in self._anchors:
            raise _broken(event, f"the alias '*{event.anchor}' names no anchor '&{event.anchor}' above it")
        return self._anchors[event.anchor]

    def _scalar(self, event: Any, _depth: int) -> Node:
        wanted = _tagged(event, "text")
        is_plain = not event.style and wanted is None
        return Node("plain" if is_plain else "text", _position(event.start_mark), event.value, [])

    def _sequence(self, event: Any, depth: int) -> Node:
        _tagged(event, "list")
        items = []
        for inner in self._events:
            if type(inner).__name__ == "SequenceEndEvent":
                break
            items.append(self._node(inner, depth + 1))
        return Node("list", _position(event.start_mark), "", items)

    def _mapping(self, event: Any, depth: int) -> Node:
        _tagged(event, "mapping")
        pairs = []
        for inner in self._events:
            if type(inner).__name__ == "MappingEndEvent":
                break
            key = self._node(inner, depth + 1)
            pairs.append((key, self._node(next(self._events), depth + 1)))
        return Node("mapping", _position(event.start_mark), "", pairs)


_READ: dict[str, Any] = {
    "ScalarEvent": _Composer._scalar,
    "SequenceStartEvent": _Composer._sequence,
    "MappingStartEvent": _Composer._mapping,
}


def _tagged(event: Any, kind: str) -> Any:
    """Return what an explicit tag says a node is; refuse every tag that says anything else."""
    if event.tag is None or event.tag == "!":
        return event.tag
    if _TAGS.get(event.tag) != kind:
        raise _broken(event, f"the tag {event.tag!r} is not allowed; leave it out")
    return kind


def _broken(event: Any, message: str) -> Broken:
    return Broken(Problem(_position(event.start_mark), (), message))
