"""The routes of the documentation page."""

from __future__ import annotations

from lightapi.openapi.served import Document
from lightapi.plan import Route

__all__ = ["docs_routes"]


def docs_routes(document: Document, docs_url: str, openapi_url: str) -> dict[str, Route]:
    """Return the routes of the page and of what it loads; both URLs are checked paths below the mount point."""
    return {}
