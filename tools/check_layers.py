"""Check the import rule of the package: five ranks, no cycle, and no import hidden in a function.

A file imports from its own rank or from a rank above. What only a type checker imports is held to the ranks too, but
makes no cycle. ``lightapi/__init__.py`` gathers the public names: it may import
everything, and no other file imports it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "lightapi"
RANKS = (
    ("exceptions", "problems", "config", "meta", "plan"),
    (
        *("http", "http.message", "http.routing", "http.drive", "http.body", "http.cors"),
        *(
            "fields",
            "constraints",
            "storage",
            "declaration",
            "validators",
            "schema",
            "operators",
            "values",
            "keys",
            "cursors",
            "naming",
        ),
    ),
    ("db", "db.*", "columns", "filters", "pagination", "session"),
    (
        *("threads", "waiting", "permissions", "keysets", "tokens", "auth", "access", "limits", "login"),
        *("redis_wire", "redis_link", "cache"),
        *("middleware", "actions", "call", "handlers", "http.pipeline", "methods", "endpoint"),
    ),
    (
        *(
            "registration",
            "tables",
            "catalog",
            "service",
            "audit",
            "shelves",
            "building",
            "hosting",
            "running",
            "options",
            "openapi",
            "openapi.*",
            "pages",
            "pages.*",
            "declarative",
            "declarative.*",
            "adoption",
            "adapters",
            "adapters.*",
        ),
        *("app", "core", "rest"),
        *("cli", "cli.*", "__main__"),
    ),
)
# Optional, or so heavy that a program which does not need them should not wait for them.
LATE = frozenset(
    {
        *("a2wsgi", "aiosqlite", "alembic", "asyncpg", "cryptography", "gevent", "greenlet", "gunicorn", "httptools"),
        *(
            "jwt",
            "msgspec",
            "orjson",
            "psycopg",
            "psycopg2",
            "redis",
            "sqlalchemy.ext.asyncio",
            "uvicorn",
            "uvloop",
            "yaml",
        ),
    }
)
# The core of requests and responses knows no database and no cache.
STRANGERS = {"http": frozenset({"redis", "sqlalchemy"})}


class Import(NamedTuple):
    """One imported module, where it stands, the function that hides it, and whether only a type checker sees it."""

    module: str
    line: int
    function: str | None
    typing: bool


def problems(package: Path) -> list[str]:
    """List what breaks the rule in a package folder, each as ``file:line: what``."""
    files = {_name(path, package): path for path in sorted(package.rglob("*.py"))}
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        shown = path.relative_to(package.parent)
        rank = rank_of(name)
        if name and rank is None:
            found.append(f"{shown}:1: has no rank; give {name!r} one in tools/check_layers.py")
        imports = list(_imports(path, name, files))
        graph[name] = {_below(item.module) for item in imports if not item.typing} & files.keys() - {""}
        for item in imports:
            found += [f"{shown}:{item.line}: {problem}" for problem in _wrong(name, rank, item)]
    return found + [f"cycle: {' -> '.join(cycle)}" for cycle in _cycles(graph)]


def rank_of(module: str) -> int | None:
    """Tell the rank of a module named below the package: 1 is imported by all, 5 imports all."""
    folder = module.split(".", maxsplit=1)[0] + ".*"
    for rank, members in enumerate(RANKS, 1):
        if module in members:
            return rank
    return next((rank for rank, members in enumerate(RANKS, 1) if folder in members and "." in module), None)


def _wrong(name: str, rank: int | None, item: Import) -> Iterator[str]:
    top = item.module.split(".", maxsplit=1)[0]
    if top in STRANGERS.get(name.split(".", maxsplit=1)[0], ()):
        yield f"imports {item.module}, which {name} must not know"
    if item.function and not _may_be_late(name, item):
        yield f"imports {item.module} inside {item.function}(): only optional and heavy packages may be imported late"
    if _ours(item.module) and name:
        target = _below(item.module)
        target_rank = rank_of(target)
        if not target:
            yield f"imports from {PACKAGE} itself instead of from the module that defines the name"
        elif rank and target_rank and target_rank > rank:
            yield f"{name} (rank {rank}) imports {target} (rank {target_rank})"


def _may_be_late(name: str, item: Import) -> bool:
    if not name and item.function == "__getattr__":
        return True
    return any(item.module == late or item.module.startswith(f"{late}.") for late in LATE)


def _ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _below(module: str) -> str:
    """Name one of our modules below the package; what is not ours becomes the empty name, like the package itself."""
    return module.partition(".")[2] if _ours(module) else ""


def _name(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, name: str, files: dict[str, Path]) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    # What `from . import x` counts its dots from: the package itself in its __init__.py, the folder elsewhere.
    home = [PACKAGE, *name.split(".")] if name else [PACKAGE]
    home = home if path.name == "__init__.py" else home[:-1]
    for node, function, typing in _walk(tree, None, typing=False):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, function, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{source}.{alias.name}"
                is_module = _below(submodule) in files or submodule in LATE
                yield Import(submodule if is_module else source, node.lineno, function, typing)


def _walk(node: ast.AST, function: str | None, *, typing: bool) -> Iterator[tuple[ast.AST, str | None, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, function, typing
        inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        unseen = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _walk(child, inside, typing=typing or unseen)


def _cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Find one cycle through each module that is on one, the same cycle only once."""
    found: dict[frozenset[str], list[str]] = {}
    for start in sorted(graph):
        paths = [[start]]
        seen: set[str] = set()
        while paths:
            path = paths.pop(0)
            for target in sorted(graph[path[-1]]):
                if target == start:
                    found.setdefault(frozenset(path), [*path, start])
                elif target not in seen:
                    seen.add(target)
                    paths.append([*path, target])
    return list(found.values())


if __name__ == "__main__":
    wrong = problems(ROOT / PACKAGE)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))
