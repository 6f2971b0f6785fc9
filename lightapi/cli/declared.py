"""YAML files, which most commands need nothing of: what knows them is imported when one of them is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from lightapi.app import LightApi

__all__ = ["app_in", "json_schema", "problems_in"]


def app_in(file: str) -> LightApi:
    """Return the app that a YAML file declares; raise ConfigurationError for what is wrong in it."""
    made: Any = LightApi
    app: LightApi = made.from_config(file)
    return app


def problems_in(file: str) -> list[str]:
    """Return everything that is wrong in a YAML file."""
    return [str(each) for each in importlib.import_module("lightapi.declarative.load").problems_in(file)]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of YAML files."""
    schema: dict[str, Any] = importlib.import_module("lightapi.declarative.json_schema").json_schema()
    return schema
