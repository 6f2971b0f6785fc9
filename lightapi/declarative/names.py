"""From names in a file to Python objects: LightAPI's own, and ``package.module:Name`` of the user's."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightapi.auth import BasicAuthentication, JWTAuthentication
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.filters import FieldFilter, OrderingFilter, SearchFilter
from lightapi.middleware import CORSMiddleware
from lightapi.permissions import All, AllowAny, Any_, IsAdminUser, IsAuthenticated, Not

__all__ = ["BACKENDS", "FILTERS", "MIDDLEWARE", "PERMISSIONS", "named_object", "permission_of"]

BACKENDS = {"JWTAuthentication": JWTAuthentication, "BasicAuthentication": BasicAuthentication}
PERMISSIONS = {"AllowAny": AllowAny, "IsAuthenticated": IsAuthenticated, "IsAdminUser": IsAdminUser}
FILTERS = {"FieldFilter": FieldFilter, "SearchFilter": SearchFilter, "OrderingFilter": OrderingFilter}
MIDDLEWARE = {"CORSMiddleware": CORSMiddleware}


def named_object(name: str, known: Mapping[str, Any], folder: Path) -> Any:
    """Return what a name stands for; ``folder`` is the file's, from where modules are imported too.

    Raises ConfigurationError.
    """
    if name in known:
        return known[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        module, _, attribute = name.rpartition(".")
    if not (module and attribute):
        allowed = ", ".join([*known, "package.module:Name"])
        raise ConfigurationError(f"{name!r} given; allowed: {allowed}{nearest(name, known)}")
    value = _imported(module, name, folder)
    for part in attribute.split("."):
        if not hasattr(value, part):
            hint = nearest(part, [each for each in dir(value) if not each.startswith("_")])
            raise ConfigurationError(f"{name!r}: {getattr(value, '__name__', module)!r} has no {part!r}{hint}")
        value = getattr(value, part)
    return value


def _imported(module: str, name: str, folder: Path) -> Any:
    if str(folder) not in sys.path:
        # As if the file were a program: its neighbours can be imported, later ones too.
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"{name!r}: importing {module!r} failed: {error}") from error
        raise ConfigurationError(
            f"{name!r}: there is no module {error.name!r}, neither installed nor beside the file"
        ) from None
    except (Exception, SystemExit) as error:
        # Whatever a module raises while it is imported, its user has to know which one it was.
        raise ConfigurationError(f"{name!r}: importing {module!r} failed: {type(error).__name__}: {error}") from error


_MOST_WORDS = 100
_WORD = re.compile(r"\s*([&|~()]|[^\s&|~()]+)")


def permission_of(formula: str, folder: Path) -> Any:
    """Return the permission that a name or a formula such as ``IsAuthenticated & ~package.module:IsBanned`` means.

    ``~`` binds tighter than ``&``, and ``&`` tighter than ``|``, as in Python. Raises ConfigurationError.
    """
    words = _WORD.findall(formula)
    if len(words) > _MOST_WORDS:
        raise ConfigurationError(f"a formula of {len(words)} words given; allowed: {_MOST_WORDS}")
    permission = _joined(words, formula, folder)
    if words:
        raise _unreadable(formula, words[0])
    return permission


_LEVELS = (("|", Any_), ("&", All))
"""The signs between permissions, loosest first, as in Python."""


def _joined(words: list[str], formula: str, folder: Path, level: int = 0) -> Any:
    if level == len(_LEVELS):
        return _one(words, formula, folder)
    sign, kind = _LEVELS[level]
    permission = _joined(words, formula, folder, level + 1)
    while words and words[0] == sign:
        words.pop(0)
        permission = kind(permission, _joined(words, formula, folder, level + 1))
    return permission


def _one(words: list[str], formula: str, folder: Path) -> Any:
    if not words or words[0] in ("&", "|", ")"):
        raise _unreadable(formula, words[0] if words else "the end")
    word = words.pop(0)
    if word == "~":
        return Not(_one(words, formula, folder))
    if word != "(":
        return named_object(word, PERMISSIONS, folder)
    permission = _joined(words, formula, folder)
    if not words:
        raise _unreadable(formula, "the end")
    if words.pop(0) != ")":
        raise _unreadable(formula, "a missing )")
    return permission


def _unreadable(formula: str, word: str) -> ConfigurationError:
    return ConfigurationError(f"{formula!r}: can't be read at {word}; allowed: names combined with & | ~ ( )")
