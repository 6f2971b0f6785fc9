"""Load a file: read it, check it, build its endpoints and the app; all its problems are reported at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path as Folder
from typing import Any, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from lightapi.config import Authentication, Pagination
from lightapi.declarative.building import Builder, class_name, located
from lightapi.declarative.checking import check_shape, endpoint_options
from lightapi.declarative.names import MIDDLEWARE
from lightapi.declarative.problems import Path, Source, written_path
from lightapi.declarative.substitution import Substituted
from lightapi.declarative.tree import Tree, read_tree
from lightapi.exceptions import ConfigurationError
from lightapi.http.routing import checked_path

__all__ = ["load", "problems_in"]

App = TypeVar("App")

LARGEST = 4 * 1024 * 1024
"""Bytes that a file may have."""


def load(path: str | os.PathLike[str] | None, overrides: Mapping[str, Any], make: type[App]) -> App:
    """Return the app that a file describes, one of the class ``make``; ``overrides`` are arguments that win.

    Without a path: the environment's LIGHTAPI_CONFIG, else ``lightapi.yaml``. Raises one ConfigurationError with all
    problems.
    """
    loading = _Loading(path, overrides, make)
    app = loading.app()
    if app is None or loading.tree.problems:
        loading.close()
        raise loading.error()
    app._explain = loading.explained
    return app  # type: ignore[no-any-return]


def problems_in(path: str | os.PathLike[str] | None, make: type) -> list[str]:
    """Return the text of each problem of a file, in the order of the file, also of those that building finds.

    The database is asked only by endpoints that reflect a table.
    """
    loading = _Loading(path, {}, make)
    app = loading.app()
    if app is not None and not loading.tree.problems:
        loading.build(app)
    loading.close()
    return [*loading.error().problems] if loading.tree.problems else []


_PLACES: Mapping[str, tuple[str, ...]] = {
    "engine": ("database",),
    "database_url": ("database", "url"),
    "auth_path": ("auth", "auth_path"),
    "login_validator": ("auth", "login_validator"),
    "middlewares": ("middleware",),
    "default_pagination": ("defaults", "pagination"),
    "default_authentication": ("defaults", "authentication"),
}
"""Where the file says what is an argument of the constructor, where it has another name."""

_STAND_IN = "sqlite://"
"""The database on which the rest is checked when the file's own can't be used."""


class _Loading:
    """One file on its way to an app."""

    def __init__(
        self, path: str | os.PathLike[str] | None, overrides: Mapping[str, Any], make: Callable[..., Any]
    ) -> None:
        file = os.fspath(path or os.environ.get("LIGHTAPI_CONFIG") or "lightapi.yaml")
        self.source, self.tree = _read(file)
        self.folder = Folder(file).absolute().parent
        self.overrides = {
            name: value
            for name, value in overrides.items()
            if value is not None or name not in ("engine", "database_url")
        }
        self.make = make
        self.builder = Builder(self.tree, self.folder)
        self.made: Any = None
        self.owners: dict[str, Path] = {}

    def app(self) -> Any:
        """Return the app with all endpoints that can be registered, None where the file can't be read."""
        if self.tree.data is None:
            return None
        for name in self.overrides:
            place = _PLACES.get(name, (name,))
            self._leave_out(("database",) if "database" in place else place)
            self._leave_out(("database_url",) if "database" in place else (name,))
        options = self._gathered(check_shape(self.tree))
        endpoints = self._endpoints()
        defaults = self._defaults(options.get("defaults", {}))
        classes = [(path, given, self.builder.endpoint(given, path, defaults)) for path, given in endpoints]
        self.made, is_stand_in = self._constructed(self._arguments(options, defaults))
        for path, given, cls in classes:
            if cls is None or self.made is None or (is_stand_in and _reflects(cls)):
                continue
            if any(each.path[:2] == path for each in self.tree.problems):
                continue
            self.owners[cls.__name__] = path
            try:
                self.made.register({given["route"]: cls})
            except ConfigurationError as error:
                for message in error.problems:
                    self.tree.add(*located(self.tree, path, cls.__name__, message))
        return self.made

    def build(self, app: Any) -> None:
        """Note what only building the app finds."""
        try:
            app._build_service(asking=False)
        except ConfigurationError as error:
            self._place(error)

    def explained(self, error: ConfigurationError) -> ConfigurationError:
        """Return what building or starting the app found as problems of the file."""
        self._place(error)
        return self.error()

    def error(self) -> ConfigurationError:
        """Return one error of all problems, in the order of the file."""
        ordered = sorted(dict.fromkeys(self.tree.problems), key=lambda each: each.position)
        shown = [self.source.shown(problem) for problem in ordered]
        return ConfigurationError.of(shown, "\n".join(shown))

    def _place(self, error: ConfigurationError) -> None:
        """Note every message of an error where its endpoint stands."""
        for message in error.problems:
            owner = next((name for name in self.owners if message.startswith((f"{name}.", f"{name}:"))), "")
            self.tree.add(*located(self.tree, self.owners.get(owner, ()), owner, message))

    def close(self) -> None:
        """Close what was opened for an app that nobody gets."""
        if self.made is not None and "engine" not in self.overrides:
            self.made._store.dispose_sync()

    def _leave_out(self, path: Path) -> None:
        """Forget a part of the file that an override replaces, and what is wrong in it."""
        inside = self.tree.data
        for part in path[:-1]:
            inside = inside.get(part) if isinstance(inside, dict) else None
        if isinstance(inside, dict) and path[-1] in inside:
            del inside[path[-1]]
            self.tree.problems[:] = [each for each in self.tree.problems if each.path[: len(path)] != path]
            self.tree.unreadable = {each for each in self.tree.unreadable if each[: len(path)] != path}

    def _gathered(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options with those that are named as the constructor names them in their places."""
        for name, place in _PLACES.items():
            if name not in options:
                continue
            if place in self.tree.values:
                self.tree.add((name,), f"stands in {written_path(place)}, too; say it once", key=True)
                del options[name]
            elif len(place) == 1:
                options[place[0]] = options.pop(name)
            else:
                options.setdefault(place[0], {})[place[1]] = options.pop(name)
        return options

    def _place_of(self, name: str) -> Path:
        """Return where an argument of the constructor stands in the file; of one that does not, the nearest part."""
        place = _PLACES.get(name, (name,))
        return next((each for each in (place, (name,), place[:1]) if each in self.tree.values), ())

    def _endpoints(self) -> list[tuple[Path, dict[str, Any]]]:
        """Return the entries whose shape is right; note routes and classes that stand twice."""
        found = []
        seen: dict[str, int] = {}
        entries = self.tree.data.get("endpoints")
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            path: Path = ("endpoints", number)
            route = entry.get("route") if isinstance(entry, dict) else None
            if isinstance(route, str) and route.startswith("/"):
                self._check_route(route, (*path, "route"), seen)
            given = endpoint_options(self.tree, number)
            if given is not None:
                found.append((path, given))
        return self._differently_named(found)

    def _check_route(self, route: str, path: Path, seen: dict[str, int]) -> None:
        try:
            checked = checked_path(str(route))
        except ConfigurationError as error:
            self.tree.add(path, str(error))
            return
        if checked in seen:
            self.tree.add(path, f"the route {str(route)!r} stands twice, first in line {seen[checked]}")
        seen.setdefault(checked, self.tree.position(path).line)

    def _differently_named(self, entries: list[tuple[Path, dict[str, Any]]]) -> list[tuple[Path, dict[str, Any]]]:
        names: dict[str, str] = {}
        kept = []
        for path, given in entries:
            name = "" if "class" in given else given.get("name") or class_name(given["route"])
            if name in names:
                key = (*path, "name" if "name" in given else "route")
                self.tree.add(
                    key, f"makes the class {name!r}, as {names[name]!r} does; give one of them another 'name'"
                )
                continue
            if name:
                names[name] = given["route"]
            kept.append((path, given))
        return kept

    def _defaults(self, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return what holds for every endpoint, as arguments of ``Authentication`` and ``Pagination``."""
        defaults = dict(given)
        if "authentication" in given:
            where = self._place_of("default_authentication")
            defaults["authentication"] = self.builder.authentication_options(given["authentication"], where)
        override = self.overrides.get("default_pagination")
        if isinstance(override, Pagination):
            defaults["pagination"] = {option.name: getattr(override, option.name) for option in fields(override)}
        return defaults

    def _arguments(self, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the constructor, names resolved, the overrides in their places."""
        named = self.builder.named
        arguments = {name: value for name, value in options.items() if name not in _SECTIONS}
        if "database" in options:
            arguments["database_url"] = self._database_url(options["database"].get("url", _STAND_IN))
        if "middleware" in options:
            where = self._place_of("middlewares")
            arguments["middlewares"] = self.builder.listed(options["middleware"], MIDDLEWARE, where)
        if "auth_path" in options.get("auth", {}):
            arguments["auth_path"] = options["auth"]["auth_path"]
        if "login_validator" in options.get("auth", {}):
            where = self._place_of("login_validator")
            arguments["login_validator"] = named(options["auth"]["login_validator"], {}, where)
        for name in ("routes", "asgi_middleware", "lifespan", "rate_limiter"):
            if isinstance(options.get(name), str):
                arguments[name] = named(options[name], {}, (name,))
        for key, kind in (("authentication", Authentication), ("pagination", Pagination)):
            if key in defaults:
                where = self._place_of(f"default_{key}")
                arguments[f"default_{key}"] = self.builder.attempt(where, kind, **defaults[key])
        arguments = {name: value for name, value in arguments.items() if value is not None or name in _NULLABLE}
        return {**arguments, **self.overrides}

    def _database_url(self, url: str) -> str:
        """Return a URL whose relative SQLite path, if it is written in the file, starts at the file's folder."""
        place = self._place_of("database_url")
        written = self.tree.at(place) if place else url
        if isinstance(written, Substituted) and written.taken:
            return url
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            return url
        database = parsed.database or ""
        if parsed.get_backend_name() != "sqlite" or not database or database.startswith((":memory:", "file:")):
            return url
        return parsed.set(database=str(self.folder / database)).render_as_string(hide_password=False)

    def _constructed(self, arguments: dict[str, Any]) -> tuple[Any, bool]:
        """Return the app, made without what is wrong, and whether it has a stand-in for the file's database."""
        is_stand_in = any(path[:1] in (("database",), ("database_url",)) for path in self.tree.wrong())
        if is_stand_in:
            arguments = {**arguments, "database_url": _STAND_IN}
        while True:
            try:
                return self.make(**arguments), is_stand_in
            except ConfigurationError as error:
                if any(f"unknown option {name!r}" in str(error) for name in self.overrides):
                    raise
                name = _argument(str(error), arguments)
                self.tree.add(self._place_of(name), str(error))
                if name == "database_url" and not is_stand_in:
                    is_stand_in = True
                    arguments = {**arguments, "engine": None, "database_url": _STAND_IN}
                elif name in arguments and name not in self.overrides:
                    del arguments[name]
                else:
                    return None, is_stand_in


_SECTIONS = ("database", "auth", "middleware", "defaults", "endpoints")
_NULLABLE = ("openapi_url", "docs_url")


def _argument(message: str, arguments: Mapping[str, Any]) -> str:
    """Return the argument of the constructor that a message is about."""
    first = next((name for name in arguments if message.startswith((f"{name}=", f"{name}:", f"{name} "))), None)
    return first or ("database_url" if "database" in message else "")


def _reflects(cls: Any) -> bool:
    return bool(cls._options.reflect)


def _read(file: str) -> tuple[Source, Tree]:
    """Return the file's text and data; that it can't be read is a problem like others."""
    problem, text = "", ""
    try:
        with open(file, "rb") as opened:  # noqa: PTH123  its message names the path as it was given
            content = opened.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
        if len(content) > LARGEST:
            problem = f"more than {LARGEST} bytes"
    except FileNotFoundError:
        problem = "there is no such file; give from_config() its path, or set LIGHTAPI_CONFIG"
    except UnicodeDecodeError as error:
        problem = f"no UTF-8: byte {error.start + 1} is {error.object[error.start]:#04x}"
    except (OSError, ValueError) as error:
        problem = f"can't be read: {getattr(error, 'strerror', None) or error}"
    source = Source(file, "" if problem else text)
    if not problem:
        return source, read_tree(source, text)
    tree = Tree(source)
    tree.add((), problem)
    return source, tree
