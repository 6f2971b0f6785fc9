"""Serve in a process of its own, and start that one again when a file changes: Python and YAML alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["serve_reloading", "sources"]

_SUFFIXES = (".py", ".yaml", ".yml")


def serve_reloading(target: str, files: Iterable[Path], **options: Any) -> None:
    """Serve what uvicorn's import string ``target`` makes; watch this folder and ``files``.

    uvicorn's own reloader looks at nothing but Python files unless another package is installed.
    """
    import uvicorn
    from uvicorn.supervisors.statreload import StatReload

    watched = tuple(files)

    class Reloader(StatReload):
        """Look at our files."""

        def iter_py_files(self) -> Iterator[Path]:
            """Return the files whose change starts it again."""
            return sources(Path.cwd(), watched)

    config = uvicorn.Config(target, factory=True, reload=True, **options)
    server = uvicorn.Server(config)
    Reloader(config, target=server.run, sockets=[config.bind_socket()]).run()


def sources(folder: Path, files: Iterable[Path]) -> Iterator[Path]:
    """Return the Python and YAML files of a folder, without hidden folders and installed packages."""
    yield from (path.resolve() for path in files)
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__"))
            and not Path(place, name, "pyvenv.cfg").exists()
            and name != "node_modules"
        ]
        yield from (Path(place, name) for name in names if name.endswith(_SUFFIXES))
