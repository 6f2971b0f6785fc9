"""Wrong declarations, told so that they can be mended: all at once, and without the inside of LightAPI."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from typing_extensions import ParamSpec

from lightapi.exceptions import ConfigurationError

__all__ = ["Problems", "told"]

P = ParamSpec("P")
T = TypeVar("T")


class Problems:
    """Collects the ConfigurationErrors of parts that are independent of each other, to raise one with all of them."""

    def __init__(self, found: Iterable[ConfigurationError] = ()) -> None:
        self._found = list(found)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the error that the block raises, if any."""
        try:
            yield
        except ConfigurationError as error:
            self._found.append(error)

    def __bool__(self) -> bool:
        """True when there are some."""
        return bool(self._found)

    def raise_all(self) -> None:
        """Raise what was collected, if anything."""
        if self._found:
            raise self.as_one()

    def as_one(self) -> ConfigurationError:
        """Return what was collected: a single error as it is, several as one that lists them, each once."""
        if len(self._found) == 1:
            return self._found[0]
        return ConfigurationError.of([*dict.fromkeys(problem for error in self._found for problem in error.problems)])


def told(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function that users call raise ConfigurationErrors without the frames of what it calls.

    Where nobody catches one, the program ends with the message and the line of the user's that is wrong.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ConfigurationError as error:
            if sys.excepthook is sys.__excepthook__:
                sys.excepthook = _tell
            raise error.with_traceback(None) from None

    return call


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a ConfigurationError that ends the program; leave everything else to Python."""
    if not isinstance(error, ConfigurationError):
        sys.__excepthook__(kind, error, trace)
        return
    outside = [frame for frame in traceback.extract_tb(trace) if not frame.filename.startswith(_PACKAGE)]
    where = ""
    if outside:
        line = outside[-1].line or ""
        shown = "" if "://" in line else f"    {line}\n"  # a URL may hold a password
        where = f'  File "{outside[-1].filename}", line {outside[-1].lineno}\n{shown}'
    print(f"{where}ConfigurationError: {error}", file=sys.stderr)  # noqa: T201


_PACKAGE = __file__.removesuffix("problems.py")
