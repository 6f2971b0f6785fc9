"""``lightapi serve``: serve every table of a database that is there already."""

from __future__ import annotations

import argparse

from lightapi.app import LightApi
from lightapi.cli.output import show, tell
from lightapi.cli.shown import table

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print the routes and who may call them, then serve until told to stop."""
    app = LightApi.from_database(
        options.database,
        schema=options.schema,
        include=options.include,
        exclude=options.exclude,
        read_only=options.read_only,
    )
    verbs: dict[str, list[str]] = {}
    for row in app.describe():
        if row.endpoint:
            verbs.setdefault(row.path.removesuffix("/{id}"), []).append(row.verb)
    show(table(("PATH", "VERBS"), [(path, ", ".join(dict.fromkeys(each))) for path, each in verbs.items()]), "")
    # LIGHTAPI_HOST is for apps that somebody wrote and protected.
    host = options.host or "127.0.0.1"
    may = "read every row" if options.read_only else "read and write every row (--read-only forbids writing)"
    tell(f"everybody who reaches {host} may {may}")
    app.run(host=host, port=options.port, debug=options.debug)
    return 0
