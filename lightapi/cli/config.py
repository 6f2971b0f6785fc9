"""``lightapi config``: check a YAML file, print the JSON Schema of YAML files."""

from __future__ import annotations

import argparse
import json

from lightapi.app import LightApi
from lightapi.cli.output import show
from lightapi.declarative.json_schema import json_schema
from lightapi.declarative.load import problems_in

__all__ = ["check", "schema"]


def schema(_options: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    show(json.dumps(json_schema(), indent=2))
    return 0


def check(options: argparse.Namespace) -> int:
    """Print the problems of a file; 2 when there is one."""
    problems = problems_in(options.file, LightApi)
    show(*problems or [f"{options.file}: no problems"])
    return 2 if problems else 0
