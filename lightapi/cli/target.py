"""Find the app that a command is about: in a module, a Python file or a YAML file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

from lightapi.app import LightApi
from lightapi.cli.output import tell
from lightapi.exceptions import ConfigurationError, nearest

__all__ = ["TARGET", "Target", "is_yaml", "load", "served"]

TARGET = "LIGHTAPI_TARGET"
"""The environment variable by which a process of ours tells another one what to serve."""

_CANDIDATES = ("app.py", "main.py", "lightapi.yaml", "lightapi.yml")


class Target(NamedTuple):
    """An app, and how to find it again in another process."""

    app: LightApi
    name: str


def is_yaml(target: str) -> bool:
    """Tell whether a target is a YAML file."""
    return target.endswith((".yaml", ".yml"))


def load(target: str | None) -> Target:
    """Return the app that a target names, else LIGHTAPI_CONFIG, else the one in this folder.

    Raises ConfigurationError that says what was looked for and what is there.
    """
    _importable(Path.cwd())
    chosen = target or os.environ.get("LIGHTAPI_CONFIG")
    if not chosen:
        return _found_here()
    if is_yaml(chosen):
        return _declared(chosen)
    parts = re.fullmatch(r"(.+?):([^\W\d][\w.]*)", chosen)
    place, name = (parts[1], parts[2]) if parts else (chosen, "")
    return _in_module(place, name)


def served() -> Any:
    """Return the app that another process named: what uvicorn calls in the processes that it starts."""
    try:
        return load(os.environ[TARGET]).app.asgi
    except ConfigurationError as error:
        tell(str(error))
        sys.exit(2)


def _found_here() -> Target:
    there = [name for name in _CANDIDATES if Path(name).is_file()]
    empty = []
    for file in there:
        module = None if is_yaml(file) else _imported_file(Path(file))
        if module is not None and not _apps(module):
            empty.append(file)
            continue
        others = [name for name in there if name not in (file, *empty)]
        if others:
            tell(f"takes {file}; name {' or '.join(others)} to take that")
        return _declared(file) if module is None else _in_module(file, "")
    where = f"{' and '.join(empty)} in {Path.cwd()} hold no LightApi object" if empty else f"no app in {Path.cwd()}"
    raise ConfigurationError(f"{where}: name one, as in 'lightapi run main:app', or set LIGHTAPI_CONFIG to a YAML file")


def _declared(file: str) -> Target:
    return Target(LightApi.from_config(file), file)


def _in_module(place: str, name: str) -> Target:
    is_file = place.endswith(".py") or os.sep in place
    module = _imported_file(Path(place)) if is_file else _imported(place, lambda: _module(place))
    found = _apps(module)
    if not name:
        name = "app" if "app" in found else next(iter(found), "")
        if not found:
            raise ConfigurationError(f"{place} holds no LightApi object")
        if name != "app" and len(found) > 1:
            names = ", ".join(f"{place}:{each}" for each in found)
            raise ConfigurationError(f"{place} holds several LightApi objects; name one: {names}")
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise ConfigurationError(f"{place} has no {name!r}{nearest(name, found) or _holds(found)}")
        value = getattr(value, part)
    if not isinstance(value, LightApi):
        hint = "; call it, and name what it returns" if inspect.isfunction(value) else ""
        kind = "a class" if inspect.isclass(value) else f"of type {type(value).__name__!r}"
        raise ConfigurationError(f"{place}:{name} is {kind}, not a LightApi object{hint}{_holds(found)}")
    return Target(value, f"{place}:{name}")


def _holds(found: Iterable[str]) -> str:
    return f"; LightApi objects there: {', '.join(found) or 'none'}"


def _apps(module: ModuleType) -> dict[str, LightApi]:
    """Return the LightApi objects of a module by name, each once."""
    named: dict[int, str] = {}
    for name, value in vars(module).items():
        if isinstance(value, LightApi):
            named.setdefault(id(value), name)
            if name == "app":
                named[id(value)] = name
    return {name: getattr(module, name) for name in named.values()}


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        near = nearest(name, [path.stem for path in Path.cwd().glob("*.py")])
        raise _NotThere(f"there is no module {name!r}, neither in {Path.cwd()} nor installed{near}") from None


def _imported_file(path: Path) -> ModuleType:
    """Import a file as ``python FILE`` would find its imports; one inside a package as the package's."""
    if not path.is_file():
        near = nearest(path.name, [each.name for each in path.parent.glob("*.py")])
        raise ConfigurationError(f"there is no file {str(path)!r}{near}")
    folder, names = path.resolve().parent, [path.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    _importable(folder)
    name = ".".join(names)

    def bring() -> ModuleType:
        if path.stem.isidentifier():
            module = importlib.import_module(name)
            if Path(module.__file__ or "").resolve() != path.resolve():
                raise _NotThere(f"{path} can't be imported: there is another module called {name!r}: {module.__file__}")
            return module
        spec = importlib.util.spec_from_file_location(re.sub(r"\W", "_", path.stem), path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
        spec.loader.exec_module(module)
        return module

    return _imported(str(path), bring)


class _NotThere(ConfigurationError):
    """There is nothing to import: our message, and no fault in the user's code."""


def _imported(what: str, bring: Callable[[], ModuleType]) -> ModuleType:
    """Import, and say of what fails where in the user's code it was."""
    try:
        return bring()
    except _NotThere:
        raise
    except ConfigurationError as error:
        place = _place(error.__traceback__) or what
        raise ConfigurationError.of([f"{place}: {problem}" for problem in error.problems]) from error
    except SystemExit as error:
        raise ConfigurationError(f"{what} ends the program when it is imported") from error
    except Exception as error:
        trace = "".join(traceback.format_exception(type(error), error, _theirs(error.__traceback__)))
        raise ConfigurationError(f"{what} can't be imported:\n{trace.rstrip()}") from error


def _is_ours(frame: TracebackType) -> bool:
    file = frame.tb_frame.f_code.co_filename
    return file.startswith(("<frozen importlib", str(Path(__file__).parents[1])))


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback from where it enters the user's code."""
    while trace is not None and (_is_ours(trace) or "importlib" in trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _place(trace: TracebackType | None) -> str:
    """Return file and line of the last step in the user's code."""
    place = ""
    while trace is not None:
        if not _is_ours(trace) and "importlib" not in trace.tb_frame.f_code.co_filename:
            place = f"{os.path.relpath(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
