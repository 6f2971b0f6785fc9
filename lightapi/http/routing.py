"""Find the route of a path by dict lookup, whatever the number of endpoints."""

from __future__ import annotations

from lightapi.exceptions import ConfigurationError
from lightapi.plan import Route

__all__ = ["Routes", "checked_path"]


class Routes:
    """The paths of one app: collections by whole path, items by everything before the last slash."""

    def __init__(self) -> None:
        self._collections: dict[str, Route] = {}
        self._items: dict[str, Route] = {}
        self._deep: list[str] = []

    def add(self, path: str, collection: Route, item: Route | None = None, *, deep: bool = False) -> None:
        """Register a path as ``checked_path`` returned it; raise ConfigurationError when taken.

        ``deep`` says that ids may hold slashes; a path that is registered itself goes before such an id.
        """
        if path in self._collections:
            raise ConfigurationError(f"route {path or '/'!r} is registered twice")
        self._collections[path] = collection
        if item is not None and item.verbs:
            self._items[path] = item
            if deep:
                self._deep.append(path)
                self._deep.sort(key=len, reverse=True)

    def __contains__(self, path: str) -> bool:
        return path in self._collections

    def find(self, path: str, *, written: bool = True) -> tuple[Route, str | None] | None:
        """Return the route of a path and, for an item, the id as the client wrote it.

        A trailing slash names the same resource, unless it ends an id that may hold slashes: then it must have been
        ``written`` as a slash, not as ``%2F``. None when there is no such path.
        """
        found = self._find(path.removesuffix("/"))
        if written or not path.endswith("/") or (found is not None and found[1] is None):
            return found
        return self._find_deep(path) or found

    def _find(self, path: str) -> tuple[Route, str | None] | None:
        route = self._collections.get(path)
        if route is not None and route.verbs:
            return route, None
        head, _, key = path.rpartition("/")
        route = self._items.get(head)
        if route is not None and (key or head not in self._deep):
            return (route, key) if key else None
        return self._find_deep(path)

    def _find_deep(self, path: str) -> tuple[Route, str] | None:
        for head in self._deep:
            if path.startswith(f"{head}/") and len(path) > len(head) + 1:
                return self._items[head], path[len(head) + 1 :]
        return None


_FORBIDDEN = "?#{}%\\ "


def checked_path(path: object, name: str = "route ") -> str:
    """Return a path without its trailing slash; raise ConfigurationError, saying what it is for, if it is none."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"{name}{path!r} given; a path starts with '/', as in '/books'")
    bare = path.removesuffix("/")
    wrong = [character for character in _FORBIDDEN if character in bare]
    if wrong or "//" in path or not bare.isprintable():
        shown = "".join(wrong) or "an empty segment or a control character"
        raise ConfigurationError(f"{name}{path!r} holds {shown!r}; allowed: plain path segments")
    return bare
