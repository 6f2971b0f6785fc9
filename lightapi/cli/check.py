"""``lightapi check``: build an app without serving it, and show its problems and warnings."""

from __future__ import annotations

import argparse
import contextlib
import logging
import warnings
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from lightapi.app import LightApi
from lightapi.cli.output import show
from lightapi.cli.target import is_yaml, load
from lightapi.db.engine import missing_file
from lightapi.db.outside import read_database
from lightapi.declarative.load import problems_in
from lightapi.exceptions import ConfigurationError
from lightapi.problems import Problems

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print problems and warnings; 2 when there is a problem, 1 when the database can't be asked."""
    found = Problems()
    status = 0
    with _heard() as heard, found.collected():
        app = _loaded(options.target)
        with found.collected():
            app.describe()
        if options.database:
            status = _compare(app)
        elif not found:
            heard.extend(app._catalog().outside())
    problems = found.as_one().problems if found else ()
    lines = dict.fromkeys([*(f"problem: {each}" for each in problems), *(f"warning: {each}" for each in heard)])
    show(*lines, f"{_count(len(problems), 'problem')}, {_count(len(lines) - len(problems), 'warning')}")
    return 2 if problems else status


def _loaded(target: str | None) -> LightApi:
    """Return the app; of a file that can't be loaded, what building would find is told, too."""
    try:
        return load(target).app
    except ConfigurationError:
        if target and is_yaml(target) and (problems := problems_in(target, LightApi)):
            raise ConfigurationError.of(problems) from None
        raise


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _compare(app: LightApi) -> int:
    """Compare the app with its database, which is only read."""
    url = app._store.lanes.base.url
    if missing_file(url) is not None:
        logging.getLogger("lightapi").warning("there is no file %s yet: nothing to compare with", missing_file(url))
        return 0
    try:
        read_database(app._store, app._catalog().compare)
    except (SQLAlchemyError, OSError) as error:
        # Its text may hold the URL's host and user.
        logging.getLogger("lightapi").warning("the database can't be asked (%s)", type(error).__name__)
        return 1
    return 0


class _Listener(logging.Handler):
    """Keep what is logged."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self._heard.append(record.getMessage())


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Give the list of what is warned of and logged meanwhile, instead of letting it be shown."""
    heard: list[str] = []
    logger, listener = logging.getLogger("lightapi"), _Listener(heard)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", RuntimeWarning)
            yield heard
        heard += [str(each.message) for each in warned]
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagates
