"""Notes of users, each theirs alone, kept in Redis; and a list that is slow and counts how often it was made."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from sqlalchemy import select
from starlette.requests import Request

from lightapi import Authentication, Cache, JWTAuthentication, LightApi, RestEndpoint, col


class Note(RestEndpoint):
    """Visible to its owner."""

    owner: str
    value: int = 0

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)
        cache = Cache(ttl=600)
        queryset_scope = "all"

    def queryset(self, request: Request) -> Any:
        return select(Note).where(col(Note.owner) == request.state.user["sub"])


class Slow(RestEndpoint):
    """Takes a second to list."""

    name: str = ""

    class Meta:
        cache = Cache(ttl=600)

    async def list(self, request: Request) -> Any:
        self.note_that_it_was_made()
        await asyncio.sleep(0.8)
        return await self._list_async(request)

    def note_that_it_was_made(self) -> None:
        """Write a line for the test to count."""
        with Path(os.environ["MADE_LOG"]).open("a", encoding="ascii") as log:
            log.write("made\n")


app = LightApi()
app.register({"/notes": Note, "/slow": Slow})
