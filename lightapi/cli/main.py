"""Run a command, and turn whatever goes wrong into a message and an exit status."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from lightapi.cli.arguments import parser
from lightapi.cli.output import tell
from lightapi.exceptions import ConfigurationError

__all__ = ["DONE", "FAILED", "INTERRUPTED", "WRONG", "main"]

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit status."""
    _prepare_output()
    shown: Any = warnings.formatwarning
    plain: Any = _plain
    warnings.formatwarning = plain
    try:
        options = parser().parse_args(arguments)
        status: int = options.run(options)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001  said below
        return _ended_by(error)
    finally:
        warnings.formatwarning = shown
    return status


def _prepare_output() -> None:
    """Let everything be printed: a stream that is closed takes it all, one that is not UTF-8 shows escapes."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  as long as the program
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _ended_by(error: BaseException) -> int:
    """Say what went wrong, and return the status that it ends with."""
    status = FAILED
    if isinstance(error, SystemExit):
        status = _status(error)
    elif isinstance(error, KeyboardInterrupt):
        status = INTERRUPTED
    elif isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        status = DONE
    elif isinstance(error, ConfigurationError):
        tell(str(error))
        status = WRONG
    elif isinstance(error, OSError):
        tell(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    elif sys.flags.dev_mode:
        raise error
    else:
        tell(f"{type(error).__name__}: {error} (python -X dev -m lightapi shows where)")
    return status


def _status(stop: SystemExit) -> int:
    """Return the status of what ended itself: argparse for a wrong usage, uvicorn for a start that failed."""
    if stop.code in (None, DONE):
        return DONE
    return WRONG if stop.code == WRONG else FAILED


def _plain(message: Warning | str, *_where: Any, **_line: Any) -> str:
    return f"lightapi: {message}\n"
