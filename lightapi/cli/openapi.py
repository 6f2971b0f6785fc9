"""``lightapi openapi``: write the OpenAPI document of an app."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from lightapi.cli.target import load
from lightapi.exceptions import ConfigurationError

__all__ = ["run"]

_FORMATS = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}


def run(options: argparse.Namespace) -> int:
    """Write the document."""
    suffix = Path(options.output).suffix if options.output else ".json"
    chosen = options.format or _FORMATS.get(suffix)
    if chosen is None:
        raise ConfigurationError(f"-o {options.output!r} given; allowed: a name in .json, .yaml or .yml, or --format")
    # As it is served: plain values, each one's own.
    document = json.loads(to_json(load(options.target).app.openapi()))
    text = _yaml(document) if chosen == "yaml" else json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def _yaml(document: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text
