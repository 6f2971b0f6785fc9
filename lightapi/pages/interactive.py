"""The page on which requests can be tried: Swagger UI, read from an installed package that is never imported."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Final

from lightapi.pages.files import File, file_of
from lightapi.pages.html import element, whole_page

__all__ = ["ASSETS", "asset", "interactive_page", "is_installed"]

ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "interactive.js": "text/javascript",
    "interactive.css": "text/css",
}
"""What the page loads: two files of the package, and two of our own."""

_PACKAGE: Final = "flask_swagger_ui"


@functools.cache
def asset(name: str) -> File:
    """Read and compress one file, once per process."""
    folder = _packages_folder() if name.startswith("swagger-ui") else Path(__file__).parent
    assert folder is not None
    return file_of((folder / name).read_bytes(), ASSETS[name])


@functools.cache
def is_installed() -> bool:
    """Tell whether the extra ``docs`` is there."""
    return _packages_folder() is not None


def _packages_folder() -> Path | None:
    """Find the package's folder without importing it: it would import Flask."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "dist"
    whole = all((folder / name).is_file() for name in ASSETS if name.startswith("swagger-ui"))
    return folder if whole else None


def interactive_page(title: str, *, folder: str, openapi: str) -> bytes:
    """Return the page; ``folder`` is where its files are and ``openapi`` the document, both seen from the page."""
    urls = {name: f"{folder}/{name}?{asset(name).query}" for name in ASSETS}
    sheets = [element("link", rel="stylesheet", href=url) for name, url in urls.items() if name.endswith(".css")]
    scripts = [element("script", src=url, defer=True) for name, url in urls.items() if name.endswith(".js")]
    missing = element(
        "noscript",
        "This page needs JavaScript; what it shows is in the ",
        element("a", "OpenAPI document", href=openapi),
        ".",
    )
    return whole_page(title, head=[*sheets, *scripts], body=[element("div", id="docs", data_url=openapi), missing])
