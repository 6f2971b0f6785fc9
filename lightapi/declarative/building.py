"""From a checked file to endpoint classes and the app's arguments; whatever fails is noted where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path as Folder
from typing import Any

from lightapi.config import Authentication, Cache, Filtering, Pagination, Serializer
from lightapi.declarative.fields import WrongKey, declaration_of
from lightapi.declarative.names import BACKENDS, FILTERS, named_object, permission_of
from lightapi.declarative.problems import Path
from lightapi.declarative.tree import Tree
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import ConfigurationError

__all__ = ["Builder", "class_name", "located"]


def class_name(route: str) -> str:
    """Return the name of the class of a route: ``/v1/items`` gives ``V1ItemsEndpoint``."""
    words = [word for word in re.split(r"[\W_]+", route) if word]
    name = "".join(word[0].upper() + word[1:] for word in words) or "Root"
    return f"{'' if name[0].isalpha() else 'Route'}{name}Endpoint"


def located(tree: Tree, path: Path, owner: str, message: str) -> tuple[Path, str]:
    """Return the key that a message of an endpoint is about, and the message without what the key says already."""
    found = re.match(rf"{re.escape(owner)}\.(Meta\.)?(\w+(?:\.\w+)*)(?:\[\W?\w+\W?\])?: ", message) if owner else None
    if found:
        below: Path = ("meta",) if found[1] else ("fields",)
        inside = next(
            (each for each in ((*path, *below), path) if (*each, found[2].split(".")[0]) in tree.values), None
        )
        if inside is not None:
            path, message = _deepest(tree, inside, found[2].split(".")), message[found.end() :]
    found = re.match(r"\w+\((\w+)[=\[].*?\)(?:: | )", message)
    if found and (*path, found[1]) in tree.values:
        path, message = (*path, found[1]), message[found.end() :]
    found = re.match(r"(?:the )?(\w+)[= ]", message)
    if found and (*path, found[1]) in tree.values:
        path = (*path, found[1])
    for quoted in re.findall(r"'([^']*)'", message)[:1]:
        path = _leaf(tree, path, quoted) or path
    return path, message


def _deepest(tree: Tree, path: Path, names: list[str]) -> Path:
    """Return how far the names lead below a path."""
    for name in names:
        path = (*path, name) if (*path, name) in tree.values else path
    return path


def _leaf(tree: Tree, path: Path, text: str) -> Path | None:
    """Return the key or value below a path that is exactly this text."""
    for below in tree.values:
        if below[: len(path)] == path and len(below) > len(path) and (below[-1] == text or tree.at(below) == text):
            return below
    return None


_MAY_BE_NONE = ("pagination", "cache")


class Builder:
    """Makes what a file describes; a problem is noted in the tree and gives None."""

    def __init__(self, tree: Tree, folder: Folder) -> None:
        self.tree = tree
        self.folder = folder

    def attempt(self, path: Path, make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call what may raise a ConfigurationError about a path."""
        try:
            return make(*arguments, **options)
        except WrongKey as error:
            where = (*path, error.key) if error.key else path
            self.tree.add(where, str(error))
        except ConfigurationError as error:
            where, message = located(self.tree, path, "", str(error))
            self.tree.add(where, message)
        return None

    def named(self, name: str, known: Mapping[str, Any], path: Path) -> Any:
        """Return what a name stands for."""
        return self.attempt(path, named_object, name, known, self.folder)

    def listed(self, names: list[str], known: Mapping[str, Any], path: Path) -> list[Any]:
        """Return what each name of a list stands for, those that stand for nothing left out."""
        found = [self.named(name, known, (*path, number)) for number, name in enumerate(names)]
        return [each for each in found if each is not None]

    def authentication_options(self, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Return the arguments of an ``Authentication``, names resolved."""
        options = dict(given)
        if isinstance(options.get("backend"), list):
            options["backend"] = self.listed(options["backend"], BACKENDS, (*path, "backend")) or None
        elif "backend" in options:
            options["backend"] = self.named(options["backend"], BACKENDS, (*path, "backend"))
        permission = options.get("permission")
        where = (*path, "permission")
        if isinstance(permission, dict):
            options["permission"] = {
                verb: self.attempt((*where, verb), permission_of, each, self.folder)
                for verb, each in permission.items()
            }
        elif permission is not None:
            options["permission"] = self.attempt(where, permission_of, permission, self.folder)
        return options

    def endpoint(self, given: Mapping[str, Any], path: Path, defaults: Mapping[str, Any]) -> type | None:
        """Return the class of one entry; of ``defaults`` it takes the pagination, registration the authentication."""
        before = len(self.tree.problems)
        if "class" in given:
            return self._imported(given, path)
        if "model_config" in given.get("fields", {}):
            self.tree.add((*path, "fields", "model_config"), "names the configuration of a class; use another name")
        name = given.get("name") or class_name(given["route"])
        declared = {
            field: self.attempt((*path, "fields", field), declaration_of, options, self.folder)
            for field, options in given.get("fields", {}).items()
        }
        meta = self._meta(given, path, defaults)
        meta = {option: value for option, value in meta.items() if value is not None or option in _MAY_BE_NONE}
        known = {field: declaration for field, declaration in declared.items() if declaration is not None}
        made = self._made(name, given.get("description"), known, meta, path)
        return made if len(self.tree.problems) == before else None

    def _imported(self, given: Mapping[str, Any], path: Path) -> type | None:
        for key in given:
            if key not in ("route", "class"):
                self.tree.add((*path, key), "stands beside 'class'; the class says it all", key=True)
        cls = self.named(given["class"], {}, (*path, "class"))
        if cls is not None and not (isinstance(cls, type) and issubclass(cls, RestEndpoint)):
            self.tree.add((*path, "class"), f"{given['class']!r} is no subclass of RestEndpoint")
            return None
        return cls

    def _meta(self, given: Mapping[str, Any], path: Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
        meta = dict(given.get("meta", {}))
        for key in ("reflect", "table"):
            if key in given and key in meta:
                self.tree.add((*path, key), "stands in 'meta', too; say it once", key=True)
            elif key in given:
                meta[key] = given[key]
        inside = (*path, "meta")
        if "authentication" in meta:
            meta["authentication"] = self._authentication(meta["authentication"], (*inside, "authentication"))
        if meta.get("pagination") is not None:
            options = {**defaults.get("pagination", {}), **meta["pagination"]}
            meta["pagination"] = self.attempt((*inside, "pagination"), Pagination, **options)
        for key, kind in (("cache", Cache), ("serializer", Serializer)):
            if meta.get(key) is not None:
                meta[key] = self.attempt((*inside, key), kind, **meta[key])
        if "filtering" in meta:
            meta["filtering"] = self._filtering(meta["filtering"], (*inside, "filtering"))
        if isinstance(meta.get("methods"), dict):
            meta["methods"] = {
                verb: self._verb(each, (*inside, "methods", verb)) for verb, each in meta["methods"].items()
            }
        return meta

    def _filtering(self, given: Mapping[str, Any], path: Path) -> Filtering | None:
        options = dict(given)
        if "backends" in options:
            options["backends"] = self.listed(options["backends"], FILTERS, (*path, "backends")) or None
        made: Filtering | None = self.attempt(path, Filtering, **options)
        return made

    def _verb(self, given: Mapping[str, Any] | None, path: Path) -> Authentication | None:
        if not given or "authentication" not in given:
            return None
        return self._authentication(given["authentication"], (*path, "authentication"))

    def _authentication(self, given: Mapping[str, Any], path: Path) -> Authentication | None:
        made: Authentication | None = self.attempt(path, Authentication, **self.authentication_options(given, path))
        return made

    def _made(
        self, name: str, about: str | None, declared: Mapping[str, Any], meta: Mapping[str, Any], path: Path
    ) -> type | None:
        try:
            return _class(name, about, declared, meta)
        except ConfigurationError as error:
            for message in error.problems:
                where, said = located(self.tree, path, name, message)
                # A field whose name is taken is refused a second time, for what it would have replaced.
                if where not in {each.path for each in self.tree.problems}:
                    self.tree.add(where, said)
        return None


def _class(name: str, about: str | None, declared: Mapping[str, Any], meta: Mapping[str, Any]) -> type:
    namespace = {
        "__module__": __name__,
        "__doc__": about,
        "__annotations__": {field: annotation for field, (annotation, _) in declared.items()},
        "Meta": type("Meta", (), dict(meta)),
        **{field: info for field, (_, info) in declared.items()},
    }
    return type(name, (RestEndpoint,), namespace)
