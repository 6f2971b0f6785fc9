"""``lightapi routes``: show every path of an app."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lightapi.cli.output import show
from lightapi.cli.shown import described, table
from lightapi.cli.target import load

__all__ = ["run"]

_HEAD = ("PATH", "VERBS", "CALLERS", "CACHE", "LIST")


def run(options: argparse.Namespace) -> int:
    """Print the paths, as a table or as JSON."""
    rows = described(load(options.target).app)
    show(json.dumps(rows, indent=2) if options.json else table(_HEAD, [_cells(row) for row in rows]))
    return 0


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    callers = " ".join(each for each in (row["authentication"], row["permission"]) if each)
    cache = "" if row["cache"] is None else f"{row['cache']:g} s"
    return (row["path"], ", ".join(row["verbs"]), "public" if row["public"] else callers, cache, _list(row))


def _list(row: Mapping[str, Any]) -> str:
    """Return in few words what a list may be asked for."""
    columns = dict.fromkeys(name.partition("__")[0] for name in row.get("filters", ()))
    parts = [
        f"{word} {_few([*names])}"
        for word, names in (
            ("filters", columns),
            ("search", row.get("search", ())),
            ("ordering", row.get("ordering", ())),
        )
        if names
    ]
    pages = row.get("pagination")
    if pages is not None:
        parts.append(f"{pages['style']} {pages['page_size']}")
    return "; ".join(parts)


_MOST = 3


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
