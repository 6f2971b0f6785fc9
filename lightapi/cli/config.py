"""``lightapi config``: check a YAML file, print the JSON Schema of YAML files."""

from __future__ import annotations

import argparse
import json

from lightapi.cli.declared import json_schema, problems_in
from lightapi.cli.output import show

__all__ = ["check", "schema"]


def schema(_options: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    show(json.dumps(json_schema(), indent=2))
    return 0


def check(options: argparse.Namespace) -> int:
    """Print the problems of a file; 2 when there is one."""
    problems = problems_in(options.file)
    show(*problems or [f"{options.file}: no problems"])
    return 2 if problems else 0
