"""Where the commands print: results to standard output, everything said about them to standard error."""

from __future__ import annotations

import sys

__all__ = ["show", "tell"]


def show(*lines: object) -> None:
    """Print results."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def tell(message: str) -> None:
    """Say something; a message of several lines stands for itself."""
    sys.stderr.write(f"{message}\n" if "\n" in message else f"lightapi: {message}\n")
    sys.stderr.flush()
