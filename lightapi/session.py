"""Sessions for user code: commit when the block ends well, roll back when it raises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

__all__ = ["get_async_session", "get_sync_session"]


@contextmanager
def get_sync_session(engine: Engine) -> Iterator[Session]:
    """Open a session that commits on a clean exit and rolls back on an exception."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@asynccontextmanager
async def get_async_session(async_engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """Open an async session that commits on a clean exit and rolls back on an exception."""
    from sqlalchemy.ext.asyncio import AsyncSession  # needs the async extra

    async with AsyncSession(async_engine, expire_on_commit=False) as session, session.begin():
        yield session
