"""What the commands print: tables without a frame, and what there is to know of each path."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lightapi.app import LightApi
from lightapi.plan import Plan

__all__ = ["described", "table"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows below a head, in columns as wide as they need to be."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def described(app: LightApi) -> list[dict[str, Any]]:
    """Return each path with the verbs that the same callers may call, and what its list may be asked for."""
    rows = []
    for (path, endpoint, authentication, permission, public), verbs in groupby(
        app.describe(), key=lambda row: (row.path, row.endpoint, row.authentication, row.permission, row.is_public)
    ):
        group = list(verbs)
        plan = app._plans.get("" if path == "/" else path)
        lists = plan is not None and any(row.verb == "GET" for row in group)
        rows.append(
            {
                "path": path,
                "verbs": [row.verb for row in group],
                "endpoint": endpoint or None,
                "authentication": authentication or None,
                "permission": permission or None,
                "public": public,
                "cache": next((row.cache.ttl for row in group if row.cache), None),
                **(_lists(plan) if lists and plan is not None else {}),
            }
        )
    return rows


def _lists(plan: Plan) -> dict[str, Any]:
    """Return what a list may be asked for."""
    filters, pages = plan.filters, plan.pagination
    return {
        "filters": [*filters.fields],
        "search": [*filters.search],
        "ordering": [*filters.ordering],
        "pagination": None
        if pages is None
        else {"style": pages.style, "page_size": pages.page_size, "max_page_size": pages.max_page_size},
    }
