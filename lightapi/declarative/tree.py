"""From nodes to plain data: numbers and booleans, variables, merge keys; and where each value stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lightapi.declarative.nodes import DEEPEST, Broken, Node, compose
from lightapi.declarative.problems import Path, Position, Problem, Source
from lightapi.declarative.substitution import Substituted, Unset, substituted

__all__ = ["Tree", "read_tree"]

LARGEST = 200_000
"""Values that a file may have once its aliases are written out."""

_CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST = 100


def plain_value(text: str) -> Any:
    """Return what unquoted text means (YAML 1.2 section 10.3.2): ``yes`` and ``on`` are text, ``true`` is not."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _LONGEST or (text[0] not in "+-." and not text[0].isdigit()):
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _SPECIAL.fullmatch(text) else text


class Tree:
    """A file as plain data, with the position of every key and value, and what is wrong in it already."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data: Any = None
        self.values: dict[Path, Position] = {}
        self.keys: dict[Path, Position] = {}
        self.problems: list[Problem] = []
        self.unreadable: set[Path] = set()
        """Values that are missing from ``data`` because they could not be read."""
        self._count = 0

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Return where a value, or its key, stands; of what is not in the file, where its parent does."""
        while path and path not in self.values:
            path = path[:-1]
        return (self.keys.get(path) if key else None) or self.values.get(path) or Position(1, 1)

    def at(self, path: Path) -> Any:
        """Return the value at a path that is in the file."""
        value = self.data
        for part in path:
            value = value[part]
        return value

    def wrong(self) -> set[Path]:
        """Return the paths of the parts that are wrong: lists as a whole, and fields whose type is."""
        return {_part(each) for each in (*(problem.path for problem in self.problems), *self.unreadable)}

    def add(self, path: Path, message: str, *, key: bool = False) -> None:
        """Note a problem."""
        self.problems.append(Problem(self.position(path, key=key), path, message))

    def value(self, node: Node, path: Path) -> Any:
        """Return the data of a node, noting where it stands."""
        self._bound(node, len(path))
        self.values[path] = node.position
        if node.kind == "list":
            return [self.value(item, (*path, number)) for number, item in enumerate(node.items)]
        if node.kind == "mapping":
            return self._mapping(node, path)
        if "${" not in node.text:
            return plain_value(node.text) if node.kind == "plain" else node.text
        return self._substituted(node, path)

    def _bound(self, node: Node, depth: int) -> None:
        """Refuse what aliases make too large or too deep."""
        self._count += 1
        if self._count > LARGEST:
            raise Broken(Problem(node.position, (), f"more than {LARGEST} values once the aliases are written out"))
        if depth > DEEPEST:
            raise Broken(Problem(node.position, (), f"nested more than {DEEPEST} levels deep"))

    def _substituted(self, node: Node, path: Path) -> Any:
        try:
            text = substituted(node.text)
        except Unset as error:
            self.unreadable.add(path)
            self.add(path, str(error))
            return None
        if isinstance(text, Substituted):
            self.source.secrets.update(text.taken)
        return text

    def _mapping(self, node: Node, path: Path) -> dict[str, Any]:
        own: dict[str, tuple[Node, Node]] = {}
        merged: list[Node] = []
        for key, value in node.items:
            if key.kind not in ("plain", "text"):
                self.problems.append(Problem(key.position, path, "a list or mapping can't be a key"))
            elif _is_merge(key):
                merged += _listed(value)
            elif key.text in own:
                first = own[key.text][0].position
                where = f"the key stands twice in one mapping, first in line {first.line}"
                self.problems.append(Problem(key.position, (*path, key.text), where))
            else:
                own[key.text] = (key, value)
        pairs = {**self._merged(merged, path, 0), **own}
        data = {}
        for name, (key, value) in pairs.items():
            below = (*path, name)
            self.keys[below] = key.position
            data[name] = self.value(value, below)
        return data

    def _merged(self, nodes: list[Node], path: Path, depth: int) -> dict[str, tuple[Node, Node]]:
        """Return the pairs that ``<<`` brings; of several mappings the first one wins."""
        pairs: dict[str, tuple[Node, Node]] = {}
        for node in reversed(nodes):
            self._bound(node, depth)
            if node.kind != "mapping":
                self.problems.append(
                    Problem(node.position, (*path, "<<"), "allowed: an alias of a mapping, or several")
                )
                continue
            for key, value in node.items:
                if _is_merge(key):
                    pairs.update(self._merged(_listed(value), path, depth + 1))
            pairs.update({key.text: (key, value) for key, value in node.items if not _is_merge(key)})
        return pairs


def _part(path: Path) -> Path:
    """Return the path of what has to be left out where something in it is wrong."""
    start = 2 if path[:1] == ("endpoints",) else 0
    index = next((number for number, part in enumerate(path) if number >= start and isinstance(part, int)), len(path))
    path = path[:index]
    return path[:-1] if path[-3:-2] == ("fields",) and path[-1] in ("type", "enum") else path


def _is_merge(key: Node) -> bool:
    return key.kind == "plain" and key.text == "<<"


def _listed(node: Node) -> list[Node]:
    return node.items if node.kind == "list" else [node]


def read_tree(source: Source, text: str) -> Tree:
    """Return a file's data and positions; what can't be read at all is among its problems, without data."""
    tree = Tree(source)
    try:
        root = compose(text)
        if root is None or (root.kind == "plain" and root.text == ""):
            tree.add((), "the file is empty; write at least 'endpoints: []'")
        elif root.kind != "mapping":
            tree.values[()] = root.position
            given = "a list" if root.kind == "list" else "text"
            tree.add((), f"{given} given; allowed: a mapping of keys, as in 'endpoints: []'")
        else:
            tree.data = tree.value(root, ())
    except Broken as error:
        tree.problems.append(error.problem)
        tree.data = None
    return tree
