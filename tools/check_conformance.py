"""Check the conformance list: every promise of the specification names the tests that hold us to it.

``tests/conformance.toml`` holds ``[[entry]]`` tables with ``id``, ``source``, ``says`` and ``tests``; a test is
``tests/test_x.py::test_name`` or ``tests/test_x.py::TestClass::test_name``, without the brackets of a parameter.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "conformance.toml"
KEYS = ("id", "source", "says", "tests")


def problems(listed: Path, root: Path) -> list[str]:
    """List what is wrong with the entries; the tests they name are looked up below the root."""
    if not listed.exists():
        return [f"{listed.name} does not exist"]
    try:
        entries = tomli.loads(listed.read_text(encoding="utf-8")).get("entry", [])
    except tomli.TOMLDecodeError as error:
        return [f"{listed.name}: {error}"]
    if not entries:
        return [f"{listed.name} has no [[entry]]"]
    found: list[str] = []
    seen: set[str] = set()
    known: dict[str, set[str] | None] = {}
    for number, entry in enumerate(entries, 1):
        name = entry.get("id") or f"entry {number}"
        found += [f"{name}: {problem}" for problem in _wrong(entry, root, known)]
        if name in seen:
            found.append(f"{name}: used twice")
        seen.add(name)
    return found


def _wrong(entry: dict[str, Any], root: Path, known: dict[str, set[str] | None]) -> Iterator[str]:
    for key in KEYS:
        if not entry.get(key):
            yield f"{key} is missing or empty"
    for key in sorted(entry.keys() - set(KEYS)):
        yield f"unknown key {key!r}; allowed: {', '.join(KEYS)}"
    tests = entry.get("tests", [])
    if not isinstance(tests, list):
        yield "tests is not a list"
        return
    for test in tests:
        file, _, function = str(test).partition("[")[0].partition("::")
        if file not in known:
            known[file] = _tests_in(root / file)
        names = known[file]
        if names is None:
            yield f"{file} does not exist"
        elif function not in names:
            yield f"{file} has no {function or 'test named'}"


def _tests_in(path: Path) -> set[str] | None:
    """Collect ``test_name`` and ``TestClass::test_name``, also below an ``if``, without running the file."""
    if path.suffix != ".py" or not path.is_file():
        return None
    return set(_named(ast.parse(path.read_text(encoding="utf-8"), str(path)), ""))


def _named(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("test"):
                yield prefix + child.name
        elif isinstance(child, ast.ClassDef):
            yield from _named(child, f"{prefix}{child.name}::")
        else:
            yield from _named(child, prefix)


if __name__ == "__main__":
    wrong = problems(LIST, ROOT)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))
